import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { presetNames, taskPreset } from "./presets/index.js";
import { createRubric, nextVersion, type RubricItem } from "./rubric.js";
import {
  historyClusters,
  readHistory,
  readRubric,
  removeVersionsAfter,
  rubricFromYaml,
  rubricToYaml,
  saveVersion,
} from "./rubric-file.js";
import {
  faithfulMetaOptions,
  faithfulRewardOptions,
  initialRubric,
  taskFromYaml,
  taskToYaml,
} from "./task.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "mpo-rubric-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const items: RubricItem[] = [
  {
    name: "Clarity: of thought",
    kind: "grade",
    description: "how well it can be followed # not a comment",
    levels: [
      { points: 0, text: "- no", example: '"quoted"' },
      { points: 5, low: 2.5, text: "yes: very" },
    ],
  },
  { name: "Slips", kind: "deduct", levels: [{ points: -2, text: "many" }] },
  {
    name: "Safe",
    kind: "gate",
    levels: [
      { points: 0, text: "no" },
      { points: 1, text: "yes" },
    ],
  },
];

describe("YAML", () => {
  it("round trip", () => {
    const rubric = nextVersion(createRubric([items[0]!]), items);
    expect(rubricFromYaml(rubricToYaml(rubric), "r.yaml")).toEqual(rubric);
  });

  it("a person writes items alone", () => {
    const rubric = rubricFromYaml(
      "items:\n  - name: A\n    levels: [{points: 0, text: no}, {points: 3, text: yes sir}]\n",
      "r.yaml",
    );
    expect(rubric).toMatchObject({ version: 0, parent: null, maxTotal: 3, items: [{ kind: "grade" }] });
  });

  const good = rubricToYaml(createRubric(items));
  it.each<[string, string, RegExp]>([
    ["no YAML", "items: [", /^r\.yaml:1: not valid YAML/],
    ["no items", "items: []", /^r\.yaml: items: /],
    ["unknown key", `${good}colour: red\n`, /^r\.yaml: .*colour/],
    ["wrong kind", good.replace("kind: grade", "kind: bonus"), /^r\.yaml: items\.0\.kind/],
    ["points in words", good.replace("points: 5", "points: five"), /^r\.yaml: items\.0\.levels\.1\.points/],
    ["edited items", good.replace("yes: very", "yes"), /delete its hash line/],
    [
      "wrong sum",
      good.replace("max_total: 5", "max_total: 7"),
      /max_total is 7, but the grade items add up to 5/,
    ],
    [
      "unusable",
      "items:\n  - name: A\n    levels: [{points: 3, text: a}, {points: 3, text: b}]\n",
      /same points/,
    ],
  ])("%s is a sentence that names the file", (_, text, message) => {
    expect(() => rubricFromYaml(text, "r.yaml")).toThrow(UserError);
    expect(() => rubricFromYaml(text, "r.yaml")).toThrow(message);
  });

  it("a missing file", async () => {
    await expect(readRubric(join(dir, "none.yaml"))).rejects.toThrow(/none\.yaml cannot be read/);
  });
});

describe("history", () => {
  it("one file for each version, by cluster", async () => {
    const first = createRubric([items[0]!]);
    const second = nextVersion(first, items);
    await saveVersion(dir, { rubric: second, reason: "it was padded" });
    await saveVersion(dir, { rubric: first });
    await saveVersion(dir, { rubric: second }, "algebra/1");
    expect((await readdir(dir)).sort()).toEqual(["algebra%2F1.v0001.yaml", "v0000.yaml", "v0001.yaml"]);
    await writeFile(join(dir, "notes.txt"), "");
    expect(await readHistory(dir)).toEqual([{ rubric: first }, { rubric: second, reason: "it was padded" }]);
    expect(await readHistory(dir, "algebra/1")).toEqual([{ rubric: second }]);
    expect(await historyClusters(dir)).toEqual(["", "algebra/1"]);
    await removeVersionsAfter(dir, 0);
    expect(await readHistory(dir)).toEqual([{ rubric: first }]);
    expect(await readHistory(dir, "algebra/1")).toHaveLength(1);
    expect(second.parent).toBe(first.hash);
  });
});

describe("presets", () => {
  it.each(presetNames)("%s is a usable task and survives YAML", (name) => {
    const task = taskPreset(name);
    expect(task.name).toBe(name);
    expect(initialRubric(task)).toMatchObject({ version: 0, maxTotal: 5 });
    expect(taskFromYaml(taskToYaml(task), name)).toEqual(task);
  });

  it("follow the paper: k, mode, gates outside the rubric", () => {
    expect(presetNames.map((name) => [name, taskPreset(name).interval, taskPreset(name).mode])).toEqual([
      ["essay", 10, "breadth"],
      ["summary", 20, "breadth"],
      ["ethics", 10, "breadth"],
      ["mathematics", 30, "depth"],
    ]);
    expect(taskPreset("mathematics")).toMatchObject({
      scoring: "plan",
      answerCheck: 0.5,
      judges: [{ min_words: 30 }],
    });
    expect(taskPreset("mathematics").description).toContain("\\boxed{...}");
    expect(taskPreset("ethics").judges).toHaveLength(2);
    expect(faithfulRewardOptions(taskPreset("essay"))).toMatchObject({ mode: "dialogue", reward: "raw" });
    expect(faithfulRewardOptions(taskPreset("mathematics"))).toMatchObject({ mode: "plan" });
    expect(faithfulMetaOptions(taskPreset("essay"))).toMatchObject({ sampling: "uniform", shows: {} });
  });
});
