// The reward of a task: one reward model (a WARM average is one), or an ensemble of them, over the policy's own tokens.

import { UserError } from "../base/errors.js";
import type { PromptRow } from "../data/rows.js";
import type { TokenIds } from "../engine/contract.js";
import type { LocalScalarModel } from "../engine/local/index.js";
import type { Tokenizer } from "../model/tokenizer.js";
import { ensembleMean, uncertaintyWeighted, worstCase } from "../reward/ensemble.js";
import type { Metrics } from "./metrics.js";
import { openRewardModel, openTokenizer } from "./models.js";
import type { AlignRecipe, RewardSourceRecipe } from "./recipe.js";
import type { TaskRollouts } from "./rollout.js";

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
  metrics: Metrics;
}

/** Where a task's reward comes from. */
export interface RewardSource {
  /** Scores of one version are comparable with each other only. */
  readonly version: string;
  score(responses: readonly RewardInput[], signal?: AbortSignal): Promise<Scores>;
  /** Sees the rollouts of update `step` (1 for the first) and may change its version for the next. */
  afterStep(step: number, rollouts: TaskRollouts, signal?: AbortSignal): Promise<Metrics>;
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
  version: "fixed",
  score: async (responses) => ({
    rewards: await reward(responses.map(({ tokens }) => tokens)),
    failed: responses.map(() => false),
    metrics: {},
  }),
  afterStep: async () => ({}),
  state: () => undefined,
  restore: () => {},
});

/** Opens the rewards of the tasks: each reward model once, and none that does not read the policy's tokens. */
export class RewardSources {
  private readonly opened = new Map<string, Promise<LocalScalarModel>>();

  constructor(
    private readonly recipe: AlignRecipe,
    private readonly policyTokenizer: Tokenizer,
  ) {}

  async open(source: RewardSourceRecipe | undefined): Promise<RewardSource> {
    if (source === undefined) return fixedSource(async (sequences) => new Float64Array(sequences.length));
    if ("rubric" in source)
      throw new UserError("a rubric as reward is not available yet; give warm, model or models");
    if ("models" in source) {
      const members = await Promise.all(source.models.map((dir) => this.model(dir)));
      return fixedSource(async (sequences) => {
        const scores: Float64Array[] = [];
        for (const member of members) scores.push(await lastValues(member, sequences));
        if (source.combine === "min") return worstCase(scores);
        return source.combine === "uwo"
          ? uncertaintyWeighted(scores, source.uwoLambda)
          : ensembleMean(scores);
      });
    }
    const model = await this.model("warm" in source ? source.warm : source.model);
    return fixedSource((sequences) => lastValues(model, sequences));
  }

  private model(name: string): Promise<LocalScalarModel> {
    let model = this.opened.get(name);
    if (!model) this.opened.set(name, (model = this.load(name)));
    return model;
  }

  private async load(name: string): Promise<LocalScalarModel> {
    const tokenizer = await openTokenizer(name);
    if (tokenizer.hash !== this.policyTokenizer.hash)
      throw new UserError(
        `the reward model ${name} has another vocabulary than the policy ${this.recipe.policy.model} (their tokenizer.json differ); train the reward model from a checkpoint with the policy's tokenizer`,
      );
    return openRewardModel(name, { engine: this.recipe.engine, frozen: true });
  }

  dispose(): void {
    for (const model of this.opened.values()) void model.then((opened) => opened.dispose());
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
