// A JavaScript interpreter that goes back to its beginning after each program: its memory, with two realms in it (one for
// the program, one for the tests and the harness), is copied once and written back, byte for byte, a quarter of a
// millisecond where a start takes fifty.

import {
  newQuickJSWASMModule,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSWASMModule,
  RELEASE_SYNC,
} from "quickjs-emscripten";
import { setClock } from "./clock.js";
import { harnessSource } from "./harness.js";
import { kitSource } from "./inside/kit.js";
import { initialPages, pagesPerMb } from "./least-memory.js";
import { type Meter, Stopped } from "./limits.js";
import { MemoryImage } from "./memory-image.js";

/** Holds some 16,000 calls of a small function, or 4,000 through a callback of `map`; Node's holds 11,000. */
const nativeStackBytes = 2.5 * 2 ** 20;

/** Promise jobs that cost as much as one interrupt check: short ones never reach the interpreter's own. */
const jobsPerCheck = 200;

/** Timers that cost as much. */
const timersPerCheck = 20;

/** JS_EVAL_FLAG_ASYNC: a script in which `await` is allowed. */
const asyncScript = 1 << 7;

/** What an interpreter may have and still serve the next program: a larger one costs more to reset. */
const keptPages = 16 * pagesPerMb;

/** Outcome of an evaluation or a call. Handles are not freed one by one: the memory that they point into is reset. */
export type Outcome = { value: QuickJSHandle } | { error: QuickJSHandle };

type RealmName = "program" | "tests";

export class QuickJs {
  private readonly runtime: QuickJSRuntime;
  private readonly realms: Record<RealmName, QuickJSContext>;
  private readonly harness: QuickJSHandle;
  private readonly image: MemoryImage;
  private meter: Meter | undefined;
  private timers = 0;
  /** Takes what the program prints on a stream (1 or 2); for tests of the console. */
  onPrint: ((stream: number, text: string) => void) | undefined;

  private constructor(
    module: QuickJSWASMModule,
    private readonly memory: WebAssembly.Memory,
    readonly memoryMb: number,
  ) {
    this.runtime = module.newRuntime();
    this.runtime.setMaxStackSize(nativeStackBytes);
    const program = this.runtime.newContext();
    const tests = this.runtime.newContext();
    this.realms = { program, tests };
    const write = tests.newFunction("write", (stream, line) => {
      const text = tests.getString(line);
      this.meter?.print(text.length);
      this.onPrint?.(tests.getNumber(stream), text);
    });
    const tick = tests.newFunction("tick", (now) => setClock(tests.getNumber(now)));
    const kit = program.unwrapResult(program.evalCode(kitSource, "kit", { type: "global" }));
    const create = tests.unwrapResult(tests.evalCode(harnessSource, "harness", { type: "global" }));
    this.harness = tests.unwrapResult(tests.callFunction(create, tests.undefined, kit, write, tick));
    this.runtime.setInterruptHandler(() => this.meter?.check() ?? false);
    this.image = new MemoryImage(new Uint8Array(memory.buffer));
  }

  /**
   * A new instance of a module made for `initialPages`, whose memory can grow by `memoryMb` beyond 16 MB. (The interpreter's
   * own memory limit does not see the size of blocks in WebAssembly.)
   */
  static async start(wasmModule: WebAssembly.Module, memoryMb: number): Promise<QuickJs> {
    const maximum = keptPages + Math.ceil(memoryMb * pagesPerMb);
    const wasmMemory = new WebAssembly.Memory({ initial: initialPages, maximum });
    const module = await newQuickJSWASMModule(newVariant(RELEASE_SYNC, { wasmModule, wasmMemory }));
    return new QuickJs(module, wasmMemory, memoryMb);
  }

  /** Memory never shrinks: every further reset would write all of it. */
  get hasGrown(): boolean {
    return this.memory.buffer.byteLength > keptPages * 65_536;
  }

  /** Back to the beginning, for a program that `meter` watches over. */
  reset(meter: Meter): void {
    this.image.restore(new Uint8Array(this.memory.buffer));
    this.meter = meter;
    this.timers = 0;
    setClock(0);
  }

  /** Value of a script, or what it threw. */
  evaluate(realm: RealmName, source: string): Outcome {
    const context = this.realms[realm];
    const result = context.evalCode(source, realm === "tests" ? "test" : "program", { type: "global" });
    this.stopIfExceeded();
    return result.error ? { error: result.error } : { value: result.value };
  }

  /** Runs a script of the program's in which `await` stands outside any function. */
  evaluateAsync(source: string): Outcome {
    const result = this.realms.program.evalCode(source, "program", asyncScript);
    this.stopIfExceeded();
    return result.error ? { error: result.error } : this.settled(this.realms.program, result.value);
  }

  /** Calls a function of the harness; what it throws is an error of ours or a limit that was exceeded. */
  harnessCall(name: string, ...args: QuickJSHandle[]): QuickJSHandle {
    const { tests } = this.realms;
    const method = tests.getProp(this.harness, name);
    const result = tests.callFunction(method, tests.undefined, ...args);
    this.stopIfExceeded();
    if (result.error) throw new Stopped(this.describe(result.error));
    return result.value;
  }

  /** Calls an asynchronous function of the harness and runs jobs and timers until its promise settles. */
  settle(name: string, ...args: QuickJSHandle[]): Outcome {
    const { tests } = this.realms;
    const method = tests.getProp(this.harness, name);
    const result = tests.callFunction(method, tests.undefined, ...args);
    this.stopIfExceeded();
    if (result.error) return { error: result.error };
    return this.settled(tests, result.value);
  }

  private settled(context: QuickJSContext, promise: QuickJSHandle): Outcome {
    for (;;) {
      const state = context.getPromiseState(promise);
      if (state.type === "fulfilled") return { value: state.value };
      if (state.type === "rejected") return { error: state.error };
      if (this.runtime.hasPendingJob()) {
        this.runtime.executePendingJobs(jobsPerCheck);
        this.meter?.check();
        this.stopIfExceeded();
      } else if (!this.runTimer()) throw new Stopped("a promise never settles");
    }
  }

  /** Runs what is due next; false when nothing is. */
  private runTimer(): boolean {
    const { tests } = this.realms;
    if (++this.timers % timersPerCheck === 0) this.meter?.check();
    const outcome = this.harnessCall("runTimer");
    if (tests.typeof(outcome) === "undefined") return false;
    const thrown = tests.getProp(outcome, 0);
    if (tests.typeof(thrown) === "string")
      throw new Stopped(`an error that nobody caught in a timer: ${tests.getString(thrown)}`);
    return true;
  }

  /** One line about a thrown value. */
  describe(error: QuickJSHandle): string {
    const { tests } = this.realms;
    const method = tests.getProp(this.harness, "describe");
    const result = tests.callFunction(method, tests.undefined, error);
    this.stopIfExceeded();
    return result.error ? "it threw something that cannot be shown" : tests.getString(result.value);
  }

  boolean(value: boolean): QuickJSHandle {
    return value ? this.realms.tests.true : this.realms.tests.false;
  }

  text(value: string): QuickJSHandle {
    return this.realms.tests.newString(value);
  }

  string(handle: QuickJSHandle): string {
    return this.realms.tests.getString(handle);
  }

  private stopIfExceeded(): void {
    if (this.meter?.exceeded !== undefined) throw new Stopped(this.meter.exceeded);
  }
}
