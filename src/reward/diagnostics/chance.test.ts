import { describe, expect, it } from "vitest";
import { wilsonInterval } from "../../base/statistics.js";
import { chanceSentences, leastAccuracyShown, membersAtChance } from "./chance.js";

describe("members at chance", () => {
  // Of 100 pairs, by Wilson's interval (statsmodels proportion_confint(.., method="wilson")): 59 right are 0.4921 to 0.6812,
  // 60 are 0.5020 to 0.6906, 40 are 0.3094 to 0.4980.
  const accuracies = [75, 59, 60, 41, 40].map((right) => wilsonInterval(right, 100));

  it("are those whose interval contains a half", () => {
    expect(membersAtChance(accuracies)).toEqual([
      { member: 1, chance: "guesses" },
      { member: 3, chance: "guesses" },
      { member: 4, chance: "opposite" },
    ]);
    expect(leastAccuracyShown(100)).toBe(0.6);
    expect(leastAccuracyShown(1)).toBe(1);
  });

  it("are named, with what to do", () => {
    const names = ["a", "b", "c", "d", "e"];
    const [guessing, opposite] = chanceSentences(membersAtChance(accuracies), {
      names,
      accuracies,
      pairs: 100,
      split: "held-out",
    });
    expect(guessing).toMatch(
      /^at chance on held-out, .*: b \(59\.0 %, 49\.2 % to 68\.1 %\), d \(41\.0 %, .*\)\. Leave them out of the average, .* 100 held-out pairs show nothing below 60\.0 %/,
    );
    expect(opposite).toMatch(/^worse than chance on held-out: e \(40\.0 %.* swapped/);
    expect(chanceSentences([], { names, accuracies, pairs: 100, split: "held-out" })).toEqual([]);
  });
});
