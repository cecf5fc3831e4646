// Worker threads that run programs, one at a time each. A thread that does not answer in time is killed and replaced.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Program } from "./javascript.js";
import { initialPages, pythonPages, withLeastMemory } from "./least-memory.js";
import type { Limits, ProgramResult } from "./limits.js";
import type { PythonProgram } from "./python.js";
import type { PyodideFiles } from "./realm.js";

/** What a thread is sent. It says "ready" once, and answers every job with an outcome. */
export interface Job<P> {
  program: P;
  limits: Limits;
}

/** `isLast`: the thread ends itself after this answer. */
export type JobOutcome = { result: ProgramResult; isLast?: true } | { error: string };

/** Extra time, in seconds, before a thread that ignores its own time limit is killed. */
const graceSeconds = 2;

const require = createRequire(import.meta.url);

/** A worker's entry: the built file, or, when the sources run unbuilt (tests, benchmarks), a loader for the source. */
function entry(name: string): { file: URL | string; isText: boolean } {
  if (!import.meta.url.endsWith(".ts"))
    return { file: new URL(`./${name}.js`, import.meta.url), isText: false };
  const loader = import.meta.resolve("tsx/esm/api");
  const source = new URL(`./${name}.ts`, import.meta.url).href;
  return {
    file: `import("${loader}").then(({ register }) => (register(), import("${source}")))`,
    isText: true,
  };
}

/** The JavaScript interpreter, compiled once for all threads. */
export async function compileQuickJs(): Promise<WebAssembly.Module> {
  const fromQuickJs = createRequire(require.resolve("quickjs-emscripten"));
  const wasm = await readFile(fromQuickJs.resolve("@jitl/quickjs-wasmfile-release-sync/wasm"));
  return WebAssembly.compile(withLeastMemory(wasm, initialPages));
}

/** The Python interpreter, compiled once for all threads, and what belongs to it. */
export async function readPyodide(): Promise<PyodideFiles> {
  const file = (name: string) => readFile(require.resolve(`pyodide/${name}`));
  const [wasm, module, loader, standardLibrary, lock] = await Promise.all(
    ["pyodide.asm.wasm", "pyodide.asm.mjs", "pyodide.js", "python_stdlib.zip", "pyodide-lock.json"].map(file),
  );
  const { info } = JSON.parse(lock!.toString()) as { info: { abi_version: string; python: string } };
  return {
    wasm: await WebAssembly.compile(withLeastMemory(wasm!, pythonPages)),
    module: module!.toString(),
    loader: loader!.toString(),
    standardLibrary: new Uint8Array(standardLibrary!),
    abiVersion: info.abi_version,
    pythonVersion: info.python,
  };
}

/** Leaves the listeners alone that a Worker has for itself. */
function stopListening(worker: Worker): void {
  for (const event of ["message", "error", "exit"]) worker.removeAllListeners(event);
}

interface ThreadKind {
  /** Module of the worker. */
  entry: string;
  /** What every thread of the pool is given at its start. */
  data: () => Promise<unknown>;
}

/** One for each core but one: the engine computes while programs are judged. */
const threads = (most: number) => Math.max(1, Math.min(most, availableParallelism() - 1));

class ThreadPool<P extends { tests: readonly unknown[] }> {
  private data: Promise<unknown> | undefined;
  private readonly idle: Worker[] = [];
  private readonly waiting: (() => void)[] = [];
  private busy = 0;

  constructor(
    private readonly kind: ThreadKind,
    private readonly size: number,
  ) {}

  /** Runs a program; throws when a test is broken, the sandbox itself fails, or `signal` aborts. */
  async run(program: P, limits: Limits, signal?: AbortSignal): Promise<ProgramResult> {
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
    this.data ??= this.kind.data();
    const { file, isText } = entry(this.kind.entry);
    const worker = new Worker(file, {
      eval: isText,
      workerData: await this.data,
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 256, stackSizeMb: 24 },
      stdout: true,
      stderr: true,
    });
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", (code) =>
        reject(new Error(`the sandbox thread ended with code ${code} at its start`)),
      );
    });
    stopListening(worker);
    return worker;
  }

  private runOn(worker: Worker, job: Job<P>, signal?: AbortSignal): Promise<ProgramResult> {
    return new Promise((resolve, reject) => {
      const finish = (isReusable: boolean, settle: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        stopListening(worker);
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
        finish(!("isLast" in outcome), () =>
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

/** Runs JavaScript programs. */
export class SandboxPool extends ThreadPool<Program> {
  constructor(size = threads(8)) {
    super({ entry: "worker", data: compileQuickJs }, size);
  }
}

/** Runs Python programs. Each thread holds two interpreters, some 200 MB. */
export class PythonPool extends ThreadPool<PythonProgram> {
  constructor(size = threads(4)) {
    super({ entry: "python-worker", data: readPyodide }, size);
  }
}

/** The pools that all judges of the process share. */
export const sandboxPool = new SandboxPool();
export const pythonPool = new PythonPool();
