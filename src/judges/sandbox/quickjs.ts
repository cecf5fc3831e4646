// A JavaScript interpreter that goes back to its beginning after each program: its memory, with the harness in it and all
// built-ins locked, is copied once and written back, byte for byte, a quarter of a millisecond where a start takes thirty.

import {
  newQuickJSWASMModule,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSWASMModule,
  RELEASE_SYNC,
} from "quickjs-emscripten";
import { formatJson } from "../../base/json.js";
import { harnessSource } from "./harness.js";
import { type Meter, Stopped } from "./limits.js";
import { MemoryImage } from "./memory-image.js";

const nativeStackBytes = 256 * 1024;

/** Promise jobs that cost as much as one interrupt check: short ones never reach the interpreter's own. */
const jobsPerCheck = 200;

const pagesPerMb = 16;
const initialPages = 16 * pagesPerMb;

/** Outcome of an evaluation or a call. Handles are not freed one by one: the memory that they point into is reset. */
export type Outcome = { value: QuickJSHandle } | { error: QuickJSHandle };

export class QuickJs {
  private readonly runtime: QuickJSRuntime;
  private readonly context: QuickJSContext;
  private readonly harness: QuickJSHandle;
  private readonly image: MemoryImage;
  private meter: Meter | undefined;

  private constructor(
    module: QuickJSWASMModule,
    private readonly memory: WebAssembly.Memory,
    readonly memoryMb: number,
  ) {
    this.runtime = module.newRuntime();
    this.runtime.setMaxStackSize(nativeStackBytes);
    this.context = this.runtime.newContext();
    const write = this.context.newFunction("write", (line) => {
      this.meter?.print(this.context.getString(line).length);
    });
    const create = this.context.unwrapResult(
      this.context.evalCode(harnessSource, "harness", { type: "global" }),
    );
    this.harness = this.context.unwrapResult(
      this.context.callFunction(create, this.context.undefined, write),
    );
    this.runtime.setInterruptHandler(() => this.meter?.check() ?? false);
    this.image = new MemoryImage(new Uint8Array(memory.buffer));
  }

  /**
   * A new instance, whose memory can grow by `memoryMb`. (The interpreter's own memory limit does not see the size of
   * blocks in WebAssembly.)
   */
  static async start(wasmModule: WebAssembly.Module, memoryMb: number): Promise<QuickJs> {
    const maximum = initialPages + Math.ceil(memoryMb * pagesPerMb);
    const wasmMemory = new WebAssembly.Memory({ initial: initialPages, maximum });
    const module = await newQuickJSWASMModule(newVariant(RELEASE_SYNC, { wasmModule, wasmMemory }));
    return new QuickJs(module, wasmMemory, memoryMb);
  }

  /** Memory never shrinks: an instance that has grown cannot go back to its beginning. */
  get hasGrown(): boolean {
    return this.memory.buffer.byteLength > initialPages * 65_536;
  }

  /** Back to the beginning, for a program that `meter` watches over. */
  reset(meter: Meter): void {
    this.image.restore(new Uint8Array(this.memory.buffer));
    this.meter = meter;
  }

  /** Value of a script, or what it threw. */
  evaluate(source: string, name: string): Outcome {
    const result = this.context.evalCode(source, name, { type: "global" });
    this.stopIfExceeded();
    return result.error ? { error: result.error } : { value: result.value };
  }

  /** Calls an asynchronous function of the harness and runs the job queue until its promise settles. */
  settle(name: string, ...args: QuickJSHandle[]): Outcome {
    const method = this.context.getProp(this.harness, name);
    const result = this.context.callFunction(method, this.context.undefined, ...args);
    this.stopIfExceeded();
    if (result.error) return { error: result.error };
    for (;;) {
      const state = this.context.getPromiseState(result.value);
      if (state.type === "fulfilled") return { value: state.value };
      if (state.type === "rejected") return { error: state.error };
      if (!this.runtime.hasPendingJob()) throw new Stopped("a promise never settles");
      this.runtime.executePendingJobs(jobsPerCheck);
      this.meter?.check();
      this.stopIfExceeded();
    }
  }

  /** One line about a thrown value. */
  describe(error: QuickJSHandle): string {
    const method = this.context.getProp(this.harness, "describe");
    const result = this.context.callFunction(method, this.context.undefined, error);
    this.stopIfExceeded();
    return result.error ? "it threw something that cannot be shown" : this.context.getString(result.value);
  }

  canonicalOf(value: unknown): string {
    const method = this.context.getProp(this.harness, "canonicalOf");
    const json = this.context.newString(formatJson(value ?? null));
    return this.context.getString(
      this.context.unwrapResult(this.context.callFunction(method, this.context.undefined, json)),
    );
  }

  text(value: string): QuickJSHandle {
    return this.context.newString(value);
  }

  string(handle: QuickJSHandle): string {
    return this.context.getString(handle);
  }

  private stopIfExceeded(): void {
    if (this.meter?.exceeded !== undefined) throw new Stopped(this.meter.exceeded);
  }
}
