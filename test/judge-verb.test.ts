// The verb `judge` as a measure of judges: agreement with labels, intervals, bounds and exit codes.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./support/in-process.js";

let dir: string;
let data: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "judge-verb-"));
  data = await file("labelled.jsonl", rows);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function file(name: string, content: readonly object[]): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, content.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** What the judge `math` says of \boxed{answer} beside the label: 3 right passes, 2 false passes, 1 false failure, 2 right failures, 1 failed. */
const rows = [
  ["5", "5", true],
  ["7", "7", "satisfied"],
  ["8", "8", 1],
  ["5", "5", false],
  ["6", "6", "violated"],
  ["5", "6", "pass"],
  ["5", "6", "FAIL"],
  ["5", "7", 0],
  ["####", "5", true],
].map(([answer, given, label], i) => ({
  prompt: `p${i}`,
  response: `\\boxed{${given}}`,
  answer,
  label,
}));

const judge = (...flags: string[]) => run("judge", data, "--judge", "math", ...flags);

describe("judge --against", () => {
  it("counts agreement, false passes and false failures, each with Wilson's interval", async () => {
    const { code, out } = await judge("--against", "label", "--json", "-o", join(dir, "out.jsonl"));
    expect(code).toBe(0);
    const { against } = JSON.parse(out);
    expect(against.column).toBe("label");
    const { math, feasible } = against.judges;
    const share = (count: number, of: number, estimate: number, low: number, high: number) => ({
      count,
      of,
      estimate: expect.closeTo(estimate, 6),
      low: expect.closeTo(low, 6),
      high: expect.closeTo(high, 6),
    });
    // (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959963984540054, worked out apart.
    expect(math).toEqual({
      rows: 9,
      failed: 1,
      agreement: share(5, 8, 0.625, 0.305742, 0.863156),
      false_passes: share(2, 4, 0.5, 0.150039, 0.849961),
      false_failures: share(1, 4, 0.25, 0.045587, 0.699358),
    });
    expect(feasible).toEqual(math);
  });

  it("says the same in words", async () => {
    const { code, out, err } = await judge("--against", "label");
    expect(code).toBe(0);
    expect(out.trim().split("\n")).toHaveLength(9);
    const said = err.replaceAll("\u202f", " ").replaceAll("\u00a0", " ");
    expect(said).toMatch(/math: agreement 62\.5 % \(30\.6 % to 86\.3 %\), 5 of 8/);
    expect(said).toMatch(/math: false passes 50\.0 % \(15\.0 % to 85\.0 %\), 2 of 4/);
    expect(said).toMatch(/math: false failures 25\.0 % \(4\.6 % to 69\.9 %\), 1 of 4/);
    expect(said).toContain("math: 1 failed, counted in none of these");
  });

  it("asks every judge, and shows those that a file has no label for", async () => {
    const both = await run(
      "judge",
      data,
      "--judge",
      "math",
      "{kind: length, max_words: 0}",
      "--against",
      "label",
      "--json",
      "-o",
      join(dir, "both.jsonl"),
    );
    const { judges } = JSON.parse(both.out).against;
    expect(judges.length.false_passes).toMatchObject({ count: 0, of: 4 });
    expect(judges.length.false_failures).toMatchObject({ count: 5, of: 5 });
    const right = await file("right.jsonl", rows.slice(0, 3));
    const flags = ["--judge", "math", "--against", "label", "--json", "-o", join(dir, "r.jsonl")];
    const { against } = JSON.parse((await run("judge", right, ...flags)).out);
    expect(against.judges.math.false_passes).toMatchObject({ count: 0, of: 0, estimate: null });
    expect((await run("judge", right, "--judge", "math", "--against", "label")).err).toContain(
      "math: false passes none to count",
    );
  });

  it.each([
    [{ gold: "perhaps" }, '--against gold: "perhaps" is no label'],
    [{ other: true }, "--against gold: there is no such column"],
    [{ gold: 2 }, "--against gold: 2 is no label"],
  ])("refuses %j with the row's name", async (columns, sentence) => {
    const row = { prompt: "p", response: "\\boxed{5}", answer: "5" };
    const bad = await file("bad.jsonl", [
      { ...row, gold: true },
      { ...row, ...columns },
    ]);
    const { code, err } = await run("judge", bad, "--judge", "math", "--against", "gold");
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(err).toContain("bad.jsonl:2");
  });
});

describe("bounds of judge", () => {
  // 5 of 9 rows are feasible, and the judge fails on one of 9.
  it.each([
    [["--min-feasible", "0.6"], 3, "55.6 % of the rows are feasible, fewer than --min-feasible 0.6"],
    [["--min-feasible", "0.5"], 0, ""],
    [["--max-failed", "0.1"], 3, 'judge "math" failed on 11.1 %, more than --max-failed 0.1'],
    [["--max-failed", "0"], 3, "more than --max-failed 0"],
    [["--max-failed", "0.2"], 0, ""],
    [["--min-feasible", "0.9", "--max-failed", "0"], 3, "fewer than --min-feasible 0.9"],
    [["--min-feasible", "1.5"], 2, "--min-feasible"],
    [["--max-failed", "x"], 2, "--max-failed"],
  ])("%j ends with exit code %i", async (flags, expected, sentence) => {
    const out = join(dir, "bounded.jsonl");
    const { code, err } = await judge(...flags, "-o", out);
    expect(code).toBe(expected);
    expect(err.replaceAll("\u202f", " ").replaceAll("\u00a0", " ")).toContain(sentence);
  });
});
