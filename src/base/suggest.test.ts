import { describe, expect, it } from "vitest";
import { didYouMean, editDistance, nearest } from "./suggest.js";

describe("editDistance", () => {
  it.each([
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["klmax", "klmxa", 1],
    ["ca", "abc", 3],
    ["same", "same", 0],
  ])("%s -> %s is %i", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

it("a name of a million characters is compared with nothing", () => {
  const long = "x".repeat(1e6);
  const before = process.cpuUsage();
  expect(nearest(long, [`${long}y`, "x"])).toBeUndefined();
  expect(nearest("x", [long])).toBeUndefined();
  expect(process.cpuUsage(before).user).toBeLessThan(1e6);
});

describe("nearest", () => {
  const keys = [
    "kl_max",
    "generations",
    "batch_prompts",
    "max_new_tokens",
    "temperature",
    "learning_rate",
    "seed",
  ];
  it.each([
    ["kl_mx", "kl_max"],
    ["klMax", "kl_max"],
    ["genrations", "generations"],
    ["batch-prompts", "batch_prompts"],
    ["temp", "temperature"],
    ["sede", "seed"],
  ])("%s -> %s", (typed, meant) => {
    expect(nearest(typed, keys)).toBe(meant);
  });

  it("suggests nothing when nothing is near", () => {
    expect(nearest("zebra", keys)).toBeUndefined();
    expect(didYouMean("zebra", keys)).toBe("");
    expect(didYouMean("kl_mx", keys)).toBe(' (did you mean "kl_max"?)');
  });
});
