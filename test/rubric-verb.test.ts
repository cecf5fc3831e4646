// `touchstone rubric`: what it shows of files, presets and runs, and its test of a rubric against labelled responses.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { rubricCommand } from "../src/cli/commands/rubric.js";
import { RubricHistory } from "../src/mpo/history.js";
import { createRubric, nextVersion } from "../src/mpo/rubric.js";
import { rubricToYaml } from "../src/mpo/rubric-file.js";
import { gradeItem } from "../src/mpo/scripted/dialect.js";
import { startScriptedServer } from "../src/mpo/scripted/server.js";
import { runVerb } from "./support/command.js";

const effort = gradeItem("Effort", [6, "at least 4 words"], [0, "otherwise"]);
const variety = gradeItem("Variety", [4, "distinct-word ratio at least 0.8"], [0, "otherwise"]);
const first = createRubric([effort]);
const second = nextVersion(first, [effort, variety]);

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "rubric-verb-"));
  await writeFile(join(dir, "rubric.yaml"), rubricToYaml(second));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const rubric = (...argv: string[]) => runVerb(rubricCommand, ...argv);

/** A run with one task, a round that published and one that did not. */
async function writeRun(task = "writing"): Promise<string> {
  const run = join(dir, "run");
  await mkdir(run, { recursive: true });
  const history = new RubricHistory(join(run, "rubrics", encodeURIComponent(task)));
  await history.open(new Map([["", first]]));
  const report = { sampled: 4, flagged: 2, refinements: 4, problems: [] };
  const revision = { status: "published" as const, rubric: second, report };
  await history.record(
    { step: 10, round: 1, trigger: "interval", revisions: [{ cluster: "", revision }] },
    new Map([["", second]]),
  );
  const kept = { status: "kept" as const, reason: "it is too long", unchanged: false, report };
  await history.record(
    { step: 20, round: 2, trigger: "saturation", revisions: [{ cluster: "", revision: kept }] },
    new Map([["", second]]),
  );
  return run;
}

describe("show", () => {
  it("a file, a preset and a version of a run", async () => {
    const run = await writeRun();
    expect((await rubric("show", join(dir, "rubric.yaml"))).out).toBe(
      `version 1 (${second.hash.slice(0, 12)}, after ${first.hash.slice(0, 12)}), at most 10 points\n\n` +
        "### Effort (grade, 0 to 6 points)\n- (6): at least 4 words\n- (0): otherwise\n\n" +
        "### Variety (grade, 0 to 4 points)\n- (4): distinct-word ratio at least 0.8\n- (0): otherwise\n",
    );
    const ethics = await rubric("show", "ethics");
    expect(ethics.out).toContain("version 0");
    expect(ethics.out).toContain("judges that go with it:");
    expect((await rubric("show", run)).out).toContain("version 1");
    expect((await rubric("show", `${run}:0`)).out).toContain("version 0");
    const json = JSON.parse((await rubric("show", run, "--json")).out) as object;
    expect(json).toMatchObject({ version: 1, parent: first.hash, hash: second.hash, max_total: 10 });
  });

  it("names that mean nothing are mistakes", async () => {
    const run = await writeRun();
    expect(await rubric("show", "esay")).toMatchObject({ code: 2, err: expect.stringContaining('"essay"') });
    expect(await rubric("show", `${run}:7`)).toMatchObject({
      code: 2,
      err: `${run} has no version 7; it has 0, 1\n`,
    });
    expect(await rubric("history", dir)).toMatchObject({
      code: 2,
      err: expect.stringContaining("no rubrics"),
    });
    expect(await rubric("show", run, "--task", "reading")).toMatchObject({
      code: 2,
      err: expect.stringContaining('there is no task "reading"'),
    });
  });
});

