// The policy in OpenAI's words, as openai clients, chat interfaces and lm-eval's `local-completions` ask it.
//   POST /v1/completions (echo and logprobs)   POST /v1/chat/completions (stream)   GET /v1/models
// With `echo` and `logprobs` every token of the prompt has its log-probability and the most likely token in its place.

import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Completion, TokenIds, TokenScores } from "../../engine/contract.js";
import { cutAtStop } from "../../eval/prompts.js";
import { withoutTokens } from "../../llm/control-tokens.js";
import { StreamDecoder } from "../../model/tokenizer.js";
import type { TextCodec } from "../../train/text.js";
import type { CompletionJob, PolicyService } from "../policy.js";
import { Problem } from "../problem.js";
import { type Call, type Dialect, route } from "../route.js";
import { openAiError } from "./vllm.js";

const limits = {
  model: z.string().optional(),
  temperature: z.number().min(0).max(10).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().nullish(),
  n: z.int().min(1).max(128).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(32)]).nullish(),
  seed: z.int().nullish(),
  max_tokens: z.int().min(0).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
};
const tokenIds = z.array(z.int().min(0)).min(1);
const completionBody = z.looseObject({
  ...limits,
  prompt: z.union([z.string(), z.array(z.string()).min(1), tokenIds, z.array(tokenIds).min(1)], {
    error: "must be a text, a list of texts, token ids, or a list of them",
  }),
  echo: z.boolean().nullish(),
  logprobs: z
    .int()
    .min(0)
    .max(1, { error: "no more than the most likely token is given: logprobs is 0 or 1" })
    .nullish(),
});
const content = z.union([z.string(), z.array(z.looseObject({ type: z.literal("text"), text: z.string() }))]);
const chatBody = z.looseObject({
  ...limits,
  max_completion_tokens: z.int().min(1).nullish(),
  messages: z
    .array(z.looseObject({ role: z.string(), content: content.nullish() }))
    .min(1, { error: "must not be empty" }),
  logprobs: z.boolean().nullish(),
});
type CompletionBody = z.output<typeof completionBody>;
type ChatBody = z.output<typeof chatBody>;
type Limits = Pick<ChatBody, "temperature" | "top_p" | "top_k" | "n" | "stop" | "seed">;

const stopsOf = ({ stop }: Limits): string[] => [stop ?? []].flat().filter((text) => text !== "");

/** A 32-bit seed for each completion: the request's, or one that nobody knows. */
const seedsOf = ({ seed, n }: Limits, which = 0): number[] =>
  Array.from({ length: n ?? 1 }, (_, i) =>
    seed === undefined || seed === null
      ? Math.floor(Math.random() * 2 ** 32)
      : (seed + 0x9e3779b9 * i + 0x85ebca6b * which) >>> 0,
  );

const optionsOf = (limits: Limits, codec: TextCodec, maxNewTokens: number): CompletionJob["options"] => ({
  n: limits.n ?? 1,
  maxNewTokens,
  temperature: limits.temperature ?? 1,
  topP: limits.top_p ?? 1,
  topK: Math.max(0, limits.top_k ?? 0),
  stopIds: codec.stopIds,
  stopStrings: stopsOf(limits),
});

function serviceOf({ service }: Call<unknown>): PolicyService {
  if (service.policy) return service.policy;
  throw new Problem(
    "not_found",
    "no language model is served; start with a recipe that has one, or --policy",
  );
}

/** Room for new tokens after a prompt. */
function roomAfter(length: number, window: number, wanted: number): number {
  if (length + Math.min(wanted, 1) > window)
    throw new Problem("invalid", `the prompt has ${length} tokens, and the model's window is ${window}`, {
      param: "prompt",
    });
  return Math.min(wanted, window - length);
}

// Completions --------------------------------------------------------------------------------------------------

function promptsOf(prompt: CompletionBody["prompt"], codec: TextCodec, vocabSize: number): number[][] {
  const given = typeof prompt === "string" || typeof prompt[0] === "number" ? [prompt] : prompt;
  return (given as (string | number[])[]).map((one) => {
    if (typeof one === "string") return codec.prompt(one);
    const stranger = one.find((id) => id >= vocabSize);
    if (stranger === undefined) return one;
    throw new Problem("invalid", `token ${stranger} is not in the vocabulary of ${vocabSize}`, {
      param: "prompt",
    });
  });
}

