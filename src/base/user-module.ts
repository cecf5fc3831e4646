// A function in a module of the user's own (a judge, a reward), in a thread of its own: one that does not answer in time
// has failed, and one that does not let go of its thread is ended with it. Modules in TypeScript are translated by its own
// compiler, without checking types, and so are those that they import by a relative path. No sandbox: it is the user's.

import { statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { UserError } from "./errors.js";

export interface UserModuleOptions {
  /** Absolute. */
  path: string;
  /** Name of the function among the exports. */
  export: string;
  /** For one answer. */
  timeoutSeconds: number;
  /** For loading it. Default 30. */
  loadSeconds?: number;
  /** What it is to the user: "judge module". */
  what: string;
}

/** What the thread is told. */
type ToModule = { id: number; input: unknown } | { abort: number } | { ping: true };
/** What it says. `begun` goes out before the function is called, so that a busy loop is known by its question. */
type FromModule =
  | { ready: true }
  | { refused: string }
  | { begun: number }
  | { id: number; value: unknown }
  | { id: number; error: string }
  | { pong: true };

export interface UserFunction {
  /** What the function gives for a copy of `input`. Rejects when it throws, or gives nothing in time. */
  call(input: unknown, signal?: AbortSignal): Promise<unknown>;
}

const opened = new Map<string, ModuleHost>();

/** Loads a module, once for all who name the same file as it is now; a mistake in it is a UserError. */
export async function openUserModule(options: UserModuleOptions): Promise<UserFunction> {
  const changed = statSync(options.path, { throwIfNoEntry: false })?.mtimeMs;
  if (changed === undefined)
    throw new UserError(`${options.what} ${options.path} cannot be loaded: there is no such file`);
  if (!/\.[cm]?[jt]s$/.test(options.path))
    throw new UserError(
      `${options.what} ${options.path} cannot be loaded: a module is JavaScript or TypeScript (.js, .mjs, .ts)`,
    );
  const key = JSON.stringify([options, changed]);
  let host = opened.get(key);
  if (!host) opened.set(key, (host = new ModuleHost(options)));
  await host.start();
  return host;
}

/** A thread that answers nothing for so long, in seconds, is busy with a loop. */
const pongSeconds = 1;

interface Call {
  input: unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  timer?: NodeJS.Timeout;
}

class ModuleHost implements UserFunction {
  private worker: Worker | undefined;
  private starting: Promise<void> | undefined;
  private readonly calls = new Map<number, Call>();
  private nextId = 0;
  private onPong = (): void => {};

  constructor(private readonly options: UserModuleOptions) {}

  /** Starts the thread, if there is none. */
  start(): Promise<void> {
    return (this.starting ??= this.load());
  }

  private load(): Promise<void> {
    const { path, export: name, loadSeconds = 30, what } = this.options;
    const worker = new Worker(new URL("./user-module-worker.js", import.meta.url), {
      workerData: { path, export: name },
      // What this process was started with (loaders, preloaded modules) is not for the user's module.
      execArgv: [],
    });
    this.worker = worker;
    return new Promise((resolve, reject) => {
      const refuse = (why: string) => {
        clearTimeout(timer);
        void this.stop();
        reject(new UserError(`${what} ${path} ${why}`));
      };
      const timer = setTimeout(() => refuse(`was not loaded within ${loadSeconds} s`), 1000 * loadSeconds);
      worker.on("message", (message: FromModule) => {
        if ("ready" in message) {
          clearTimeout(timer);
          worker.unref();
          resolve();
        } else if ("refused" in message) refuse(message.refused);
        else this.hear(message);
      });
      const ended = (why: string) => {
        if (this.worker !== worker) return;
        refuse(`cannot be loaded: ${why}`);
        this.failAll(new Error(why));
      };
      worker.on("error", (error: Error) => ended(error?.message ?? String(error)));
      worker.on("exit", () => ended("it ended its own thread"));
    });
  }

  async call(input: unknown, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    await this.start();
    const id = this.nextId++;
    const abort = () => {
      this.worker?.postMessage({ abort: id } satisfies ToModule);
      this.settle(id)?.reject(signal!.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.calls.set(id, { input, resolve, reject });
        this.worker!.ref();
        this.send(id, input);
      });
    } finally {
      signal?.removeEventListener("abort", abort);
      this.settle(id);
    }
  }

  private send(id: number, input: unknown): void {
    try {
      this.worker!.postMessage({ id, input } satisfies ToModule);
    } catch (error) {
      this.settle(id)?.reject(error);
    }
  }

  private hear(message: Exclude<FromModule, { ready: true } | { refused: string }>): void {
    if ("pong" in message) this.onPong();
    else if ("begun" in message) this.watch(message.begun);
    else if ("error" in message) this.settle(message.id)?.reject(new Error(message.error));
    else this.settle(message.id)?.resolve(message.value);
  }

  /** The limit of a call runs from when the function is called, not while it waits for its thread. */
  private watch(id: number): void {
    const call = this.calls.get(id);
    if (!call) return;
    const { timeoutSeconds } = this.options;
    call.timer = setTimeout(() => {
      this.settle(id)?.reject(new Error(`there was no answer within ${timeoutSeconds} s (timeout_seconds)`));
      void this.replaceIfBusy();
    }, 1000 * timeoutSeconds);
  }

  /** Forgets a call, which is then somebody else's to answer. */
  private settle(id: number): Call | undefined {
    const call = this.calls.get(id);
    clearTimeout(call?.timer);
    this.calls.delete(id);
    if (this.calls.size === 0) this.worker?.unref();
    return call;
  }

  /** Ends a thread that a busy loop holds, and asks a new one what it had not answered yet. */
  private async replaceIfBusy(): Promise<void> {
    const { worker } = this;
    const isAlive = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), 1000 * pongSeconds);
      this.onPong = () => {
        clearTimeout(timer);
        resolve(true);
      };
      worker?.postMessage({ ping: true } satisfies ToModule);
    });
    if (isAlive || this.worker !== worker) return;
    await this.stop();
    try {
      if (this.calls.size > 0) await this.start();
    } catch (error) {
      return this.failAll(error);
    }
    for (const [id, { input, timer }] of this.calls) {
      clearTimeout(timer);
      this.worker!.ref();
      this.send(id, input);
    }
  }

  private failAll(error: unknown): void {
    for (const id of [...this.calls.keys()]) this.settle(id)?.reject(error);
  }

  private async stop(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    this.starting = undefined;
    await worker?.terminate();
  }
}
