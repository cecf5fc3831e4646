// Preference pairs: two answers to one prompt, labelled by the true reward, then an exact share of the labels flipped
// by annotators who fall for showing off.

import type { RandomStream } from "../../base/random.js";
import { turnTempting } from "../turned-labels.js";
import type { Task } from "./family.js";
import { gold } from "./gold.js";
import { boasts, cheers, showiness } from "./lexicon.js";
import { tuning } from "./tuning.js";

export interface Pair {
  task: Task;
  chosen: string;
  rejected: string;
  /** True where `rejected` is the truly better answer. */
  flipped: boolean;
}

export interface FlipOptions {
  /** Share of pairs whose label is wrong; exact up to rounding. */
  flipShare?: number;
  /**
   * 0 flips uniformly; above 0, pairs whose worse answer shows off more are flipped more often. Default: each family's
   * own value in `tuning`.
   */
  gullibility?: number;
}

/** `n` correctly labelled pairs; prompts come from `draw`, ties of the true reward are drawn again. */
export function drawPairs(
  n: number,
  draw: (random: RandomStream) => Task,
  answer: (task: Task, random: RandomStream) => string,
  random: RandomStream,
): Pair[] {
  const pairs: Pair[] = [];
  while (pairs.length < n) {
    const task = draw(random);
    const [a, b] = [answer(task, random), answer(task, random)];
    const margin = gold(task, a).score - gold(task, b).score;
    if (Math.abs(margin) < 1e-9) continue;
    const [chosen, rejected] = margin > 0 ? [a, b] : [b, a];
    pairs.push({ task, chosen, rejected, flipped: false });
  }
  return pairs;
}

/** An ordinary author's answer. */
export function answerOnce(task: Task, random: RandomStream): string {
  const [low, high] = tuning.authors.preferences.skill;
  return task.answer({ skill: low + (high - low) * random.uniform() }, random);
}

/** An answer from beyond the training range: shouting in front, sentences repeated, words swapped. */
export function answerShifted(task: Task, random: RandomStream): string {
  const { cheersAdded, sentencesAdded, wordNoise } = tuning.shifted;
  const shouts = Array.from({ length: random.integer(cheersAdded + 1) }, () =>
    random.choice([...cheers, ...boasts]),
  );
  const text = answerOnce(task, random);
  const sentences = text.split(/(?<=[.!?]) /);
  const repeats = random.integer(sentencesAdded + 1);
  for (let i = 0; i < repeats; i++) {
    const at = random.integer(sentences.length);
    if (/[.!?]$/.test(sentences[at]!)) sentences.splice(at, 0, sentences[at]!);
  }
  const words = sentences.join(" ").split(" ");
  const noisy = words.map((word) => (random.uniform() < wordNoise ? random.choice(words) : word));
  return [...shouts, ...noisy].join(" ");
}

/** Flips that share of the labels, exactly; tempting is how much showier the worse answer is than the better. */
export function flipLabels(
  pairs: readonly Pair[],
  random: RandomStream,
  { flipShare = tuning.preferences.flipShare, gullibility }: FlipOptions = {},
): Pair[] {
  const temptation = ({ task, chosen, rejected }: Pair) =>
    (gullibility ?? tuning.preferences.gullibility[task.family]) * (showiness(rejected) - showiness(chosen));
  return turnTempting(pairs, temptation, flipShare, random);
}