async function completions(call: Call<CompletionBody>) {
  const { body } = call;
  const service = serviceOf(call);
  const { policy, codec } = await service.open();
  const { vocabSize, maxTokens: window } = policy.limits;
  const prompts = promptsOf(body.prompt, codec, vocabSize);
  const wanted = body.max_tokens ?? 16;
  if (body.stream) {
    if (prompts.length > 1 || (body.n ?? 1) > 1 || body.echo || body.logprobs != null)
      throw new Problem("invalid", "stream goes with one prompt, n 1, and without echo and logprobs", {
        param: "stream",
      });
    return streamText(call, prompts[0]!, {
      object: "text_completion",
      wanted,
      chunk: (text) => ({ text, logprobs: null }),
    });
  }
  const choices = await Promise.all(
    prompts.map(async (prompt, which) => {
      const maxNewTokens = roomAfter(prompt.length, window, wanted);
      const done: (Completion | undefined)[] =
        maxNewTokens === 0
          ? Array.from({ length: body.n ?? 1 }, () => undefined)
          : await service.complete({
              prompt,
              options: optionsOf(body, codec, maxNewTokens),
              seeds: seedsOf(body, which),
            });
      return Promise.all(
        done.map(async (completion, k) => ({
          index: which * (body.n ?? 1) + k,
          ...(await choiceOf(body, { prompt, completion, codec, service })),
          finish_reason: completion?.finishReason ?? "length",
          stop_reason: null,
          newTokens: completion?.tokens.length ?? 0,
        })),
      );
    }),
  );
  const flat = choices.flat();
  const completionTokens = flat.reduce((sum, { newTokens }) => sum + newTokens, 0);
  return {
    body: {
      ...head("text_completion", service),
      choices: flat.map(({ newTokens: _, ...choice }) => choice),
      usage: usageOf(
        prompts.reduce((sum, { length }) => sum + length, 0),
        completionTokens,
      ),
    },
  };
}

interface ChoiceParts {
  prompt: number[];
  completion: Completion | undefined;
  codec: TextCodec;
  service: PolicyService;
}

async function choiceOf(body: CompletionBody, { prompt, completion, codec, service }: ChoiceParts) {
  const generated = cutAtStop(codec.decode(completion?.tokens ?? []), stopsOf(body));
  const before = body.echo ? codec.tokenizer.decode(prompt, { skipSpecialTokens: true }) : "";
  const text = before + generated;
  if (body.logprobs === undefined || body.logprobs === null) return { text, logprobs: null };
  const all = [...prompt, ...(completion?.tokens ?? [])];
  const scores = await service.score(all);
  const first = body.echo ? 0 : prompt.length;
  return { text, logprobs: logprobsOf(all, first, scores, codec) };
}

/** One entry for each token from `first` on; the first of a text has no log-probability. */
function logprobsOf(tokens: TokenIds, first: number, scores: TokenScores, codec: TextCodec) {
  const { logprobs, best, bestLogprobs } = scores;
  const nameOf = (id: number) => codec.tokenizer.decode([id], { skipSpecialTokens: false });
  const positions = Array.from({ length: tokens.length - first }, (_, i) => first + i);
  let offset = 0;
  const names = positions.map((t) => nameOf(tokens[t]!));
  return {
    tokens: names,
    token_logprobs: positions.map((t) => (t === 0 ? null : logprobs[t - 1]!)),
    top_logprobs: positions.map((t, i) => {
      if (t === 0) return null;
      const token = best[t - 1]!;
      const logprob = bestLogprobs[t - 1]!;
      // Another token may look the same; the most likely one keeps its number under its name.
      const name = nameOf(token);
      const own = names[i]!;
      return token === tokens[t] || own === name
        ? { [name]: logprob }
        : { [name]: logprob, [own]: logprobs[t - 1]! };
    }),
    text_offset: names.map(({ length }) => {
      offset += length;
      return offset - length;
    }),
  };
}

