// A real checkpoint, SmolLM2-135M-Instruct read from GGUF (Q4_1), against transformers on the same dequantised weights.
// scripts/fetch-smollm2.sh fetches it; test/oracle/smollm2.py made what is expected.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OpenedPolicy, openPolicy } from "../src/train/models.js";

const model = join(import.meta.dirname, "../.models/SmolLM2-135M-Instruct.Q4_1.gguf");
const want = JSON.parse(
  readFileSync(join(import.meta.dirname, "fixtures/smollm2/expected.json"), "utf8"),
) as {
  newTokens: number;
  textIds: number[];
  perplexity: number;
  answers: { prompt: string; promptIds: number[]; tokens: number[]; minMargin: number }[];
};
const isThere = existsSync(model);
if (!isThere)
  console.log("skipped: SmolLM2-135M-Instruct is not there; scripts/fetch-smollm2.sh fetches it (98 MB)");

describe.skipIf(!isThere)("SmolLM2-135M-Instruct from GGUF", () => {
  let opened: OpenedPolicy;
  beforeAll(async () => {
    opened = await openPolicy(model, {
      engine: { kind: "local", device: "cpu", maxBatchTokens: 4096 },
      frozen: true,
    });
  });
  afterAll(() => opened?.policy.dispose());

  it("writes prompts as transformers does", () => {
    for (const { prompt, promptIds } of want.answers)
      expect(opened.codec.prompt([{ role: "user", content: prompt }])).toEqual(promptIds);
  });

  it("gives the same greedy answers to 50 prompts", { timeout: 1_200_000 }, async () => {
    const completions = await opened.policy.sample(
      want.answers.map(({ promptIds }) => promptIds),
      {
        maxNewTokens: want.newTokens,
        temperature: 0,
        stopIds: opened.codec.stopIds,
        seeds: want.answers.map(() => 0),
      },
    );
    const found = completions.map(({ tokens }) => Array.from(tokens));
    const different = want.answers.filter(({ tokens }, i) => tokens.join() !== found[i]!.join());
    expect(different.map(({ prompt, minMargin }) => ({ prompt, minMargin }))).toEqual([]);
    expect(want.answers).toHaveLength(50);
  });

  it("has the same perplexity on a text", { timeout: 1_200_000 }, async () => {
    const [logprobs] = await opened.policy.logprobs([{ tokens: want.textIds, promptLength: 1 }]);
    const perplexity = Math.exp(-logprobs!.reduce((sum, x) => sum + x, 0) / logprobs!.length);
    expect(Math.abs(perplexity / want.perplexity - 1)).toBeLessThan(1e-3);
  });
});
