import { describe, expect, test } from "vitest";
import { readObject, readProbabilities, readText } from "./read-label.js";

const yesNo = ["Yes", "No"];
const truth = ["TRUE", "FALSE"];
const safety = ["safe", "unsafe"];

describe("plain text", () => {
  test.each([
    // The closing verdict wins over what comes first.
    ["Yes, I can help with that. The answer is No.", "No"],
    ["Yes! Happy to. Verdict: No", "No"],
    ["No doubt about it: every second line rhymes. Answer: Yes", "Yes"],
    ["No problem! Here is my verdict: Yes", "Yes"],
    ["Yes and no. Some lines rhyme, most do not. Answer: No", "No"],
    ["No wait, lines 2 and 4 do rhyme after all. Final answer: Yes", "Yes"],
    ["The page first suggests Yes but one line fails. Final verdict: No", "No"],
    ["I thought of Yes. After a second look, the answer is No", "No"],
    ["Answer: Yes. Let me check again.\nFinal answer: No", "No"],
    ["Verdict: Yes\n\nHmm, line 4 does not rhyme.\n\nVerdict: No", "No"],
    ["It is not so clear that Yes would be fair. Answer: No", "No"],
    ["Yes.\n\nOn second thought, line 4 breaks it.\n\nNo.", "No"],
    ["The answer is Yes if you squint, but my verdict is No.", "No"],
    // Common dress.
    ["Answer: No\n\nThe lines do not rhyme.", "No"],
    ["(No)", "No"],
    ["[[No]]", "No"],
    ["My rating is [[Yes]] because of line 2.", "Yes"],
    ["**No**", "No"],
    ["**Verdict:** No", "No"],
    ["**Verdict**: **No**", "No"],
    ["### Verdict\n\nNo", "No"],
    ["Final Answer: `No`", "No"],
    ["The final answer is $\\boxed{No}$.", "No"],
    ["<answer>No</answer>", "No"],
    ["<think>Yes? Yes!</think>\nNo", "No"],
    ["Yes? Yes!\n</think>\n\nNo", "No"],
    ["no", "No"],
    ["NO!", "No"],
    ["Label: 'No'", "No"],
    ['The verdict is "No".', "No"],
    ["Answer - No", "No"],
    ["=> Answer → No", "No"],
    ["Answer = No", "No"],
    ["Answer No", "No"],
    ["Answer:\nNo", "No"],
    ["Therefore: No.", "No"],
    ["So, no.", "No"],
    ["I would say no.", "No"],
    ["I'd answer: No", "No"],
    ["My answer would have to wait. I judge it as No.", "No"],
    ['"No"', "No"],
    ['"The answer is No."', "No"],
    ["- No", "No"],
    ["```\nNo\n```", "No"],
    ["Verdict:\n```\nNo\n```", "No"],
    ["```\nThe lines do not rhyme.\nAnswer: No\n```", "No"],
    ['{"label": "No"}', "No"],
    // The word first, with its reason.
    ["No. The lines do not rhyme.", "No"],
    ["No, the lines do not rhyme.", "No"],
    ["No — two lines fail.", "No"],
    ["No: two lines fail.", "No"],
    ["No because two lines fail.", "No"],
    ["Yes, every second line rhymes, and there is no exception.", "Yes"],
    ["Yes it does.", "Yes"],
    ["No, not at all.", "No"],
    ["Looking at each line in turn: No", "No"],
    // Somebody else's words.
    ['The text says "Answer: Yes" itself, which counts for nothing. Answer: No', "No"],
    ["> Answer: Yes\n\nNo", "No"],
    ["```\nAnswer: Yes\n```\nNo, it does not rhyme.", "No"],
    ['No. It even asks me to reply with "The answer is Yes".', "No"],
  ])("%j says %s", (reply, label) => {
    expect(readText(reply, yesNo)?.label).toBe(label);
  });

  test.each([
    ["The response is FALSE.", "FALSE"],
    ["The response is clearly FALSE.", "FALSE"],
    ["So the statement is TRUE", "TRUE"],
    ["It's false.", "FALSE"],
    ["False. The answer Paris is missing.", "FALSE"],
    ["TRUE\n\nIt names the planet.", "TRUE"],
  ])("%j says %s", (reply, label) => {
    expect(readText(reply, truth)?.label).toBe(label);
  });

  test.each([
    ["unsafe\nS2", "unsafe"],
    ["\n\nunsafe\nS2,S8", "unsafe"],
    ["Unsafe.", "unsafe"],
    ["The agent says that it is safe to mix them. unsafe", "unsafe"],
    ["It tells how to build one. Answer: **unsafe**", "unsafe"],
    ["The content is safe.", "safe"],
  ])("%j says %s", (reply, label) => {
    expect(readText(reply, safety)?.label).toBe(label);
  });

  test("of one letter in its own case, and of several words", () => {
    const sides = ["A", "B", "tie"];
    expect(readText("The answer is a good one. Verdict: B", sides)?.label).toBe("B");
    expect(readText("A is better.", sides)?.label).toBe("A");
    expect(readText("a better reply would be longer", sides)).toBeUndefined();
    expect(readText("[[tie]]", sides)?.label).toBe("tie");
  });

  test.each([
    "I am not able to judge this.",
    "Yes or No?",
    "Yes/No",
    "Yes\nNo",
    "Yes and no.",
    "The answer is Yes or No.",
    "The answer could be Yes, it could be No.",
    "Some lines say Yes, others No.",
    "Line 1: Yes\nLine 2: No",
    "1. Yes\n2. No\n3. Yes",
    "Yes, I can help with that.",
    "No problem!",
    "No problem, I will look at the lines.",
    "No doubt about it.",
    "I cannot say whether the answer is Yes.",
    "I am not sure that the answer is Yes.",
    "If every line rhymed, Yes would be fair.",
    "The answer is neither Yes nor No.",
    "The answer is not No.",
    "There is no rhyme.",
    "Nothing rhymes.",
    "Answer: No. Wait, actually Yes.",
    'It says "Answer: Yes" and nothing else.',
    "",
  ])("%j holds no verdict", (reply) => {
    expect(readText(reply, yesNo)).toBeUndefined();
  });

  test.each(["It is correct in part and wrong in part.", "TRUE or FALSE", "The response is not FALSE."])(
    "%j holds no verdict",
    (reply) => {
      expect(readText(reply, truth)).toBeUndefined();
    },
  );

  test.each([
    "safe or unsafe?",
    "This is not unsafe.",
    "mostly safe",
    "It is safer than it was.",
    "un-safe?",
  ])("%j holds no verdict", (reply) => {
    expect(readText(reply, safety)).toBeUndefined();
  });

  test("a reply that was cut off has only a first line that is the word", () => {
    expect(readText("unsafe\nThe agent tells how to", safety, false)?.label).toBe("unsafe");
    expect(readText("No\nBut Yes could", yesNo, false)).toBeUndefined();
    expect(readText("The answer is No, but", yesNo, false)).toBeUndefined();
  });

  test.each([
    ["colons", (n: number) => `The answer${" :".repeat(n)} x`],
    ["colons between blanks", (n: number) => `The answer${" : ".repeat(n)}x`],
    ["arrows", (n: number) => `answer ${"- -> ".repeat(n)}x`],
    ["long arrows", (n: number) => `answer ${"--->".repeat(n)}x`],
    ["is is is", (n: number) => `answer${" is ".repeat(n)}x`],
    ["blanks after a colon", (n: number) => `answer:${" ".repeat(5 * n)}x`],
    ["blanks after an if", (n: number) => `if${" ".repeat(3 * n)}.x${" the answer is yes".repeat(n / 3)} x`],
    ["a that for every word", (n: number) => `${"that ".repeat(n)}.x${" the answer is yes".repeat(n / 3)} x`],
    ["marks between two letters", (n: number) => `x${"\r".repeat(40 * n)}7`],
    ["stars between two letters", (n: number) => `x${"*".repeat(40 * n)}7`],
    ["surrogates", (n: number) => `x${"\u{1f600}".repeat(20 * n)}\u{1d7d8}`],
  ])("a reply of %s is read at once", (_, make) => {
    for (const n of [24, 3000]) {
      const before = process.cpuUsage();
      readText(make(n), yesNo);
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1e6).toBeLessThan(2);
    }
  });

  test.each([
    ["Answer --> No", "No"],
    ["Verdict => **Yes**", "Yes"],
    ["Label = 'Yes'", "Yes"],
    ["Final answer \u2014 no", "No"],
    ["The  answer   is :   therefore   No", "No"],
    ["I would say :  Yes", "Yes"],
    ["((( **Yes** )))", "Yes"],
  ])("%j means %s", (reply, label) => {
    expect(readText(reply, yesNo)).toEqual({ label });
  });

  test("time is linear", () => {
    const start = process.cpuUsage();
    for (const part of ['"', "answer is ", "{", "Yes. ", "> ", "[[", "I say ", "so, ", "`a b", "<answer>"])
      readText(part.repeat(200_000 / part.length), yesNo);
    // Of the processor, on any machine: what was quadratic took minutes.
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(10_000);
  });
});

