// The programs of one architecture: the graphs of graphs.ts, compiled on first use and shared by every model of the same
// architecture (a policy and its reference, say).

import type { DecoderConfig } from "../../model/config.js";
import type { LoraShape, TrunkOptions } from "../../model/decoder.js";
import type { Storage } from "../../model/stored.js";
import { compile } from "../../tensor/compile.js";
import type { Device, Program } from "../../tensor/runtime.js";
import { type BackwardGraph, Graphs, type Outputs, type PassOptions } from "./graphs.js";

export type BackwardProgram = Omit<BackwardGraph, "outputs"> & { program: Program };

export class Programs {
  private readonly compiled = new Map<string, unknown>();
  private readonly graphs: Graphs;

  constructor(
    readonly config: DecoderConfig,
    readonly lora: LoraShape | undefined,
    readonly device: Device,
    trainable: readonly string[],
    readonly storage?: Storage,
  ) {
    this.graphs = new Graphs(config, lora, device, trainable, storage);
  }

  private once<T>(key: string, build: () => T): T {
    if (!this.compiled.has(key)) this.compiled.set(key, build());
    return this.compiled.get(key) as T;
  }

  private program(key: string, outputs: () => Outputs): Program {
    return this.once(key, () => compile(outputs(), { device: this.device }));
  }

  forward(chunks: number, options: PassOptions = {}): Program {
    const key = `forward ${chunks} ${JSON.stringify(options)}`;
    return this.program(key, () => this.graphs.forward(chunks, options));
  }

  mostLikely(chunks: number, options: TrunkOptions = {}): Program {
    const key = `most likely ${chunks} ${JSON.stringify(options)}`;
    return this.program(key, () => this.graphs.mostLikely(chunks, options));
  }

  features(options: TrunkOptions = {}): Program {
    return this.program(`features ${JSON.stringify(options)}`, () => this.graphs.features(options));
  }

  backward(chunks: number, accumulate: boolean, options: PassOptions = {}): BackwardProgram {
    return this.once(`backward ${chunks} ${accumulate} ${JSON.stringify(options)}`, () => {
      const { outputs, ...rest } = this.graphs.backward(chunks, accumulate, options);
      return { program: compile(outputs, { device: this.device }), ...rest };
    });
  }

  prefill(tempered: boolean): Program {
    return this.program(`prefill ${tempered}`, () => this.graphs.prefill(tempered));
  }

  decode(tempered: boolean, rows: number): Program {
    const byColumns = this.graphs.decodesByColumns(rows);
    return this.program(`decode ${tempered} ${byColumns}`, () => this.graphs.decode(tempered, byColumns));
  }
}
