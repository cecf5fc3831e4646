// Answers of a policy to prompts, each with its own seed, within the window that the model was made for.

import type { Text } from "../data/rows.js";
import type { TokenIds } from "../engine/contract.js";
import type { OpenedPolicy } from "../train/models.js";
import { atRow } from "../train/text.js";
import { cutAtStop } from "./prompts.js";

export interface Sampling {
  maxNewTokens: number;
  /** 0 is greedy. */
  temperature: number;
  topP: number;
}

export interface Question {
  prompt: Text;
  seed: number;
  /** File and row, for what is said of it. */
  item?: { id: string };
}

export interface Completed {
  /** Cut at the first stop string. */
  text: string;
  prompt: TokenIds;
  tokens: Int32Array;
  truncated: boolean;
}

/** The prompt leaves no room for an answer. */
export interface TooLong {
  problem: string;
}

/** The answers in the order of the questions. An answer depends on its own question and seed only. */
export async function answersTo(
  questions: readonly Question[],
  { policy, codec }: OpenedPolicy,
  { maxNewTokens, ...sampling }: Sampling,
  stop: readonly string[],
): Promise<(Completed | TooLong)[]> {
  const window = policy.limits.maxTokens;
  const prompts = questions.map(({ prompt, item }) =>
    item ? atRow(item.id, () => codec.prompt(prompt)) : codec.prompt(prompt),
  );
  const room = prompts.map(({ length }) => Math.min(maxNewTokens, window - length));
  const answers: (Completed | TooLong)[] = prompts.map(({ length }) => ({
    problem: `the prompt has ${length} tokens, and the model's window is ${window}`,
  }));
  for (const limit of new Set(room.filter((tokens) => tokens > 0))) {
    const chosen = [...room.keys()].filter((i) => room[i] === limit);
    const completions = await policy.sample(
      chosen.map((i) => prompts[i]!),
      {
        ...sampling,
        maxNewTokens: limit,
        stopIds: codec.stopIds,
        stopStrings: stop,
        seeds: chosen.map((i) => questions[i]!.seed),
      },
    );
    for (const { promptIndex, tokens, finishReason } of completions) {
      const at = chosen[promptIndex]!;
      answers[at] = {
        text: cutAtStop(codec.decode(tokens), stop),
        prompt: prompts[at]!,
        tokens,
        truncated: finishReason === "length",
      };
    }
  }
  return answers;
}
