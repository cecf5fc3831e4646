// A rubric as the reward of a task, and MPO around it: an LLM scores every response by the current version of the rubric,
// and after every k-th update a meta reward model may publish the next one. Every score carries its version; the samples
// and the baseline responses of an update are scored by the same one.

import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { mean } from "../base/statistics.js";
import { loadPreferences } from "../data/index.js";
import type { PromptRow } from "../data/rows.js";
import { kMeans } from "../mpo/clusters.js";
import { RubricHistory } from "../mpo/history.js";
import { MpoHook, type MpoOptions } from "../mpo/hook.js";
import { MetaRewardModel, type MetaRewardModelOptions } from "../mpo/meta-reward-model.js";
import { openRubric } from "../mpo/open-rubric.js";
import { type ChatMeter, type ChatUsage, usageSince } from "../mpo/recorded-client.js";
import { type MpoRollout, normalised } from "../mpo/rollout.js";
import type { Rubric } from "../mpo/rubric.js";
import {
  type RewardSample,
  RubricReward,
  type RubricRewardOptions,
  type RubricScore,
  tossesReference,
} from "../mpo/rubric-reward.js";
import {
  faithfulMetaOptions,
  faithfulRewardOptions,
  metaOptions,
  rewardOptions,
  type TaskPreset,
} from "../mpo/task.js";
import type { Anchor } from "../mpo/validation.js";
import type { ChatModels } from "./chat-models.js";
import type { Metrics } from "./metrics.js";
import type { MetaRewardRecipe, RubricRewardRecipe } from "./recipe.js";
import type { RewardInput, RewardSource, Scores } from "./rewards.js";
import type { TaskRollouts } from "./rollout.js";
import { promptText } from "./text.js";

export interface RubricSourceContext {
  /** Name of the task in the recipe. */
  task: string;
  rows: readonly PromptRow[];
  hasJudges: boolean;
  seed: number;
  models: ChatModels;
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
  const isDepth = meta !== undefined && (meta.mode ?? task.mode) === "depth";
  if (!isDepth && (recipe.clusterColumn !== undefined || recipe.clusters !== undefined))
    throw new UserError(`task ${context.task}: cluster_column and clusters go with meta.mode: depth`);
  const clusters = isDepth ? await clustersOf(recipe, context) : undefined;
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
    judge: { meter: judgeMeter, log: judge.client },
    meta: mrm && { meter: metaMeter!, log: mrm.client },
    tosses: (row, update) =>
      referenceOf(row) !== undefined &&
      tossesReference(seed, row.id, update, options.answerCheck?.probability ?? 0),
    clusters,
    hasPreview: meta?.interval === "once",
    note: (line) => context.note(`task ${context.task}: ${line}`),
  });
}

type Given<T> = { [K in keyof T]?: T[K] | undefined };

/** The entries that are there. */
const given = <T extends object>(options: Given<T>): Partial<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;

function scoringOptions(
  {
    scoring,
    scale,
    outOfRange,
    showReference,
    answerCheck,
    attempts,
    maxTokens,
    faithful,
  }: RubricRewardRecipe,
  task: TaskPreset,
): Omit<RubricRewardOptions, "client" | "model"> {
  return {
    ...(faithful ? faithfulRewardOptions(task) : rewardOptions(task)),
    ...given<RubricRewardOptions>({
      mode: scoring,
      reward: scale,
      outOfRange,
      showReference,
      attempts,
      maxTokens,
    }),
    ...(answerCheck !== undefined && { answerCheck: { probability: answerCheck } }),
    task,
    // The log remembers every reply, and counts the same after a resume.
    cacheSize: 0,
  };
}

const roundOptions = (
  { interval, triggers, cooldown, stopAfterUnchanged }: MetaRewardRecipe,
  task: TaskPreset,
): MpoOptions => ({
  interval: interval ?? task.interval,
  ...given<MpoOptions>({ triggers, cooldown, stopAfterUnchanged }),
});

