// What changes nothing of an answer changes no verdict: a thought in front, white space around it, Windows line ends, another
// dress of the same. A sign or digit that is another one changes every verdict.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createMember } from "../src/judges/registry.js";
import { verdictFrom } from "../src/judges/verdict.js";
import { variants } from "./support/judge-variants.js";

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

async function judged(entry: object, response: string, metadata: object = {}) {
  const { judge } = await createMember(entry as Record<string, unknown>, { baseDir: "." });
  const input = { prompt: "p", response, truncated: false, metadata: { ...metadata } };
  return (await verdictFrom(judge, input))?.verdict;
}

const thought = 'Sorry, I cannot help, \\boxed{7}, {"a": 2}, Rome or 9, 9, 9.';

const changes: [what: string, change: (response: string) => string][] = [
  ["a thought in front", (response) => `<think>${thought}</think>\n\n${response}`],
  ["a thought that the template opened", (response) => `${thought}\n</think>\n\n${response}`],
  ["a thought of another family", (response) => `[THINK]${thought}[/THINK]${response}`],
  ["two thoughts", (response) => `<think>${thought}</think>\n<think>${thought}</think>${response}`],
  ["white space around it", (response) => `\n\n${response}\n\n`],
  ["Windows line ends", (response) => response.replace(/\r?\n/g, "\r\n")],
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

// The same over the whole table of variants, as far as a response's own thoughts are not what its row is about.

const plain = Object.entries(variants)
  .filter(([kind]) => !/^(?:E4|E7|C\d|L\d|ok: (?:replies|Python|JavaScript|where))/.test(kind))
  .flatMap(([, rows]) => rows)
  .filter(({ judge, prompt, expected }) => prompt === undefined && !judge.tags && expected !== "failed");

test.each(changes)("%s changes no verdict of the table of variants", async (_, change) => {
  expect(plain.length).toBeGreaterThan(150);
  const changed: unknown[] = [];
  for (const { judge, response, metadata, expected } of plain) {
    const verdict = await judged(judge, change(response), metadata);
    if (verdict !== expected) changed.push([judge, response, metadata, verdict]);
  }
  expect(changed).toEqual([]);
});

// What each kind has of its own: other words or marks for the same response.

const fence = "```";
const jsTests = { unit_tests: ["assert.equal(f(2), 4)", { call: "f", args: [3], expected: 6 }] };
const pyTests = { unit_tests: ["assert f(2) == 4", { call: "f", args: [3], expected: 6 }] };
const [js, py] = [
  { right: "function f(x) {\n  return 2 * x;\n}", wrong: "function f(x) {\n  return 2 * x + 1;\n}" },
  { right: "def f(x):\n    return 2 * x", wrong: "def f(x):\n    return 2 * x + 1" },
];
const indented = (text: string, by: string) => text.replace(/^(?=.)/gm, by);

const blockDresses: ((source: string, labels: readonly string[]) => string[])[] = [
  (source, labels) => labels.map((label) => `${fence}${label}\n${source}\n${fence}`),
  (source, [label]) => [
    `Here it is:\n\n${fence}${label}\n${source}\n${fence}\n\nIt doubles.`,
    `1. First:\n\n${indented(`${fence}${label}\n${source}\n${fence}`, "   ")}\n2. Done.`,
    `> ${fence}${label}\n${indented(source, "> ")}\n> ${fence}`,
    `~~~~${label}\n${source}\n~~~~`,
    `${fence}${label}\r\n${source.replaceAll("\n", "\r\n")}\r\n${fence}\r\n`,
    `${fence}${label}\n\n\n${source}\n\n\n${fence}`,
    `${fence}text\nf(2) -> 4\n${fence}\nSo:\n${fence}${label}\n${source}\n${fence}`,
    `<think>\n${fence}${label}\nsyntax error(\n${fence}\n</think>\n${fence}${label}\n${source}\n${fence}`,
  ],
];

test.each([
  ["javascript", js, jsTests, ["js", "javascript", "JavaScript", "ts", "node", "f.js", "js title=f.js"]],
  ["python", py, pyTests, ["python", "py", "Python3", "python3.12", "f.py", "{.python}"]],
] as const)(
  "code, %s: another dress of the block changes no verdict",
  async (language, sources, tests, labels) => {
    const judge = { kind: "code", language };
    for (const dress of blockDresses) {
      for (const response of dress(sources.right, labels))
        expect([response, await judged(judge, response, tests)]).toEqual([response, "satisfied"]);
      for (const response of dress(sources.wrong, labels).slice(0, 3))
        expect([response, await judged(judge, response, tests)]).toEqual([response, "violated"]);
    }
  },
);

const sameResponse: [what: string, judge: object, metadata: object, first: string, others: string[]][] = [
  [
    "math: synonyms, spacing, wrappers",
    { kind: "math" },
    { answer: "\\frac{3}{4}" },
    "The final answer is \\frac{3}{4}.",
    [
      "The final answer is $\\dfrac{3}{4}$.",
      "the Final Answer is: \\( \\tfrac 3 4 \\)",
      "**The final answer is \\frac 34**",
      "So\n\n$$\\boxed{ \\displaystyle \\frac{3}{4} }$$",
      "\\boxed{\\color{red}{\\frac{3}{4}}}",
      "The final answer is `3/4`.",
      "The final answer is 0.75.",
      "The final answer is ¾.",
      "The final answer is \\left(\\frac{3}{4}\\right).",
    ],
  ],
  [
    "format: another layout of the JSON",
    { kind: "format", json_schema: { required: ["a"] } },
    {},
    '{"a":[1,2],"b":null}',
    [
      '{\n  "a": [\n    1,\n    2\n  ],\n  "b": null\n}',
      '{"b":null,"a":[1,2]}',
      '```json\n{"a":[1,2],"b":null}\n```',
      '\uFEFF{"\\u0061":[1,2],"b":null}',
    ],
  ],
  [
    "exact: composition of characters and white space",
    { kind: "exact" },
    { answer: "Crème brûlée" },
    "Crème brûlée",
    ["Cre\u0300me bru\u0302le\u0301e", "  Crème \n brûlée ", "Crème\u00a0brûlée"],
  ],
  [
    "refusal: apostrophes, emphasis, spacing",
    { kind: "refusal_regex" },
    {},
    "I'm sorry, but I can't help with that.",
    [
      "I’m sorry, but I can’t help with that.",
      "**I'm sorry**, but I *can't* help with that.",
      "I'm sorry,\u00a0but I  can't help with that.",
      "I'm sorry, but I cannot help with that.",
      "I'M SORRY, BUT I CAN'T HELP WITH THAT.",
    ],
  ],
  [
    "length: spaces between words",
    { kind: "length", max_words: 3 },
    {},
    "one two three",
    ["one  two\tthree", "one\ntwo\n\nthree", "one\u00a0two three"],
  ],
  [
    "instructions: bullets of either kind, capitals of keywords",
    { kind: "instructions" },
    {
      if_requirements: [
        { id: "detectable_format:number_bullet_lists", num_bullets: 2 },
        { id: "keywords:existence", keywords: ["sea"] },
      ],
    },
    "* the sea\n* a ship",
    ["- the sea\n- a ship", "- the SEA\n- a ship", "* the sea\n\n* a ship", "* the sea\r\n* a ship"],
  ],
];

test.each(sameResponse)("%s change no verdict", async (_, judge, metadata, first, others) => {
  const verdict = await judged(judge, first, metadata);
  expect(["satisfied", "violated"]).toContain(verdict);
  for (const other of others) expect([other, await judged(judge, other, metadata)]).toEqual([other, verdict]);
});

// A sign or a digit that is another one changes every verdict.

/** The number with another sign, and with each digit changed in turn. */
function flipped(number: string): string[] {
  const sign = number.startsWith("-") ? number.slice(1) : `-${number}`;
  const digits = [...number].flatMap((char, i) =>
    /\d/.test(char) ? [number.slice(0, i) + ((Number(char) + 3) % 10) + number.slice(i + 1)] : [],
  );
  return [sign, ...digits];
}

const numbers = ["5", "-17", "1024", "3.25", "-0.5", "1000003", "12345678901234567891"];

test.each(numbers)("%s with another sign or digit is no answer, whatever the judge", async (number) => {
  const asked: [judge: object, response: (given: string) => string, metadata: object][] = [
    [{ kind: "math" }, (given) => `The final answer is ${given}.`, { answer: number }],
    [{ kind: "math" }, (given) => `\\boxed{x = ${given}\\text{ cm}}`, { answer: `${number} cm` }],
    [{ kind: "math" }, (given) => `\\boxed{\\left(1, ${given}\\right]}`, { answer: `(1, ${number}]` }],
    [{ kind: "exact" }, (given) => given, { answer: number }],
    [{ kind: "exact", ignore_punctuation: true }, (given) => `${given}.`, { answer: number }],
    [{ kind: "exact", match: "contains" }, (given) => `It is ${given}, of course.`, { answer: number }],
    [
      { kind: "regex", must_match: `(?:^|[^-\\d.])${number.replace(".", "\\.")}(?:$|[^\\d.])` },
      (given) => `It is ${given}, of course.`,
      {},
    ],
    [{ kind: "format", json_schema: { const: [Number(number)] } }, (given) => `[${given}]`, {}],
  ];
  for (const [judge, response, metadata] of asked) {
    // (1, -17] and the like are no intervals; a double does not hold all digits.
    if (response("").includes("1, ") && Number(number) < 1) continue;
    if ("json_schema" in judge && !Number.isSafeInteger(Number(number) * 100)) continue;
    expect([judge, number, await judged(judge, response(number), metadata)]).toEqual([
      judge,
      number,
      "satisfied",
    ]);
    for (const other of flipped(number)) {
      const verdict = await judged(judge, response(other), metadata);
      expect([judge, number, other, verdict]).toEqual([judge, number, other, "violated"]);
    }
  }
});

test("a test that expects another sign or digit is not passed", async () => {
  const expectations = ["6", ...flipped("6"), "61", "0.6"];
  for (const [language, source, test] of [
    ["javascript", js.right, (value: string) => `assert.equal(f(3), ${value})`],
    ["python", py.right, (value: string) => `assert f(3) == ${value}`],
  ] as const)
    for (const value of expectations)
      for (const unit of [test(value), { call: "f", args: [3], expected: Number(value) }]) {
        const response = `${fence}${language}\n${source}\n${fence}`;
        const verdict = await judged({ kind: "code", language }, response, { unit_tests: [unit] });
        expect([language, unit, verdict]).toEqual([language, unit, value === "6" ? "satisfied" : "violated"]);
      }
});