describe("diff and history", () => {
  it("diff names what changed", async () => {
    const run = await writeRun();
    const { out } = await rubric("diff", `${run}:0`, run);
    expect(out).toBe(
      "at most 6 points before, 10 after; 1 item unchanged\n\nadded: Variety\n+ ### Variety (grade, 0 to 4 points)\n" +
        "+ - (4): distinct-word ratio at least 0.8\n+ - (0): otherwise\n",
    );
    const json = JSON.parse((await rubric("diff", run, `${run}:0`, "--json")).out) as { changes: object[] };
    expect(json.changes).toMatchObject([{ change: "removed", name: "Variety" }]);
  });

  it("history lists versions with their reasons, and rounds that brought none", async () => {
    const run = await writeRun("a/b");
    const { out } = await rubric("history", run);
    expect(out.split("\n")).toEqual([
      "version 0: 1 item, at most 6 points",
      "version 1: 2 items, at most 10 points, 1 new, 0 changed, 0 gone; update 10 (interval): of 4 responses 2 had inflated scores",
      "1 round kept the version:",
      "  update 20 (saturation): it is too long",
      "",
    ]);
    const json = JSON.parse((await rubric("history", run, "--task", "a/b", "--json")).out) as object;
    expect(json).toMatchObject({
      task: "a/b",
      versions: [{ version: 0 }, { version: 1, parent: first.hash, reason: expect.any(String) }],
      rounds: [
        { step: 10, outcome: "published" },
        { step: 20, outcome: "kept" },
      ],
    });
  });
});

describe("test", () => {
  const anchors = async (rows: object[]) => {
    const path = join(dir, "anchors.jsonl");
    await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    return path;
  };
  const prompt = "Write about the sea.";

  it("reports agreement and false passes, and asks nothing twice with a log", async () => {
    const server = await startScriptedServer();
    try {
      const file = await anchors([
        { prompt, response: "The sea is wide and blue.", label: "good" },
        { prompt, response: "Waves roll in from the west.", label: "good" },
        // The rubric counts words: this one passes although it is bad.
        { prompt, response: "sea sea sea sea sea", label: "bad" },
        { prompt, response: "No.", label: "bad" },
      ]);
      const log = join(dir, "log.jsonl");
      const argv = ["test", join(dir, "rubric.yaml"), "--anchors", file, "--judge", `rm@${server.baseUrl}`];
      const flags = ["--log", log, "--quiet"];
      const { out, code } = await rubric(...argv, ...flags, "--json");
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({
        scored: 4,
        failed: 0,
        agreement: { estimate: 3 / 4 },
        false_pass: { estimate: 1 / 2 },
        false_fail: { estimate: 0 },
        ranking: { estimate: 1 },
      });
      expect(server.requests).toHaveLength(4);
      const again = await rubric(...argv, ...flags);
      expect(again.out).toContain("4 responses scored\nagreement at 50.0 % of the points: 75.0 %");
      expect(server.requests).toHaveLength(4);
      const strict = await rubric(...argv, ...flags, "--threshold", "0.7", "--json");
      expect(JSON.parse(strict.out)).toMatchObject({ false_pass: { estimate: 0 } });
    } finally {
      await server.close();
    }
  });

  it("compares with scores by rank; what cannot be scored is counted apart", async () => {
    const server = await startScriptedServer({ fault: ({ index }) => (index >= 3 ? "no-tags" : undefined) });
    try {
      const responses = [
        "One two three four five.",
        "sea sea sea sea",
        "Sea.",
        "Lost for words, and for more.",
      ];
      const file = await anchors(responses.map((response, i) => ({ prompt, response, score: 3 - i })));
      const url = `rm@${server.baseUrl}`;
      const { out } = await rubric(
        ...["test", join(dir, "rubric.yaml"), "--anchors", file, "--judge", url, "--concurrency", "1"],
        ...["--quiet", "--json"],
      );
      expect(JSON.parse(out)).toMatchObject({ scored: 3, failed: 1, correlation: { estimate: 1 } });
    } finally {
      await server.close();
    }
  });

  it.each([
    [
      { response: "x" },
      "an anchor needs a label, good or bad, or a score, which is a number; this row has neither",
    ],
    [{ response: "x", label: "fine" }, 'this row has "fine"'],
  ])("%j is a mistake", async (row, message) => {
    const file = await anchors([{ prompt, ...row }]);
    const argv = ["test", join(dir, "rubric.yaml"), "--anchors", file, "--judge", "rm@http://127.0.0.1:1/v1"];
    expect(await rubric(...argv)).toMatchObject({ code: 2, err: expect.stringContaining(message) });
  });

  it("a judge without a name or an address is a mistake", async () => {
    const file = await anchors([{ prompt, response: "x", label: "good" }]);
    const test = (judge: string) =>
      rubric("test", join(dir, "rubric.yaml"), "--anchors", file, "--judge", judge);
    expect((await test("rm")).err).toContain("must be name@url");
    expect((await test("http://127.0.0.1:1/v1")).err).toContain("names no model");
  });
});
