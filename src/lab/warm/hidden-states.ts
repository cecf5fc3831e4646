// What a language model of the lab thinks at every position: hidden states, from which the whole next-token
// distribution follows (the vocabulary is tiny).

import type { LanguageModel, Sequence } from "../../engine/contract.js";
import { loadCheckpoint } from "../../model/checkpoint.js";
import { loadLanguageModel } from "../../train/models.js";

export class HiddenStates {
  private constructor(
    private readonly model: LanguageModel,
    private readonly head: Float32Array,
    private readonly width: number,
  ) {}

  static async load(dir: string): Promise<HiddenStates> {
    const { config, tensors } = await loadCheckpoint(dir, { head: "language" });
    const model = await loadLanguageModel(dir, { frozen: true });
    return new HiddenStates(model, tensors.get("lm_head.weight")!, config.hiddenSize);
  }

  /** The states that predict the completion tokens of each sequence, [completion tokens, width]. */
  async states(sequences: readonly Sequence[]): Promise<Float32Array[]> {
    const states = await this.model.features(
      sequences.map(({ tokens }) => tokens),
      "all",
    );
    return states.map((rows, i) => {
      const { tokens, promptLength } = sequences[i]!;
      return rows.subarray((promptLength - 1) * this.width, (tokens.length - 1) * this.width);
    });
  }

  /** log pi(. | prefix) for every row of `states`, [rows, vocabulary]. */
  distributions(states: Float32Array): Float64Array {
    const { width, head } = this;
    const vocabulary = head.length / width;
    const rows = states.length / width;
    const out = new Float64Array(rows * vocabulary);
    for (let row = 0; row < rows; row++) {
      let largest = -Infinity;
      for (let v = 0; v < vocabulary; v++) {
        let logit = 0;
        for (let d = 0; d < width; d++) logit += states[row * width + d]! * head[v * width + d]!;
        out[row * vocabulary + v] = logit;
        largest = Math.max(largest, logit);
      }
      let sum = 0;
      for (let v = 0; v < vocabulary; v++) sum += Math.exp(out[row * vocabulary + v]! - largest);
      const normaliser = largest + Math.log(sum);
      for (let v = 0; v < vocabulary; v++) out[row * vocabulary + v]! -= normaliser;
    }
    return out;
  }

  dispose(): void {
    this.model.dispose();
  }
}

/** sum_t KL(p_t || q_t), nats: exact over the vocabulary at every position of one answer. */
export function exactKl(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.exp(p[i]!) * (p[i]! - q[i]!);
  return sum;
}
