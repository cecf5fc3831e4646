import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RubricHistory, readRounds } from "./history.js";
import type { MpoRound } from "./hook.js";
import { createRubric, nextVersion, type Rubric } from "./rubric.js";
import { readHistory } from "./rubric-file.js";
import { gradeItem } from "./scripted/dialect.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "history-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const item = (name: string) => gradeItem(name, [5, "good"], [0, "bad"]);
const first = createRubric([item("A")]);
const second = nextVersion(first, [item("A"), item("B")]);
const third = nextVersion(second, [item("A"), item("B"), item("C")]);
const report = { sampled: 4, flagged: 3, refinements: 4, problems: [] };
const published = (round: number, rubric: Rubric, cluster = ""): MpoRound => ({
  step: 10 * round,
  round,
  trigger: "interval",
  revisions: [{ cluster, revision: { status: "published", rubric, report } }],
});
const only = (rubric: Rubric, cluster = "") => new Map([[cluster, rubric]]);

describe("the history of a run", () => {
  it("goes back to a checkpoint: versions and rounds after it are gone, those of other clusters are not", async () => {
    const run = new RubricHistory(dir);
    await run.open(new Map([...only(first), ...only(first, "sea")]));
    await run.record(published(1, second), only(second));
    const checkpoint = JSON.parse(JSON.stringify(run.state()));
    await run.record(published(2, third), only(third));
    await run.record(published(2, second, "sea"), only(second, "sea"));
    expect((await readdir(dir)).sort()).toEqual([
      "rounds.jsonl",
      "sea.v0000.yaml",
      "sea.v0001.yaml",
      "v0000.yaml",
      "v0001.yaml",
      "v0002.yaml",
    ]);

    const resumed = new RubricHistory(dir);
    resumed.restore(checkpoint);
    await resumed.open(only(second));
    expect((await readHistory(dir)).map(({ rubric }) => rubric.version)).toEqual([0, 1]);
    expect(await readHistory(dir, "sea")).toHaveLength(2);
    expect((await readRounds(dir)).map(({ step }) => step)).toEqual([10]);
    await resumed.open(only(first));
    expect(await readHistory(dir)).toHaveLength(2);
  });

  it("says why", async () => {
    const run = new RubricHistory(dir);
    await run.open(only(first));
    await run.record(published(1, second), only(second));
    const reason = "update 10 (interval): of 4 responses 3 had inflated scores";
    expect((await readHistory(dir)).map((version) => version.reason)).toEqual([undefined, reason]);
    expect(await readRounds(dir)).toEqual([
      {
        step: 10,
        round: 1,
        trigger: "interval",
        cluster: "",
        outcome: "published",
        version: 1,
        reason,
        ...report,
      },
    ]);
    expect(await readRounds(join(dir, "nowhere"))).toEqual([]);
  });
});
