// How a model is asked for one of several words. First without sampling (CGPO, arXiv:2409.20370, appendix B.2): one token,
// and the probabilities of the label tokens decide. Where the server gives no probabilities, a reply is parsed: structured
// output in the forms that servers know, the strictest first, and plain text in the end.

import { brief } from "../base/brief.js";
import type { Completion } from "./completion.js";
import { type JsonForm, responseFormat } from "./formats.js";
import { type ReadLabel, readObject, readProbabilities, readText } from "./read-label.js";
import type { LabelAnswer, LabelQuestion, Message } from "./types.js";

/** What a way of asking reads off a reply. */
export type Label = Pick<LabelAnswer, "label" | "probabilities" | "explanation">;

export interface Way {
  name: string;
  messages(messages: readonly Message[], words: readonly string[]): readonly Message[];
  parameters(question: LabelQuestion): object;
  /** Undefined: the reply holds no label. */
  read(reply: Completion, question: LabelQuestion): Label | undefined;
}

/** Of the probability the words must hold more than this, where the question does not say otherwise. */
export const defaultMinShare = 0.5;

/** The most likely word, the first of equally likely ones. */
export function mostLikely(words: readonly string[], probabilities: readonly number[]): string {
  return words[probabilities.indexOf(Math.max(...probabilities))]!;
}

/** Of what the model said for itself. */
const explanationLength = 1000;

const labelOf = (read: ReadLabel | undefined): Label | undefined =>
  read && {
    label: read.label,
    ...(read.explanation !== undefined && { explanation: brief(read.explanation, explanationLength) }),
  };

const isComplete = ({ finishReason }: Completion) => finishReason !== "length";

const asWritten = (messages: readonly Message[]) => messages;

/** The same question, with the form of the answer said in words too: not every server enforces a schema. */
function withForm(messages: readonly Message[], words: readonly string[]): readonly Message[] {
  const last = messages.at(-1)!;
  const listed = words.map((word) => `"${word}"`).join(" or ");
  const form = `Reply with one JSON object and nothing else: {"reason": one sentence, "label": ${listed}}.`;
  return [...messages.slice(0, -1), { ...last, content: `${last.content}\n\n${form}` }];
}

const schemaOf = (words: readonly string[]) => ({
  type: "object",
  properties: { reason: { type: "string" }, label: { type: "string", enum: [...words] } },
  required: ["reason", "label"],
  additionalProperties: false,
});

const maxTokens = 512;

const structured = (name: JsonForm): Way => ({
  name,
  messages: withForm,
  parameters: ({ words }) => ({
    max_tokens: maxTokens,
    ...responseFormat(name, { name: "verdict", schema: schemaOf(words) }),
  }),
  read: (reply, { words }) =>
    isComplete(reply) ? labelOf(readObject(reply.content ?? "", words)) : undefined,
});

/** Every way, the most telling first. */
export const ways: readonly Way[] = [
  {
    name: "logprobs",
    messages: asWritten,
    parameters: ({ tokens }) => ({ max_tokens: tokens, logprobs: true, top_logprobs: 20 }),
    read({ choices }, { words, minShare = defaultMinShare }) {
      const probabilities = readProbabilities(choices, words, minShare);
      return probabilities && { label: mostLikely(words, probabilities), probabilities };
    },
  },
  structured("json_schema"),
  structured("flat_schema"),
  structured("json_object"),
  {
    name: "text",
    messages: asWritten,
    parameters: () => ({ max_tokens: maxTokens }),
    read: (reply, { words }) => labelOf(readText(reply.content ?? "", words, isComplete(reply))),
  },
];
