// A slice of the generated hostile programs (test/hostile); `npx tsx test/hostile/run-python.ts` runs thousands.

import { expect, test } from "vitest";
import { checkPython } from "./hostile/check-python.js";
import { hostileCases } from "./hostile/families.js";
import { pythonFamilies, pythonForms } from "./hostile/python.js";

test("the same seed makes the same programs", () => {
  const make = (seed: number) => hostileCases(pythonFamilies, pythonForms, 40, seed);
  expect(make(3)).toEqual(make(3));
  expect(make(3)).not.toEqual(make(4));
});

test("Python: no forged pass, no evasion, and nothing that outlives a program", {
  timeout: 600_000,
}, async () => {
  const report = await checkPython(hostileCases(pythonFamilies, pythonForms, 96, 20));
  expect(report).toMatchObject({ programs: 96, forged: [], broken: [], lasting: [] });
});
