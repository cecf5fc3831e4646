// Whether a thousand programs in a row leak memory or time: right, wrong and hostile ones in turn, on one thread. Every
// program must get the result that it got the first time, whatever ran in between.

import type { UnitTest } from "../src/judges/sandbox/javascript.js";
import type { Limits, ProgramResult } from "../src/judges/sandbox/limits.js";
import { PythonPool, SandboxPool } from "../src/judges/sandbox/pool.js";

export interface SandboxResult {
  language: "javascript" | "python";
  programs: number;
  /** Resident memory of the whole process after every hundred programs. */
  mb: number[];
  /** Processor time of a program, mean over every hundred, ms. */
  cpu_ms: number[];
}

const tests: UnitTest[] = [
  "assert.strictEqual(add(1, 2), 3)",
  { call: "add", args: [2, 2], expected: 4, tolerance: 0 },
];

const javascript = [
  "const add = (a, b) => a + b;",
  "function add(a, b) { return a - b; }",
  "const all = []; for (;;) all.push(new ArrayBuffer(1 << 20));",
  "for (;;) console.log('2 of 2 tests passed');",
  "function add() { return add(); }",
  "try { Array.prototype.secret = 1; } catch {} globalThis.secret = 1; for (;;) {}",
  "const add = (a, b) => { const memo = new Map(); for (let i = 0; i < 1000; i++) memo.set(i, [i]); return a + b; };",
  "let x = []; for (let i = 0; i < 2e4; i++) x = [x]; x.flat(1e9);",
  "throw new Proxy({}, { get() { throw 1; } });",
  "const add = (a, b) => typeof secret === 'undefined' ? a + b : 0;",
];

const pythonTests = [
  "assert add(1, 2) == 3",
  { call: "add", args: [2, 2], expected: 4, tolerance: 0, wrapped: false },
];

const python = [
  "def add(a, b): return a + b",
  "def add(a, b): return a - b",
  "x = []\nwhile True: x.append(bytearray(10**6))",
  "while True: print('2 passed')",
  "def add(a, b): return add(a, b)",
  "import builtins, sys\nbuiltins.secret = 1\nsys.stdout.close()\nwhile True: pass",
  "def add(a, b): return sum({i: [i] for i in range(1000)}[0]) + a + b",
  "import os\nos._exit(1)",
  "raise SystemExit(0)",
  "def add(a, b):\n  import builtins\n  return 0 if hasattr(builtins, 'secret') else a + b",
];

const round = 100;

const limits: Limits = { fuel: 50, memoryMb: 32, outputChars: 10_000, seconds: 600 };

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function soak(
  language: SandboxResult["language"],
  sources: readonly string[],
  run: (source: string) => Promise<ProgramResult>,
  rounds: number,
): Promise<SandboxResult> {
  // Starts the thread, and says what every program gets.
  const expected: string[] = [];
  for (const source of sources) expected.push(JSON.stringify(await run(source)));
  const result: SandboxResult = { language, programs: rounds * round, mb: [], cpu_ms: [] };
  for (let i = 0; i < rounds; i++) {
    const start = processorMs();
    for (let k = 0; k < round; k++) {
      const at = k % sources.length;
      const found = JSON.stringify(await run(sources[at]!));
      if (found !== expected[at])
        throw new Error(`${language} program ${at} gave ${found} after others, and ${expected[at]} at first`);
    }
    result.cpu_ms.push((processorMs() - start) / round);
    result.mb.push(process.memoryUsage().rss / 2 ** 20);
  }
  return result;
}

/** Runs `programs` (rounded up to hundreds) of each language. */
export async function benchSandbox(
  programs: number,
  onResult: (result: SandboxResult) => void,
): Promise<void> {
  const rounds = Math.ceil(programs / round);
  const quickJs = new SandboxPool(1);
  const runJavaScript = (source: string) => quickJs.run({ source, tests }, limits);
  onResult(await soak("javascript", javascript, runJavaScript, rounds));
  await quickJs.close();
  const pyodide = new PythonPool(1);
  const runPython = (source: string) => pyodide.run({ source, setup: "", tests: pythonTests }, limits);
  onResult(await soak("python", python, runPython, rounds));
  await pyodide.close();
}
