// Equivalence of final answers: 355 pairs, with the verdicts of three public graders (test/oracle/judges_math.py) and an
// explanation wherever one of them differs from ours.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { equivalent } from "../src/judges/rules/math/equivalent.js";

const read = (name: string) => readFileSync(new URL(`fixtures/judges/${name}`, import.meta.url), "utf8");

interface Pair {
  category: string;
  reference: string;
  answer: string;
  isEquivalent: boolean;
}

function parsePairs(text: string): Pair[] {
  const pairs: Pair[] = [];
  let category = "";
  for (const line of text.split("\n")) {
    const [reference, answer, sign] = line.split(" | ");
    if (sign !== undefined && !line.startsWith("# ")) {
      pairs.push({ category, reference: reference!, answer: answer!, isEquivalent: sign === "=" });
    } else if (line.startsWith("[")) category = line.slice(1, -1);
  }
  return pairs;
}

const pairs = parsePairs(read("math-pairs.txt"));
const { graders, verdicts } = JSON.parse(read("math-graders.json")) as {
  graders: string[];
  verdicts: Record<string, boolean[]>;
};
const { rejects, accepts } = JSON.parse(read("math-disagreements.json")) as {
  rejects: Record<string, Record<string, string>>;
  accepts: Record<string, string>;
};

describe.each([...new Set(pairs.map(({ category }) => category))])("%s", (wanted) => {
  test.each(pairs.filter(({ category }) => category === wanted))(
    "$reference | $answer: $isEquivalent",
    ({ reference, answer, isEquivalent }) => {
      expect(equivalent(answer, reference)).toBe(isEquivalent);
      expect(equivalent(reference, answer)).toBe(isEquivalent);
    },
  );
});

test("there are enough pairs, equivalent and not", () => {
  expect(pairs.length).toBeGreaterThanOrEqual(300);
  expect(pairs.filter(({ isEquivalent }) => !isEquivalent).length).toBeGreaterThanOrEqual(100);
});

test("every disagreement with a grader has its explanation, and every explanation a disagreement", () => {
  const needed = new Set<string>();
  for (const { category, reference, answer, isEquivalent } of pairs) {
    const key = `${reference} | ${answer}`;
    verdicts[key]!.forEach((verdict, i) => {
      if (verdict && !isEquivalent) needed.add(key);
      if (!verdict && isEquivalent) needed.add(`${graders[i]}: ${category}`);
    });
  }
  const explained = Object.entries(rejects).flatMap(([grader, reasons]) =>
    Object.keys(reasons).map((category) => `${grader}: ${category}`),
  );
  expect([...needed].toSorted()).toEqual([...explained, ...Object.keys(accepts)].toSorted());
});
