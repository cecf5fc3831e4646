// A weighted sum of rewards, such as a WARM reward model and a rubric:
//   r(x, y) = sum_j w_j (r_j(x, y) - mu_j) / sigma_j,
// mu_j and sigma_j over what part j has given the policy's responses so far, for every version of the part by itself. A
// part that gives everything the same adds nothing.

import { type RunningState, RunningStatistics } from "../../base/statistics.js";
import type { PromptRow } from "../../data/rows.js";
import type { Metrics } from "../../run/metrics.js";
import type { RewardSource, ScoredAs, ScoredResponse, ScoredRollouts, Scores } from "./source.js";

export interface WeightedSource {
  /** In metrics and rollouts. */
  name: string;
  weight: number;
  source: RewardSource;
}

export const sumOf = (parts: readonly WeightedSource[]): RewardSource => new SumSource(parts);

interface Part extends WeightedSource {
  /** By the part's version. */
  scales: Map<string, RunningStatistics>;
}

class SumSource implements RewardSource {
  private readonly parts: readonly Part[];
  /** What each part gave a response, by its note. */
  private readonly givenTo = new WeakMap<object, readonly PartScore[]>();

  constructor(parts: readonly WeightedSource[]) {
    this.parts = parts.map((part) => ({ ...part, scales: new Map() }));
  }

  get maxTokens(): number | undefined {
    const windows = this.parts.flatMap(({ source }) => source.maxTokens ?? []);
    return windows.length > 0 ? Math.min(...windows) : undefined;
  }

  get rubrics() {
    return this.parts.map(({ source }) => source.rubrics).find(Boolean);
  }

  get hasPreview(): boolean {
    return this.parts.some(({ source }) => source.hasPreview);
  }

  /** The parts' versions, and how much was seen of each: every step of samples moves the scales. */
  versionFor(row: PromptRow): string {
    return this.parts
      .map((part) => {
        const version = part.source.versionFor(row);
        return `${version} of ${part.scales.get(version)?.count ?? 0}`;
      })
      .join(", ");
  }

  async score(responses: readonly ScoredResponse[], as: ScoredAs, signal?: AbortSignal): Promise<Scores> {
    const scores: Scores[] = [];
    const rewards = new Float64Array(responses.length);
    const given: Record<string, number | null>[] = responses.map(() => ({}));
    for (const part of this.parts) {
      const own = await part.source.score(responses, as, signal);
      const scaleOf = (i: number) => scaleFor(part, responses[i]!.row);
      if (as === "samples")
        own.rewards.forEach((reward, i) => {
          if (!own.failed[i]) scaleOf(i).push(reward);
        });
      own.rewards.forEach((reward, i) => {
        rewards[i]! += part.weight * standardised(reward, scaleOf(i));
        given[i]![part.name] = own.failed[i] ? null : reward;
      });
      scores.push(own);
    }
    const some = (of: "failed" | "violated") => responses.map((_, i) => scores.some((own) => own[of][i]));
    const notes = responses.map((_, i) =>
      Object.assign({ reward_parts: given[i]! }, ...scores.map((own) => own.notes[i]!)),
    );
    const reasons = responses.map((_, i) => scores.map((own) => own.reasons?.[i]).find(Boolean));
    notes.forEach(
      (note, i) =>
        void this.givenTo.set(
          note,
          scores.map((own) => partScore(own, i)),
        ),
    );
    return { rewards, failed: some("failed"), reasons, violated: some("violated"), notes };
  }

  async afterStep(step: number, rollouts: ScoredRollouts): Promise<Metrics> {
    const given = rollouts.scores.notes.map((note) => this.givenTo.get(note)!);
    const metrics: Record<string, Metrics[string]> = {};
    for (const [j, { name, source }] of this.parts.entries()) {
      const own = joined(given.map((parts) => parts[j]!));
      const seen = new RunningStatistics();
      own.rewards.forEach((reward, i) => {
        if (!own.failed[i]) seen.push(reward);
      });
      metrics[`rewards/${name}/mean`] = seen.count > 0 ? seen.mean : undefined;
      metrics[`rewards/${name}/std`] = seen.standardDeviation();
      Object.assign(metrics, await source.afterStep(step, { ...rollouts, scores: own }));
    }
    return metrics;
  }

  state() {
    return this.parts.map(({ source, scales }) => ({
      source: source.state(),
      scales: [...scales].map(([version, scale]): [string, RunningState] => [version, scale.state()]),
    }));
  }

  restore(states: ReturnType<SumSource["state"]>): void {
    for (const [j, { source, scales }] of states.entries()) {
      const part = this.parts[j]!;
      part.source.restore(source);
      part.scales = new Map(scales.map(([version, state]) => [version, new RunningStatistics(state)]));
    }
  }
}

/** What a part gave one response. */
interface PartScore {
  reward: number;
  failed: boolean;
  violated: boolean;
  note: Readonly<Record<string, unknown>>;
}

const partScore = ({ rewards, failed, violated, notes }: Scores, i: number): PartScore => ({
  reward: rewards[i]!,
  failed: failed[i]!,
  violated: violated[i]!,
  note: notes[i]!,
});

const joined = (given: readonly PartScore[]): Scores => ({
  rewards: Float64Array.from(given, ({ reward }) => reward),
  failed: given.map(({ failed }) => failed),
  violated: given.map(({ violated }) => violated),
  notes: given.map(({ note }) => note),
});

function scaleFor({ source, scales }: Part, row: PromptRow): RunningStatistics {
  const version = source.versionFor(row);
  let scale = scales.get(version);
  if (!scale) scales.set(version, (scale = new RunningStatistics()));
  return scale;
}

/** Deviations of this size are rounding. */
const negligible = 1e-9;

function standardised(reward: number, scale: RunningStatistics): number {
  const deviation = scale.standardDeviation();
  return deviation > negligible ? (reward - scale.mean) / deviation : 0 * reward;
}
