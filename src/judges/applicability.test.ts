import { expect, test } from "vitest";
import { checkNamedJudges, limited } from "./applicability.js";
import { hasColumn } from "./kind.js";
import { judgeBatch } from "./mixture.js";
import { createMember, mixtureFrom } from "./registry.js";
import { type Judge, type JudgeInput, satisfied, verdictFrom } from "./verdict.js";

const math: Judge = {
  name: "math",
  version: "1",
  kind: "rule",
  applies: hasColumn("answer"),
  judge: () => satisfied("yes"),
};

const input = (metadata: JudgeInput["metadata"]): JudgeInput => ({
  prompt: "p",
  response: "one two three four",
  truncated: false,
  metadata,
});

test.each([
  ["no column", { answer: 1 }, true],
  ["an empty column", { answer: 1, judges: null }, true],
  ["a list with it", { answer: 1, judges: ["code", "math"] }, true],
  ["a list without it", { answer: 1, judges: ["code"] }, false],
  ["no judge at all", { answer: 1, judges: [] }, false],
  ["one name", { answer: 1, judges: "math" }, true],
  ["a list as text", { answer: 1, judges: '["math"]' }, true],
  ["nothing that the judge needs", {}, false],
])("the column judges: %s", (_, metadata, applies) => {
  expect(limited(math).applies(metadata)).toBe(applies);
});

test("a prompt that names a judge and lacks its column, or names no list, fails it", async () => {
  expect(await verdictFrom(limited(math), input({ judges: ["math"] }))).toEqual({
    verdict: "failed",
    reason: "the prompt names this judge, but lacks the column that it needs",
  });
  expect(await verdictFrom(limited(math), input({ answer: 1, judges: 3 }))).toEqual({
    verdict: "failed",
    reason: "the column judges must be a list of names",
  });
});

test("applies_to names values of columns, all of which must be met", async () => {
  const entry = { kind: "length", max_words: 3, applies_to: { source: ["gsm8k", "math"], level: 5 } };
  const { judge } = await createMember(entry, { baseDir: "." });
  expect(judge.applies({ source: "math", level: 5 })).toBe(true);
  expect(judge.applies({ source: "gsm8k", level: 4 })).toBe(false);
  expect(judge.applies({ source: "apps", level: 5 })).toBe(false);
  expect(judge.applies({})).toBe(false);
  await expect(createMember({ ...entry, applies_to: { source: {} } }, { baseDir: "." })).rejects.toThrow(
    'judge "length", option "applies_to.source"',
  );
});

test("two judges for two kinds of prompts in one task", async () => {
  const mixture = await mixtureFrom(
    [
      { kind: "length", name: "short", max_words: 3, applies_to: { style: "brief" } },
      { kind: "length", name: "long", min_words: 9 },
    ],
    { baseDir: "." },
  );
  const { results, metrics } = await judgeBatch(mixture, [
    input({ style: "brief", judges: ["short"] }),
    input({ style: "brief", judges: ["long"] }),
    input({ style: "ample", judges: ["short"] }),
    input({}),
  ]);
  expect(results.map(({ feasible }) => feasible)).toEqual([false, false, true, false]);
  expect(results[2]!.verdicts).toEqual({ short: "inapplicable", long: "inapplicable" });
  expect(metrics).toMatchObject({ "judges/short/failed_rate": 0, "constraints/long/violation_rate": 1 });
});

test("a name that no judge has is a mistake in the data", () => {
  const prompts = [
    { id: "a.jsonl:1", metadata: { judges: ["math"] } },
    { id: "a.jsonl:2", metadata: { judges: ["mth"] } },
  ];
  expect(() => checkNamedJudges(prompts, [math])).toThrow(
    'a.jsonl:2: the column judges names "mth" (did you mean "math"?), but the task\'s judges are math',
  );
  expect(() => checkNamedJudges([{ id: "b:7", metadata: { judges: 3 } }], [math])).toThrow(
    "b:7: the column judges must be a list of names",
  );
  // The same prompts serve a run without judges.
  expect(() => checkNamedJudges(prompts, [])).not.toThrow();
});
