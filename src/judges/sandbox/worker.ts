// The thread that JavaScript programs run in. Its clock stands still in UTC, so that a program sees the same time, and the
// same Math.random (which the interpreter seeds with the time), wherever and whenever it runs.

import { parentPort, workerData } from "node:worker_threads";
import { errorMessage } from "../verdict.js";
import { javaScriptRunner, type Program } from "./javascript.js";
import type { Job, JobOutcome } from "./pool.js";

/** 2026-01-01T00:00:00Z, in milliseconds. */
const standstill = 1767225600000;

function stopClock(): void {
  Date.now = () => standstill;
  const prototype = Date.prototype as unknown as Record<string, unknown>;
  for (const part of ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"]) {
    prototype[`get${part}`] = prototype[`getUTC${part}`];
  }
  Date.prototype.getTimezoneOffset = () => 0;
}

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
