// What llama.cpp (node-llama-cpp) makes of an exported GGUF file, against this engine on the model that it came from: ids of
// texts, log-probabilities of every token of a text, 64 greedy tokens after each prompt.
//
//     bash scripts/fetch-oracles.sh                                    # node-llama-cpp, into .oracle/, which git ignores
//     npx tsx test/oracle/llama_cpp.ts MODEL EXPORTED.gguf [--ids] [--prompts N] [--text FILE] [--adapter ADAPTER.gguf]
//
// MODEL is what `touchstone export` was given. With --ids tokens are numbers that both are given, for models whose
// vocabulary has no text worth encoding.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { LanguageModel } from "../../src/engine/contract.js";
import type { Tokenizer } from "../../src/model/tokenizer.js";
import { openPolicy } from "../../src/train/models.js";

const root = join(import.meta.dirname, "../..");
export const library = join(root, ".oracle/node_modules/node-llama-cpp/dist/index.js");

interface Sequence {
  evaluate(tokens: number[], options: object): AsyncGenerator<number>;
  controlledEvaluate(
    input: (number | [number, object])[],
  ): Promise<({ next?: { probabilities?: Map<number, number> } } | undefined)[]>;
  clearHistory(): Promise<void>;
}
interface LlamaModel {
  tokenize(text: string, special: boolean, options?: string): number[];
  createContext(options: object): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>;
  tokens: { shouldPrependBosToken: boolean; bos: number | null };
}

/** Texts of the kinds that tokenizers differ on. */
const texts = [
  "Hello world! How are you today?",
  "  two spaces, a tab\tand\n\na line end \n",
  "I'll, you'RE 12345 3.14 3rd",
  "naïve café ﬁne Ⅳ 北京 한국어 हिन्दी",
  "😀👩‍👩‍👧 def f(x):\n    return x**2",
  "<|im_start|>user\nHi<|im_end|>\n",
];

/** A GGUF file in llama.cpp; undefined where node-llama-cpp is not there. */
export async function llamaModel(file: string): Promise<LlamaModel | undefined> {
  if (!existsSync(library)) return undefined;
  const { getLlama } = (await import(pathToFileURL(library).href)) as {
    getLlama(options: object): Promise<{ loadModel(options: object): Promise<LlamaModel> }>;
  };
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: 1 });
  return llama.loadModel({ modelPath: file });
}

export interface CompareOptions {
  /** Tokens are numbers that both are given, for models whose vocabulary has no text worth encoding. */
  ids: boolean;
  prompts: number;
  /** Tokens of the text that is scored. */
  tokens: number;
  text?: string;
  /** A GGUF adapter that llama.cpp puts on the file. */
  adapter?: string;
}

export interface Comparison {
  texts?: { compared: number; different: string[] };
  logprobs: { tokens: number; largestDifference: number; perplexity: { ours: number; llamaCpp: number } };
  greedy: { prompts: number; newTokens: number; compared: number; different: Difference[] };
}

/** Where two greedy continuations part. */
interface Difference {
  prompt: number;
  at: number;
  /** By how much this engine prefers its token to llama.cpp's, nats. */
  gap: number;
  ours: number[];
  theirs: number[];
}

const mean = (list: ArrayLike<number>): number => Array.from(list).reduce((a, b) => a + b, 0) / list.length;

/** undefined where node-llama-cpp is not there. */
export async function compareWithLlama(
  model: string,
  file: string,
  options: CompareOptions,
): Promise<Comparison | undefined> {
  const theirs = await llamaModel(file);
  if (!theirs) return undefined;
  const { policy, codec } = await openPolicy(model, { frozen: true });
  const { maxTokens, vocabSize } = policy.limits;
  const context = await theirs.createContext({
    contextSize: Math.min(maxTokens, 1024),
    threads: 1,
    // Flash attention and the cache's default type compute in half precision, which alone moves log-probabilities by 1e-3.
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
    ...(options.adapter && { lora: { adapters: [{ filePath: options.adapter, scale: 1 }] } }),
  });
  const sequence = context.getSequence();
  const random = (n: number, seed: number) =>
    Array.from({ length: n }, (_, i) => 3 + ((i * i * 7 + i * 13 + seed * 5) % (vocabSize - 3)));
  try {
    const longest = Math.min(options.tokens, maxTokens);
    const text = options.text ?? join(root, "LICENSE");
    const ids = options.ids
      ? random(Math.min(longest, 48), 1)
      : codec.tokenizer.encode(readFileSync(text, "utf8")).slice(0, longest);
    const promptOf = (prompt: string) =>
      codec.hasTemplate ? codec.prompt([{ role: "user", content: prompt }]) : codec.tokenizer.encode(prompt);
    const prompts = options.ids
      ? Array.from({ length: options.prompts }, (_, i) => random(3 + (i % 7), i))
      : questions().slice(0, options.prompts).map(promptOf);
    return {
      ...(!options.ids && { texts: compareTexts(theirs, codec.tokenizer) }),
      logprobs: await compareLogprobs(policy, sequence, ids),
      greedy: await compareGreedy(policy, sequence, prompts, options.ids ? [] : codec.stopIds),
    };
  } finally {
    await context.dispose();
    policy.dispose();
  }
}

