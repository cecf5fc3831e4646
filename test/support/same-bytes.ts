// Two run directories that must hold the same.

import { expect } from "vitest";
import { contentsOf } from "./workshop.js";

/** What must not differ: everything but wall-clock times. */
async function exactContents(dir: string): Promise<Record<string, string>> {
  const files = Object.entries(await contentsOf(dir)).filter(([name]) => !name.endsWith("timings.jsonl"));
  return Object.fromEntries(files.map(([name, bytes]) => [name, bytes.toString("latin1")]));
}

export async function expectSameBytes(dir: string, wanted: string): Promise<void> {
  const [found, undisturbed] = [await exactContents(dir), await exactContents(wanted)];
  expect(Object.keys(found)).toEqual(Object.keys(undisturbed));
  for (const [name, text] of Object.entries(undisturbed)) expect(found[name] === text, name).toBe(true);
}
