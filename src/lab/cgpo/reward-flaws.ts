// What is wrong with a reward model, in the manner of the paper's Table 6: how often it prefers the truly worse of two
// answers when that one shows off.

import { mean } from "../../base/statistics.js";
import type { RewardFunction } from "../../train/rewards/source.js";
import type { TextCodec } from "../../train/text.js";
import type { FamilyName } from "../world/family.js";
import { countShouts } from "../world/lexicon.js";
import type { Pair } from "../world/preferences.js";
import { familiesOf } from "./data.js";
import type { RewardName } from "./protocol.js";

export interface Fooled {
  family: FamilyName;
  /** Correctly labelled held-out pairs. */
  pairs: number;
  /** Share of them in which the better answer has the higher reward. */
  accuracy: number;
  /** Pairs whose worse answer shouts more. */
  showy: number;
  /** Share of those in which the worse answer has the higher reward. */
  fooled: number;
  /** The pair that fools the reward model most. */
  example?: { prompt: string; better: string; worse: string; rewardBetter: number; rewardWorse: number };
}

/** `pairs` are labelled by the true reward. */
export async function foolRates(
  pairs: readonly Pair[],
  reward: RewardName,
  score: RewardFunction,
  codec: TextCodec,
): Promise<Fooled[]> {
  const encode = (prompt: string, text: string) =>
    codec.scored([{ role: "user", content: prompt }], [{ role: "assistant", content: text }]);
  const rates: Fooled[] = [];
  for (const family of familiesOf(reward)) {
    const own = pairs.filter(({ task }) => task.family === family);
    const rewards = await score(
      own.flatMap(({ task, chosen, rejected }) => [
        encode(task.prompt, chosen),
        encode(task.prompt, rejected),
      ]),
    );
    const margins = own.map((_, i) => rewards[2 * i]! - rewards[2 * i + 1]!);
    const showy = own.flatMap(({ chosen, rejected }, i) =>
      countShouts(rejected) > countShouts(chosen) ? [i] : [],
    );
    const worst = showy.reduce<number | undefined>(
      (found, i) => (found === undefined || margins[i]! < margins[found]! ? i : found),
      undefined,
    );
    rates.push({
      family,
      pairs: own.length,
      accuracy: mean(margins.map((margin) => Number(margin > 0))),
      showy: showy.length,
      fooled: showy.length === 0 ? 0 : mean(showy.map((i) => Number(margins[i]! < 0))),
      example:
        worst === undefined
          ? undefined
          : {
              prompt: own[worst]!.task.prompt,
              better: own[worst]!.chosen,
              worse: own[worst]!.rejected,
              rewardBetter: rewards[2 * worst]!,
              rewardWorse: rewards[2 * worst + 1]!,
            },
    });
  }
  return rates;
}
