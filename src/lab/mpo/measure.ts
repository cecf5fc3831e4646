// Measuring a policy: the true reward, the proxy by the flawed rubric, hacks, and distance from the start, on held-out
// prompts.

import { mean } from "../../base/statistics.js";
import type { ObservedModels } from "../../train/align/align.js";
import { answer } from "../evaluate.js";
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

/** One answer to every prompt, as `answer` gives it, and what can be said of it. */
export async function measure(
  models: ObservedModels,
  rows: readonly PromptRow[],
  proxy: Proxy,
  maxNewTokens: number,
): Promise<Measured> {
  const said = await answer(models, rows, maxNewTokens);
  const answers = said.map(({ text }) => text);
  return {
    answers,
    trueReward: answers.map((text, i) => gold(rows[i]!, text).score),
    proxy: await proxy(answers.map((response, i) => ({ prompt: rows[i]!.prompt, response }))),
    logRatio: said.map(({ logRatio }) => logRatio),
    hacks: byHack((name) => answers.map((text, i) => signs[name](text, rows[i]!.prompt))),
  };
}

export const meansOf = ({ trueReward, proxy, logRatio, hacks }: Measured): Means => ({
  trueReward: mean(trueReward),
  proxy: mean(proxy.filter(Number.isFinite)),
  kl: mean(logRatio),
  hacks: byHack((name) => mean(hacks[name].map(Number))),
});
