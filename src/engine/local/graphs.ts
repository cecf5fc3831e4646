// The graphs of one architecture: what the engine computes, and what inputs and outputs are called. Building is pure:
// programs.ts compiles them, memory-estimate.ts measures them.

import type { DecoderConfig } from "../../model/config.js";
import {
  decodeStep,
  headName,
  type LogitShape,
  type LoraShape,
  languageHead,
  mostLikelyTokens,
  samplingOutputs,
  scalarHead,
  scoredRows,
  type TrunkOptions,
  tokenLogprobs,
  trunk,
  type Weights,
  weightInputs,
} from "../../model/decoder.js";
import type { Storage, Weight } from "../../model/stored.js";
import { type Gradient, gradients } from "../../tensor/gradient.js";
import { input, type Value } from "../../tensor/graph.js";
import { add } from "../../tensor/ops.js";
import type { Device } from "../../tensor/runtime.js";
import { type RowIndices, tableGradient } from "./table-gradient.js";

/** Rows to be added to the gradient of a gathered table: output name and the input that holds their indices. */
export interface RowOutput {
  parameter: string;
  output: string;
  indices: RowIndices;
}

/** The outputs of a graph by their names. */
export type Outputs = Record<string, Value>;

export interface BackwardGraph {
  outputs: Outputs;
  /** Parameters whose whole gradient the program writes (output `gradientOutput(name)`). */
  dense: readonly string[];
  /** On the CPU; a device adds rows in the graph. */
  rows: readonly RowOutput[];
}

export const gradientOutput = (parameter: string): string => `gradient:${parameter}`;
/** Input that holds what has been accumulated before. */
export const gradientInput = (parameter: string): string => `accumulated:${parameter}`;

/**
 * Where a decoding step multiplies weights by activations instead of the other way round: from so many rows on, in
 * models wide enough that packing the weights costs more than the extra transpositions.
 */
const columns = { rows: 4, hiddenSize: 512 };

/** What a pass has beside its numbers: masks of dropout, shared beginnings, or (language models) how sure the model is. */
export interface PassOptions extends TrunkOptions {
  statistics?: boolean;
}

export class Graphs {
  constructor(
    readonly config: DecoderConfig,
    readonly lora: LoraShape | undefined,
    readonly device: Device,
    /** Names of the parameters that `backward` differentiates by. */
    readonly trainable: readonly string[],
    /** How frozen weights are kept. Default: float32. */
    readonly storage?: Storage | undefined,
  ) {}

  private get logitShape(): LogitShape {
    return { scale: this.config.scales.logits, cap: this.config.softcaps.logits };
  }

  private build(): { weights: Weights; head: Weight } {
    const weights = weightInputs(this.config, this.lora, this.storage);
    return { weights, head: weights.get(headName(this.config))! };
  }

  /**
   * Output `result` [N, 1]: log-probabilities of `targets` at `rows`, or scalar values at `rows`; with `statistics` [N, 3], as
   * of `backward`.
   */
  forward(chunks: number, { statistics = false, ...passed }: PassOptions = {}): Outputs {
    const { weights, head } = this.build();
    const hidden = scoredRows(trunk(this.config, weights, this.lora, passed).hidden);
    if (this.config.head === "scalar") return { result: scalarHead(hidden, head) };
    const targets = input("targets", "int32", ["N", 1]);
    const options = { statistics, ...this.logitShape };
    return { result: tokenLogprobs(hidden, head, targets, chunks, undefined, options).logprobs };
  }

  /** Output `result` [N, 3]: log pi of `targets` at `rows`, log pi of the most likely tokens, and these. */
  mostLikely(chunks: number, passed: TrunkOptions = {}): Outputs {
    const { weights, head } = this.build();
    const hidden = scoredRows(trunk(this.config, weights, this.lora, passed).hidden);
    const targets = input("targets", "int32", ["N", 1]);
    return { result: mostLikelyTokens(hidden, head, targets, chunks, this.logitShape) };
  }

  /** Output `result` [N, hidden]: what the head sees at `rows`. */
  features(passed: TrunkOptions = {}): Outputs {
    const { weights } = this.build();
    return { result: scoredRows(trunk(this.config, weights, this.lora, passed).hidden) };
  }

