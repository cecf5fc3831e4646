// Members that nobody can tell from a coin: averaging them says nothing, whatever their average does.

import { type Interval, wilsonInterval } from "../../base/statistics.js";

/** Where a member's accuracy stands. `guesses`: its interval contains 1/2. `opposite`: all of it is below. */
export type Chance = "guesses" | "opposite";

export interface AtChance {
  /** Its place among the members. */
  member: number;
  chance: Chance;
}

/** The members whose accuracy on held-out pairs is no better than chance, by its 95 % interval. */
export const membersAtChance = (accuracies: readonly Interval[]): AtChance[] =>
  accuracies.flatMap(({ low, high }, member): AtChance[] => {
    if (low > 0.5) return [];
    return [{ member, chance: high < 0.5 ? "opposite" : "guesses" }];
  });

/** The least accuracy of which `pairs` pairs show that it is not chance. */
export function leastAccuracyShown(pairs: number): number {
  for (let right = Math.ceil(pairs / 2); right <= pairs; right++)
    if (wilsonInterval(right, pairs).low > 0.5) return right / pairs;
  return 1;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** What to know of them, and what to do; empty where there are none. */
export function chanceSentences(
  found: readonly AtChance[],
  {
    names,
    accuracies,
    pairs,
    split,
  }: {
    names: readonly string[];
    accuracies: readonly Interval[];
    pairs: number;
    split: string;
  },
): string[] {
  const those = (wanted: Chance) => found.filter(({ chance }) => chance === wanted);
  const list = (members: readonly AtChance[]) =>
    members
      .map(({ member }) => {
        const { estimate, low, high } = accuracies[member]!;
        return `${names[member]} (${percent(estimate)}, ${percent(low)} to ${percent(high)})`;
      })
      .join(", ");
  const [guessing, opposite] = [those("guesses"), those("opposite")];
  const sentences: string[] = [];
  if (guessing.length > 0)
    sentences.push(
      `at chance on ${split}, for the 95 % interval contains 50 %: ${list(guessing)}. Leave them out of the average, or train them longer, at a higher learning rate or on more pairs; ${pairs} held-out pairs show nothing below ${percent(leastAccuracyShown(pairs))}, so take more of them if that is less than you expect`,
    );
  if (opposite.length > 0)
    sentences.push(
      `worse than chance on ${split}: ${list(opposite)}. Look whether chosen and rejected are swapped there or in what they were trained on`,
    );
  return sentences;
}
