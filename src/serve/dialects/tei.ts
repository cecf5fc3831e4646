// Text Embeddings Inference (1.9) with a classifier: what huggingface_hub and LangChain ask. A flat list of two texts is one
// pair, a batch is a list of lists. huggingface_hub's text_classification asks the same route. Scores go through the sigmoid unless `raw_scores`. A sample that failed is a 424.
//   POST /predict {"inputs","raw_scores"}   POST /rerank {"query","texts"}   GET /info

import { z } from "zod";
import { sigmoid } from "../../objectives/numerics.js";
import { Problem, type ProblemKind } from "../problem.js";
import { type Call, type Dialect, route, valueOrUnavailable } from "../route.js";
import type { ServedSample } from "../sample.js";
import { openAiError, rerankBody, rerankDocuments } from "./vllm.js";

const one = z.union([z.string(), z.array(z.string()).min(1).max(2)]);
const predictBody = z.looseObject({
  inputs: z.union([one, z.array(z.array(z.string()).min(1).max(2))], {
    error: "must be a text, a pair of texts, or a batch (a list of lists of one text or two)",
  }),
  raw_scores: z.boolean().default(false),
});

const sampleOf = (input: string | readonly string[]): ServedSample => {
  const [first, second] = typeof input === "string" ? [input] : input;
  return second === undefined
    ? { prompt: "", response: first!, metadata: {} }
    : { prompt: first!, response: second, metadata: {} };
};

async function scoresOf(
  call: Call<unknown>,
  samples: readonly ServedSample[],
  isRaw: boolean,
): Promise<number[]> {
  const results = await call.score(samples);
  return results.map((result) => {
    const value = valueOrUnavailable(result, call.service.options);
    return isRaw ? value : sigmoid(value);
  });
}

async function predict(call: Call<z.output<typeof predictBody>>) {
  const { inputs, raw_scores } = call.body;
  const isBatch = Array.isArray(inputs) && inputs.every(Array.isArray);
  if (Array.isArray(inputs) && inputs.length === 0) throw new Problem("invalid", "`inputs` cannot be empty");
  const samples = isBatch ? (inputs as string[][]).map(sampleOf) : [sampleOf(inputs as string | string[])];
  const found = (await scoresOf(call, samples, raw_scores)).map((score) => [{ score, label: "LABEL_0" }]);
  // Whoever sends `parameters` speaks the inference API of the Hub, whose single replies are lists of lists too.
  return { body: isBatch || "parameters" in call.body ? found : found[0]! };
}

const teiRerank = z.looseObject({
  query: z.string(),
  texts: z.array(z.string()).min(1),
  raw_scores: z.boolean().default(false),
  return_text: z.boolean().default(false),
});
const anyRerank = z.union([teiRerank, rerankBody], {
  error: "must have query and texts, or query and documents",
});

async function rerank(call: Call<z.output<typeof anyRerank>>) {
  if (!("texts" in call.body && Array.isArray(call.body.texts))) return rerankDocuments(call as never);
  const { query, texts, raw_scores, return_text } = call.body as z.output<typeof teiRerank>;
  const samples = texts.map((response) => ({ prompt: query, response, metadata: {} }));
  const scores = await scoresOf(call, samples, raw_scores);
  const ranked = scores
    .map((score, index) => ({ index, score, ...(return_text && { text: texts[index]! }) }))
    .sort((a, b) => b.score - a.score);
  return { body: ranked };
}

const errors: Partial<Record<ProblemKind, [number, string]>> = {
  invalid: [422, "validation"],
  too_large: [413, "validation"],
  busy: [429, "overloaded"],
  unavailable: [424, "backend"],
  internal: [424, "backend"],
};

export const tei: Dialect = {
  name: "tei",
  routes: [
    route({
      method: "POST",
      path: "/predict",
      summary: "TEI's predict.",
      body: predictBody,
      handle: predict,
    }),
    route({
      method: "POST",
      path: "/rerank",
      summary: "TEI's rerank (texts), or vLLM's (documents).",
      body: anyRerank,
      handle: rerank,
    }),
    route({
      method: "GET",
      path: "/info",
      summary: "TEI's description of the model.",
      handle: ({ service, task }) => {
        const { name, maxTokens } = service.taskOf(task);
        return {
          body: {
            model_id: name,
            model_sha: null,
            model_dtype: "float32",
            served_model_name: name,
            model_type: { classifier: { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 } } },
            max_concurrent_requests: service.options.maxWaiting,
            max_input_length: maxTokens ?? null,
            max_batch_tokens: 4096,
            max_client_batch_size: service.options.maxWaiting,
            auto_truncate: false,
            tokenization_workers: 1,
            version: "1.9.3",
          },
        };
      },
    }),
  ],
  error(problem, status) {
    const [ownStatus, type] = errors[problem.kind] ?? [status, "validation"];
    return { status: ownStatus, body: { error: problem.message, error_type: type } };
  },
};
export { openAiError };
