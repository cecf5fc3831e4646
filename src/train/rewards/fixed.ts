// Rewards that never change: a reward model over the policy's own tokens, a function of one's own over text, or none.

import type { ScalarModel, TokenIds } from "../../engine/contract.js";
import type { RewardFunction, RewardSource, ScoredResponse, Scores } from "./source.js";

/**
 * A reward from a function: a number for each response, or null where it cannot be had (the sample then teaches nothing
 * and is counted as failed). A number that is not finite ends the run.
 */
export const rewardFrom = (
  score: (
    responses: readonly ScoredResponse[],
  ) => Promise<ArrayLike<number | null>> | ArrayLike<number | null>,
): RewardSource => ({
  versionFor: () => "fixed",
  async score(responses): Promise<Scores> {
    const given = await score(responses);
    if (given.length !== responses.length)
      throw new Error(`the reward has ${given.length} numbers for ${responses.length} responses`);
    const rewards = Array.from(given, (reward) => reward ?? Number.NaN);
    return {
      rewards: Float64Array.from(rewards),
      failed: Array.from(given, (reward) => reward === null),
      reasons: Array.from(given, (reward) => (reward === null ? "the reward gave null" : undefined)),
      violated: responses.map(() => false),
      notes: responses.map(() => ({})),
    };
  },
  afterStep: async () => ({}),
  state: () => undefined,
  restore: () => {},
});

/** The reward of a task that has only judges: 0 for every response. */
export const noReward: RewardSource = {
  ...rewardFrom((responses) => new Float64Array(responses.length)),
  scoresApart: true,
};

/** A reward by the policy's own tokens, of each sequence by itself. */
export const rewardOfTokens = (reward: RewardFunction): RewardSource => ({
  ...rewardFrom((responses) => reward(responses.map(({ tokens }) => tokens))),
  scoresApart: true,
});

/** The reward of one reward model. */
export const rewardOfModel = (model: ScalarModel): RewardSource =>
  rewardOfTokens((sequences) => lastValues(model, sequences));

/** r(x, y) at the last token of every sequence. */
export async function lastValues(
  model: Pick<ScalarModel, "values">,
  sequences: readonly TokenIds[],
): Promise<Float64Array> {
  const values = await model.values(sequences, "last");
  return Float64Array.from(values, (row) => row[0]!);
}
