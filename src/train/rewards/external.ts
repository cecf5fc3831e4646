// Rewards from outside: a function in a module of the user's own, or a server of theirs. Both are asked for a whole batch and
// answer with a number for each response, or null where there is none; what cannot be had is failed, never 0.

import { UserError } from "../../base/errors.js";
import { HttpError, postJson } from "../../base/http.js";
import { apiKeyFor } from "../../base/requests.js";
import { retrying } from "../../base/retry.js";
import { keepSecret } from "../../base/secrets.js";
import { openUserModule } from "../../base/user-module.js";
import { type Metadata, promptText, type Text } from "../../data/rows.js";
import type { ModuleRewardRecipe, UrlRewardRecipe } from "../../recipe/recipe.js";
import { rewardFrom } from "./fixed.js";
import type { RewardSource, ScoredResponse } from "./source.js";

/** A response as a reward in a module of one's own sees it; the module is given a list of them. */
export interface RewardInput {
  /** Text, or the messages of a conversation. */
  prompt: Text;
  /** The prompt as one text, the messages' contents line by line. */
  promptText: string;
  /** Text of the response, special tokens removed. */
  response: string;
  /** The prompt's other columns. */
  metadata: Metadata;
}

const inputOf = ({ row, text }: ScoredResponse): RewardInput => ({
  prompt: row.prompt,
  promptText: promptText(row.prompt),
  response: text,
  metadata: row.metadata,
});

export async function openModuleReward({
  module: path,
  export: name,
  timeoutSeconds,
}: ModuleRewardRecipe): Promise<RewardSource> {
  const module = await openUserModule({ path, export: name, timeoutSeconds, what: "reward module" });
  return batchReward(async (batch, signal) =>
    numbersIn(await module.call(batch, signal), batch.length, "the reward module"),
  );
}

/** POSTs `{ prompts, responses, metadata }` and reads `{ rewards: [number or null, ...] }`, or the list by itself. */
export function openUrlReward({ url, apiKeyEnv, timeoutSeconds, maxRetries }: UrlRewardRecipe): RewardSource {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (!address || !["http:", "https:"].includes(address.protocol))
    throw new UserError(`reward.url must be an http or https address, not "${url}"`);
  const apiKey = apiKeyEnv === undefined ? undefined : apiKeyFor(url, apiKeyEnv);
  if (apiKeyEnv !== undefined && !apiKey)
    throw new UserError(`${apiKeyEnv} holds no key for the reward server ${address.host}`);
  if (apiKey) keepSecret(apiKey);
  return batchReward(async (batch, signal) => {
    const body = {
      prompts: batch.map(({ prompt }) => prompt),
      responses: batch.map(({ response }) => response),
      metadata: batch.map(({ metadata }) => metadata),
    };
    const reply = await retrying(
      () => postJson(address, body, { apiKey, timeoutSeconds, maxReplyBytes: 10_000_000, signal }),
      (error) => (error instanceof HttpError ? error : { isTransient: false }),
      { retries: maxRetries, backoffSeconds: 0.5, signal },
    );
    const isNamed = typeof reply === "object" && reply !== null && "rewards" in reply;
    return numbersIn(isNamed ? reply.rewards : reply, batch.length, `the reward server ${address.host}`);
  });
}

type Ask = (batch: readonly RewardInput[], signal?: AbortSignal) => Promise<readonly (number | null)[]>;

/** A batch that could not be had at all has failed with one reason. */
const batchReward = (ask: Ask): RewardSource => ({
  ...rewardFrom(() => []),
  async score(responses, _, signal) {
    let given: readonly (number | null)[] = responses.map(() => null);
    let reason = "the reward gave null";
    try {
      given = responses.length === 0 ? [] : await ask(responses.map(inputOf), signal);
    } catch (error) {
      signal?.throwIfAborted();
      reason = error instanceof Error ? error.message : String(error);
    }
    return {
      rewards: Float64Array.from(given, (reward) => reward ?? Number.NaN),
      failed: given.map((reward) => reward === null),
      reasons: given.map((reward) => (reward === null ? reason : undefined)),
      violated: responses.map(() => false),
      notes: responses.map(() => ({})),
    };
  },
});

/** The rewards in an answer; anything else than numbers and nulls, one for each response, is an error. */
function numbersIn(answer: unknown, count: number, who: string): (number | null)[] {
  const list = ArrayBuffer.isView(answer) ? Array.from(answer as unknown as ArrayLike<unknown>) : answer;
  if (!Array.isArray(list)) throw new Error(`${who} gave no list of numbers (or null)`);
  if (list.length !== count) throw new Error(`${who} gave ${list.length} numbers for ${count} responses`);
  return list.map((value: unknown, i) => {
    if (value === null || value === undefined) return null;
    if (typeof value !== "number" || !Number.isFinite(value))
      throw new Error(
        `${who} gave ${JSON.stringify(value) ?? String(value)} for response ${i + 1}, which is no number`,
      );
    return value;
  });
}
