// Final answers by the kind of mistake that graders make on them; each kind is more than the reports that it came from.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { equivalent } from "../src/judges/rules/math/equivalent.js";

interface Row {
  kind: string;
  reference: string;
  answer: string;
  isEqual: boolean;
  isOneWay: boolean;
}

const rows: Row[] = [];
let kind = "";
for (const line of readFileSync(new URL("fixtures/judges/math-kinds.txt", import.meta.url), "utf8").split(
  "\n",
)) {
  const [reference, answer, verdict] = line.split(" | ");
  if (line.startsWith("[") && verdict === undefined) kind = line.slice(1, -1);
  else if (verdict !== undefined && !line.startsWith("# ")) {
    rows.push({
      kind,
      reference: reference!,
      answer: answer!,
      isEqual: verdict.startsWith("="),
      isOneWay: verdict.includes("one way"),
    });
  }
}

describe.each([...new Set(rows.map((row) => row.kind))])("%s", (wanted) => {
  test.each(rows.filter((row) => row.kind === wanted))("$reference | $answer: $isEqual", (row) => {
    expect(equivalent(row.answer, row.reference)).toBe(row.isEqual);
    if (!row.isOneWay) expect(equivalent(row.reference, row.answer)).toBe(row.isEqual);
  });
});

test("there are many of every kind", () => {
  expect(rows.length).toBeGreaterThan(350);
});
