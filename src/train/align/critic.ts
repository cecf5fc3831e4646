// The critic of PPO: a scalar model that reads a response up to a token and says what reward the whole will get. A run
// has one, which all its PPO tasks share. It starts from the policy's own trunk with a head of zeros, so that its first
// values are 0, or from a reward model.

import { UserError } from "../../base/errors.js";
import type { AdamOptions, Sequence } from "../../engine/contract.js";
import type { LocalScalarModel } from "../../engine/local/index.js";
import type { Tokenizer } from "../../model/tokenizer.js";
import type { AlignRecipe, OptimizerRecipe } from "../../recipe/recipe.js";
import { openScalarModel, openTokenizer } from "../models.js";

export class Critic {
  private hasGradient = false;

  private constructor(
    readonly model: LocalScalarModel,
    /** Peak; its schedule is the policy's. */
    readonly learningRate: number,
  ) {}

  /** The critic that the PPO tasks of a recipe share; undefined when there are none. */
  static async open(recipe: AlignRecipe, policyTokenizer: Tokenizer): Promise<Critic | undefined> {
    const ppo = recipe.tasks.map(({ optimizer }) => optimizer).find(isPpo);
    if (!ppo) return undefined;
    const { engine, seed, policy } = recipe;
    const source = ppo.criticModel ?? policy.model;
    if (ppo.criticModel && (await openTokenizer(source)).hash !== policyTokenizer.hash)
      throw new UserError(
        `the critic ${source} has another vocabulary than the policy ${policy.model} (their tokenizer.json differ); start it from a model with the policy's tokenizer`,
      );
    const model = await openScalarModel(source, { engine, seed, lora: policy.lora });
    if (!ppo.criticModel) model.setHead(new Float64Array(model.config.hiddenSize));
    return new Critic(model, ppo.criticLearningRate ?? recipe.learningRate);
  }

  /** V(s, a_0 .. a_{t-1}) before each completion token. */
  async values(sequences: readonly Sequence[]): Promise<Float32Array[]> {
    const values = await this.model.values(
      sequences.map(({ tokens }) => tokens),
      "all",
    );
    return values.map((row, i) => row.slice(sequences[i]!.promptLength - 1, -1));
  }

  /** Accumulates the gradient of sum g V, g as `values` is laid out. */
  async backward(sequences: readonly Sequence[], g: readonly Float32Array[]): Promise<void> {
    const everywhere = sequences.map(({ tokens, promptLength }, i) => {
      const row = new Float32Array(tokens.length);
      row.set(g[i]!, promptLength - 1);
      return row;
    });
    await this.model.backward(
      sequences.map(({ tokens }) => tokens),
      everywhere,
    );
    this.hasGradient = true;
  }

  /** Applies what has been accumulated and returns the gradient's norm; undefined when there is nothing. */
  async step(adam: AdamOptions): Promise<number | undefined> {
    if (!this.hasGradient) return undefined;
    this.hasGradient = false;
    return (await this.model.step(adam)).gradNorm;
  }

  dispose(): void {
    this.model.dispose();
  }
}

const isPpo = (optimizer: OptimizerRecipe): optimizer is Extract<OptimizerRecipe, { name: "ppo" }> =>
  optimizer.name === "ppo";
