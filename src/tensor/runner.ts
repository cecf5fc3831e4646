// Running a bound program: on a thread of its own, so that the event loop stays live, or on this one. The thread gets
// nothing but addresses; all memory belongs to the caller, who waits.

import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { flushingMode, withDenormalsFlushed } from "./denormals.js";
import { ort, type Pointer } from "./ort.js";

/** The thread's program. Plain JavaScript in a string: it must start the same from source and from a package. */
const source = `
const { parentPort, workerData } = require("node:worker_threads");
const koffi = require(workerData.koffi);
const run = koffi.decode(workerData.run, koffi.proto("void *run(void *session, void *options, void *binding)"));
if (workerData.mode) {
  const library = koffi.load(workerData.mode.library);
  library.func("int fesetenv(void *environment)")(workerData.mode.environment);
}
parentPort.on("message", ([session, options, binding]) => {
  parentPort.postMessage(run(session, options, binding));
});
`;

let worker: Worker | undefined;
/** Callers in the order of their messages. */
const waiting: { resolve: (status: Pointer | null) => void; reject: (error: Error) => void }[] = [];

function start(): Worker {
  if (worker) return worker;
  const require = createRequire(import.meta.url);
  const created = new Worker(source, {
    eval: true,
    workerData: { koffi: require.resolve("koffi"), run: ort().addressOfRun, mode: flushingMode() },
  });
  created.on("message", (status: Pointer | null) => {
    waiting.shift()!.resolve(status);
    if (waiting.length === 0) created.unref();
  });
  created.on("error", (error) => {
    for (const caller of waiting.splice(0)) caller.reject(error);
    worker = undefined;
  });
  created.unref();
  worker = created;
  return created;
}

/** Calls RunWithBinding on the worker thread and returns its status. */
export function runOnWorker(session: Pointer, options: Pointer, binding: Pointer): Promise<Pointer | null> {
  const thread = start();
  thread.ref();
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    thread.postMessage([session, options, binding]);
  });
}

/** Calls RunWithBinding on this thread and returns its status. */
export function runHere(session: Pointer, options: Pointer, binding: Pointer): Pointer | null {
  return withDenormalsFlushed(() => ort().RunWithBinding(session, options, binding) as Pointer | null);
}
