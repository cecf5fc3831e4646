// The mixture of judges: y = AND_h J_h(s, a) (CGPO, Algorithm 1 step 3). Rule judges come first, and a violation
// settles the sample. A judge that fails leaves the sample undecided, unless another judge finds a violation.

import { setImmediate } from "node:timers/promises";
import { FailureRateError, UserError } from "../base/errors.js";
import { limiter } from "../base/requests.js";
import { VerdictCache } from "./cache.js";
import type { Judge, JudgeInput, JudgeUsage, Verdict } from "./verdict.js";

/**
 * What a failed verdict does to its sample: `drop` leaves it undecided, `violate` counts it as a violation, `stop`
 * drops it and ends the run when the judge's failed share of a batch exceeds `maxFailedRate`.
 */
export type FailedPolicy = "drop" | "violate" | "stop";

export interface MixtureMember {
  judge: Judge;
  onFailed: FailedPolicy;
  /** Only for `stop`. */
  maxFailedRate: number;
}

export interface MixtureOptions {
  /** Ask every judge even after a violation, so that the violation rates cover the same samples. */
  runAll?: boolean;
  /** Samples that rule judges see at the same time, and an LLM judge where it does not say how many it takes. */
  concurrency?: number;
}

export interface Mixture extends Required<MixtureOptions> {
  /** Rule judges before LLM judges, otherwise in the order given. */
  members: readonly MixtureMember[];
  /** What costly judges have said so far. */
  cache: VerdictCache;
}

export interface SampleJudgement {
  /** y: all applicable judges are satisfied. Undefined: undecided because a judge failed; the sample is dropped. */
  feasible: boolean | undefined;
  /** By judge name. `skipped`: an earlier judge had found a violation. */
  verdicts: Record<string, Verdict | "inapplicable" | "skipped">;
}

export interface BatchJudgement {
  results: SampleJudgement[];
  /**
   * `constraints/satisfied_rate` (of the decided samples), `constraints/dropped_rate` (undecided, of all samples),
   * and for every judge that ran `constraints/<judge>/violation_rate` (of its decided verdicts),
   * `judges/<judge>/failed_rate` (of the samples that it applies to) and `judges/<judge>/latency` (seconds, mean over the
   * samples that it was asked about); for costly judges `judges/<judge>/cache_hits`, the verdicts that were known, and for
   * language models `judges/<judge>/calls`, `prompt_tokens`, `completion_tokens` and `cost`. A rate of no verdicts is
   * undefined.
   */
  metrics: Record<string, number | undefined>;
}

/** A judge failed on a larger share of a batch than its recipe entry allows. */
export class JudgeFailureError extends FailureRateError {
  override name = "JudgeFailureError";
}

export function createMixture(
  members: readonly MixtureMember[],
  { runAll = false, concurrency = 8 }: MixtureOptions = {},
): Mixture {
  const names = new Set<string>();
  for (const { judge } of members) {
    if (names.has(judge.name)) {
      throw new UserError(`two judges are called "${judge.name}"; give one of them another \`name\``);
    }
    names.add(judge.name);
  }
  const ofKind = (kind: Judge["kind"]) => members.filter(({ judge }) => judge.kind === kind);
  return { members: [...ofKind("rule"), ...ofKind("llm")], runAll, concurrency, cache: new VerdictCache() };
}

/** What one judge did over one batch. */
interface Tally {
  satisfied: number;
  violated: number;
  failed: number;
  hits: number;
  seconds: number;
  lastFailure: string;
}

const emptyTally = (): Tally => ({
  satisfied: 0,
  violated: 0,
  failed: 0,
  hits: 0,
  seconds: 0,
  lastFailure: "",
});

/** Judges a batch whose samples may come one after the other. */
export class BatchJudging {
  private readonly tallies: Map<string, Tally>;
  /** What the judges had used before. */
  private readonly usedBefore: Map<string, JudgeUsage | undefined>;
  private readonly ruleTurns: ReturnType<typeof limiter>;
  private readonly turns: Map<string, ReturnType<typeof limiter>>;

  constructor(
    private readonly mixture: Mixture,
    private readonly signal?: AbortSignal,
  ) {
    const { members, concurrency } = mixture;
    this.tallies = new Map(members.map(({ judge }) => [judge.name, emptyTally()]));
    this.usedBefore = new Map(members.map(({ judge }) => [judge.name, judge.usage?.()]));
    this.ruleTurns = limiter(concurrency);
    this.turns = new Map(
      members.map(({ judge }) => [judge.name, limiter(Math.max(concurrency, judge.concurrency ?? 0))]),
    );
  }

  /** What the judges say of some samples, in their order. */
  judge(samples: readonly JudgeInput[]): Promise<SampleJudgement[]> {
    return Promise.all(samples.map((sample) => this.judgeSample(sample)));
  }

