// A rubric as the reward of a task, and MPO around it: an LLM scores every response by the current version of the rubric,
// and after every k-th update a meta reward model may publish the next one. Every score carries its version; the samples
// and the baseline responses of an update are scored by the same one.

import { join } from "node:path";
import { UserError } from "../../base/errors.js";
import { mean } from "../../base/statistics.js";
import { type PromptRow, promptText } from "../../data/rows.js";
import type { LlmModels } from "../../llm/models.js";
import { type ChatMeter, type ChatUsage, usageSince } from "../../llm/recorder.js";
import { type RoundRecord, RubricHistory } from "../../mpo/history.js";
import { MpoHook } from "../../mpo/hook.js";
import { MetaRewardModel } from "../../mpo/meta-reward-model.js";
import { openRubric } from "../../mpo/open-rubric.js";
import { type MpoRollout, normalised } from "../../mpo/rollout.js";
import type { Rubric } from "../../mpo/rubric.js";
import {
  type RewardSample,
  RubricReward,
  type RubricScore,
  tossesReference,
} from "../../mpo/rubric-reward.js";
import type { TaskPreset } from "../../mpo/task.js";
import type { RubricRewardRecipe } from "../../recipe/recipe.js";
import type { Metrics } from "../../run/metrics.js";
import { clustersOf } from "./prompt-clusters.js";
import { given, revisionOptions, roundOptions, scoringOptions } from "./rubric-options.js";
import type {
  RewardSource,
  RubricVersions,
  ScoredAs,
  ScoredResponse,
  ScoredRollouts,
  Scores,
} from "./source.js";

export interface RubricSourceContext {
  /** Name of the task in the recipe. */
  task: string;
  rows: readonly PromptRow[];
  hasJudges: boolean;
  seed: number;
  models: LlmModels;
  /** Directory of the run. */
  outputDir: string;
  /** The policy's last hidden state at the end of every prompt, before training. */
  embed(rows: readonly PromptRow[]): Promise<Float32Array[]>;
  note(line: string): void;
}

export async function openRubricSource(
  recipe: RubricRewardRecipe,
  context: RubricSourceContext,
): Promise<RewardSource> {
  const { seed, models } = context;
  const { rubric, task } = await openRubric(recipe.rubric, recipe.task);
  if (task.judges.length > 0 && !context.hasJudges)
    context.note(
      `task ${context.task}: the preset ${task.name} goes with judges; put them under judges: ${JSON.stringify(task.judges)}`,
    );
  const judge = await models.open(recipe.judgeModel);
  const judgeMeter = judge.client.meter();
  const options = { ...scoringOptions(recipe, task), client: judgeMeter, model: judge.model, seed };
  const reward = new RubricReward(options);
  const { meta } = recipe;
  const clusters = await clustersIn(recipe, task, context);
  const names = [...new Set(clusters?.values())].sort();
  const initial = clusters ? Object.fromEntries(names.map((name) => [name, rubric])) : rubric;
  const mrm = meta && (await models.open(meta.model));
  const metaMeter = mrm?.client.meter();
  const hook = new MpoHook(
    initial,
    seed,
    meta && {
      ...roundOptions(meta, task),
      meta: new MetaRewardModel({
        ...(await revisionOptions(meta, recipe, task)),
        client: metaMeter!,
        model: mrm!.model,
        scorer: (sample, version) => reward.scoreByRubric(sample, version),
        seed,
      }),
    },
  );
  return new RubricSource({
    reward,
    hook,
    history: new RubricHistory(join(context.outputDir, "rubrics", encodeURIComponent(context.task))),
    judge: judgeMeter,
    meta: metaMeter,
    tosses: (row, update) =>
      referenceOf(row) !== undefined &&
      tossesReference(seed, row.id, update, options.answerCheck?.probability ?? 0),
    clusters,
    hasPreview: meta?.interval === "once",
    note: (line) => context.note(`task ${context.task}: ${line}`),
  });
}

/** The cluster of every prompt by its id in depth mode. */
async function clustersIn(
  { meta, clusterColumn: column, clusters: k }: RubricRewardRecipe,
  { mode }: TaskPreset,
  { task, rows, seed, embed }: RubricSourceContext,
): Promise<ReadonlyMap<string, string> | undefined> {
  const isDepth = meta !== undefined && (meta.mode ?? mode) === "depth";
  const areNamed = column !== undefined || k !== undefined;
  if (isDepth && areNamed) return clustersOf(rows, { column, k, seed, embed });
  if (isDepth)
    throw new UserError(
      `task ${task}: mode depth has a rubric for each cluster of prompts; give cluster_column, the column that names the cluster, or clusters, how many to find; or meta.mode: breadth`,
    );
  if (areNamed) throw new UserError(`task ${task}: cluster_column and clusters go with meta.mode: depth`);
  return undefined;
}

