// The reward of a task: one reward model (a WARM average is one) or an ensemble of them over the policy's own tokens, a
// rubric that a language model scores by, or a weighted sum.

import { UserError } from "../../base/errors.js";
import type { PromptRow } from "../../data/rows.js";
import type { TokenIds } from "../../engine/contract.js";
import type { LocalScalarModel } from "../../engine/local/index.js";
import { checkpointClient } from "../../llm/checkpoint.js";
import { LlmModels } from "../../llm/models.js";
import {
  type AlignRecipe,
  REWARD_SOURCES,
  type RewardSourceRecipe,
  type SingleRewardRecipe,
} from "../../recipe/recipe.js";
import type { Reporter } from "../../run/context.js";
import type { Metrics } from "../../run/metrics.js";
import type { TaskRollouts } from "../align/rollout.js";
import { openPolicy, openRewardModel, openScalarModel, openTokenizer } from "../models.js";
import type { TextCodec } from "../text.js";
import { EnsembleSource } from "./ensemble.js";
import { openRubricSource } from "./rubric.js";
import { sumOf, type WeightedSource } from "./sum.js";

/** One response to score. */
export interface RewardInput {
  row: PromptRow;
  text: string;
  /** Prompt and response, end token included. */
  tokens: TokenIds;
  /** Of the sample: the source of whatever chance the scoring needs. */
  seed: number;
}

export interface Scores {
  /** r_pair(s, a) of every response; NaN where it could not be had. */
  rewards: Float64Array;
  /** The reward could not be had: the sample teaches nothing and enters no mean. */
  failed: readonly boolean[];
  /** The response fails a gate of the reward's own: for the objectives it violates a constraint. */
  violated: readonly boolean[];
  /** What else rollouts.jsonl is to say of each response. */
  notes: readonly Readonly<Record<string, unknown>>[];
}

/** Samples of the policy, of which a step has one batch, or after them the baseline responses of their prompts. */
export type ScoredAs = "samples" | "baselines";

/** Where a task's reward comes from. */
export interface RewardSource {
  /** `afterStep` is to see rollouts of the initial policy, as those of update 0, before the first update. */
  readonly hasPreview?: boolean;
  /** What scores the responses to a prompt now. Scores of one version are comparable with each other only. */
  versionFor(row: PromptRow): string;
  /** Scores by one version. A step that has begun is finished, so there is nothing to abort. */
  score(responses: readonly RewardInput[], as: ScoredAs): Promise<Scores>;
  /** Sees the rollouts of update `step` (1 for the first) and may change its version for the next. */
  afterStep(step: number, rollouts: TaskRollouts): Promise<Metrics>;
  /** What belongs in a checkpoint. JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: every source knows the shape of its own state
  state(): any;
  // biome-ignore lint/suspicious/noExplicitAny: what `state` gave
  restore(state: any): void;
}

/** r_pair(s, a) of every sequence (prompt and response tokens, end token included). */
export type RewardFunction = (sequences: readonly TokenIds[]) => Promise<Float64Array>;

/** A source that never changes: reward models, and the absence of a reward. */
const fixedSource = (reward: RewardFunction): RewardSource => ({
  versionFor: () => "fixed",
  score: async (responses) => ({
    rewards: await reward(responses.map(({ tokens }) => tokens)),
    failed: responses.map(() => false),
    violated: responses.map(() => false),
    notes: responses.map(() => ({})),
  }),
  afterStep: async () => ({}),
  state: () => undefined,
  restore: () => {},
});

/** What surrounds the rewards of a run. */
export interface RewardContext {
  reporter: Pick<Reporter, "note">;
  /** Directory of a run whose replies of language models are repeated. */
  replay?: string;
}

/** The task that a reward is for. */
export interface RewardedTask {
  name: string;
  rows: readonly PromptRow[];
  hasJudges: boolean;
}

/** Opens the rewards of the tasks: each model once, and no reward model that does not read the policy's tokens. */
export class RewardSources {
  private readonly opened = new Map<string, Promise<LocalScalarModel>>();
  /** The language models of the run, for the judges too. */
  readonly llm: LlmModels;

  constructor(
    private readonly recipe: AlignRecipe,
    private readonly codec: TextCodec,
    private readonly context: RewardContext,
  ) {
    const { llm, engine, outputDir } = recipe;
    this.llm = new LlmModels(llm, {
      outputDir,
      replay: context.replay,
      openCheckpoint: async (model) => checkpointClient(await openPolicy(model, { engine, frozen: true })),
    });
  }

  async open(source: RewardSourceRecipe | undefined, task: RewardedTask): Promise<RewardSource> {
    if (source === undefined) return fixedSource(async (sequences) => new Float64Array(sequences.length));
    if (!("sum" in source)) return this.openSingle(source, task);
    const parts: WeightedSource[] = [];
    const names = source.sum.map((part) => REWARD_SOURCES.find((name) => name in part)!);
    for (const [i, { weight, ...part }] of source.sum.entries()) {
      const nth = names.slice(0, i).filter((name) => name === names[i]).length + 1;
      const name = nth === 1 ? names[i]! : `${names[i]}_${nth}`;
      parts.push({ name, weight, source: await this.openSingle(part, task) });
    }
    return sumOf(parts);
  }

  private async openSingle(source: SingleRewardRecipe, task: RewardedTask): Promise<RewardSource> {
    if ("rubric" in source) {
      const { seed, outputDir } = this.recipe;
      return openRubricSource(source, {
        task: task.name,
        rows: task.rows,
        hasJudges: task.hasJudges,
        seed,
        models: this.llm,
        outputDir,
        embed: (rows) => this.embed(rows),
        note: (line) => this.context.reporter.note(line),
      });
    }
    if ("models" in source) {
      const members = await Promise.all(source.models.map((dir) => this.model(dir)));
      return new EnsembleSource(
        members.map(
          (member): RewardFunction =>
            (sequences) =>
              lastValues(member, sequences),
        ),
        source,
      );
    }
    const model = await this.model("warm" in source ? source.warm : source.model);
    return fixedSource((sequences) => lastValues(model, sequences));
  }

  /** Read off the initial policy by a model of its own, which is let go again. */
  private async embed(rows: readonly PromptRow[]): Promise<Float32Array[]> {
    const { policy, engine } = this.recipe;
    const model = await openScalarModel(policy.model, { engine, frozen: true });
    try {
      return await model.features(rows.map(({ prompt }) => this.codec.prompt(prompt)));
    } finally {
      model.dispose();
    }
  }

  private model(name: string): Promise<LocalScalarModel> {
    let model = this.opened.get(name);
    if (!model) this.opened.set(name, (model = this.load(name)));
    return model;
  }

  private async load(name: string): Promise<LocalScalarModel> {
    const tokenizer = await openTokenizer(name);
    if (tokenizer.hash !== this.codec.tokenizer.hash)
      throw new UserError(
        `the reward model ${name} has another vocabulary than the policy ${this.recipe.policy.model} (their tokenizer.json differ); train the reward model from a checkpoint with the policy's tokenizer`,
      );
    return openRewardModel(name, { engine: this.recipe.engine, frozen: true });
  }

  dispose(): void {
    for (const model of this.opened.values()) void model.then((opened) => opened.dispose());
    this.llm.dispose();
  }
}

/** r(x, y) at the last token of every sequence. */
export async function lastValues(
  model: LocalScalarModel,
  sequences: readonly TokenIds[],
): Promise<Float64Array> {
  const values = await model.values(sequences, "last");
  return Float64Array.from(values, (row) => row[0]!);
}
