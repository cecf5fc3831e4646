// The contract of a judge: does this response to this prompt satisfy one constraint (C_h of the CGPO paper, section 1)?
// Failing to judge is an outcome of its own, neither a pass nor a violation.

import type { Message } from "../data/rows.js";
import { RunEndingError } from "../llm/types.js";

export type { Message };

export interface Verdict {
  verdict: "satisfied" | "violated" | "failed";
  /** One sentence for the person who reads the rollouts. */
  reason: string;
  /** Whatever led to the verdict: what was extracted, which test broke. JSON-serialisable. */
  evidence?: unknown;
}

export interface JudgeInput {
  /** Text, or the messages of a conversation. */
  prompt: string | readonly Message[];
  /** The prompt as one text, the messages' contents line by line; a judge in a module of one's own always has it. */
  promptText?: string;
  /** Text of the response, special tokens removed; for most judges the answer alone, without thoughts. */
  response: string;
  /** The response with its thoughts, where they were taken out of `response`. */
  whole?: string;
  /** The mark with which the prompt, as the model read it, had already opened a thought. */
  openThought?: string | undefined;
  /** The response was cut at the token limit: it has no end token. */
  truncated: boolean;
  /** The prompt's other columns: answers, unit tests, instruction ids. */
  metadata: Readonly<Record<string, unknown>>;
}

export interface Judge {
  /** Key of the verdicts and metrics; unique within a mixture. */
  name: string;
  /** Changes whenever the same input may get another verdict. */
  version: string;
  /** Rule judges are quick and run first. */
  kind: "rule" | "llm";
  /** Its verdicts are remembered, so they may depend on nothing but the input. */
  isCostly?: boolean;
  /** Questions that an LLM judge takes at the same time, where that is more than its mixture would ask. */
  concurrency?: number;
  /** A judge that does not apply to a prompt is neutral. */
  applies(metadata: JudgeInput["metadata"]): boolean;
  judge(input: JudgeInput, signal?: AbortSignal): Promise<Verdict> | Verdict;
  /** What its model was asked so far, and what that cost. */
  usage?(): JudgeUsage;
}

/** Totals since a judge was made. */
export interface JudgeUsage {
  calls: number;
  promptTokens: number;
  completionTokens: number;
  /** In the currency of the prices that the recipe names. */
  cost: number;
}

const verdictOf =
  (verdict: Verdict["verdict"]) =>
  (reason: string, evidence?: unknown): Verdict =>
    evidence === undefined ? { verdict, reason } : { verdict, reason, evidence };

export const satisfied = verdictOf("satisfied");
export const violated = verdictOf("violated");
export const failed = verdictOf("failed");

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const verdicts: ReadonlySet<unknown> = new Set(["satisfied", "violated", "failed"]);

function isVerdict(value: unknown): value is Verdict {
  if (typeof value !== "object" || value === null) return false;
  const { verdict, reason } = value as Partial<Verdict>;
  return verdicts.has(verdict) && typeof reason === "string";
}

/**
 * The judge's verdict, or undefined when it does not apply. A judge that throws, or that answers with something other
 * than a verdict, has failed; an abort of `signal` is thrown on.
 */
export async function verdictFrom(
  judge: Judge,
  input: JudgeInput,
  signal?: AbortSignal,
): Promise<Verdict | undefined> {
  signal?.throwIfAborted();
  try {
    if (!judge.applies(input.metadata)) return undefined;
    const given: unknown = judge.judge(input, signal);
    const verdict = isVerdict(given) ? given : await given; // a rule answers at once
    if (isVerdict(verdict)) return verdict;
    return failed("the judge returned something that is not { verdict, reason }");
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof RunEndingError) throw error;
    return failed(errorMessage(error));
  }
}
