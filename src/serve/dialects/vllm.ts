// vLLM's pooling server (0.33): what verl, TRL and others ask of a discriminative reward model. The reward stands alone in
// `probs` (one class), raw with `use_activation: false` and through the sigmoid otherwise, as vLLM's pooler does.
//   POST /classify  input | messages   POST /pooling  the same   POST /score, /v1/score  pairs of texts
//   POST /rerank, /v1/rerank, /v2/rerank  a query and documents, best first

import { randomUUID } from "node:crypto";
import { z } from "zod";
import { sigmoid } from "../../objectives/numerics.js";
import { Problem } from "../problem.js";
import { type Call, type Dialect, route, valueOrUnavailable } from "../route.js";
import type { ServedResult, ServedSample } from "../sample.js";

const ids = z.array(z.int().min(0)).min(1);
const common = {
  model: z.string().optional(),
  use_activation: z.boolean().nullish(),
};
const inputField = z.union([z.string(), z.array(z.string()).min(1), ids, z.array(ids).min(1)], {
  error: "must be a text, a list of texts, or token ids",
});
const turnsField = z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1);
const classifyBody = z.union(
  [z.looseObject({ ...common, input: inputField }), z.looseObject({ ...common, messages: turnsField })],
  { error: "must have `input` (a text, a list of texts, or token ids) or `messages`" },
);
type ClassifyBody = z.output<typeof classifyBody>;

/** Whole texts, ids decoded, or a conversation whose last turn is the response. */
function samplesOf(given: ClassifyBody, { service, task }: Call<unknown>): ServedSample[] {
  if ("normalize" in given)
    throw new Problem("invalid", "normalize was removed; use `use_activation`", { param: "normalize" });
  // Beside an `input` they may be anything.
  const { data: turns } = turnsField.safeParse("messages" in given ? given.messages : undefined);
  if (turns) {
    const last = turns.at(-1)!;
    return last.role === "assistant" && turns.length > 1
      ? [{ prompt: turns.slice(0, -1), response: last.content, metadata: {} }]
      : [{ prompt: "", response: turns.map(({ content }) => content).join("\n"), metadata: {} }];
  }
  const { codec } = service.taskOf(task);
  const decoded = (tokens: readonly number[]): string => {
    if (!codec) throw new Problem("invalid", "there is no tokenizer: send texts", { param: "input" });
    return codec.tokenizer.decode([...tokens], { skipSpecialTokens: false });
  };
  const { input } = given as { input: z.output<typeof inputField> };
  const texts =
    typeof input === "string"
      ? [input]
      : input.every((part) => typeof part === "string")
        ? (input as string[])
        : input.every((part) => typeof part === "number")
          ? [decoded(input as number[])]
          : (input as number[][]).map(decoded);
  return texts.map((response) => ({ prompt: "", response, metadata: {} }));
}

