import { expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { editOneToken, editSensitivity, responseTokens } from "./smoothness.js";

const stream = () => new RandomStream(1, "edits");

it("changes one token of the response and never its end or the prompt", () => {
  const sequence = { tokens: Int32Array.from([90, 91, 1, 2, 3, 0]), promptLength: 2 };
  const vocabulary = responseTokens([sequence]);
  expect(vocabulary).toEqual([1, 2, 3]);
  const random = stream();
  const places = new Set<number>();
  for (let n = 0; n < 60; n++) {
    const edited = Array.from(editOneToken(sequence, vocabulary, random));
    const changed = edited.flatMap((token, i) => (token === sequence.tokens[i] ? [] : [i]));
    expect(edited).toHaveLength(6);
    expect(changed).toHaveLength(1);
    expect(vocabulary).toContain(edited[changed[0]!]);
    places.add(changed[0]!);
  }
  expect([...places].sort()).toEqual([2, 3, 4]);
});

it("puts a token before the end of an empty response", () => {
  expect(editOneToken({ tokens: [90, 0], promptLength: 1 }, [7], stream())).toEqual([90, 7, 0]);
});

it("leaves a response alone where there is no other token", () => {
  expect(editOneToken({ tokens: [90, 7, 0], promptLength: 1 }, [7], stream())).toEqual([90, 7, 0]);
});

it("is the mean move in standard deviations of the reward", () => {
  const scores = { chosen: Float64Array.from([1, 1]), rejected: Float64Array.from([-1, -1]) };
  const edited = { chosen: Float64Array.from([1.5, 0]), rejected: Float64Array.from([-1, -2]) };
  expect(editSensitivity(scores, edited)).toBeCloseTo((0.5 + 1 + 0 + 1) / 4, 12);
  const scaled = (by: number, { chosen, rejected }: typeof scores) => ({
    chosen: chosen.map((r) => by * r),
    rejected: rejected.map((r) => by * r),
  });
  expect(editSensitivity(scaled(3, scores), scaled(3, edited))).toBeCloseTo(
    editSensitivity(scores, edited),
    12,
  );
});
