import { expect, test } from "vitest";
import { wilsonInterval } from "../base/statistics.js";
import { agreementWith, labelOf } from "./agreement.js";

test("agreement, false passes and false failures are counted of the decided rows", () => {
  const verdicts = [
    "satisfied",
    "satisfied",
    "violated",
    "violated",
    "failed",
    undefined,
    "satisfied",
  ] as const;
  const labels = [true, false, false, true, false, true, true];
  expect(agreementWith(verdicts, labels)).toEqual({
    rows: 6,
    failed: 1,
    agreement: { count: 3, of: 5, ...wilsonInterval(3, 5) },
    falsePasses: { count: 1, of: 2, ...wilsonInterval(1, 2) },
    falseFailures: { count: 1, of: 3, ...wilsonInterval(1, 3) },
  });
});

test("labels are true or false in any of their usual words, and nothing else", () => {
  for (const value of [true, 1, 1n, "1", "Yes", " satisfied ", "PASS", "correct"])
    expect(labelOf(value)).toBe(true);
  for (const value of [false, 0, "0", "no", "violated", "Fail", "incorrect"])
    expect(labelOf(value)).toBe(false);
  for (const value of [null, undefined, "", "maybe", 2, 0.5, {}, [], "toString"])
    expect(labelOf(value)).toBeUndefined();
});