async function revisionOptions(
  meta: MetaRewardRecipe,
  { faithful = false }: RubricRewardRecipe,
  task: TaskPreset,
): Promise<Omit<MetaRewardModelOptions, "client" | "model">> {
  const { mode, samples, perTertile, sampling, refinement, mergeOverflow, maxTokens, shows, anchors } = meta;
  const { flaggedScoreLower, copiedWords, allowLooserGates } = meta;
  const base: Omit<MetaRewardModelOptions, "client" | "model"> = faithful
    ? faithfulMetaOptions(task)
    : metaOptions(task);
  return {
    ...base,
    ...given<MetaRewardModelOptions>({
      mode,
      samples,
      perTertile,
      sampling,
      refinement,
      mergeOverflow,
      maxTokens,
      shows: shows && Object.fromEntries(shows.map((part) => [part, true])),
    }),
    validation: {
      ...base.validation,
      ...given<NonNullable<MetaRewardModelOptions["validation"]>>({
        flaggedScoreLower,
        copiedWords,
        allowLooserGates,
        anchors: anchors === undefined ? undefined : await readAnchors(anchors),
      }),
    },
  };
}

/** Pairs of which the first response is the better one; the columns are those of preference data. */
async function readAnchors(path: string): Promise<Anchor[]> {
  const { rows } = await loadPreferences(path);
  return rows.map(({ prompt, chosen, rejected }) => ({
    prompt: promptText(prompt),
    good: promptText(chosen),
    bad: promptText(rejected),
  }));
}

/**
 * The cluster of every row by its id (depth mode): what a column says, k-means over the embeddings of the prompts, or
 * both (the paper: 3 clusters in each of 7 subjects).
 */
