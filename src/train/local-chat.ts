// A checkpoint in our own engine as a language model to talk to: replies through its chat template, and the probabilities
// of given replies in one forward pass. What waits is answered in one batch; an answer depends on its own request only.

import type { Sequence } from "../engine/contract.js";
import { type ChatClient, ChatError, type ChatReply, type ChatRequest } from "../mpo/client.js";
import type { OpenedPolicy } from "./models.js";

/** What is needed of an opened policy. */
export interface ChatEngine {
  policy: Pick<OpenedPolicy["policy"], "sample" | "logprobs" | "config">;
  codec: Pick<OpenedPolicy["codec"], "prompt" | "decode" | "tokenizer" | "endId">;
}

export interface LocalChat extends ChatClient {
  /** log P(label | messages) of every label as the beginning of the reply, nats. */
  labelLogprobs(messages: ChatRequest["messages"], labels: readonly string[]): Promise<number[]>;
}

/** Tokens of a reply to a request that names no limit. */
const defaultMaxTokens = 512;

/** Throws UserError for a model without a chat template. */
export function localChatClient(engine: ChatEngine): LocalChat {
  promptOf([{ role: "user", content: "Hello." }], engine);
  const turn = oneAtATime();
  const reply = gathering(turn, (requests: ChatRequest[]) => replyTo(requests, engine));
  const score = gathering(turn, (questions: Sequence[][]) => scoreSequences(questions, engine));
  return {
    async chat(request, signal) {
      signal?.throwIfAborted();
      const answer = await reply(request);
      if (answer instanceof ChatError) throw answer;
      return answer;
    },
    labelLogprobs: async (messages, labels) => await score(labelSequences(messages, labels, engine)),
  };
}

/** Runs works one after the other: a model computes one thing at a time. */
function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}

/** Hands the jobs that gather until their turn comes to one call of `handle`, whose results are in their order. */
function gathering<Job, Result>(
  turn: ReturnType<typeof oneAtATime>,
  handle: (jobs: Job[]) => Promise<Result[]>,
): (job: Job) => Promise<Result> {
  let jobs: Job[] = [];
  let results: Promise<Result[]> | undefined;
  return async (job) => {
    const index = jobs.push(job) - 1;
    results ??= turn(async () => {
      // Requests of the same moment shall meet.
      await new Promise((resolve) => setImmediate(resolve));
      const gathered = jobs;
      jobs = [];
      results = undefined;
      return await handle(gathered);
    });
    return (await results)[index]!;
  };
}

const tooLong = (length: number, window: number) =>
  new ChatError(`the request has ${length} tokens, and the model's window is ${window}`);

const promptOf = (messages: ChatRequest["messages"], { codec }: ChatEngine): number[] =>
  codec.prompt(messages.map((message) => ({ ...message })));

/** A reply to every request, or why there is none; requests with the same limits are sampled together. */
async function replyTo(
  requests: readonly ChatRequest[],
  { policy, codec }: ChatEngine,
): Promise<(ChatReply | ChatError)[]> {
  const window = policy.config.maxPositionEmbeddings;
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
        stopIds: [...new Set([codec.endId, ...policy.config.eosIds])],
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
  messages: ChatRequest["messages"],
  labels: readonly string[],
  engine: ChatEngine,
): Sequence[] {
  const { policy, codec } = engine;
  const prompt = promptOf(messages, engine);
  const window = policy.config.maxPositionEmbeddings;
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