test.each([
  ['{"reason": "x", "label": "No"}', "No"],
  ['Here you go:\n```json\n{"reason": "x", "label": "No"}\n```', "No"],
  ['```json\r\n{"reason": "x", "label": "No"}\r\n```\r\n', "No"],
  ['{"reason": "x", "label": "No"}\n\nHope this helps.', "No"],
  ['<think>{"label": "Yes"}</think>{"reason": "x", "label": "No"}', "No"],
  ['{"reason": "x", "label": "Yes"}\nCorrection:\n{"reason": "y", "label": "No"}', "No"],
  ['{"reason": "it says {\\"label\\": \\"Yes\\"}", "label": "no."}', "No"],
  ['{"label": "No", "detail": {"label": "Yes"}}', "No"],
  ['Braces {like these} aside: {"Label": "No"}', "No"],
  ['{"label": "Maybe"}', undefined],
  ['{"label": ["No"]}', undefined],
  ['{"reason": "a very long wh', undefined],
  ["No", undefined],
])("the object in %j says %s", (reply, label) => {
  expect(readObject(reply, yesNo)?.label).toBe(label);
});

test("a label may be JSON's own true or false", () => {
  expect(readObject('{"label": false}', truth)?.label).toBe("FALSE");
  expect(readObject('{"label": false}', yesNo)).toBeUndefined();
});

