// How a judge model is asked for one of two labels. First without sampling (CGPO, appendix B.2): one token, and the
// probabilities of the label tokens decide, P(violated) > P(satisfied). Where the server gives no probabilities, a reply is
// parsed: structured output in the forms that servers know, the strictest first, and plain text in the end.

import { type Endpoint, RefusedError, type Reply, type TokenChoice } from "./endpoint.js";
import { type ChatMessage, type Labels, sameWord } from "./template.js";

export interface Question {
  messages: readonly ChatMessage[];
  labels: Labels;
  answerTokens: number;
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

/** A model that gives the probabilities of given replies: a checkpoint in our own engine. */
export interface LabelModel {
  /** log P(label | messages) of every label as the beginning of the reply, nats. */
  labelLogprobs(messages: readonly ChatMessage[], labels: readonly string[]): Promise<number[]>;
}

/** P(violated) > P(satisfied), from one forward pass (CGPO, appendix B.2). */
export async function decideByLabels(
  model: LabelModel,
  { messages, labels }: Pick<Question, "messages" | "labels">,
): Promise<Decision> {
  const logprobs = await model.labelLogprobs(messages, [labels.satisfied, labels.violated]);
  const [satisfied, violated] = [logprobs[0]!, logprobs[1]!];
  // sigma of the difference: the two labels alone share the probability.
  const isViolated = violated > satisfied;
  const probability = 1 / (1 + Math.exp(-Math.abs(violated - satisfied)));
  return { isViolated, by: "logprobs", probability };
}

interface Way {
  name: string;
  messages(question: Question): readonly ChatMessage[];
  parameters(question: Question): object;
  /** Undefined: the reply holds no label. */
  read(reply: Reply, labels: Labels): Omit<Decision, "by"> | undefined;
}

/** Label tokens must hold at least this much probability, or the model is saying something else. */
const leastMass = 0.01;

/** The label that a token begins, if only one of them can be meant. */
function labelBegun(token: string, { satisfied, violated }: Labels): keyof Labels | undefined {
  const text = token.replace(/\W+/g, "").toLowerCase();
  if (text === "") return undefined;
  const [good, bad] = [satisfied, violated].map((label) => label.toLowerCase().startsWith(text));
  return good === bad ? undefined : good ? "satisfied" : "violated";
}

const isBlank = (choice: TokenChoice) =>
  choice.reduce((a, b) => (b.logprob > a.logprob ? b : a)).token.trim() === "";

function readProbabilities({ choices }: Reply, labels: Labels): Omit<Decision, "by"> | undefined {
  const position = choices?.find((choice) => choice.length > 0 && !isBlank(choice));
  if (!position) return undefined;
  const mass = { satisfied: 0, violated: 0 };
  for (const { token, logprob } of position) {
    const label = labelBegun(token, labels);
    if (label) mass[label] += Math.exp(logprob);
  }
  const sum = mass.satisfied + mass.violated;
  if (!(sum >= leastMass)) return undefined;
  const isViolated = mass.violated > mass.satisfied;
  return { isViolated, probability: (isViolated ? mass.violated : mass.satisfied) / sum };
}

function asLabel(text: unknown, labels: Labels): boolean | undefined {
  if (typeof text !== "string") return undefined;
  if (sameWord(text.trim(), labels.violated)) return true;
  return sameWord(text.trim(), labels.satisfied) ? false : undefined;
}

const withoutThoughts = (text: string) => text.replace(/^\s*<think>[\s\S]*?<\/think>/i, "").trim();

/** The one JSON object of the reply, bare or in a code fence. */
function readObject({ content, isComplete }: Reply, labels: Labels): Omit<Decision, "by"> | undefined {
  if (!isComplete) return undefined;
  const text = withoutThoughts(content).replace(/^```(?:json)?\s*|\s*```$/g, "");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { label, reason } = value as Record<string, unknown>;
  const isViolated = asLabel(label, labels);
  if (isViolated === undefined) return undefined;
  return typeof reason === "string" ? { isViolated, explanation: reason } : { isViolated };
}

/** A label as the first word of the reply, or at its end after "answer:" or the like. */
function readText({ content, isComplete }: Reply, labels: Labels): Omit<Decision, "by"> | undefined {
  const text = withoutThoughts(content);
  const [, first] = /^[\s*_"'`]*(\w+)/.exec(text) ?? [];
  const [, last] = /\b(?:answer|label|verdict)\b(?:\s+is)?\W+(\w+)\W*$/i.exec(text) ?? [];
  const isViolated = asLabel(first, labels) ?? (isComplete ? asLabel(last, labels) : undefined);
  return isViolated === undefined ? undefined : { isViolated };
}

const asWritten = ({ messages }: Question) => messages;

/** The same question, with the form of the answer said in words too: not every server enforces a schema. */
function withForm({ messages, labels }: Question): readonly ChatMessage[] {
  const last = messages.at(-1)!;
  const form =
    `Reply with one JSON object and nothing else: {"reason": one sentence, "label": ` +
    `"${labels.satisfied}" or "${labels.violated}"}.`;
  return [...messages.slice(0, -1), { ...last, content: `${last.content}\n\n${form}` }];
}

const schemaOf = ({ satisfied, violated }: Labels) => ({
  type: "object",
  properties: { reason: { type: "string" }, label: { type: "string", enum: [satisfied, violated] } },
  required: ["reason", "label"],
  additionalProperties: false,
});

const maxTokens = 512;

const structured = (name: string, format: (labels: Labels) => object): Way => ({
  name,
  messages: withForm,
  parameters: ({ labels }) => ({ max_tokens: maxTokens, response_format: format(labels) }),
  read: readObject,
});

const ways: readonly Way[] = [
  {
    name: "logprobs",
    messages: asWritten,
    parameters: ({ answerTokens }) => ({ max_tokens: answerTokens, logprobs: true, top_logprobs: 20 }),
    read: readProbabilities,
  },
  structured("json_schema", (labels) => ({
    type: "json_schema",
    json_schema: { name: "verdict", schema: schemaOf(labels), strict: true },
  })),
  structured("flat_schema", (labels) => ({ type: "json_schema", schema: schemaOf(labels) })),
  structured("json_object", () => ({ type: "json_object" })),
  { name: "text", messages: asWritten, parameters: () => ({ max_tokens: maxTokens }), read: readText },
];

/** Asks in each way that the server knows, until a reply holds a label. Throws when none does. */
export async function decide(
  endpoint: Endpoint,
  question: Question,
  signal?: AbortSignal,
): Promise<Decision> {
  let last = "";
  for (const { name, messages, parameters, read } of ways) {
    if (!endpoint.knows(name)) continue;
    try {
      const reply = await endpoint.complete(messages(question), parameters(question), signal);
      const decision = read(reply, question.labels);
      if (decision) {
        endpoint.recordLabel(name);
        return { ...decision, by: name };
      }
      endpoint.recordMiss(name);
      last = reply.content;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      endpoint.recordRefusal(name);
      last = error.message;
    }
  }
  const { satisfied, violated } = question.labels;
  const shown = JSON.stringify(last.length > 100 ? `${last.slice(0, 100)}...` : last);
  throw new Error(`judge model "${endpoint.model}" answers neither ${satisfied} nor ${violated}: ${shown}`);
}
