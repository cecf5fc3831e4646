import { describe, expect, test } from "vitest";
import { openThoughtIn, openThoughtOf, withEmptyThoughts, withoutThoughts } from "../base/thoughts.js";
import { createMember } from "./registry.js";
import { verdictFrom } from "./verdict.js";

const verdictOf = async (entry: string | object, response: string, metadata = {}, prompt = "p") => {
  const { judge } = await createMember(entry as string, { baseDir: "." });
  return (await verdictFrom(judge, { prompt, response, truncated: false, metadata }))?.verdict;
};

/** Marks that chat templates put around thoughts. */
const pairs = [
  ["<think>", "</think>"],
  ["<Think>\n", "\n</Think>\n\n"],
  ["<thinking>", "</thinking>"],
  ["<thought>", "</thought>"],
  ["<reasoning>\n", "</reasoning>\n"],
  ["<seed:think>", "</seed:think>"],
  ['<think duration="3">', "</think>"],
  ["[THINK]", "[/THINK]"],
  ["◁think▷", "◁/think▷"],
  ["<|begin_of_thought|>", "<|end_of_thought|>"],
  ["<|START_THINKING|>", "<|END_THINKING|>"],
  ["<|inner_prefix|>", "<|inner_suffix|>"],
  ["<unused94>thought\n", "<unused95>"],
  ["<|channel>thought\n", "<channel|>"],
  ["<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"],
] as const;

describe.each(pairs)("thoughts between %j and %j", (open, close) => {
  test("are no part of the answer, wherever they stand and whoever opened them", () => {
    expect(withoutThoughts(`${open}Is it 4?${close}It is 5.`)).toBe("It is 5.");
    expect(withoutThoughts(`\n ${open}${close}It is 5.`)).toBe("It is 5.");
    expect(withoutThoughts(`Is it 4?${close}It is 5.`)).toBe("It is 5.");
    expect(withoutThoughts(`It is 5.\n${open}Is it 4?${close}Yes.`)).toMatch(/^It is 5\.\n+Yes\.$/);
    expect(withoutThoughts(`${open}a${close}${open}b${close}It is 5.`)).toBe("It is 5.");
    expect(withoutThoughts(`${open}a ${open} b${close} c${close}It is 5.`)).toBe("It is 5.");
  });

  test("that never end leave no answer", () => {
    expect(withoutThoughts(`${open}It is 5.`)).toBe("");
    expect(withoutThoughts("It is 5.", openThoughtOf(`<|assistant|>\n${open}\n`))).toBe("");
    expect(withoutThoughts(`a${close}It is 5.`, openThoughtOf(`Assistant: ${open}`))).toBe("It is 5.");
    expect(withoutThoughts(`It is 5.\n${open}But then`)).toBe("It is 5.");
  });
});

test.each([
  "No tags at all.",
  "  spaces stay  ",
  "Put it between `<think>` and `</think>`.",
  'The pattern is "<think>" at the start.',
  "Here:\n```py\nre.sub(r'<think>.*?</think>', '', text)\n```",
  "Here:\n```xml\n<think>\nso\n</think>\n<answer>5</answer>\n```",
  "I think > you <thinker> and <b>bold</b>.",
  "a < b and thinking > c",
])("%j holds no thought", (text) => {
  expect(withoutThoughts(text)).toBe(text);
});

test("a thought may hold code, quoted tags and quotations beside its own tags", () => {
  expect(withoutThoughts("<think>\n```py\nx\n</think>\n```py\ny\n```")).toBe("```py\ny\n```");
  expect(withoutThoughts("draft\n```py\nx\n</think>\n```py\ny\n```")).toBe("```py\ny\n```");
  expect(withoutThoughts("<think>I end it with `</think>` then.</think>5")).toBe("5");
  expect(withoutThoughts('<think>"Hm," I say.</think>"Five," she said.')).toBe('"Five," she said.');
  expect(withoutThoughts("<think>x</think>\\boxed{5}")).toBe("\\boxed{5}");
});

test("the prompt tells when it has opened a thought", () => {
  expect(openThoughtOf("<|im_start|>assistant\n<think>\n")).toBe("<think>");
  expect(openThoughtOf("<|im_start|>assistant\n<think>\n\n</think>\n\n")).toBeUndefined();
  expect(openThoughtOf("Use <think> tags.")).toBeUndefined();
  expect(openThoughtIn([{ role: "user", content: "<think>" }])).toBeUndefined();
  expect(openThoughtIn([{ role: "assistant", content: "<think>" }])).toBe("<think>");
});

