// A checkpoint in our own engine as a language model to talk to: replies through its chat template, and the probabilities
// of given replies in one forward pass. What waits is answered in one batch; an answer depends on its own request only.

import { gathering } from "../base/gathering.js";
import { limiter } from "../base/requests.js";
import type { LanguageModel, Sequence } from "../engine/contract.js";
import { withoutTokens } from "./control-tokens.js";
import { defaultMinShare, mostLikely } from "./labels.js";
import {
  type ChatClient,
  ChatError,
  type ChatReply,
  type ChatRequest,
  type LabelQuestion,
  type Message,
} from "./types.js";

/** What is needed of an opened policy. */
export interface ChatEngine {
  policy: Pick<LanguageModel, "sample" | "logprobs" | "limits" | "endIds"> & { dispose?(): void };
  codec: {
    prompt(messages: { role: string; content: string }[]): number[];
    decode(tokens: Int32Array): string;
    tokenizer: {
      encode(text: string, options: { addSpecialTokens: boolean }): readonly number[];
      /** What a chat template is made of, and no message may say. */
      addedTokens?: readonly string[];
    };
    stopIds: readonly number[];
  };
}

/** Tokens of a reply to a request that names no limit. */
const defaultMaxTokens = 512;

/** Throws UserError for a model without a chat template. */
export function checkpointClient(engine: ChatEngine): ChatClient & { dispose(): void } {
  promptOf([{ role: "user", content: "Hello." }], engine);
  const turn = limiter(1);
  const reply = gathering(turn, (requests: ChatRequest[]) => replyTo(requests, engine));
  const score = gathering(turn, (questions: Sequence[][]) => scoreSequences(questions, engine));
  return {
    async chat(request, signal) {
      signal?.throwIfAborted();
      if (request.labels) {
        const sequences = labelSequences(request.messages, request.labels.words, engine);
        return labelReply(request.labels, await score(sequences), sequences[0]!.promptLength);
      }
      const answer = await reply(request);
      if (answer instanceof ChatError) throw answer;
      return answer;
    },
    dispose: () => engine.policy.dispose?.(),
  };
}

/** P(word) over the words together, from log P(word | messages) as the beginning of the reply. */
function labelReply(
  { words, minShare = defaultMinShare }: LabelQuestion,
  logprobs: readonly number[],
  promptTokens: number,
): ChatReply {
  const highest = Math.max(...logprobs);
  const shares = logprobs.map((logprob) => Math.exp(logprob - highest));
  const sum = shares.reduce((a, b) => a + b, 0);
  // What rounding may add to log 1.
  if (!(Number.isFinite(highest) && highest < 0.05))
    throw new ChatError(`the labels' log-probabilities are ${logprobs.join(" and ")}`);
  const held = Math.exp(highest) * sum;
  if (minShare > 0 && !(held > minShare))
    throw new ChatError(
      `${words.join(" and ")} hold ${(100 * held).toPrecision(2)} % of the probability, no more than the bound of ${100 * minShare} %`,
    );
  const probabilities = shares.map((share) => share / sum);
  const label = mostLikely(words, probabilities);
  const answer = { label, by: "logprobs", probabilities };
  return { content: label, finishReason: "stop", promptTokens, completionTokens: 0, answer };
}

const tooLong = (length: number, window: number) =>
  new ChatError(`the request has ${length} tokens, and the model's window is ${window}`);

const noTokens: readonly string[] = [];

/** The tokens of a conversation, in which only the chat template speaks in control tokens. */
const promptOf = (messages: readonly Message[], { codec }: ChatEngine): number[] => {
  const own = codec.tokenizer.addedTokens ?? noTokens;
  return codec.prompt(messages.map(({ role, content }) => ({ role, content: withoutTokens(content, own) })));
};

/** A reply to every request, or why there is none; requests with the same limits are sampled together. */
async function replyTo(
  requests: readonly ChatRequest[],
  { policy, codec }: ChatEngine,
): Promise<(ChatReply | ChatError)[]> {
  const window = policy.limits.maxTokens;
  const prompts = requests.map(({ messages }) => promptOf(messages, { policy, codec }));
  const limitOf = (i: number) =>
    Math.min(requests[i]!.maxTokens ?? defaultMaxTokens, window - prompts[i]!.length);
  const kindOf = (i: number) => {
    const { temperature = 0, stop = [] } = requests[i]!;
    return JSON.stringify([limitOf(i), temperature, stop]);
  };
  const replies = prompts.map(({ length }): ChatReply | ChatError => tooLong(length, window));
  const possible = [...requests.keys()].filter((i) => limitOf(i) > 0);
  for (const kind of new Set(possible.map(kindOf))) {
    const chosen = possible.filter((i) => kindOf(i) === kind);
    const [first] = chosen;
    const { temperature = 0, stop = [] } = requests[first!]!;
    const completions = await policy.sample(
      chosen.map((i) => prompts[i]!),
      {
        maxNewTokens: limitOf(first!),
        temperature,
        stopIds: codec.stopIds,
        stopStrings: stop,
        seeds: chosen.map((i) => requests[i]!.seed ?? 0),
      },
    );
    for (const { promptIndex, tokens, finishReason } of completions) {
      const i = chosen[promptIndex]!;
      replies[i] = {
        content: cutAt(stop, codec.decode(tokens)),
        finishReason,
        promptTokens: prompts[i]!.length,
        completionTokens: tokens.length,
      };
    }
  }
  return replies;
}

/** The text up to the first of the strings, which servers leave out too. */
function cutAt(stop: readonly string[], text: string): string {
  const ends = stop.map((string) => text.indexOf(string)).filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...ends));
}

/** Every label as the reply to the messages. A question that the model cannot read fails by itself. */
function labelSequences(
  messages: readonly Message[],
  labels: readonly string[],
  engine: ChatEngine,
): Sequence[] {
  const { policy, codec } = engine;
  const prompt = promptOf(messages, engine);
  const window = policy.limits.maxTokens;
  return labels.map((label) => {
    const tokens = [...prompt, ...codec.tokenizer.encode(label, { addSpecialTokens: false })];
    if (tokens.length > window) throw tooLong(tokens.length, window);
    return { tokens, promptLength: prompt.length };
  });
}

/** The log-probability of each sequence's completion. */
async function scoreSequences(questions: readonly Sequence[][], { policy }: ChatEngine): Promise<number[][]> {
  const logprobs = await policy.logprobs(questions.flat());
  let next = 0;
  return questions.map((sequences) =>
    sequences.map(() => logprobs[next++]!.reduce((sum, logprob) => sum + logprob, 0)),
  );
}
