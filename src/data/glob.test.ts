import { describe, expect, it } from "vitest";
import { globToRegExp, isGlob } from "./glob.js";

describe("globToRegExp", () => {
  it.each([
    ["*.jsonl", ["a.jsonl"], ["b/a.jsonl", "a.jsonlx", "ajsonl"]],
    ["**/*.jsonl", ["a.jsonl", "b/a.jsonl", "c/b/a.jsonl"], ["a.json"]],
    ["data/**", ["data/a", "data/b/c"], ["date/a", "data"]],
    ["part-[0-4]?.json", ["part-01.json", "part-4x.json"], ["part-51.json", "part-0.json"]],
    ["[!a]*.json", ["b.json"], ["a.json"]],
    ["{train,dev-*}.json", ["train.json", "dev-1.json"], ["test.json"]],
    ["a+(b).json", ["a+(b).json"], ["aab.json"]],
  ])("%s", (glob, matching, others) => {
    for (const path of matching) expect(path).toMatch(globToRegExp(glob));
    for (const path of others) expect(path).not.toMatch(globToRegExp(glob));
  });

  it("knows a pattern from a path", () => {
    expect(isGlob("data/*.jsonl")).toBe(true);
    expect(isGlob("data/a-b_c.jsonl")).toBe(false);
  });
});
