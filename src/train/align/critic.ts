// The critic of PPO: a scalar model that reads a response up to a token and says what reward the whole will get. A run
// has one, which all its PPO tasks share. It starts from the policy's own trunk with a head of zeros, so that its first
// values are 0, or from a reward model.

import { limiter } from "../../base/requests.js";
import type { AdamOptions, ScalarModel, Sequence } from "../../engine/contract.js";

export class Critic {
  private hasGradient = false;
  /** The engine computes one thing at a time, whatever several tasks ask. */
  private readonly inTurn = limiter(1);

  constructor(
    readonly model: ScalarModel,
    /** Peak; its schedule is the policy's. */
    readonly learningRate: number,
  ) {}

  /** V(s, a_0 .. a_{t-1}) before each completion token. */
  async values(sequences: readonly Sequence[]): Promise<Float32Array[]> {
    const tokens = sequences.map((sequence) => sequence.tokens);
    const values = await this.inTurn(() => this.model.values(tokens, "all"));
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
}
