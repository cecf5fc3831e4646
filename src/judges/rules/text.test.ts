import { expect, test } from "vitest";
import { createMember } from "../registry.js";
import { verdictFrom } from "../verdict.js";
import { fencedBlocks } from "./fences.js";
import { repetition } from "./format.js";

const context = { baseDir: ".", countTokens: (text: string) => Math.ceil(text.length / 4) };

/** The verdict of the judge that `entry` describes; `undefined` when it does not apply. */
async function verdictOf(entry: Record<string, unknown>, response: string, metadata = {}, truncated = false) {
  const { judge } = await createMember(entry, context);
  return (await verdictFrom(judge, { prompt: "p", response, truncated, metadata }))?.verdict;
}

test("exact compares the whole response, or part of it, with any of the answers", async () => {
  const answer = { answer: ["Paris", "City of Light"] };
  expect(await verdictOf({ kind: "exact" }, " Paris\n", answer)).toBe("satisfied");
  expect(await verdictOf({ kind: "exact" }, "paris", answer)).toBe("violated");
  expect(await verdictOf({ kind: "exact", ignore_case: true }, "paris", answer)).toBe("satisfied");
  const contains = { kind: "exact", match: "contains", ignore_case: true, ignore_punctuation: true };
  expect(await verdictOf(contains, "It is the city of light!", answer)).toBe("satisfied");
  expect(
    await verdictOf({ kind: "exact", ignore_articles: true }, "the Beatles", { answer: "Beatles" }),
  ).toBe("satisfied");
  expect(await verdictOf({ kind: "exact", answer_key: "label" }, "7", { label: 7 })).toBe("satisfied");
  expect(await verdictOf({ kind: "exact" }, "7", {})).toBeUndefined();
});

test("regex wants every required and no forbidden pattern, in time linear in the response", async () => {
  const entry = { kind: "regex", must_match: ["^Dear", "\\d+"], must_not_match: "sorry", ignore_case: true };
  expect(await verdictOf(entry, "dear 42")).toBe("satisfied");
  expect(await verdictOf(entry, "dear all")).toBe("violated");
  expect(await verdictOf(entry, "Dear 42, SORRY")).toBe("violated");
  expect(await verdictOf({ kind: "regex", must_match: "^b$", multiline: true }, "a\nb\nc")).toBe("satisfied");
  expect(await verdictOf({ kind: "regex", must_match: "a.b" }, "a\nb")).toBe("violated");
  expect(await verdictOf({ kind: "regex", must_match: "a.b", dot_all: true }, "a\nb")).toBe("satisfied");
  const explosive = { kind: "regex", must_match: "^(a+)+$" };
  expect(await verdictOf(explosive, `${"a".repeat(50_000)}b`)).toBe("violated");
});

test("length counts characters, words and tokens", async () => {
  expect(await verdictOf({ kind: "length", max_chars: 2 }, "👍👍")).toBe("satisfied");
  expect(await verdictOf({ kind: "length", max_chars: 2 }, "abc")).toBe("violated");
  expect(await verdictOf({ kind: "length", min_words: 2, max_words: 3 }, "one")).toBe("violated");
  expect(await verdictOf({ kind: "length", min_words: 2, max_words: 3 }, "one two\nthree")).toBe("satisfied");
  expect(await verdictOf({ kind: "length", min_words: 2, max_words: 3 }, "a b c d")).toBe("violated");
  expect(await verdictOf({ kind: "length", max_tokens: 2 }, "x".repeat(9))).toBe("violated");
  const { judge } = await createMember({ kind: "length", max_tokens: 2 }, { baseDir: "." });
  const input = { prompt: "p", response: "x", truncated: false, metadata: {} };
  expect(await verdictFrom(judge, input)).toMatchObject({ verdict: "failed" });
});

test("format checks tags", async () => {
  const entry = { kind: "format", tags: ["think", "answer"] };
  expect(await verdictOf(entry, "<think>a</think>\n<answer>b</answer>")).toBe("satisfied");
  expect(await verdictOf(entry, "<answer>b</answer><think>a</think>")).toBe("violated");
  expect(await verdictOf(entry, "<think>a</think><answer>b")).toBe("violated");
  expect(await verdictOf(entry, "<think>a</think><answer>b</answer><answer>c</answer>")).toBe("violated");
  expect(await verdictOf(entry, "<think><answer>b</answer></think>")).toBe("violated");
});

test("format checks JSON, bare or fenced, against a schema", async () => {
  expect(await verdictOf({ kind: "format", json: true }, '{"a": 1}')).toBe("satisfied");
  expect(await verdictOf({ kind: "format", json: true }, '```json\n{"a": 1}\n```')).toBe("satisfied");
  expect(await verdictOf({ kind: "format", json: true }, 'Here: {"a": 1}')).toBe("violated");
  const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
  expect(await verdictOf({ kind: "format", json_schema: schema }, '{"a": 1}')).toBe("satisfied");
  expect(await verdictOf({ kind: "format", json_schema: schema }, '{"a": 1.5}')).toBe("violated");
  expect(await verdictOf({ kind: "format", json_schema: schema }, "{}")).toBe("violated");
});

test("format checks the start, the end, the end token and repetition", async () => {
  expect(await verdictOf({ kind: "format", starts_with: "Hi", ends_with: "Bye." }, "Hi ... Bye.\n")).toBe(
    "satisfied",
  );
  expect(await verdictOf({ kind: "format", ends_with: "Bye." }, "Bye")).toBe("violated");
  expect(await verdictOf({ kind: "format", finished: true }, "cut", {}, true)).toBe("violated");
  expect(await verdictOf({ kind: "format", finished: true }, "whole")).toBe("satisfied");
  const stuck = "the answer is 1/2 ".repeat(20);
  expect(repetition(stuck)).toBeGreaterThan(0.9);
  expect(repetition("one two three four five six")).toBe(0);
  expect(await verdictOf({ kind: "format", max_repetition: 0.5 }, stuck)).toBe("violated");
});

test("fenced blocks are closed, may nest other fences and carry a language", () => {
  const text = "a\n```js {1}\nx\n```\n````md\n```py\ny\n```\n````\n~~~\nz\n~~~\n```ts\nopen";
  expect(fencedBlocks(text).map(({ language, body }) => [language, body])).toEqual([
    ["js", "x"],
    ["md", "```py\ny\n```"],
    ["", "z"],
  ]);
});
