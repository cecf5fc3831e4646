// llama.cpp itself (node-llama-cpp) on exported files: the same ids, log-probabilities and greedy tokens as this engine.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { silent } from "../src/run/context.js";
import { exportGguf } from "../src/train/export/gguf.js";
import { compareWithLlama, library } from "./oracle/llama_cpp.js";

const isThere = existsSync(library);
if (!isThere)
  console.log("skipped: node-llama-cpp is not there; scripts/fetch-oracles.sh fetches it (85 MB)");

const scratch = mkdtempSync(join(tmpdir(), "touchstone-llama-cpp-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe.skipIf(!isThere)("llama.cpp on an exported file", () => {
  it.each([
    ["the lab model", join(import.meta.dirname, "../lab/model"), false],
    ["a tiny qwen3 model", join(import.meta.dirname, "fixtures/gguf/qwen3.gguf"), true],
    ["a SentencePiece model", join(import.meta.dirname, "fixtures/gguf/sentencepiece/model.gguf"), false],
  ])("%s", { timeout: 120_000 }, async (name, model, ids) => {
    const out = join(scratch, `${name.replaceAll(" ", "-")}.gguf`);
    await exportGguf({ model, out, type: "F32" }, { reporter: silent, resume: false });
    const report = (await compareWithLlama(model, out, { ids, prompts: 3, tokens: 64 }))!;
    expect(report.texts?.different ?? []).toEqual([]);
    expect(report.logprobs.largestDifference).toBeLessThan(1e-4);
    expect(report.greedy.different).toEqual([]);
    expect(report.greedy.compared).toBeGreaterThan(20);
  });
});
