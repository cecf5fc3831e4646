// Rows that do not fit: longer than the recipe's limits, or than the model reads. They are counted before the first step,
// and the recipe says what becomes of them. Whatever is left out or cut is said then, in the metrics and at the end.

import { UserError } from "../base/errors.js";
import type { Metrics } from "../run/metrics.js";

/**
 * What becomes of a row that does not fit. `stop`: the run does not start. `skip`: the row is left out. `truncate_left`:
 * the prompt loses its beginning. `truncate_right`: the completion loses its end.
 */
export type Overlong = "stop" | "skip" | "truncate_left" | "truncate_right";

export interface LengthLimits {
  /** Tokens of prompt and completion. */
  maxLength: number;
  /** What sets that: `max_length 1024`. */
  maxLengthIs: string;
  /** Tokens of the prompt alone. */
  maxPromptLength?: number | undefined;
  overlong: Overlong;
  /** What else may be done, beside another `overlong`: "raise max_length". */
  remedy: string;
  /** The policies that the verb knows. */
  choices: readonly Overlong[];
}

/** The limit that the recipe sets, or the model's window where that is shorter. */
export function lengthLimit(
  maxLength: number,
  window: number,
): Pick<LengthLimits, "maxLength" | "maxLengthIs" | "remedy"> {
  if (maxLength <= window)
    return { maxLength, maxLengthIs: `max_length ${maxLength}`, remedy: "raise max_length" };
  return {
    maxLength: window,
    maxLengthIs: `the ${window} tokens that the model reads`,
    remedy: "shorten the rows",
  };
}

/** How many tokens a row has; of a pair, the longer of its two sequences. */
export interface RowLength {
  promptLength: number;
  length: number;
}

/** The tokens that are kept: from `from` up to `to`. */
export interface Kept {
  from: number;
  to: number;
}

/** What is kept of a row; undefined: nothing. */
export function keptOf(
  { promptLength, length }: RowLength,
  { maxLength, maxPromptLength = Number.POSITIVE_INFINITY, overlong }: LengthLimits,
): Kept | undefined {
  if (length <= maxLength && promptLength <= maxPromptLength) return { from: 0, to: length };
  if (overlong === "truncate_left") {
    const excess = Math.max(length - maxLength, promptLength - maxPromptLength);
    // A model predicts a token from at least one before it.
    const from = Math.min(excess, promptLength - 1);
    return { from, to: Math.min(length, from + maxLength) };
  }
  const to = Math.min(length, maxLength);
  const learns = overlong === "truncate_right" && promptLength <= maxPromptLength && to > promptLength;
  return learns ? { from: 0, to } : undefined;
}

/** How the rows of one file fitted. */
export interface LengthCounts {
  rows: number;
  /** Longest row as it was, tokens. */
  longest: number;
  skipped: number;
  /** Prompts that lost their beginning, and completions that lost their end. */
  truncatedPrompts: number;
  truncatedCompletions: number;
}

/** Counts as it goes what `keptOf` says of the rows of a file. */
export class LengthTally {
  private rows = 0;
  private longest = 0;
  private readonly overlong: { id: string; length: RowLength }[] = [];
  private skipped = 0;
  private truncatedPrompts = 0;
  private truncatedCompletions = 0;

  constructor(
    readonly limits: LengthLimits,
    /** What the rows are, for a person: "chats.jsonl", "task chat". */
    readonly source: string,
  ) {}

  /** What is kept of a row; `isWhole`: a completion must not lose its end, so that then nothing is. */
  keep(id: string, row: RowLength, { isWhole = false } = {}): Kept | undefined {
    this.rows++;
    this.longest = Math.max(this.longest, row.length);
    let kept = keptOf(row, this.limits);
    if (kept && isWhole && kept.to < row.length) kept = undefined;
    if (kept && kept.from === 0 && kept.to === row.length) return kept;
    this.overlong.push({ id, length: row });
    if (!kept) this.skipped++;
    else {
      if (kept.from > 0) this.truncatedPrompts++;
      if (kept.to < row.length) this.truncatedCompletions++;
    }
    return kept;
  }

  /** The counts, after the last row. Throws where the recipe says so, and where no row is left. */
  end(): LengthCounts {
    const { rows, longest, skipped, truncatedPrompts, truncatedCompletions } = this;
    const isStopped = this.limits.overlong === "stop" && this.overlong.length > 0;
    if (isStopped || (rows > 0 && skipped === rows)) throw new UserError(this.problem());
    return { rows, longest, skipped, truncatedPrompts, truncatedCompletions };
  }

  /** "3 of 120 rows are longer than max_length 1024 (chats.jsonl:17 has 2210 tokens); set overlong: skip, or ..." */
  private problem(): string {
    const { maxLength, maxLengthIs, maxPromptLength, overlong, remedy, choices } = this.limits;
    const worst = this.overlong.reduce((a, b) => (b.length.length > a.length.length ? b : a));
    const { length, promptLength } = worst.length;
    const isLong = length > maxLength;
    const limit = isLong ? maxLengthIs : `max_prompt_length ${maxPromptLength}`;
    const has = isLong ? `${length} tokens` : `a prompt of ${promptLength} tokens`;
    const other = choices.filter((choice) => choice !== overlong && choice !== "stop");
    const it = this.rows === 1 ? "it" : "them";
    const what = overlong === "stop" ? "" : `, and overlong: ${overlong} leaves nothing of ${it}`;
    return `${this.source}: ${countOf(this.overlong.length, this.rows)} longer than ${limit}${what} (${worst.id} has ${has}); set overlong: ${other.join(" or ")}, or ${isLong ? remedy : "raise max_prompt_length"}`;
  }
}

const countOf = (count: number, of: number): string => {
  if (of === 1) return "the only row is";
  return count === of ? `all ${of} rows are` : `${count} of ${of} rows ${count === 1 ? "is" : "are"}`;
};

/** What was left out and cut, in sentences. */
export function lengthSentences(
  source: string,
  { rows, skipped, truncatedPrompts, truncatedCompletions }: LengthCounts,
  { maxLengthIs, maxPromptLength }: Pick<LengthLimits, "maxLengthIs" | "maxPromptLength">,
): string[] {
  const limit = [maxLengthIs, ...(maxPromptLength ? [`max_prompt_length ${maxPromptLength}`] : [])].join(
    " and ",
  );
  const say = (count: number, what: string) => (count > 0 ? [`${source}: ${count} of ${rows} ${what}`] : []);
  return [
    ...say(skipped, `rows left out, which do not fit ${limit}`),
    ...say(truncatedPrompts, `prompts cut at their beginning to fit ${limit}`),
    ...say(truncatedCompletions, `completions cut at their end to fit ${limit}`),
  ];
}

/** For every step's metrics; empty where all rows fit. */
export const lengthMetrics = ({
  skipped,
  truncatedPrompts,
  truncatedCompletions,
}: LengthCounts): Metrics => ({
  ...(skipped > 0 && { "data/skipped_rows": skipped }),
  ...(truncatedPrompts > 0 && { "data/truncated_prompts": truncatedPrompts }),
  ...(truncatedCompletions > 0 && { "data/truncated_completions": truncatedCompletions }),
});
