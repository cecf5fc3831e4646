// Final answers that nobody wrote down: pairs that are equal, or different, by construction (support/math-pairs.ts). The
// whole run, of which docs/judges.md has the figures, is
//
//   MATH_PAIRS=20000 npx vitest run test/judges-math-generated.test.ts

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { equivalent } from "../src/judges/rules/math/equivalent.js";
import { mathPairs } from "./support/math-pairs.js";

const count = Number(process.env.MATH_PAIRS ?? 600);
const seed = Number(process.env.MATH_SEED ?? 1);
const pairs = mathPairs(count, seed);
const shown = ({ reference, answer }: { reference: string; answer: string }) => `${reference} | ${answer}`;

test(`of ${count} pairs none that differs is accepted, and 99.5 % of the equal ones are`, {
  timeout: 3_600_000,
}, () => {
  const equal = pairs.filter(({ isEqual }) => isEqual);
  const different = pairs.filter(({ isEqual }) => !isEqual);
  expect(equal.length).toBeGreaterThan(count / 3);
  expect(different.length).toBeGreaterThan(count / 3);
  const accepted = different.filter(({ answer, reference }) => equivalent(answer, reference));
  expect(accepted.map(shown)).toEqual([]);
  const refused = equal.filter(({ answer, reference }) => !equivalent(answer, reference));
  expect(refused.length, refused.map(shown).join("\n")).toBeLessThanOrEqual(equal.length * 0.005);
});

const lines = readFileSync(new URL("fixtures/judges/math-pairs.txt", import.meta.url), "utf8").split("\n");
const answers = lines
  .filter((line) => line.endsWith(" | =") && !line.startsWith("#"))
  .map((line) => line.split(" | ") as [string, string]);

/** What may be put around an answer without changing it. */
const wrappings: Record<string, (text: string) => string> = {
  spaces: (text) => `  ${text}\n`,
  braces: (text) => `{${text}}`,
  "display style": (text) => `\\displaystyle ${text}`,
  bold: (text) => `\\boldsymbol{${text}}`,
  colour: (text) => `\\color{blue}{${text}}`,
  "large type": (text) => `{\\Large ${text}}`,
  underline: (text) => `\\underline{${text}}`,
  emphasis: (text) => `**${text}**`,
  "code marks": (text) => `\`${text}\``,
  "a full stop": (text) => `${text}.`,
  synonyms: (text) =>
    text
      .replaceAll("\\frac{", "\\dfrac{")
      .replaceAll("\\le ", "\\leq ")
      .replaceAll("\\ge ", "\\geq ")
      .replaceAll("\\cdot ", "\\times "),
};

describe("what dresses an answer changes no verdict", () => {
  test.each(Object.keys(wrappings))("%s", (name) => {
    const wrap = wrappings[name]!;
    const changed = answers.filter(
      ([reference, answer]) => !/[$.]|^\\\(/.test(answer) && !equivalent(wrap(answer), reference),
    );
    expect(changed).toEqual([]);
  });
});

test("a flipped sign or digit changes the verdict", () => {
  const numbers = answers.filter(
    ([reference, answer]) => /^-?\d{1,6}$/.test(answer) && reference !== "0" && answer !== "0",
  );
  expect(numbers.length).toBeGreaterThan(20);
  for (const [reference, answer] of numbers) {
    const flipped = answer.startsWith("-") ? answer.slice(1) : `-${answer}`;
    const digits = answer.replace(/\d(?=\D*$)/, (digit) => String((Number(digit) + 3) % 10));
    for (const wrong of [flipped, digits])
      expect(equivalent(wrong, reference), `${reference} | ${wrong}`).toBe(false);
  }
});