/** The reference answer that the data set gives, under any of its usual names. */
function referenceOf({ metadata: { answer } }: PromptRow): string | undefined {
  return typeof answer === "string" || typeof answer === "number" ? String(answer) : undefined;
}

interface RubricSourceParts {
  reward: RubricReward;
  hook: MpoHook;
  history: RubricHistory;
  /** What the reward model and the meta reward model are asked. */
  judge: ChatMeter;
  meta: ChatMeter | undefined;
  /** Whether the answer check takes the place of the rubric for a prompt in an update. */
  tosses(row: PromptRow, update: number): boolean;
  /** By the prompt's id; absent when one rubric is for all. */
  clusters: ReadonlyMap<string, string> | undefined;
  hasPreview: boolean;
  note(line: string): void;
}

class RubricSource implements RewardSource {
  readonly scoresApart = true;
  readonly hasPreview: boolean;
  /** The update that is being scored: 0 is the preview of the initial policy. */
  private update: number;
  private readonly scoreOf = new WeakMap<object, RubricScore>();
  /** Since the last update, baseline responses among them. */
  private asked = 0;
  private usedBefore: ChatUsage;

  constructor(private readonly parts: RubricSourceParts) {
    this.hasPreview = parts.hasPreview;
    this.update = parts.hasPreview ? 0 : 1;
    this.usedBefore = parts.judge.usage();
  }

  private cluster(row: PromptRow): string | undefined {
    return this.parts.clusters?.get(row.id);
  }

  private rubricFor(row: PromptRow): Rubric {
    return this.parts.hook.rubricFor(this.cluster(row));
  }

  versionFor(row: PromptRow): string {
    const { version, hash } = this.rubricFor(row);
    const source = this.parts.tosses(row, this.update) ? "reference" : "rubric";
    return `${source} ${version} ${hash.slice(0, 16)}`;
  }

  async score(responses: readonly ScoredResponse[], as: ScoredAs, signal?: AbortSignal): Promise<Scores> {
    const { reward, hook, history } = this.parts;
    if (as !== "trial") {
      await history.open(hook.current());
      this.asked += responses.length;
    }
    const scores = await Promise.all(
      responses.map((response) =>
        reward.score(sampleOf(response), this.rubricFor(response.row), this.update, signal),
      ),
    );
    const result: Scores = {
      rewards: Float64Array.from(scores, (score) => (score.status === "scored" ? score.reward : Number.NaN)),
      failed: scores.map(({ status }) => status === "failed"),
      reasons: scores.map((score) => (score.status === "failed" ? score.reason : undefined)),
      violated: scores.map((score) => score.status === "scored" && !score.feasible),
      notes: scores.map((score, i) => ({ rubric: noteOf(score, this.cluster(responses[i]!.row)) })),
    };
    result.notes.forEach((note, i) => void this.scoreOf.set(note, scores[i]!));
    return result;
  }

  async afterStep(step: number, rollouts: ScoredRollouts): Promise<Metrics> {
    const { hook, judge } = this.parts;
    const scores = rollouts.scores.notes.map((note) => this.scoreOf.get(note)!);
    const used = usageSince(judge.usage(), this.usedBefore);
    const metrics = {
      ...hook.rubricMetrics(),
      ...scoreMetrics(scores),
      ...usageMetrics("rubric", used),
      "rubric/calls_per_response": (used.calls + used.repeated) / Math.max(1, this.asked),
    };
    const revision = await this.revise(step, rollouts, scores);
    this.usedBefore = judge.usage();
    this.asked = 0;
    this.update = step + 1;
    return { ...metrics, ...revision };
  }