  /**
   * `forward` and the gradient of sum_n g_n result_n with respect to every trainable parameter. With `statistics` (language
   * models) `result` is [N, 3]: beside the log-probability that of the most likely token, and the entropy.
   */
  backward(
    chunks: number,
    accumulate: boolean,
    { statistics = false, ...passed }: PassOptions = {},
  ): BackwardGraph {
    const { weights, head } = this.build();
    const hidden = scoredRows(trunk(this.config, weights, this.lora, passed).hidden);
    const g = input("g", "float32", ["N", 1]);
    const parameters = this.trainable.map((name) => weights.get(name) as Value);
    let result: Value;
    let found: Gradient[];
    if (this.config.head === "scalar") {
      result = scalarHead(hidden, head);
      found = gradients([{ value: result, dy: g }], parameters);
    } else {
      const targets = input("targets", "int32", ["N", 1]);
      const trainsHead = parameters.includes(head as Value);
      const scored = tokenLogprobs(hidden, head, targets, chunks, g, {
        wantHead: trainsHead,
        statistics,
        ...this.logitShape,
      });
      result = scored.logprobs;
      const { hidden: dy, head: dense, targetRows } = scored.gradient!;
      found = gradients([{ value: hidden, dy }], parameters);
      if (trainsHead) {
        const gradient = found[parameters.indexOf(head as Value)]!;
        gradient.dense = gradient.dense ? add(gradient.dense, dense!) : dense;
        gradient.rows.push({ indices: targets, rows: targetRows });
      }
    }
    return this.gradientGraph(result, found, parameters, accumulate);
  }

  private gradientGraph(
    result: Value,
    found: readonly Gradient[],
    parameters: readonly Value[],
    accumulate: boolean,
  ): BackwardGraph {
    const outputs: Record<string, Value> = { result };
    const dense: string[] = [];
    const rows: RowOutput[] = [];
    this.trainable.forEach((name, i) => {
      let { dense: total } = found[i]!;
      found[i]!.rows.forEach((row, k) => {
        const indices = row.indices.node.attributes.name as RowIndices;
        if (this.device === "cpu") {
          const output = `rows:${k}:${name}`;
          outputs[output] = row.rows;
          rows.push({ parameter: name, output, indices });
        } else {
          const part = tableGradient(indices, row.rows, parameters[i]!);
          total = total ? add(total, part) : part;
        }
      });
      if (!total) return;
      dense.push(name);
      const before = accumulate ? input(gradientInput(name), "float32", parameters[i]!.dims) : undefined;
      outputs[gradientOutput(name)] = before ? add(before, total) : total;
    });
    return { outputs, dense, rows };
  }

  /** Distribution after the last token of every prompt (at `rows`), and the keys and values that start a cache. */
  prefill(tempered: boolean): Outputs {
    const { weights, head } = this.build();
    const { hidden, keys, values } = trunk(this.config, weights, this.lora);
    const logits = languageHead(this.config, scoredRows(hidden), head);
    const caches = Object.fromEntries(
      keys.flatMap((key, i) => [
        [`prompt_key_${i}`, key],
        [`prompt_value_${i}`, values[i]!],
      ]),
    );
    return { ...samplingOutputs(logits, temperature(tempered)), ...caches };
  }

  /** One more token for every row; the outputs of `prefill` with caches called `next_key_i`, `next_value_i`. */
  decode(tempered: boolean, byColumns: boolean): Outputs {
    const { weights } = this.build();
    const { logits, caches } = decodeStep(this.config, weights, this.lora, { byColumns });
    const next = Object.fromEntries(Object.entries(caches).map(([name, value]) => [`next_${name}`, value]));
    return { ...samplingOutputs(logits, temperature(tempered)), ...next };
  }

  /** Whether a decoding step of so many rows multiplies by columns. */
  decodesByColumns(rows: number): boolean {
    return this.device === "cpu" && rows >= columns.rows && this.config.hiddenSize >= columns.hiddenSize;
  }
}

function temperature(tempered: boolean): Value | undefined {
  return tempered ? input("inverse_temperature", "float32", [1]) : undefined;
}
