// The thread that JavaScript programs run in. Its clock starts at a fixed moment in UTC, so that a program sees the same
// time, and the same Math.random (which the interpreter seeds with the time), wherever and whenever it runs.

import { parentPort, workerData } from "node:worker_threads";
import { errorMessage } from "../verdict.js";
import { stopClock } from "./clock.js";
import { javaScriptRunner, type Program } from "./javascript.js";
import type { Job, JobOutcome } from "./pool.js";

stopClock();
const run = javaScriptRunner(workerData as WebAssembly.Module);

parentPort!.on("message", async ({ program, limits }: Job<Program>) => {
  let outcome: JobOutcome;
  try {
    outcome = { result: await run(program, limits) };
  } catch (error) {
    outcome = { error: errorMessage(error) };
  }
  parentPort!.postMessage(outcome);
});

parentPort!.postMessage("ready");
