import { expect, test } from "vitest";
import { fencedBlocks } from "../../base/fences.js";
import { createMember } from "../registry.js";
import { verdictFrom } from "../verdict.js";
import { programIn } from "./code.js";
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

test.each([
  // [options, response, answer]
  [{ match: "contains" }, "anything at all", ""],
  [{ match: "contains" }, "anything at all", "  "],
  [{ match: "contains" }, "no idea", ["Paris", ""]],
  [{ match: "contains", ignore_articles: true }, "I choose C", "A"],
  [{ match: "contains", ignore_punctuation: true }, "I choose C", "?"],
  [{ match: "contains", ignore_articles: true, ignore_punctuation: true }, "I choose C", "(the)"],
  [{ ignore_articles: true }, "", "A"],
  [{ ignore_articles: true }, "the", "A"],
  [{ ignore_articles: true, ignore_case: true }, "vitamin", "vitamin A"],
  [{ ignore_punctuation: true }, "15", "1.5"],
  [{ ignore_punctuation: true }, "15", "1,5"],
  [{ ignore_punctuation: true }, "5", "-5"],
  [{ ignore_punctuation: true }, "5", "\u22125"],
  [{ ignore_punctuation: true }, "5", ".5"],
  [{ ignore_punctuation: true }, "12", "1/2"],
  [{ ignore_punctuation: true }, "1230", "12:30"],
  [{ match: "contains" }, "ANSWER: C", "A"],
  [{ match: "contains" }, "It is 15.", "5"],
  [{ match: "contains" }, "It is -5.", "5"],
  [{ match: "contains" }, "It is 5.2.", "5"],
  [{ match: "contains" }, "It is 1,500.", "500"],
  [{ match: "contains" }, "It is 0.5.", "5"],
  [{ match: "contains" }, "It is .5.", "5"],
  [{ match: "contains" }, "I do not know.", "no"],
])("exact %j: %j is not %j", async (options, response, answer) => {
  expect(await verdictOf({ kind: "exact", ...options }, response, { answer })).toBe("violated");
});

test.each([
  [{ match: "contains" }, "It is 5.", "5"],
  [{ match: "contains" }, "(5)", "5"],
  [{ match: "contains" }, "x=5, of course", "5"],
  [{ match: "contains" }, "From 10-5 we get it", "5"],
  [{ match: "contains" }, "答案是东京。", "东京"],
  [{ match: "contains" }, "Paris's towers", "Paris"],
  [{ match: "contains", ignore_case: true }, "option a", "A"],
  [{ match: "contains", ignore_punctuation: true }, "It costs $1,234.50!", "1234.50"],
  [{ ignore_punctuation: true }, "-1.5!", "-1.5"],
  [{ ignore_punctuation: true }, "1,000", "1000"],
  [{ ignore_punctuation: true, ignore_case: true }, "'Well-known'", "wellknown"],
  [{ ignore_articles: true }, "A tale of the city", "tale of city"],
  [{ ignore_articles: true, ignore_case: true }, "THE cat", "A Cat"],
  [{}, "\u22125", "-5"],
  [{}, "true", true],
  [{}, "", ""],
])("exact %j: %j is %j", async (options, response, answer) => {
  expect(await verdictOf({ kind: "exact", ...options }, response, { answer })).toBe("satisfied");
});

