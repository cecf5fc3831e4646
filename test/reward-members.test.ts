// Reward models that others saved: members from TRL's RewardTrainer score and average as TRL's own (test/oracle/
// reward_trl.py), and what cannot be a member is refused in one sentence, with nothing written.

import { readFileSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SafetensorsReader, type TensorSource, writeSafetensors } from "../src/model/safetensors.js";
import { run } from "./support/in-process.js";
import { contentsOf } from "./support/workshop.js";

const fixtures = join(import.meta.dirname, "fixtures/reward/trl");
const member = (index: number): string => join(fixtures, `member-${index}`);

interface Expected {
  rows: { prompt: string; completion: string }[];
  token_ids: number[][];
  scores: Record<"member-1" | "member-2" | "average", number[]>;
}
const want: Expected = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8"));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-members-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function writeRows(name: string, rows: readonly object[]): Promise<string> {
  const file = join(root, name);
  await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return file;
}

async function rewards(model: string, rows: string): Promise<number[]> {
  const out = join(root, "scored.jsonl");
  expect(
    await run("score", rows, "--model", model, "--no-chat", "--threads", "1", "--quiet", "-o", out),
  ).toMatchObject({
    code: 0,
    err: "",
  });
  const lines = (await readFile(out, "utf8")).trim().split("\n");
  await rm(out);
  return lines.map((line) => (JSON.parse(line) as { reward: number }).reward);
}

const largestDifference = (actual: readonly number[], wanted: readonly number[]): number => {
  expect(actual).toHaveLength(wanted.length);
  return Math.max(...actual.map((value, i) => Math.abs(value - wanted[i]!)));
};

describe("members saved by TRL's RewardTrainer", () => {
  let text: string;
  let ids: string;
  beforeAll(async () => {
    text = await writeRows("text.jsonl", want.rows);
    const tokens = want.token_ids.map((all) => ({
      prompt_ids: all.slice(0, 3),
      completion_ids: all.slice(3),
    }));
    ids = await writeRows("ids.jsonl", tokens);
  });

  it("score as TRL scores them, from the text and from its token ids", async () => {
    for (const index of [1, 2] as const)
      for (const rows of [text, ids])
        expect(
          largestDifference(await rewards(member(index), rows), want.scores[`member-${index}`]),
        ).toBeLessThan(1e-4);
  });

  it("average to the model whose weights are their means", async () => {
    const out = join(root, "average");
    expect(await run("warm", member(1), member(2), "-o", out, "--quiet")).toMatchObject({ code: 0, err: "" });
    expect(largestDifference(await rewards(out, text), want.scores.average)).toBeLessThan(1e-4);
    const meanScore = want.scores["member-1"].map((score, i) => (score + want.scores["member-2"][i]!) / 2);
    expect(largestDifference(meanScore, want.scores.average)).toBeGreaterThan(0.1);
  });
});

describe("a bad member", () => {
  let bad: string;
  beforeEach(async () => {
    bad = join(root, "bad");
    await rm(bad, { recursive: true, force: true });
    await cp(member(1), bad, { recursive: true });
  });

  const weights = () => join(bad, "model.safetensors");

  async function changeConfig(change: object): Promise<void> {
    const file = join(bad, "config.json");
    await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, "utf8")), ...change }));
  }

  /** Writes the weights again: `change` renames a tensor, leaves it out (undefined), or changes its values in place. */
  async function rewrite(
    change: (name: string, values: Float32Array) => string | undefined,
    file = weights(),
  ): Promise<string[]> {
    const reader = await SafetensorsReader.open(weights());
    const sources: TensorSource[] = [];
    for (const [name, { shape }] of reader.tensors) {
      const values = await reader.readFloat32(name);
      const renamed = change(name, values);
      if (renamed) sources.push({ name: renamed, shape, dtype: "F32", values: () => values });
    }
    await reader.close();
    await writeSafetensors(file, sources);
    return sources.map(({ name }) => name);
  }

  /** Exit code 2, one line that matches, and not a file more, less or different. */
  async function refused(sentence: RegExp): Promise<void> {
    const before = await contentsOf(root);
    const { code, out, err } = await run("warm", member(1), bad, "-o", join(root, "out"), "--quiet");
    expect(err).toMatch(/^touchstone: [^\n]+\n$/);
    expect(err).toMatch(sentence);
    expect([code, out]).toEqual([2, ""]);
    expect(await contentsOf(root)).toEqual(before);
    expect(await readdir(root)).not.toContain("out");
  }

  it("with a head of another name", async () => {
    await rewrite((name) => (name === "score.weight" ? "v_head.summary.weight" : name));
    await refused(/bad lacks the head of a reward model, tensor "score.weight"/);
  });

  it("without score.weight", async () => {
    await rewrite((name) => (name === "score.weight" ? undefined : name));
    await refused(/bad lacks the head of a reward model, tensor "score.weight"/);
  });

  it("that was saved as a causal language model", async () => {
    await rewrite((name) => (name === "score.weight" ? undefined : name));
    await changeConfig({ architectures: ["LlamaForCausalLM"] });
    await refused(/bad is not a reward model: its architecture is LlamaForCausalLM/);
  });

  it("with a NaN in a tensor, which is named", async () => {
    await rewrite((name, values) => {
      if (name === "model.layers.1.mlp.up_proj.weight") values[7] = Number.NaN;
      return name;
    });
    await refused(/bad\/model.safetensors: tensor "model.layers.1.mlp.up_proj.weight" holds NaN/);
  });

  it("with another vocabulary", async () => {
    const file = join(bad, "tokenizer.json");
    const tokenizer = JSON.parse(await readFile(file, "utf8"));
    const [first, second] = Object.keys(tokenizer.model.vocab).slice(300) as [string, string];
    const { vocab } = tokenizer.model;
    [vocab[first], vocab[second]] = [vocab[second], vocab[first]];
    await writeFile(file, JSON.stringify(tokenizer));
    await refused(/tokenizer.json differs from that of .*member-1: the members must share one tokenizer/);
  });

  it("with a truncated shard", async () => {
    const isFirst = (name: string) => !name.startsWith("model.layers.1.");
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
    const map: Record<string, string> = {};
    for (const [shard, keep] of [
      [shards[0], isFirst],
      [shards[1], (name: string) => !isFirst(name)],
    ] as const)
      for (const name of await rewrite((n) => (keep(n) ? n : undefined), join(bad, shard))) map[name] = shard;
    await rename(weights(), join(root, "whole.safetensors"));
    const index = { metadata: { total_size: 0 }, weight_map: map };
    await writeFile(join(bad, "model.safetensors.index.json"), JSON.stringify(index));
    const out = join(root, "fine");
    expect(await run("warm", member(1), bad, "-o", out, "--quiet")).toMatchObject({ code: 0, err: "" });
    await rm(out, { recursive: true });
    await truncate(join(bad, shards[1]), 4000);
    await refused(/model-00002-of-00002.safetensors is truncated: expected \d+ bytes, the file has 4000/);
  });
});
