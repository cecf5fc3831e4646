// Preference pairs as the reward model reads them. A pair of which one sequence does not fit is counted, and cut or left out as
// the recipe says; both sequences lose the same beginning, and a completion never its end.

import type { PreferenceRow } from "../../data/rows.js";
import type { TokenIds } from "../../engine/contract.js";
import type { RewardRecipe } from "../../recipe/recipe.js";
import {
  type LengthCounts,
  type LengthLimits,
  LengthTally,
  lengthLimit,
  lengthSentences,
} from "../lengths.js";
import { plainPromptRemarks, type TemplateWish } from "../plain-prompts.js";
import { atRow, type TextCodec } from "../text.js";

export interface Pair {
  id: string;
  chosen: TokenIds;
  rejected: TokenIds;
  margin: number;
}

/** Tokens of the longest sequence. */
export const longestPair = (pairs: readonly Pair[]): number =>
  pairs.reduce((most, { chosen, rejected }) => Math.max(most, chosen.length, rejected.length), 1);

export interface EncodedPairs {
  pairs: Pair[];
  lengths: LengthCounts;
  /** What was left out and cut, in sentences. */
  remarks: string[];
}

export const pairLimits = (
  { maxLength, maxPromptLength, overlong }: Pick<RewardRecipe, "maxLength" | "maxPromptLength" | "overlong">,
  window: number,
): LengthLimits => ({
  ...lengthLimit(maxLength, window),
  maxPromptLength,
  overlong,
  choices: ["skip", "truncate_left"],
});

export function encodePairs(
  codec: TextCodec,
  rows: readonly PreferenceRow[],
  { limits, source, applyChatTemplate }: TemplateWish & { limits: LengthLimits; source: string },
): EncodedPairs {
  const tally = new LengthTally(limits, source);
  const pairs: Pair[] = [];
  for (const row of rows) {
    const both = [row.chosen, row.rejected].map((completion) =>
      atRow(row.id, () => codec.scored(row.prompt, completion, row.metadata)),
    );
    const length = Math.max(...both.map((tokens) => tokens.length));
    const isPromptAsked = limits.maxPromptLength !== undefined || length > limits.maxLength;
    const promptLength = isPromptAsked ? promptLengthOf(codec, row) : 1;
    const kept = tally.keep(row.id, { promptLength, length }, { isWhole: true });
    if (!kept) continue;
    const [chosen, rejected] = both.map((tokens) => tokens.slice(kept.from)) as [number[], number[]];
    pairs.push({ id: row.id, chosen, rejected, margin: row.margin ?? 0 });
  }
  const lengths = tally.end();
  const remarks = [
    ...plainPromptRemarks(rows, codec, { source, applyChatTemplate }),
    ...lengthSentences(source, lengths, limits),
  ];
  return { pairs, lengths, remarks };
}

/** What both sequences begin with; 1 where the template does not tell prompt and reply apart. */
const promptLengthOf = (codec: TextCodec, { prompt, chosen, rejected, metadata }: PreferenceRow): number =>
  Math.min(
    ...[chosen, rejected].map(
      (completion) => codec.scoredSequence(prompt, completion, metadata).promptLength,
    ),
  );
