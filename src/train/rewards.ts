// The reward of a task: one reward model (a WARM average is one), or an ensemble of them, over the policy's own tokens.

import { UserError } from "../base/errors.js";
import type { TokenIds } from "../engine/contract.js";
import type { LocalScalarModel } from "../engine/local/index.js";
import type { Tokenizer } from "../model/tokenizer.js";
import { ensembleMean, uncertaintyWeighted, worstCase } from "../reward/ensemble.js";
import { openRewardModel, openTokenizer } from "./models.js";
import type { EngineRecipe, RewardSourceRecipe } from "./recipe.js";

/** r_pair(s, a) of every sequence (prompt and response tokens, end token included). */
export type RewardFunction = (sequences: readonly TokenIds[]) => Promise<Float64Array>;

/** Opens reward models, each directory once, and refuses those that do not read the policy's tokens. */
export class RewardModels {
  private readonly opened = new Map<string, Promise<LocalScalarModel>>();

  constructor(
    private readonly engine: EngineRecipe,
    private readonly policy: string,
    private readonly policyTokenizer: Tokenizer,
  ) {}

  async open(source: RewardSourceRecipe | undefined): Promise<RewardFunction> {
    if (source === undefined) return async (sequences) => new Float64Array(sequences.length);
    if ("rubric" in source)
      throw new UserError("a rubric as reward is not available yet; give warm, model or models");
    if ("models" in source) {
      const members = await Promise.all(source.models.map((dir) => this.model(dir)));
      return async (sequences) => {
        const scores: Float64Array[] = [];
        for (const member of members) scores.push(await lastValues(member, sequences));
        if (source.combine === "min") return worstCase(scores);
        return source.combine === "uwo"
          ? uncertaintyWeighted(scores, source.uwoLambda)
          : ensembleMean(scores);
      };
    }
    const model = await this.model("warm" in source ? source.warm : source.model);
    return (sequences) => lastValues(model, sequences);
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
        `the reward model ${name} has another vocabulary than the policy ${this.policy} (their tokenizer.json differ); train the reward model from a checkpoint with the policy's tokenizer`,
      );
    return openRewardModel(name, { engine: this.engine, frozen: true });
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
