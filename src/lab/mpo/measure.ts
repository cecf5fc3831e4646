// Measuring a policy: the true reward, the proxy by the flawed rubric, hacks, and distance from the start, on held-out
// prompts.

import { hash32 } from "../../base/random.js";
import { mean } from "../../base/statistics.js";
import type { ObservedModels } from "../../train/align.js";
import { gold } from "../world/gold.js";
import type { PromptRow } from "../world/world.js";
import { byHack, type HackName, signs } from "./reviewer.js";

/** One entry for each prompt. */
export interface Measured {
  answers: string[];
  trueReward: number[];
  /** Share of the flawed rubric's maximum. */
  proxy: number[];
  /** log(pi/pi_ref), nats. */
  logRatio: number[];
  hacks: Record<HackName, boolean[]>;
}

export interface Means {
  trueReward: number;
  proxy: number;
  kl: number;
  hacks: Record<HackName, number>;
}

export type Proxy = (samples: readonly { prompt: string; response: string }[]) => Promise<number[]>;

/** One answer to every prompt at temperature 1. The seed belongs to the prompt, so policies answer with the same chance. */
export async function measure(
  { policy, reference, codec }: ObservedModels,
  rows: readonly PromptRow[],
  proxy: Proxy,
  maxNewTokens: number,
): Promise<Measured> {
  const prompts = rows.map((row) => codec.prompt([{ role: "user", content: row.prompt }]));
  const completions = await policy.sample(prompts, {
    maxNewTokens,
    stopIds: [codec.endId],
    seeds: rows.map(({ id }) => hash32(`evaluation ${id}`)),
  });
  const sequences = completions.map(({ tokens }, i) => ({
    tokens: [...prompts[i]!, ...tokens],
    promptLength: prompts[i]!.length,
  }));
  const [own, start] = [await policy.logprobs(sequences), await reference.logprobs(sequences)];
  const answers = completions.map(({ tokens }) => codec.decode(tokens));
  return {
    answers,
    trueReward: answers.map((text, i) => gold(rows[i]!, text).score),
    proxy: await proxy(answers.map((response, i) => ({ prompt: rows[i]!.prompt, response }))),
    logRatio: own.map((row, i) => row.reduce((sum, x, t) => sum + x - start[i]![t]!, 0)),
    hacks: byHack((name) => answers.map((text, i) => signs[name](text, rows[i]!.prompt))),
  };
}

export const meansOf = ({ trueReward, proxy, logRatio, hacks }: Measured): Means => ({
  trueReward: mean(trueReward),
  proxy: mean(proxy.filter(Number.isFinite)),
  kl: mean(logRatio),
  hacks: byHack((name) => mean(hacks[name].map(Number))),
});