  /** All that was judged, in the order of the samples. Throws where a judge failed too often. */
  end(results: SampleJudgement[]): BatchJudgement {
    const { members } = this.mixture;
    stopOnFailures(members, this.tallies);
    const metrics = batchMetrics(results, members, this.tallies);
    for (const { judge } of members) {
      const used = judge.usage?.();
      if (used) Object.assign(metrics, usageMetrics(judge.name, used, this.usedBefore.get(judge.name)!));
    }
    return { results, metrics };
  }

  private async judgeSample(input: JudgeInput): Promise<SampleJudgement> {
    const { members, runAll } = this.mixture;
    const found: Found = { verdicts: {}, isViolated: false, isUndecided: false };
    const ask = async (member: MixtureMember): Promise<void> => {
      if (found.isViolated && !runAll) found.verdicts[member.judge.name] = "skipped";
      else await this.ask(member, input, found);
    };
    await this.ruleTurns(async () => {
      // Rule judges never wait for anything: here the engine's replies get through, and it has the next thing to do.
      await setImmediate();
      for (const member of members) if (member.judge.kind === "rule") await ask(member);
    });
    for (const member of members)
      if (member.judge.kind === "llm") await this.turns.get(member.judge.name)!(() => ask(member));
    const { isViolated, isUndecided, verdicts } = found;
    return { feasible: isViolated ? false : isUndecided ? undefined : true, verdicts };
  }

  private async ask({ judge, onFailed }: MixtureMember, input: JudgeInput, found: Found): Promise<void> {
    const start = performance.now();
    const { verdict, isHit } = await this.mixture.cache.verdictFrom(judge, input, this.signal);
    found.verdicts[judge.name] = verdict ?? "inapplicable";
    if (!verdict) return;
    const tally = this.tallies.get(judge.name)!;
    if (isHit) tally.hits++;
    else tally.seconds += (performance.now() - start) / 1000;
    tally[verdict.verdict]++;
    if (verdict.verdict === "failed") tally.lastFailure = verdict.reason;
    if (verdict.verdict === "violated" || (verdict.verdict === "failed" && onFailed === "violate"))
      found.isViolated = true;
    else if (verdict.verdict === "failed") found.isUndecided = true;
  }
}

/** Counts of this process: a resumed run has forgotten what it knew, so they stand with the latencies in timings.jsonl. */
const usageMetrics = (name: string, now: JudgeUsage, before: JudgeUsage): Record<string, number> => ({
  [`judges/${name}/calls`]: now.calls - before.calls,
  [`judges/${name}/prompt_tokens`]: now.promptTokens - before.promptTokens,
  [`judges/${name}/completion_tokens`]: now.completionTokens - before.completionTokens,
  [`judges/${name}/cost`]: now.cost - before.cost,
});

/** What is known of a sample so far. */
interface Found {
  verdicts: SampleJudgement["verdicts"];
  isViolated: boolean;
  isUndecided: boolean;
}

const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);

const rate = (part: number, whole: number) => (whole === 0 ? undefined : part / whole);

function batchMetrics(
  results: readonly SampleJudgement[],
  members: readonly MixtureMember[],
  tallies: ReadonlyMap<string, Tally>,
) {
  const decided = results.filter(({ feasible }) => feasible !== undefined);
  const feasible = decided.filter((result) => result.feasible);
  const metrics: Record<string, number | undefined> = {
    "constraints/satisfied_rate": rate(feasible.length, decided.length),
    "constraints/dropped_rate": share(results.length - decided.length, results.length),
  };
  for (const { judge } of members) {
    const { name, isCostly } = judge;
    const { satisfied, violated, failed, hits, seconds } = tallies.get(name)!;
    const judged = satisfied + violated + failed;
    if (judged === 0) continue;
    metrics[`constraints/${name}/violation_rate`] = rate(violated, satisfied + violated);
    metrics[`judges/${name}/failed_rate`] = share(failed, judged);
    if (hits < judged) metrics[`judges/${name}/latency`] = seconds / (judged - hits);
    if (isCostly) metrics[`judges/${name}/cache_hits`] = hits;
  }
  return metrics;
}

function stopOnFailures(members: readonly MixtureMember[], tallies: ReadonlyMap<string, Tally>): void {
  for (const { judge, onFailed, maxFailedRate } of members) {
    const { satisfied, violated, failed, lastFailure } = tallies.get(judge.name)!;
    const asked = satisfied + violated + failed;
    if (onFailed === "stop" && share(failed, asked) > maxFailedRate) {
      throw new JudgeFailureError(
        `judge "${judge.name}" failed on ${failed} of ${asked} samples, more than its max_failed_rate ` +
          `${maxFailedRate} allows; the last failure: ${lastFailure}`,
      );
    }
  }
}

/** Judges every sample; `results` are in the order of `samples`. */
export async function judgeBatch(
  mixture: Mixture,
  samples: readonly JudgeInput[],
  signal?: AbortSignal,
): Promise<BatchJudgement> {
  const judging = new BatchJudging(mixture, signal);
  return judging.end(await judging.judge(samples));
}
