// What changes nothing of an answer changes no verdict: a thought in front, white space around it, Windows line ends.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createMember } from "../src/judges/registry.js";
import { verdictFrom } from "../src/judges/verdict.js";

const cases: [judge: object, response: string, metadata: object][] = [
  [{ kind: "exact" }, "Paris", { answer: "Paris" }],
  [{ kind: "exact" }, "Rome", { answer: "Paris" }],
  [{ kind: "exact", match: "contains" }, "It is 5.", { answer: "5" }],
  [{ kind: "exact", match: "contains" }, "It is 15.", { answer: "5" }],
  [{ kind: "format", json: true }, '{"a": 1}', {}],
  [{ kind: "format", json: true }, '```json\n{"a": 1}\n```', {}],
  [{ kind: "format", json: true }, 'Here: {"a": 1}', {}],
  [{ kind: "format", json_schema: { required: ["b"] } }, '{"a": 1}', {}],
  [{ kind: "format", max_repetition: 0.5 }, "yes-".repeat(60), {}],
  [{ kind: "format", starts_with: "Dear", ends_with: "Bye." }, "Dear Tom.\nBye.", {}],
  [{ kind: "length", max_words: 3 }, "one two three", {}],
  [{ kind: "length", max_words: 3 }, "one two three four", {}],
  [{ kind: "regex", must_match: "\\d+" }, "It is 42.", {}],
  [{ kind: "regex", must_not_match: "sorry" }, "I am sorry.", {}],
  [{ kind: "refusal_regex" }, "I can't help with that.", {}],
  [{ kind: "refusal_regex" }, "Here you are.", {}],
  [{ kind: "math" }, "The final answer is 5.", { answer: "5" }],
  [{ kind: "math" }, "The final answer is 6.", { answer: "5" }],
  [{ kind: "instructions" }, "No mark here.", { if_requirements: ["punctuation:no_comma"] }],
  [{ kind: "instructions" }, "A mark, here.", { if_requirements: ["punctuation:no_comma"] }],
];

const thought = 'Sorry, I cannot help, \\boxed{7}, {"a": 2}, Rome or 9, 9, 9.';

const changes: [what: string, change: (response: string) => string][] = [
  ["a thought in front", (response) => `<think>${thought}</think>\n\n${response}`],
  ["a thought that the template opened", (response) => `${thought}\n</think>\n\n${response}`],
  ["a thought of another family", (response) => `[THINK]${thought}[/THINK]${response}`],
  ["two thoughts", (response) => `<think>${thought}</think>\n<think>${thought}</think>${response}`],
  ["white space around it", (response) => `\n\n${response}\n\n`],
  ["Windows line ends", (response) => response.replaceAll("\n", "\r\n")],
];

test.each(changes)("%s changes no verdict", async (_, change) => {
  for (const [entry, response, metadata] of cases) {
    const { judge } = await createMember(entry as Record<string, unknown>, { baseDir: "." });
    const verdictOf = async (text: string) =>
      (await verdictFrom(judge, { prompt: "p", response: text, truncated: false, metadata: { ...metadata } }))
        ?.verdict;
    const plain = await verdictOf(response);
    expect(["satisfied", "violated"]).toContain(plain);
    expect([entry, response, await verdictOf(change(response))]).toEqual([entry, response, plain]);
  }
});

test("a thought in front of a refusal or an answer changes nothing, on every labelled response", async () => {
  const { judge } = await createMember("refusal_regex", { baseDir: "." });
  const file = new URL("fixtures/judges/refusals.jsonl", import.meta.url);
  const verdictOf = async (response: string) =>
    (await verdictFrom(judge, { prompt: "p", response, truncated: false, metadata: {} }))?.verdict;
  for (const line of readFileSync(file, "utf8").trim().split("\n")) {
    const { response } = JSON.parse(line) as { response: string };
    expect([response, await verdictOf(`<think>${thought}</think>\n${response}`)]).toEqual([
      response,
      await verdictOf(response),
    ]);
  }
});
