// A real checkpoint, SmolLM2-135M-Instruct read from GGUF (Q4_1), against transformers on the same dequantised weights.
// scripts/fetch-smollm2.sh fetches it; test/oracle/smollm2.py made what is expected.

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { silent } from "../src/run/context.js";
import { exportOnnx } from "../src/train/export/onnx.js";
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

  it("continues in ONNX Runtime, with a cache, as transformers does, with our logits", {
    timeout: 1_200_000,
  }, async () => {
    const scratch = mkdtempSync(join(tmpdir(), "touchstone-smollm2-"));
    try {
      await exportOnnx({ model, out: join(scratch, "onnx") }, { reporter: silent, resume: false });
      const session = await InferenceSession.create(join(scratch, "onnx/onnx/model.onnx"));
      for (const { promptIds, tokens } of want.answers.slice(0, 3)) {
        const [ours] = await opened.policy.logprobs([
          { tokens: [...promptIds, ...tokens], promptLength: promptIds.length },
        ]);
        const found = await continued(session, promptIds, tokens);
        expect(found.map(({ best }) => best)).toEqual(tokens);
        found.forEach(({ logprob }, i) => {
          expect(Math.abs(logprob - ours![i]!)).toBeLessThan(1e-3);
        });
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});

/** The best token at every step after a prompt, one token at a time on the cache, and the log-probability of the one that follows. */
async function continued(session: InferenceSession, prompt: readonly number[], tokens: readonly number[]) {
  const int64 = (values: readonly number[]) =>
    new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const names = session.inputNames.filter((name) => name.startsWith("past_key_values."));
  let past: Record<string, Tensor> = Object.fromEntries(
    names.map((name) => [name, new Tensor("float32", new Float32Array(0), [1, 3, 0, 64])]),
  );
  const steps: { best: number; logprob: number }[] = [];
  let [ids, seen] = [[...prompt], 0];
  for (const token of tokens) {
    const positions = ids.map((_, i) => seen + i);
    seen += ids.length;
    const { logits, ...present } = await session.run({
      input_ids: int64(ids),
      attention_mask: int64(new Array<number>(seen).fill(1)),
      position_ids: int64(positions),
      ...past,
    });
    const all = logits!.data as Float32Array;
    const row = all.subarray(all.length - logits!.dims[2]!);
    const top = row.reduce((a, b) => Math.max(a, b));
    const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
    steps.push({ best: row.indexOf(top), logprob: row[token]! - top - Math.log(total) });
    past = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [
        name.replace("present.", "past_key_values."),
        value as Tensor,
      ]),
    );
    ids = [token];
  }
  return steps;
}
