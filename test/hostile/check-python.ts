// Runs hostile Python programs in this process and says what they achieved.

import { createHash } from "node:crypto";
import { Interpreter } from "../../src/judges/sandbox/interpreter.js";
import { BrokenTestError } from "../../src/judges/sandbox/limits.js";
import { readPyodide } from "../../src/judges/sandbox/pool.js";
import { type PythonProgram, runPython } from "../../src/judges/sandbox/python.js";
import { programHarness, testHarness } from "../../src/judges/sandbox/python-harness.js";
import { type HostileCase, type HostileReport, residentMb, WARM_UP } from "./families.js";
import type { PythonForm } from "./python.js";

const limits = { fuel: 40, memoryMb: 32, outputChars: 10_000, seconds: 20 };

const innocent: PythonProgram = {
  source: "import os, json, fractions, asyncio\ndef f(x): return x + 1\nprint(os.listdir('/'))",
  setup: "",
  tests: ["assert f(1) == 2", { call: "f", args: [5], expected: 6, tolerance: 0, wrapped: false }],
};

const stateOf = (interpreter: Interpreter) => {
  interpreter.reset(limits.memoryMb, { check: () => false, print: () => true });
  const hash = createHash("sha256").update(interpreter.bytes);
  for (const { path, mode, times, contents } of interpreter.files)
    hash.update(`\n${path} ${mode} ${times.join()} `).update(contents);
  return hash.digest("hex");
};

export async function checkPython(
  cases: readonly HostileCase<PythonForm>[],
  onProgress: (done: number, report: HostileReport) => void = () => {},
): Promise<HostileReport> {
  const files = await readPyodide();
  const program = await Interpreter.start(files, programHarness, { hasChannel: false });
  const tests = await Interpreter.start(files, testHarness, { hasChannel: true });
  // Throwing through the interpreter breaks it, as an end of the thread would.
  const end = () => {
    throw new Error("the program does not let itself be interrupted");
  };
  const run = (job: PythonProgram) => runPython(job, limits, { program, tests, end });
  const report: HostileReport = { programs: cases.length, forged: [], broken: [], lasting: [], mb: [0, 0] };
  const first = [stateOf(program), stateOf(tests), JSON.stringify(run(innocent))];
  for (const [i, { family, source, form }] of cases.entries()) {
    const label = `${family} ${i}: ${source}\n${JSON.stringify(form)}`;
    try {
      if (run({ source, ...form }).passed) report.forged.push(label);
    } catch (error) {
      if (!(error instanceof BrokenTestError)) throw error;
      report.broken.push(`${label}\n${error.message}`);
    }
    if (i % 100 === 99 || i === cases.length - 1) {
      const now = [stateOf(program), stateOf(tests), JSON.stringify(run(innocent))];
      if (now.some((state, k) => state !== first[k])) report.lasting.push(`${label}\n${now.join(" ")}`);
    }
    if (i === WARM_UP - 1) report.mb[0] = residentMb();
    onProgress(i + 1, report);
  }
  report.mb[1] = residentMb();
  return report;
}
