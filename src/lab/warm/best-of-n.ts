// Best-of-N (WARM, 2401.12187, section 5.1): one set of SFT answers, scored once by every arm; every n from the unbiased
// estimator.

import { mean, standardDeviation } from "../../base/statistics.js";
import { bestOfNCurve } from "../../reward/best-of-n.js";
import { gold } from "./gold.js";
import type { KeysWorld, Prompt } from "./keys-world.js";
import type { Answer } from "./sampling.js";
import type { Arm } from "./suites.js";

export interface BestOfNResult {
  ns: number[];
  arms: {
    name: string;
    /** At every n; the proxy in standard deviations of the arm over all answers, 0 at their mean. */
    gold: number[];
    proxy: number[];
    /** picks[k][p]: true reward of the answer to prompt p with the highest reward k, of all N. */
    picks: number[][];
  }[];
}

export const goldSelector = "true reward";

/** Powers of two up to `most`. */
export const powersOfTwo = (most: number): number[] =>
  Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, i) => 2 ** i);

export interface Candidates {
  world: KeysWorld;
  prompts: readonly Prompt[];
  /** answers[p]: N answers to prompt p. */
  answers: readonly (readonly Answer[])[];
}

/** Results of `arms`, whose rewards run over all answers in order, and of the true reward as the ceiling. */
export function bestOfNResult({ world, prompts, answers }: Candidates, arms: readonly Arm[]): BestOfNResult {
  const n = answers[0]!.length;
  const ns = powersOfTwo(n);
  const truth = answers.map((group, p) =>
    Float64Array.from(group, (answer) => Math.round(gold(world, prompts[p]!, answer) * 1e6) / 1e6),
  );
  const byPrompt = (reward: Float64Array) => prompts.map((_, p) => reward.subarray(p * n, (p + 1) * n));
  const ceiling: Arm = { name: goldSelector, rewards: [Float64Array.from(truth.flatMap((row) => [...row]))] };
  return {
    ns,
    arms: [...arms, ceiling].map(({ name, rewards }) => {
      const curves = rewards.map((reward) => bestOfNCurve(byPrompt(standardise(reward)), truth, ns));
      const averageAt = (key: "gold" | "proxy") =>
        ns.map((_, i) => mean(curves.map((curve) => curve[i]![key])));
      const picks = rewards.map((reward) => byPrompt(reward).map((row, p) => truth[p]![argmax(row)]!));
      return { name, gold: averageAt("gold"), proxy: averageAt("proxy"), picks };
    }),
  };
}

function standardise(reward: Float64Array): Float64Array {
  const [centre, scale] = [mean(reward), standardDeviation(reward)];
  return reward.map((r) => (r - centre) / scale);
}

function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