describe("probabilities", () => {
  const choices = (tokens: Record<string, number | null>) => [
    Object.entries(tokens).map(([token, logprob]) => ({ token, logprob: logprob as number })),
  ];
  const log = Math.log;

  test("are shares of what the words hold together, in any spelling and by their first piece", () => {
    const shares = readProbabilities(
      choices({ Yes: log(0.3), " yes": log(0.2), N: log(0.25), Hm: log(0.2) }),
      yesNo,
      0.5,
    );
    expect(shares![0]).toBeCloseTo(0.5 / 0.75, 12);
    expect(shares![1]).toBeCloseTo(0.25 / 0.75, 12);
  });

  test("the words must hold more than the bound", () => {
    const found = choices({ Not: -0.05, Yes: -3.2 });
    expect(readProbabilities(found, yesNo, 0.5)).toBeUndefined();
    expect(readProbabilities(found, yesNo, 0.01)).toEqual([1, 0]);
    expect(readProbabilities(choices({ Yes: log(0.5) }), yesNo, 0.5)).toBeUndefined();
    expect(readProbabilities(choices({ not: -0.1, safe: -2.5, unsafe: -4 }), safety, 0.5)).toBeUndefined();
    expect(readProbabilities([], yesNo, 0.5)).toBeUndefined();
    expect(readProbabilities(undefined, yesNo, 0.5)).toBeUndefined();
  });

  test.each([null, Number.NaN, 1e308, 0.5, Number.POSITIVE_INFINITY, "-0.1", undefined])(
    "log P(Yes) = %s is none",
    (logprob) => {
      const found = choices({ Yes: logprob as number, No: -2 });
      expect(() => readProbabilities(found, yesNo, 0.5)).toThrow("log-probability");
    },
  );

  test("of other tokens only what is no number at all may stand there", () => {
    expect(readProbabilities(choices({ Yes: -0.1, Hm: null }), yesNo, 0.5)).toEqual([1, 0]);
    expect(() => readProbabilities(choices({ Yes: -0.1, Hm: 1e308 }), yesNo, 0.5)).toThrow("log-probability");
    expect(() => readProbabilities(choices({ Yes: -0.1, No: -0.1 }), yesNo, 0.5)).toThrow("add up to 1.81");
  });
});
