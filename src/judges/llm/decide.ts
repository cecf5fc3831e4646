// How a judge model decides between its two labels: P(violated) > P(satisfied) from the probabilities of the label tokens
// (CGPO, arXiv:2409.20370, appendix B.2), or the label that the model writes. How it is asked is llm/labels.ts.

import type { ChatClient, Message } from "../../llm/types.js";
import type { Labels } from "./template.js";

export interface Question {
  messages: readonly Message[];
  labels: Labels;
  answerTokens: number;
  /** The labels must hold more of the probability than this, where probabilities decide. */
  minLabelShare: number;
}

export interface Decision {
  isViolated: boolean;
  /** How the model was asked. */
  by: string;
  /** P(label) over the two labels together; only where probabilities decided. */
  probability?: number;
  /** What the model said for itself. */
  explanation?: string;
}

/** Throws when the model gives no answer, or neither label. */
export async function decide(
  { client, model }: { client: ChatClient; model: string },
  { messages, labels: { satisfied, violated }, answerTokens, minLabelShare }: Question,
  signal?: AbortSignal,
): Promise<Decision> {
  // In this order, so that a tie satisfies.
  const labels = { words: [satisfied, violated], tokens: answerTokens, minShare: minLabelShare };
  const { answer } = await client.chat({ model, messages, temperature: 0, seed: 0, labels }, signal);
  const { label, by, probabilities, explanation } = answer!;
  return {
    isViolated: label === violated,
    by,
    ...(probabilities && { probability: Math.max(...probabilities) }),
    ...(explanation !== undefined && { explanation }),
  };
}
