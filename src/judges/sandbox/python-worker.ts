// The thread that Python programs run in, with its two interpreters.

import { parentPort, workerData } from "node:worker_threads";
import { errorMessage } from "../verdict.js";
import { Interpreter } from "./interpreter.js";
import type { ProgramResult } from "./limits.js";
import type { Job, JobOutcome } from "./pool.js";
import { type PythonProgram, runPython } from "./python.js";
import { programHarness, testHarness } from "./python-harness.js";
import type { PyodideFiles } from "./realm.js";

const files = workerData as PyodideFiles;
const post = (outcome: JobOutcome) => parentPort!.postMessage(outcome);

let program: Interpreter;
let tests: Interpreter;

function end(result: ProgramResult): void {
  post({ result, isLast: true });
  process.exit();
}

parentPort!.on("message", ({ program: job, limits }: Job<PythonProgram>) => {
  try {
    post({ result: runPython(job, limits, { program, tests, end }) });
  } catch (error) {
    post({ error: errorMessage(error) });
  }
  program.clean();
  tests.clean();
});

// The listener above keeps the thread alive meanwhile.
program = await Interpreter.start(files, programHarness, { hasChannel: false });
tests = await Interpreter.start(files, testHarness, { hasChannel: true });
parentPort!.postMessage("ready");
