// Prompts that do not fit: longer than the recipe allows, or than the models' windows leave beside the new tokens. Whoever reads
// prompt and response has a say: the policy, the reference, the critic, the reward model.

import { UserError } from "../../base/errors.js";
import type { PromptRow } from "../../data/rows.js";
import type { SamplingOptimizer } from "../../recipe/optimizers.js";
import { type LengthLimits, LengthTally, lengthSentences } from "../lengths.js";
import { plainPromptRemarks, type TemplateWish } from "../plain-prompts.js";
import { atRow, type Codec } from "../text.js";
import type { Fit } from "./parts.js";

/** Tokens that each model reads, by what it is to a person. */
export type Windows = Readonly<Record<string, number | undefined>>;

type Limited = Pick<SamplingOptimizer, "maxNewTokens" | "maxPromptLength" | "overlong">;

export interface FittedPrompts {
  prompts: PromptRow[];
  /** Where prompts are cut. */
  maxPromptTokens?: number;
  fit: Fit;
}

/** The tokens that the narrowest window leaves for a prompt. */
export function promptLimits(
  { maxNewTokens, maxPromptLength, overlong }: Limited,
  windows: Windows,
  source: string,
): LengthLimits {
  const known = Object.entries(windows).filter((entry): entry is [string, number] => entry[1] !== undefined);
  const [who, window] = known.reduce((a, b) => (b[1] < a[1] ? b : a), ["model", Number.POSITIVE_INFINITY]);
  const room = window - maxNewTokens;
  if (room < 1)
    throw new UserError(
      `${source}: optimizer.max_new_tokens ${maxNewTokens} leaves no room for a prompt, for the ${who} reads ${window} tokens; lower it`,
    );
  return {
    maxLength: room,
    maxLengthIs: `the ${room} tokens that max_new_tokens ${maxNewTokens} leaves of the ${window} that the ${who} reads`,
    maxPromptLength,
    overlong,
    remedy: "lower max_new_tokens",
    choices: ["skip", "truncate_left"],
  };
}

/** The prompts that are sampled from. What a template refuses is a UserError with its row. */
export function fitPrompts(
  rows: readonly PromptRow[],
  {
    source,
    codec,
    optimizer,
    windows,
    applyChatTemplate,
  }: TemplateWish & { source: string; codec: Codec; optimizer: Limited; windows: Windows },
): FittedPrompts {
  const limits = promptLimits(optimizer, windows, source);
  const tally = new LengthTally(limits, source);
  const prompts = rows.filter(({ id, prompt, metadata }) => {
    const { length } = atRow(id, () => codec.prompt(prompt, metadata));
    return tally.keep(id, { promptLength: length, length }) !== undefined;
  });
  const lengths = tally.end();
  const isCut = lengths.truncatedPrompts > 0;
  return {
    prompts,
    ...(isCut && { maxPromptTokens: Math.min(limits.maxLength, limits.maxPromptLength ?? limits.maxLength) }),
    fit: {
      lengths,
      remarks: [
        ...plainPromptRemarks(rows, codec, { source, applyChatTemplate }),
        ...lengthSentences(source, lengths, limits),
      ],
    },
  };
}