/** The prompts of the SmolLM2 fixture. */
function questions(): string[] {
  const { answers } = JSON.parse(readFileSync(join(root, "test/fixtures/smollm2/expected.json"), "utf8")) as {
    answers: { prompt: string }[];
  };
  return answers.map(({ prompt }) => prompt);
}

function compareTexts(theirs: LlamaModel, tokenizer: Tokenizer): Comparison["texts"] {
  const bos = theirs.tokens.shouldPrependBosToken ? [theirs.tokens.bos!] : [];
  const different = texts.filter(
    (text) => [...bos, ...theirs.tokenize(text, true)].join() !== tokenizer.encode(text).join(),
  );
  return { compared: texts.length, different };
}

async function compareLogprobs(
  policy: LanguageModel,
  sequence: Sequence,
  ids: number[],
): Promise<Comparison["logprobs"]> {
  const found = await sequence.controlledEvaluate(
    ids.map((id) => [id, { generateNext: { probabilities: true } }] as [number, object]),
  );
  const logs = ids.slice(1).map((id, i) => Math.log(found[i]!.next!.probabilities!.get(id)!));
  const [own] = await policy.logprobs([{ tokens: ids, promptLength: 1 }]);
  return {
    tokens: logs.length,
    largestDifference: Math.max(...logs.map((log, i) => Math.abs(log - own![i]!))),
    perplexity: { ours: Math.exp(-mean(own!)), llamaCpp: Math.exp(-mean(logs)) },
  };
}

async function compareGreedy(
  policy: LanguageModel,
  sequence: Sequence,
  prompts: number[][],
  stopIds: readonly number[],
): Promise<Comparison["greedy"]> {
  const longest = Math.max(...prompts.map(({ length }) => length));
  const newTokens = Math.min(64, policy.limits.maxTokens - longest);
  const completions = await policy.sample(prompts, {
    maxNewTokens: newTokens,
    temperature: 0,
    stopIds: [...stopIds],
    seeds: prompts.map(() => 0),
  });
  const different: Difference[] = [];
  let compared = 0;
  for (const { promptIndex, tokens } of completions) {
    await sequence.clearHistory();
    const ours = Array.from(tokens);
    const theirs: number[] = [];
    const stream = sequence.evaluate(prompts[promptIndex]!, { temperature: 0, yieldEogToken: true });
    for await (const token of stream) {
      theirs.push(token);
      if (theirs.length === ours.length) break;
    }
    compared += ours.length;
    const at = ours.findIndex((token, i) => token !== theirs[i]);
    if (at < 0) continue;
    const prefix = [...prompts[promptIndex]!, ...ours.slice(0, at)];
    const [mine, other] = await policy.logprobs(
      [ours[at]!, theirs[at]!].map((token) => ({ tokens: [...prefix, token], promptLength: prefix.length })),
    );
    const gap = mine![0]! - other![0]!;
    different.push({ prompt: promptIndex, at, gap, ours: ours.slice(at), theirs: theirs.slice(at) });
  }
  return { prompts: prompts.length, newTokens, compared, different };
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      ids: { type: "boolean", default: false },
      prompts: { type: "string", default: "50" },
      tokens: { type: "string", default: "512" },
      text: { type: "string" },
      adapter: { type: "string" },
    },
  });
  const [model, file] = positionals as [string, string];
  const numbers = { prompts: Number(values.prompts), tokens: Number(values.tokens) };
  const report = await compareWithLlama(model, file, { ...values, ...numbers });
  if (!report)
    return console.log("skipped: node-llama-cpp is not there; scripts/fetch-oracles.sh fetches it");
  console.log(JSON.stringify({ model, file, ...report }, null, 2));
  process.exitCode = report.greedy.different.length > 0 ? 1 : 0;
}

if (process.argv[1]?.endsWith("llama_cpp.ts")) await main();
