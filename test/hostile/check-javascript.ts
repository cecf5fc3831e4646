// Runs hostile JavaScript programs in this process and says what they achieved.

import { createHash } from "node:crypto";
import { javaScriptRunner, type Program } from "../../src/judges/sandbox/javascript.js";
import { initialPages } from "../../src/judges/sandbox/least-memory.js";
import { BrokenTestError, Meter } from "../../src/judges/sandbox/limits.js";
import { compileQuickJs } from "../../src/judges/sandbox/pool.js";
import { QuickJs } from "../../src/judges/sandbox/quickjs.js";
import type { HostileProgram } from "../hostile-javascript.js";
import { type HostileReport, residentMb, WARM_UP } from "./families.js";

const limits = { fuel: 300, memoryMb: 32, outputChars: 10_000, seconds: 20 };

const innocent: Program = {
  source:
    "const look = () => [Math.random(), Date.now(), Object.getOwnPropertyNames(globalThis).length, [].every(() => false)];\n" +
    "const add = (a, b) => a + b;",
  tests: [
    "assert.equal(add(1, 2), 3)",
    { call: "look", args: [], expected: null, tolerance: 0 },
    { call: "add", args: [1, 2], expected: 3, tolerance: 0 },
  ],
};

/** The interpreter that was started last, and the digest of its memory as it is at the beginning of a program. */
function watchInterpreters(): () => string {
  const { start } = QuickJs;
  let last: QuickJs | undefined;
  QuickJs.start = async (...args) => {
    last = await start.apply(QuickJs, args);
    return last;
  };
  return () => {
    last!.reset(new Meter(limits));
    const { memory } = last as unknown as { memory: WebAssembly.Memory };
    const start = initialPages * 65_536;
    // What it has grown by is zero.
    const grown = new Uint8Array(memory.buffer, start).findIndex((byte) => byte !== 0);
    return createHash("sha256")
      .update(new Uint8Array(memory.buffer, 0, start))
      .update(grown < 0 ? "" : `byte ${grown}`)
      .digest("hex");
  };
}

export async function checkJavaScript(
  programs: readonly HostileProgram[],
  onProgress: (done: number, report: HostileReport) => void = () => {},
): Promise<HostileReport> {
  const stateOf = watchInterpreters();
  const run = javaScriptRunner(await compileQuickJs());
  const look = async () => [JSON.stringify(await run(innocent, limits)), stateOf()];
  const report: HostileReport = {
    programs: programs.length,
    forged: [],
    broken: [],
    lasting: [],
    mb: [0, 0],
  };
  const first = await look();
  for (const [i, { family, source, tests }] of programs.entries()) {
    const label = `${family} ${i}: ${source}\n${JSON.stringify(tests)}`;
    try {
      if ((await run({ source, tests }, limits)).passed) report.forged.push(label);
    } catch (error) {
      if (!(error instanceof BrokenTestError)) throw error;
      report.broken.push(`${label}\n${error.message}`);
    }
    if (i % 10 === 9 || i === programs.length - 1) {
      const now = await look();
      if (now.some((state, k) => state !== first[k])) report.lasting.push(`${label}\n${now.join(" ")}`);
    }
    if (i === WARM_UP - 1) report.mb[0] = residentMb();
    onProgress(i + 1, report);
  }
  report.mb[1] = residentMb();
  return report;
}