test.each([{ value: "x" }, [], [null], [["a"]], [{}]])("exact fails on the reference %j", async (answer) => {
  expect(await verdictOf({ kind: "exact" }, "[object Object]", { answer })).toBe("failed");
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

test.each([
  ["Windows line ends", '```json\r\n{"a": 1}\r\n```', true],
  ["a byte order mark", '\uFEFF{"a": 1}', true],
  ["a byte order mark before a fence", '\uFEFF```json\n{"a": 1}\n```', true],
  ["a fence without a label", '```\n{"a": 1}\n```\n', true],
  ["tildes", '~~~json\n{"a": 1}\n~~~', true],
  ["white space", ' \r\n\t{"a": 1}\n\n', true],
  ["a fence in a string", '{"a": "```js\\nx\\n```"}', true],
  ["a number", "12", true],
  ["an open fence", '```json\n{"a": 1}', false],
  ["two fences", '```json\n{"a": 1}\n```\n```json\n{"a": 1}\n```', false],
  ["prose around a fence", 'Here:\n```json\n{"a": 1}\n```', false],
  ["a comment", '{"a": 1} // one', false],
  ["single quotes", "{'a': 1}", false],
  ["nothing", "", false],
])("format takes JSON with %s: %j -> %j", async (_, response, isJson) => {
  expect(await verdictOf({ kind: "format", json: true }, response)).toBe(isJson ? "satisfied" : "violated");
});

test("format says what stands around the one code fence", async () => {
  const { judge } = await createMember({ kind: "format", json: true }, context);
  const input = { prompt: "p", response: 'Sure:\n```json\n{"a": 1}\n```', truncated: false, metadata: {} };
  expect((await verdictFrom(judge, input))?.reason).toBe(
    "there is text around the code fence; the response must be the JSON alone, bare or in one fence",
  );
});

const draft7 = "http://json-schema.org/draft-07/schema#";
const draft2020 = "https://json-schema.org/draft/2020-12/schema";

test.each<[object, unknown, boolean]>([
  [{ type: "object", required: ["a"] }, {}, false],
  [{ required: ["a", "b"] }, { a: 1 }, false],
  [{ required: ["a"] }, { a: null }, true],
  [{ properties: { a: { type: "integer" } }, required: ["a"] }, { a: "x" }, false],
  [{ type: "object", properties: { a: { minimum: 3 } } }, { a: 1 }, false],
  [{ type: "object", properties: { a: { minimum: 3 } } }, { a: 3 }, true],
  [{ minLength: 2 }, "x", false],
  [{ maxItems: 1 }, [1, 2], false],
  [{ enum: [1, "b"] }, "1", false],
  [{ const: { a: [1] } }, { a: [1] }, true],
  [{ type: ["string", "null"] }, null, true],
  [{ not: { type: "string" } }, "x", false],
  [{ oneOf: [{ type: "integer" }, { minimum: 2 }] }, 3, false],
  [JSON.parse('{"if": {"properties": {"k": {"const": 1}}}, "then": {"required": ["v"]}}'), { k: 1 }, false],
  [{ additionalProperties: false, properties: { a: {} } }, { a: 1, b: 2 }, false],
  [{ $defs: { n: { type: "number" } }, type: "array", items: { $ref: "#/$defs/n" } }, [1, "2"], false],
  [{ type: "array", prefixItems: [{ type: "string" }], items: false }, ["a", 1], false],
  [{ dependentRequired: { a: ["b"] } }, { a: 1 }, false],
  [{ type: "array", uniqueItems: true }, [1, 1], false],
  [{ patternProperties: { "^n": { type: "number" } } }, { n1: "x" }, false],
  [{ propertyNames: { pattern: "^[a-z]+$" } }, { A: 1 }, false],
  [{ type: "string", format: "date" }, "2024-02-30", false],
  [{ type: "string", format: "date" }, "2024-02-29", true],
  [{ type: "string", format: "email" }, "no", false],
  [{ multipleOf: 0.01 }, 0.29, true],
  [{ type: "integer" }, 3.0, true],
  // Draft-07 alone knows these; the second and third without being named.
  [{ $schema: draft7, items: [{ type: "string" }], additionalItems: false }, ["a", 1], false],
  [{ type: "array", items: [{ type: "string" }], additionalItems: false }, ["a"], true],
  [{ dependencies: { a: ["b"] } }, { a: 1 }, false],
  [{ $schema: draft2020, unevaluatedProperties: false, properties: { a: {} } }, { b: 1 }, false],
  [{ contains: { type: "string" }, minContains: 2 }, ["a", 1], false],
])("the schema %j: %j -> %j", async (schema, value, isValid) => {
  const entry = { kind: "format", json_schema: schema };
  expect(await verdictOf(entry, JSON.stringify(value))).toBe(isValid ? "satisfied" : "violated");
});

test.each([
  { type: "foo" },
  { requried: ["a"] },
  { type: "string", format: "colour" },
  { $ref: "https://example.com/other.json" },
  { $schema: "http://json-schema.org/draft-03/schema#" },
  { $async: true, type: "string" },
  { pattern: "(a" },
])("the schema %j is refused with a sentence", async (schema) => {
  const attempt = createMember({ kind: "format", json_schema: schema }, context);
  await expect(attempt).rejects.toThrow('option "json_schema" cannot be used: ');
});

test("no response hangs or breaks a schema", async () => {
  const pattern = { kind: "format", json_schema: { pattern: "^(a+)+$" } };
  expect(await verdictOf(pattern, JSON.stringify(`${"a".repeat(50_000)}b`))).toBe("violated");
  const tree = { $defs: { t: { items: { $ref: "#/$defs/t" } } }, $ref: "#/$defs/t" };
  const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
  expect(await verdictOf({ kind: "format", json_schema: tree }, deep)).toBe("violated");
});

test.each([
  ["Chinese", "\u597d\u7684\u3002".repeat(40), true],
  ["Japanese", "\u306f\u3044\u3001\u305d\u3046\u3067\u3059\u3002".repeat(20), true],
  ["Thai", "\u0e14\u0e35\u0e21\u0e32\u0e01".repeat(60), true],
  ["one long word", "ha".repeat(200), true],
  ["hyphens", "yes-".repeat(100), true],
  ["one mark", "!".repeat(300), true],
  ["words", "the answer is 1/2 ".repeat(20), true],
  ["lines of one word", "Yes.\n".repeat(40), true],
  [
    "a numbered list of one thing",
    Array.from({ length: 40 }, (_, i) => `${i + 1}. Be kind.`).join("\n"),
    true,
  ],
  ["bullets of one word", "- kind\n".repeat(40), true],
  [
    "an alphabet",
    "the quick brown fox jumps over the lazy dog while seven boats leave the old harbour",
    false,
  ],
  ["digits that differ", Array.from({ length: 100 }, (_, i) => i * i).join(" "), false],
  [
    "a Chinese sentence",
    "\u6c34\u5728\u6807\u51c6\u5927\u6c14\u538b\u4e0b\u4e8e\u4e00\u767e\u6444\u6c0f\u5ea6\u6cb8\u817e\u3002",
    false,
  ],
  ["nothing", "", false],
])("repetition is seen in %s", async (_, text, isRepeated) => {
  const entry = { kind: "format", max_repetition: 0.5 };
  expect(await verdictOf(entry, text)).toBe(isRepeated ? "violated" : "satisfied");
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

test("fenced blocks stand at any indentation, in lists and quotations", () => {
  const bodies = (text: string) => fencedBlocks(text).map(({ language, body }) => [language, body]);
  expect(bodies("1. Do:\n   ```py\n   def f():\n       return 1\n   ```")).toEqual([
    ["py", "def f():\n    return 1"],
  ]);
  expect(bodies("- ```py\n  a\n  ```\n- ```py\n  b\n  ```")).toEqual([
    ["py", "a"],
    ["py", "b"],
  ]);
  expect(bodies("        ```js\n        x\n        ```")).toEqual([["js", "x"]]);
  expect(bodies("> ```js\n> x\n> ```")).toEqual([["js", "x"]]);
  expect(bodies("\t```js\n\tx\n\t```")).toEqual([["js", "x"]]);
  expect(bodies("```py\r\nx\r\n```\r\n")).toEqual([["py", "x"]]);
  // Inside of a documentation string.
  expect(bodies('```py\ndef f():\n    """\n    ```\n    """\n```')).toEqual([
    ["py", 'def f():\n    """\n    ```\n    """'],
  ]);
  const [block] = fencedBlocks("ab\n```js\nx\n```\ncd");
  expect([block!.start, block!.end, block!.whole]).toEqual([3, 14, "```js\nx\n```"]);
});

const good = "function f() { return 1 }";
const bad = "function f() { return 2 }";

test.each<[what: string, response: string]>([
  ...[
    "js",
    "JavaScript",
    "jsx",
    "mjs",
    "ts",
    "tsx",
    "node",
    "nodejs",
    "es6",
    "solution.js",
    "src/f.ts",
    "js:f.js",
  ].map((label): [string, string] => [label, `\`\`\`${label}\n${good}\n\`\`\``]),
  ["a title", `\`\`\`js title="f.js"\n${good}\n\`\`\``],
  ["braces", `\`\`\`{.js}\n${good}\n\`\`\``],
  ["a space", `\`\`\` js\n${good}\n\`\`\``],
  ["an unlabelled block before", `\`\`\`\nf() -> 1\n\`\`\`\nSo:\n\`\`\`js\n${good}\n\`\`\``],
  ["an unlabelled program before", `\`\`\`\n${bad}\n\`\`\`\nSo:\n\`\`\`js\n${good}\n\`\`\``],
  ["output after", `\`\`\`js\n${good}\n\`\`\`\nOutput:\n\`\`\`\n1\n\`\`\``],
  ["other languages before", `\`\`\`bash\nnpm i\n\`\`\`\n\`\`\`json\n{}\n\`\`\`\n\`\`\`js\n${good}\n\`\`\``],
  ["only unlabelled ones", `\`\`\`\nf() -> 1\n\`\`\`\n\`\`\`\n${good}\n\`\`\``],
])("the program is found with the label %s", (_, response) => {
  expect(programIn(response, "first", "javascript")).toBe(good);
});

test.each([
  "py",
  "Python",
  "py3",
  "python3",
  "python3.11",
  "ipython",
  "main.py",
  "python:main.py",
  "{.python}",
])("the Python program is found with the label %s", (label) => {
  const program = "def f():\n    return 1";
  expect(programIn(`Here:\n\`\`\`${label}\n${program}\n\`\`\``, "first", "python")).toBe(program);
});

test.each(["json", "jsonc", "pycon", "text", "bash", "java", "output"])(
  "a block of %s is no program",
  (label) => {
    const response = `\`\`\`${label}\n${good}\n\`\`\``;
    expect(programIn(response, "first", "javascript")).toBeUndefined();
    expect(programIn(response, "first", "python")).toBeUndefined();
  },
);
