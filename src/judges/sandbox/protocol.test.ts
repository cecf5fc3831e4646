import { expect, test } from "vitest";
import { Stopped } from "./limits.js";
import { maxAnswerChars, maxAnswerNesting, nestsWithin, newMarker, readAnswer } from "./protocol.js";

test("an answer is one JSON object within bounds", () => {
  expect(readAnswer('{"value": [1, "]]}"]}\n')).toEqual({ value: [1, "]]}"] });
  const nested = (depth: number) => `{"value": ${"[".repeat(depth)}${"]".repeat(depth)}}`;
  expect(() => readAnswer(nested(maxAnswerNesting - 1))).not.toThrow();
  for (const forged of [
    undefined,
    "",
    "{}\n{}",
    "[]",
    "null",
    '"x"',
    '{"value": NaN}',
    '{"value": 1',
    nested(maxAnswerNesting),
    nested(10 ** 6),
    `{"value": "${"x".repeat(maxAnswerChars)}"}`,
  ])
    expect(() => readAnswer(forged)).toThrow(Stopped);
});

test("brackets within texts nest nothing", () => {
  expect(nestsWithin('"[[[\\"[[["', 0)).toBe(true);
  expect(nestsWithin('"\\\\"[', 0)).toBe(false);
  expect(nestsWithin("[[]][[]]", 2)).toBe(true);
});

test("no two markers are alike", () => {
  expect(newMarker()).not.toBe(newMarker());
});