  /** A round, if it is time for one; it changes what scores from now on. */
  private async revise(
    step: number,
    rollouts: ScoredRollouts,
    scores: readonly RubricScore[],
  ): Promise<Metrics> {
    const { hook, history, judge, meta } = this.parts;
    const judgeBefore = judge.usage();
    const metaBefore = meta?.usage();
    const evidence = this.evidence(step, rollouts, scores);
    const round = await hook.onRollouts(step, evidence, { kl: Number(rollouts.metrics.kl) });
    if (!round) return hook.roundMetrics();
    const records = await history.record(round, hook.current());
    for (const record of records) this.parts.note(describeRound(record));
    const sum = (of: (record: RoundRecord) => number) =>
      records.reduce((total, record) => total + of(record), 0);
    return {
      ...hook.roundMetrics(),
      ...usageMetrics("mpo", usageSince(meta!.usage(), metaBefore!)),
      "mpo/sampled": sum(({ sampled }) => sampled),
      "mpo/flagged": sum(({ flagged }) => flagged),
      "mpo/published": sum(({ outcome }) => Number(outcome === "published")),
      "mpo/validation_calls": usageSince(judge.usage(), judgeBefore).calls,
    };
  }

  private evidence(
    step: number,
    { rows, completions, responses, judgements }: ScoredRollouts,
    scores: readonly RubricScore[],
  ): MpoRollout[] {
    return completions.map(({ promptIndex }, i) => {
      const row = rows[promptIndex]!;
      const { feasible, verdicts } = judgements[i]!;
      const found = Object.entries(verdicts).flatMap(([name, verdict]) =>
        typeof verdict === "string" ? [] : [[name, verdict.verdict]],
      );
      return {
        ...sampleOf({ row, text: responses[i]! }),
        ...given<MpoRollout>({ feasible, cluster: this.cluster(row) }),
        step,
        score: scores[i]!,
        verdicts: Object.fromEntries(found),
      };
    });
  }

  get rubrics(): RubricVersions {
    const { hook, history, note } = this.parts;
    return {
      current: () => hook.current(),
      async history(cluster) {
        await history.open(hook.current());
        return history.versions(cluster);
      },
      async rollBack(cluster, version) {
        await history.open(hook.current());
        const earlier = (await history.versions(cluster)).find(({ rubric }) => rubric.version === version);
        if (!earlier) throw new UserError(`there is no version ${version} of the rubric to go back to`);
        const rubric = hook.publish(cluster, earlier.rubric.items);
        const reason = `rolled back to version ${version}`;
        await history.publish(cluster, { rubric, reason });
        note(`the rubric is now version ${rubric.version}; ${reason}`);
        return rubric;
      },
    };
  }

  state() {
    const { hook, history } = this.parts;
    return { update: this.update, hook: hook.state(), rounds: history.state() };
  }

  restore({ update, hook, rounds }: ReturnType<RubricSource["state"]>): void {
    this.update = update;
    this.parts.hook.restore(hook);
    this.parts.history.restore(rounds);
  }
}

function sampleOf({ row, text }: Pick<ScoredResponse, "row" | "text">): RewardSample {
  const reference = referenceOf(row);
  return {
    promptId: row.id,
    prompt: promptText(row.prompt),
    response: text,
    ...(reference !== undefined && { reference }),
  };
}

/** What rollouts.jsonl says of a score. */
function noteOf(score: RubricScore, cluster: string | undefined): object {
  const { rubricVersion: version, rubricHash: hash } = score;
  const by = { version, hash, ...(cluster !== undefined && { cluster }) };
  if (score.status === "failed") return { ...by, failed: score.reason };
  const { items, total, maxTotal, source } = score;
  return { ...by, source, total, max_total: maxTotal, items };
}

function describeRound({ cluster, outcome, version, reason }: RoundRecord): string {
  const whose = cluster === "" ? "the rubric" : `the rubric of ${cluster}`;
  return outcome === "published"
    ? `${whose} is now version ${version}; ${reason}`
    : `${whose} stays: ${reason}`;
}

function scoreMetrics(scores: readonly RubricScore[]): Metrics {
  const scored = scores.filter((score) => score.status === "scored");
  return {
    "rubric/failed_rate": 1 - scored.length / Math.max(1, scores.length),
    "rubric/score": scored.length > 0 ? mean(scored.map(normalised)) : undefined,
    "rubric/gate_violation_rate":
      scored.length > 0 ? mean(scored.map(({ feasible }) => (feasible ? 0 : 1))) : undefined,
  };
}

const usageMetrics = (whose: string, usage: ChatUsage): Record<string, number> => ({
  [`${whose}/calls`]: usage.calls,
  [`${whose}/prompt_tokens`]: usage.promptTokens,
  [`${whose}/completion_tokens`]: usage.completionTokens,
  [`${whose}/cost`]: usage.cost,
});
