import { expect, test } from "vitest";
import { lotsOf } from "./take.js";

test("lots cover all prompts in order, hold 64 samples or all there are, and are at most 8", () => {
  for (const [prompts, generations, count] of [
    [1, 4, 1],
    [16, 4, 1],
    [32, 4, 2],
    [33, 4, 2],
    [1250, 8, 8],
    [2, 1000, 2],
  ] as const) {
    const lots = lotsOf(prompts, generations);
    expect(lots).toHaveLength(count);
    expect(lots.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i))).toEqual(
      Array.from({ length: prompts }, (_, i) => i),
    );
    if (count > 1)
      for (const [from, to] of lots) expect((to - from) * generations).toBeGreaterThanOrEqual(64);
  }
});
