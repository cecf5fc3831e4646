import { expect, test } from "vitest";
import { exactJson, parseExact } from "./exact-json.js";

test("numbers of a JSON text come out as they went in", () => {
  for (const text of [
    '[1,2.5,3.0,1e400,-0,123456789012345678901,"3.0","\\"1.5",{"a":[2.50]}]',
    '"x 1.0"',
    "7",
    "-2.0",
  ])
    expect(exactJson(parseExact(text))).toBe(text);
  expect(() => parseExact("[1.]")).toThrow(SyntaxError);
});

test("a number that has lost digits stands for all that round to it", () => {
  expect(exactJson([2 ** 60, 2 ** 53 - 1, 0.5])).toBe(
    '[{"\\u0000rounded":1152921504606846976},9007199254740991,0.5]',
  );
});

test("a whole number keeps its digits, unless they are those that JavaScript prints for another number", () => {
  expect(exactJson([2n ** 60n, 2n ** 60n + 1n, 10n ** 20n])).toBe(
    "[1152921504606846976,1152921504606846977,100000000000000000000]",
  );
  expect(exactJson(1152921504606847000n)).toBe('{"\\u0000rounded":1152921504606846976}');
});