test("emptied thoughts keep their tags, also one that the template wrote", () => {
  expect(withEmptyThoughts("<think>a <answer> b</think>\n<answer>9</answer>")).toBe(
    "<think></think>\n<answer>9</answer>",
  );
  expect(withEmptyThoughts("a</think><answer>9</answer>")).toBe("<think></think><answer>9</answer>");
  expect(withEmptyThoughts("a</think>b", "<think>")).toBe("<think></think>b");
  expect(withEmptyThoughts("a<b>", undefined)).toBe("a<b>");
});

test("time is linear in what stands in the response", () => {
  const start = performance.now();
  for (const part of [
    "<think>",
    "</think>",
    "<think",
    "[THINK]",
    "<|channel|>analysis",
    "< think ",
    "```\n<think>\n",
  ])
    withoutThoughts(part.repeat(100_000 / part.length));
  expect(performance.now() - start).toBeLessThan(2000);
});

test("every kind of rule judge sees the answer alone", async () => {
  const think = "<think>\\boxed{7}, sorry, I cannot help, 1 2 3 4 5 6 7 8 9</think>\n";
  expect(await verdictOf("math", `${think}\\boxed{5}`, { answer: "5" })).toBe("satisfied");
  expect(await verdictOf("math", "<think>\\boxed{5}</think> I do not know.", { answer: "5" })).toBe(
    "violated",
  );
  expect(await verdictOf("math", "<think>So \\boxed{5}", { answer: "5" })).toBe("violated");
  expect(await verdictOf("exact", `${think}Paris`, { answer: "Paris" })).toBe("satisfied");
  expect(await verdictOf("refusal_regex", `${think}Sure, here it is.`)).toBe("satisfied");
  expect(await verdictOf({ kind: "length", max_words: 2 }, `${think}Two words`)).toBe("satisfied");
  expect(await verdictOf({ kind: "regex", must_not_match: "sorry" }, `${think}Fine.`)).toBe("satisfied");
  expect(await verdictOf({ kind: "format", json: true }, `${think}{"a": 1}`)).toBe("satisfied");
  expect(await verdictOf({ kind: "format", starts_with: "Hi" }, `${think}Hi.`)).toBe("satisfied");
  const noComma = { instruction_id_list: ["punctuation:no_comma"], kwargs: [{}] };
  expect(await verdictOf("instructions", `${think}No mark.`, noComma)).toBe("satisfied");
  const tests = { unit_tests: ["assert.equal(f(), 1)"] };
  const draft = "<think>\n```js\nfunction f() { return 2 }\n```\n</think>\n";
  expect(await verdictOf("code", `${draft}\`\`\`js\nfunction f() { return 1 }\n\`\`\``, tests)).toBe(
    "satisfied",
  );
});

test("strip_thoughts: false shows a judge the whole response", async () => {
  const entry = { kind: "length", max_words: 2, strip_thoughts: false };
  expect(await verdictOf(entry, "<think>a b c</think> Two words")).toBe("violated");
  expect(await verdictOf({ kind: "math", strip_thoughts: false }, "<think>\\boxed{5}", { answer: "5" })).toBe(
    "satisfied",
  );
});

test("a prompt that opens the thought is seen as a text and as a conversation to continue", async () => {
  expect(await verdictOf("math", "\\boxed{5}", { answer: "5" }, "What? <think>\n")).toBe("violated");
  expect(await verdictOf("math", "So.</think>\\boxed{5}", { answer: "5" }, "What? <think>\n")).toBe(
    "satisfied",
  );
});

test("format's tags may be those of the thoughts", async () => {
  const entry = { kind: "format", tags: ["think", "answer"] };
  expect(await verdictOf(entry, "2 and 2.</think><answer>4</answer>")).toBe("satisfied");
  expect(await verdictOf(entry, "2 and 2.</think><answer>4</answer>", {}, "2 + 2?<think>")).toBe("satisfied");
  expect(await verdictOf(entry, "<think>I close <answer> then.</think><answer>4</answer>")).toBe("satisfied");
  expect(await verdictOf(entry, "<think>a</think><think>b</think><answer>4</answer>")).toBe("violated");
  expect(await verdictOf(entry, "<answer>4</answer>")).toBe("violated");
  expect(await verdictOf(entry, "<think>a <answer>4</answer>")).toBe("violated");
  expect(await verdictOf({ ...entry, json: true }, "<think>a</think>")).toBe("violated");
});