const head = (object: string, { name }: PolicyService) => ({
  id: `${object === "text_completion" ? "cmpl" : "chatcmpl"}-${randomUUID()}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model: name,
});

const usageOf = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
});

// Chat ---------------------------------------------------------------------------------------------------------

/** The conversation in tokens, in which only the chat template speaks in control tokens. */
function chatPrompt({ messages }: ChatBody, codec: TextCodec): number[] {
  const own = codec.tokenizer.addedTokens;
  return codec.prompt(
    messages.map(({ role, content }) => {
      const text = typeof content === "string" ? content : (content ?? []).map((part) => part.text).join("");
      return { role, content: withoutTokens(text, own) };
    }),
  );
}

async function chat(call: Call<ChatBody>) {
  const { body } = call;
  const service = serviceOf(call);
  const { policy, codec } = await service.open();
  if (!codec.hasTemplate)
    throw new Problem("invalid", "the model has no chat template; use /v1/completions", {
      param: "messages",
    });
  if (body.logprobs)
    throw new Problem("invalid", "log-probabilities come with /v1/completions", { param: "logprobs" });
  const prompt = chatPrompt(body, codec);
  const wanted = body.max_completion_tokens ?? body.max_tokens ?? 512;
  if (body.stream) {
    if ((body.n ?? 1) > 1) throw new Problem("invalid", "stream goes with n 1", { param: "n" });
    return streamText(call, prompt, {
      object: "chat.completion.chunk",
      wanted,
      first: { delta: { role: "assistant", content: "" } },
      chunk: (text) => ({ delta: text === "" ? {} : { content: text } }),
    });
  }
  const maxNewTokens = roomAfter(prompt.length, policy.limits.maxTokens, Math.max(1, wanted));
  const done = await service.complete({
    prompt,
    options: optionsOf(body, codec, maxNewTokens),
    seeds: seedsOf(body),
  });
  return {
    body: {
      ...head("chat.completion", service),
      choices: done.map(({ tokens, finishReason }, index) => ({
        index,
        message: {
          role: "assistant",
          content: cutAtStop(codec.decode(tokens), stopsOf(body)),
          refusal: null,
        },
        logprobs: null,
        finish_reason: finishReason,
      })),
      usage: usageOf(
        prompt.length,
        done.reduce((sum, { tokens }) => sum + tokens.length, 0),
      ),
    },
  };
}

// Streams ------------------------------------------------------------------------------------------------------

interface StreamParts {
  object: string;
  wanted: number;
  /** Of the first event. */
  first?: object;
  /** The choice's part that carries so much text. */
  chunk(text: string): object;
}

/** Text that may be shown already: nothing that a stop string may begin with. */
class StopGuard {
  private held = "";
  private isDone = false;

  constructor(private readonly stops: readonly string[]) {}

  push(text: string): string {
    if (this.isDone) return "";
    this.held += text;
    const cut = cutAtStop(this.held, this.stops);
    if (cut.length < this.held.length) {
      this.isDone = true;
      this.held = "";
      return cut;
    }
    const keep = Math.max(0, ...this.stops.map((stop) => overlap(this.held, stop)));
    const shown = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(this.held.length - keep);
    return shown;
  }

  rest(): string {
    return this.isDone ? "" : this.held;
  }
}

/** Characters at the end of `text` that are the beginning of `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(stop.length - 1, text.length); n > 0; n--)
    if (stop.startsWith(text.slice(-n))) return n;
  return 0;
}

async function streamText(
  call: Call<Limits & { stream_options?: { include_usage?: boolean | undefined } | null | undefined }>,
  prompt: number[],
  { object, wanted, first, chunk }: StreamParts,
): Promise<Response> {
  const service = serviceOf(call);
  const { policy, codec } = await service.open();
  const maxNewTokens = roomAfter(prompt.length, policy.limits.maxTokens, Math.max(1, wanted));
  const common = head(object, service);
  const encoder = new TextEncoder();
  const decoder = new StreamDecoder(codec.tokenizer, { skipSpecialTokens: true });
  const guard = new StopGuard(stopsOf(call.body));
  let decoded = "";
  const stream = new ReadableStream<Uint8Array>({
    async start(controller) {
      let isOpen = true;
      call.signal.addEventListener("abort", () => {
        isOpen = false;
      });
      const send = (data: string) => {
        if (isOpen) controller.enqueue(encoder.encode(`data: ${data}\n\n`));
      };
      const say = (part: object, finish: string | null = null) =>
        send(JSON.stringify({ ...common, choices: [{ index: 0, ...part, finish_reason: finish }] }));
      try {
        if (first) say(first);
        const [done] = await service.complete({
          prompt,
          options: optionsOf({ ...call.body, n: 1 }, codec, maxNewTokens),
          seeds: seedsOf({ ...call.body, n: 1 }),
          onToken(_, token) {
            const piece = decoder.push(token);
            decoded += piece;
            const text = guard.push(piece);
            if (text !== "") say(chunk(text));
          },
        });
        // A character whose bytes did not all come is shown as the whole text shows it.
        const whole = codec.decode(done!.tokens);
        const late = whole.startsWith(decoded) ? whole.slice(decoded.length) : "";
        const rest = guard.push(late) + guard.rest();
        if (rest !== "") say(chunk(rest));
        say(chunk(""), done!.finishReason);
        if (call.body.stream_options?.include_usage)
          send(
            JSON.stringify({ ...common, choices: [], usage: usageOf(prompt.length, done!.tokens.length) }),
          );
        send("[DONE]");
      } catch (error) {
        const problem = new Problem("internal", (error as Error).message);
        send(JSON.stringify(openAiError(problem, 500).body));
      }
      if (isOpen) controller.close();
    },
  });
  return new Response(stream, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });
}

const models = (call: Call<unknown>) => {
  const names = [call.service.policy?.name, ...call.service.tasks.map(({ name }) => name)];
  const data = names.flatMap((id) =>
    id === undefined ? [] : [{ id, object: "model", created: 0, owned_by: "touchstone" }],
  );
  return { body: { object: "list", data } };
};

export const openai: Dialect = {
  name: "openai",
  routes: [
    route({
      method: "POST",
      path: "/v1/completions",
      summary: "Completions of the policy, with echo and logprobs.",
      body: completionBody,
      handle: completions,
    }),
    route({
      method: "POST",
      path: "/v1/chat/completions",
      summary: "Replies of the policy.",
      body: chatBody,
      handle: chat,
    }),
    route({ method: "GET", path: "/v1/models", summary: "The policy and the tasks.", handle: models }),
  ],
  error: openAiError,
};
