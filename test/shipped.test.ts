// What the repository ships is what its own commands make: WebAssembly kernels from their texts, and the lab's model
// (its tokenizer and config byte for byte; its weights take hours, so only that the stages run).

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assemble, kernelSources, moduleOf } from "../scripts/kernels.js";
import { makeBaseModel } from "../src/lab/base.js";
import { loadCheckpoint } from "../src/model/checkpoint.js";
import { silent } from "../src/run/context.js";

const root = join(import.meta.dirname, "..");

describe("kernels", () => {
  it("has texts to compare", () => {
    expect(kernelSources().length).toBeGreaterThanOrEqual(2);
  });

  it.each(kernelSources())("%s compiles to the module beside it", async (source) => {
    expect(await readFile(join(root, moduleOf(source)), "utf8")).toBe(await assemble(source));
  });
});

describe("the lab's model", () => {
  let dir: string;
  let model: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "touchstone-lab-model-"));
    const context = { reporter: silent, resume: false };
    ({ model } = await makeBaseModel(dir, context, { pretrain: 1, sft: 1 }));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it.each(["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])(
    "%s is what the command makes",
    async (name) => {
      expect(await readFile(join(model, name), "utf8")).toBe(
        await readFile(join(root, "lab/model", name), "utf8"),
      );
    },
  );

  it("has weights of the same names and shapes", async () => {
    const sizes = async (path: string) =>
      [...(await loadCheckpoint(path)).tensors].map(([name, values]) => [name, values.length]);
    expect(await sizes(model)).toEqual(await sizes(join(root, "lab/model")));
  });
});
