import { RE2JS } from "re2js";
import { expect, test } from "vitest";
import { RandomStream } from "../../base/random.js";
import { createMember } from "../registry.js";

const pieces = [..."ab1_ ,=/-", "\\b", "\\B", "\\d", "\\D", "\\w", "\\W", "\\.", "\\$", "\\(", "\\\\"];
const characters = [..."ab1_ ,=/-.$(\\\n", "é", "ſ", "𝟙"];

test("a plain pattern, which Node's own expressions search, says what RE2 says", async () => {
  const random = new RandomStream(1, "patterns");
  const some = (list: readonly string[], count: number) =>
    Array.from({ length: count }, () => list[random.integer(list.length)]).join("");
  const found = { satisfied: 0, violated: 0 };
  for (let round = 0; round < 400; round++) {
    const source = some(pieces, 1 + random.integer(3));
    const { judge } = await createMember({ kind: "regex", must_not_match: source }, { baseDir: "." });
    const pattern = RE2JS.compile(source);
    for (let k = 0; k < 10; k++) {
      const response = some(characters, 12);
      const matcher = pattern.matcher(response);
      const match = matcher.find() ? matcher.group() : undefined;
      const verdict = await judge.judge({ prompt: "", response, truncated: false, metadata: {} });
      if (match === undefined)
        expect(verdict, `${source} in ${response}`).toMatchObject({ verdict: "satisfied" });
      else
        expect(verdict, `${source} in ${response}`).toMatchObject({
          verdict: "violated",
          evidence: { match },
        });
      found[match === undefined ? "satisfied" : "violated"]++;
    }
  }
  expect(found.satisfied).toBeGreaterThan(500);
  expect(found.violated).toBeGreaterThan(500);
});

test("a pattern that could backtrack stays with RE2", async () => {
  const { judge } = await createMember({ kind: "regex", must_match: "(a+)+$" }, { baseDir: "." });
  const response = `${"a".repeat(40)}b`;
  expect(await judge.judge({ prompt: "", response, truncated: false, metadata: {} })).toMatchObject({
    verdict: "violated",
  });
});
