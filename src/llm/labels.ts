// How a model is asked for one of several words. First without sampling (CGPO, arXiv:2409.20370, appendix B.2): one token,
// and the probabilities of the label tokens decide. Where the server gives no probabilities, a reply is parsed: structured
// output in the forms that servers know, the strictest first, and plain text in the end.

import type { Completion, TokenChoice } from "./completion.js";
import { type JsonForm, responseFormat } from "./formats.js";
import { brief, type LabelAnswer, type LabelQuestion, type Message } from "./types.js";

/** What a way of asking reads off a reply. */
export type Label = Pick<LabelAnswer, "label" | "probabilities" | "explanation">;

export interface Way {
  name: string;
  messages(messages: readonly Message[], words: readonly string[]): readonly Message[];
  parameters(question: LabelQuestion): object;
  /** Undefined: the reply holds no label. */
  read(reply: Completion, words: readonly string[]): Label | undefined;
}

/** Label tokens must hold at least this much probability, or the model is saying something else. */
const leastMass = 0.01;

/** Index of the word that a token begins, if only one of them can be meant. */
function wordBegun(token: string, words: readonly string[]): number | undefined {
  const text = token.replace(/\W+/g, "").toLowerCase();
  if (text === "") return undefined;
  const meant = [...words.keys()].filter((i) => words[i]!.toLowerCase().startsWith(text));
  return meant.length === 1 ? meant[0] : undefined;
}

const isBlank = (choice: TokenChoice) =>
  choice.reduce((a, b) => (b.logprob > a.logprob ? b : a)).token.trim() === "";

/** The most likely word, the first of equally likely ones. */
export function mostLikely(words: readonly string[], probabilities: readonly number[]): string {
  return words[probabilities.indexOf(Math.max(...probabilities))]!;
}

function readProbabilities({ choices }: Completion, words: readonly string[]): Label | undefined {
  const position = choices?.find((choice) => choice.length > 0 && !isBlank(choice));
  if (!position) return undefined;
  const mass = words.map(() => 0);
  for (const { token, logprob } of position) {
    const word = wordBegun(token, words);
    if (word !== undefined) mass[word]! += Math.exp(logprob);
  }
  const sum = mass.reduce((a, b) => a + b, 0);
  if (!(sum >= leastMass)) return undefined;
  const probabilities = mass.map((share) => share / sum);
  return { label: mostLikely(words, probabilities), probabilities };
}

function asWord(text: unknown, words: readonly string[]): string | undefined {
  if (typeof text !== "string") return undefined;
  const said = text.trim().toLowerCase();
  return words.find((word) => word.toLowerCase() === said);
}

const withoutThoughts = (text: string) => text.replace(/^\s*<think>[\s\S]*?<\/think>/i, "").trim();

const isComplete = ({ finishReason }: Completion) => finishReason !== "length";

/** Of what the model said for itself. */
const explanationLength = 1000;

/** The one JSON object of the reply, bare or in a code fence. */
function readObject(reply: Completion, words: readonly string[]): Label | undefined {
  if (!isComplete(reply)) return undefined;
  const text = withoutThoughts(reply.content ?? "").replace(/^```(?:json)?\s*|\s*```$/g, "");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { label: said, reason } = value as Record<string, unknown>;
  const label = asWord(said, words);
  if (label === undefined) return undefined;
  return typeof reason === "string" ? { label, explanation: brief(reason, explanationLength) } : { label };
}

/** A label as the first word of the reply, or at its end after "answer:" or the like. */
function readText(reply: Completion, words: readonly string[]): Label | undefined {
  const text = withoutThoughts(reply.content ?? "");
  const [, first] = /^[\s*_"'`]*(\w+)/.exec(text) ?? [];
  const [, last] = /\b(?:answer|label|verdict)\b(?:\s+is)?\W+(\w+)\W*$/i.exec(text.slice(-200)) ?? [];
  const label = asWord(first, words) ?? (isComplete(reply) ? asWord(last, words) : undefined);
  return label === undefined ? undefined : { label };
}

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
  read: readObject,
});

/** Every way, the most telling first. */
export const ways: readonly Way[] = [
  {
    name: "logprobs",
    messages: asWritten,
    parameters: ({ tokens }) => ({ max_tokens: tokens, logprobs: true, top_logprobs: 20 }),
    read: readProbabilities,
  },
  structured("json_schema"),
  structured("flat_schema"),
  structured("json_object"),
  { name: "text", messages: asWritten, parameters: () => ({ max_tokens: maxTokens }), read: readText },
];
