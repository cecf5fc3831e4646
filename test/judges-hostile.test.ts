// Generated hostile programs (test/hostile); `npx tsx test/hostile/run-python.ts` runs as many as you like, by any seed.

import { expect, test } from "vitest";
import { checkPython } from "./hostile/check-python.js";
import { hostileCases } from "./hostile/families.js";
import { pythonFamilies, pythonForms } from "./hostile/python.js";

const count = 700;

test("the same seed makes the same programs", () => {
  const make = (seed: number) => hostileCases(pythonFamilies, pythonForms, 40, seed);
  expect(make(3)).toEqual(make(3));
  expect(make(3)).not.toEqual(make(4));
});

test("Python: no forged pass, no evasion, and nothing that outlives a program", {
  timeout: 3_600_000,
}, async () => {
  const report = await checkPython(hostileCases(pythonFamilies, pythonForms, count, 20));
  expect(report).toMatchObject({ programs: count, forged: [], broken: [], lasting: [] });
});