const head = (object: string, prefix: string, model: string | undefined) => ({
  id: `${prefix}-${randomUUID()}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model: model ?? "touchstone",
});
const usage = { prompt_tokens: 0, total_tokens: 0, completion_tokens: 0, prompt_tokens_details: null };

async function numbers(
  call: Call<unknown>,
  samples: readonly ServedSample[],
  useActivation?: boolean | null,
) {
  const results = await call.score(samples);
  return results.map((result: ServedResult) => {
    const value = valueOrUnavailable(result, call.service.options);
    return useActivation === false ? value : sigmoid(value);
  });
}

async function classify(call: Call<ClassifyBody>) {
  const probs = await numbers(call, samplesOf(call.body, call), call.body.use_activation);
  const data = probs.map((p, index) => ({ index, label: "LABEL_0", probs: [p], num_classes: 1 }));
  return { body: { ...head("list", "classify", call.body.model), data, usage } };
}

async function pooling(call: Call<ClassifyBody>) {
  const values = await numbers(call, samplesOf(call.body, call), call.body.use_activation);
  const isBase64 = (call.body as { encoding_format?: unknown }).encoding_format === "base64";
  const data = values.map((value, index) => ({
    index,
    object: "pooling",
    data: isBase64 ? Buffer.from(Float32Array.of(value).buffer).toString("base64") : [value],
  }));
  return { body: { ...head("list", "pool", call.body.model), data, usage } };
}

const texts = z.union([z.string(), z.array(z.string()).min(1)], {
  error: "must be a text or a list of texts",
});
const pairNames = [
  ["queries", "documents"],
  ["queries", "items"],
  ["data_1", "data_2"],
  ["text_1", "text_2"],
] as const;
const scoreBody = z.looseObject({
  ...common,
  ...Object.fromEntries(pairNames.flat().map((name) => [name, texts.optional()])),
}) as unknown as z.ZodType<{ model?: string; use_activation?: boolean | null; [name: string]: unknown }>;

async function scorePairs(
  call: Call<{ model?: string; use_activation?: boolean | null; [name: string]: unknown }>,
) {
  const names = pairNames.find(
    ([first, second]) => call.body[first] !== undefined && call.body[second] !== undefined,
  );
  if (!names)
    throw new Problem(
      "invalid",
      `must have one of ${pairNames.map((pair) => pair.join(" and ")).join(", ")}`,
    );
  const [left, right] = names.map((name) => [call.body[name] as string | string[]].flat());
  if (left!.length !== 1 && left!.length !== right!.length)
    throw new Problem(
      "invalid",
      `${names[0]} and ${names[1]} must be of one length, or the first a single text`,
    );
  const samples = right!.map((response, i) => ({
    prompt: left![left!.length === 1 ? 0 : i]!,
    response,
    metadata: {},
  }));
  const scores = await numbers(call, samples, call.body.use_activation);
  const data = scores.map((score, index) => ({ index, object: "score", score }));
  return { body: { ...head("list", "score", call.body.model), data, usage } };
}

const rerankBody = z.looseObject({
  ...common,
  query: z.string(),
  documents: z.array(z.string()).min(1),
  top_n: z.int().min(0).default(0),
});

async function rerank(call: Call<z.output<typeof rerankBody>>) {
  const { query, documents, top_n, model, use_activation } = call.body;
  const samples = documents.map((response) => ({ prompt: query, response, metadata: {} }));
  const scores = await numbers(call, samples, use_activation);
  const results = documents
    .map((text, index) => ({ index, document: { text, multi_modal: null }, relevance_score: scores[index]! }))
    .sort((a, b) => b.relevance_score - a.relevance_score)
    .slice(0, top_n === 0 ? undefined : top_n);
  return { body: { id: `rerank-${randomUUID()}`, model: model ?? "touchstone", usage, results } };
}

/** vLLM's and OpenAI's error. */
export const openAiError: Dialect["error"] = ({ kind, message, details: { param = null } }, status) => ({
  body: {
    error: {
      message,
      type:
        status >= 500 ? "InternalServerError" : kind === "not_found" ? "NotFoundError" : "BadRequestError",
      param,
      code: status,
    },
  },
});

export const vllm: Dialect = {
  name: "vllm",
  routes: [
    route({
      method: "POST",
      path: "/classify",
      summary: "vLLM's classify.",
      body: classifyBody,
      handle: classify,
    }),
    route({
      method: "POST",
      path: "/pooling",
      summary: "vLLM's pooling.",
      body: classifyBody,
      handle: pooling,
    }),
    ...["/score", "/v1/score"].map((path) =>
      route({ method: "POST", path, summary: "vLLM's score of pairs.", body: scoreBody, handle: scorePairs }),
    ),
    ...["/v1/rerank", "/v2/rerank"].map((path) =>
      route({ method: "POST", path, summary: "vLLM's rerank.", body: rerankBody, handle: rerank }),
    ),
  ],
  error: openAiError,
};

/** `/rerank`, which vLLM and TEI both have, by what is asked. */
export const rerankDocuments = rerank;
export { rerankBody };
