// Worker threads that run programs, one at a time each. A thread that does not answer in time is killed and replaced.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Limits, Program, ProgramResult } from "./javascript.js";
import type { Job, JobOutcome } from "./worker.js";

/** Extra time, in seconds, before a thread that ignores its own time limit is killed. */
const graceSeconds = 2;

/** The worker's entry: the built file, or, when the sources run unbuilt (tests, benchmarks), a loader for the source. */
function entry(): { file: URL | string; isText: boolean } {
  if (!import.meta.url.endsWith(".ts"))
    return { file: new URL("./worker.js", import.meta.url), isText: false };
  const loader = import.meta.resolve("tsx/esm/api");
  const source = new URL("./worker.ts", import.meta.url).href;
  return {
    file: `import("${loader}").then(({ register }) => (register(), import("${source}")))`,
    isText: true,
  };
}

/** The interpreter, compiled once for all threads. */
async function compileInterpreter(): Promise<WebAssembly.Module> {
  const fromQuickJs = createRequire(createRequire(import.meta.url).resolve("quickjs-emscripten"));
  return WebAssembly.compile(await readFile(fromQuickJs.resolve("@jitl/quickjs-wasmfile-release-sync/wasm")));
}

export class SandboxPool {
  private interpreter: Promise<WebAssembly.Module> | undefined;
  private readonly idle: Worker[] = [];
  private readonly waiting: (() => void)[] = [];
  private busy = 0;

  constructor(private readonly size = Math.max(1, Math.min(8, availableParallelism() - 1))) {}

  /** Runs a program; throws when a test is broken, the sandbox itself fails, or `signal` aborts. */
  async run(program: Program, limits: Limits, signal?: AbortSignal): Promise<ProgramResult> {
    while (this.busy >= this.size) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.busy++;
    try {
      signal?.throwIfAborted();
      const worker = this.idle.pop() ?? (await this.startWorker());
      return await this.runOn(worker, { program, limits }, signal);
    } finally {
      this.busy--;
      this.waiting.shift()?.();
    }
  }

  /** Ends the idle threads. They do not keep the process alive, so this is only needed to free memory early. */
  async close(): Promise<void> {
    await Promise.all(this.idle.splice(0).map((worker) => worker.terminate()));
  }

  private async startWorker(): Promise<Worker> {
    this.interpreter ??= compileInterpreter();
    const { file, isText } = entry();
    return new Worker(file, {
      eval: isText,
      workerData: await this.interpreter,
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 256, stackSizeMb: 8 },
      stdout: true,
      stderr: true,
    });
  }

  private runOn(worker: Worker, job: Job, signal?: AbortSignal): Promise<ProgramResult> {
    return new Promise((resolve, reject) => {
      const finish = (isReusable: boolean, settle: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        for (const event of ["message", "error", "exit"]) worker.removeAllListeners(event);
        if (isReusable) {
          worker.unref();
          this.idle.push(worker);
        } else {
          void worker.terminate();
        }
        settle();
      };
      const stopped = (reason: string): ProgramResult => ({
        passed: false,
        reason,
        passes: 0,
        ran: 0,
        total: job.program.tests.length,
      });
      const late = stopped("the program did not end within its time limit and was killed");
      const timer = setTimeout(
        () => finish(false, () => resolve(late)),
        1000 * (job.limits.seconds + graceSeconds),
      );
      const abort = () => finish(false, () => reject(signal!.reason));
      signal?.addEventListener("abort", abort, { once: true });
      worker.ref();
      worker.once("message", (outcome: JobOutcome) =>
        finish(true, () =>
          "result" in outcome ? resolve(outcome.result) : reject(new Error(outcome.error)),
        ),
      );
      worker.once("error", (error: NodeJS.ErrnoException) => {
        const isFull = error.code === "ERR_WORKER_OUT_OF_MEMORY";
        finish(false, () =>
          isFull ? resolve(stopped("the program exhausted its thread's memory")) : reject(error),
        );
      });
      worker.once("exit", (code) =>
        finish(false, () => reject(new Error(`the sandbox thread ended with code ${code}`))),
      );
      worker.postMessage(job);
    });
  }
}

/** The pool that all judges of the process share. */
export const sandboxPool = new SandboxPool();