async function clustersOf(
  { clusterColumn, clusters: k }: RubricRewardRecipe,
  { task, rows, seed, embed }: RubricSourceContext,
): Promise<ReadonlyMap<string, string>> {
  if (clusterColumn === undefined && k === undefined)
    throw new UserError(
      `task ${task}: mode depth has a rubric for each cluster of prompts; give cluster_column, the column that names the cluster, or clusters, how many to find; or meta.mode: breadth`,
    );
  const groups = new Map<string, PromptRow[]>();
  for (const row of rows) {
    const name = clusterColumn === undefined ? "prompts" : String(row.metadata[clusterColumn] ?? "");
    if (name === "")
      throw new UserError(`${row.id}: the row has no "${clusterColumn}", which names its cluster`);
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const found = new Map<string, string>();
  for (const [name, members] of groups) {
    const places =
      k === undefined
        ? undefined
        : kMeans(await embed(members), k, new RandomStream(seed, `clusters of ${task}, ${name}`)).assignment;
    members.forEach(({ id }, i) => {
      found.set(id, places ? `${name} ${places[i]! + 1}` : name);
    });
  }
  return found;
}

/** The reference answer that the data set gives, under any of its usual names. */
function referenceOf({ metadata: { answer } }: PromptRow): string | undefined {
  return typeof answer === "string" || typeof answer === "number" ? String(answer) : undefined;
}

/** What a client counts, and where its log stands. */
interface Counted {
  meter: ChatMeter;
  log: { position(): number; restore(position: number): void };
}

interface RubricSourceParts {
  reward: RubricReward;
  hook: MpoHook;
  history: RubricHistory;
  judge: Counted;
  meta: Counted | undefined;
  /** Whether the answer check takes the place of the rubric for a prompt in an update. */
  tosses(row: PromptRow, update: number): boolean;
  /** By the prompt's id; absent when one rubric is for all. */
  clusters: ReadonlyMap<string, string> | undefined;
  hasPreview: boolean;
  note(line: string): void;
}

class RubricSource implements RewardSource {
  readonly hasPreview: boolean;
  /** The update that is being scored: 0 is the preview of the initial policy. */
  private update: number;
  private readonly scoresOf = new WeakMap<Scores, readonly RubricScore[]>();
  /** Since the last update, baseline responses among them. */
  private asked = 0;
  private usedBefore: ChatUsage;

  constructor(private readonly parts: RubricSourceParts) {
    this.hasPreview = parts.hasPreview;
    this.update = parts.hasPreview ? 0 : 1;
    this.usedBefore = parts.judge.meter.usage();
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

  async score(responses: readonly RewardInput[]): Promise<Scores> {
    const { reward, hook, history } = this.parts;
    await history.open(hook.current());
    this.asked += responses.length;
    const scores = await Promise.all(
      responses.map((response) =>
        reward.score(sampleOf(response), this.rubricFor(response.row), this.update),
      ),
    );
    const result: Scores = {
      rewards: Float64Array.from(scores, (score) => (score.status === "scored" ? score.reward : Number.NaN)),
      failed: scores.map(({ status }) => status === "failed"),
      violated: scores.map((score) => score.status === "scored" && !score.feasible),
      notes: scores.map((score, i) => ({ rubric: noteOf(score, this.cluster(responses[i]!.row)) })),
    };
    this.scoresOf.set(result, scores);
    return result;
  }

  async afterStep(step: number, rollouts: TaskRollouts): Promise<Metrics> {
    const { hook, history, judge, meta, note } = this.parts;
    const scores = this.scoresOf.get(rollouts.scores)!;
    const scoredBy = hook.rubricMetrics();
    const scoring = usageSince(judge.meter.usage(), this.usedBefore);
    const metaBefore = meta?.meter.usage();
    const round = await hook.onRollouts(step, this.evidence(step, rollouts, scores), {
      kl: Number(rollouts.metrics.kl),
    });
    const metrics: Record<string, number | undefined> = {
      ...scoredBy,
      ...hook.roundMetrics(),
      ...scoreMetrics(scores),
      ...usageMetrics("rubric", scoring),
      "rubric/calls_per_response": (scoring.calls + scoring.repeated) / Math.max(1, this.asked),
    };
    if (round) {
      const records = await history.record(round, hook.current());
      for (const { cluster, outcome, version, reason } of records) {
        const whose = cluster === "" ? "the rubric" : `the rubric of ${cluster}`;
        note(
          outcome === "published"
            ? `${whose} is now version ${version}; ${reason}`
            : `${whose} stays: ${reason}`,
        );
      }
      const sum = (of: "sampled" | "flagged") => records.reduce((total, record) => total + record[of], 0);
      Object.assign(metrics, usageMetrics("mpo", usageSince(meta!.meter.usage(), metaBefore!)), {
        "mpo/sampled": sum("sampled"),
        "mpo/flagged": sum("flagged"),
        "mpo/published": records.filter(({ outcome }) => outcome === "published").length,
        "mpo/validation_calls": judge.meter.usage().calls - this.usedBefore.calls - scoring.calls,
      });
    }
    this.usedBefore = judge.meter.usage();
    this.asked = 0;
    this.update = step + 1;
    return metrics;
  }

  private evidence(
    step: number,
    { rows, completions, responses, judgements }: TaskRollouts,
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

  state() {
    const { hook, history, judge, meta } = this.parts;
    return {
      update: this.update,
      hook: hook.state(),
      rounds: history.state(),
      judgeLog: judge.log.position(),
      metaLog: meta?.log.position(),
    };
  }

  restore({ update, hook, rounds, judgeLog, metaLog }: ReturnType<RubricSource["state"]>): void {
    this.update = update;
    this.parts.hook.restore(hook);
    this.parts.history.restore(rounds);
    this.parts.judge.log.restore(judgeLog);
    if (metaLog !== undefined) this.parts.meta?.log.restore(metaLog);
  }
}

function sampleOf({ row, text }: Pick<RewardInput, "row" | "text">): RewardSample {
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
