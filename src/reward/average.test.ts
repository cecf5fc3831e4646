import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { loadCheckpoint } from "../model/checkpoint.js";
import { bytesOf, float32ToBfloat16 } from "../model/floats.js";
import { readJson } from "../model/json.js";
import { SafetensorsReader, type TensorSource, writeSafetensors } from "../model/safetensors.js";
import { averageCheckpoints, emaWeights } from "./average.js";
import { parseMergekit } from "./mergekit.js";

const fixtures = fileURLToPath(new URL("../../test/fixtures/formats/", import.meta.url));
const fixture = (name: string) => join(fixtures, name);
const averages = JSON.parse(await readFile(fixture("averages.json"), "utf8"));

let root: string;
let out: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-average-"));
  out = join(root, "out");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const [a, b, c] = [{ dir: fixture("member-a") }, { dir: fixture("member-b") }, { dir: fixture("member-c") }];
const bytes = (dir: string) => readFile(join(dir, "model.safetensors"));

/** Largest |got - want| relative to the largest |want| of each tensor. */
async function relativeError(dir: string, expected: Record<string, string>): Promise<number> {
  const { tensors } = await loadCheckpoint(dir);
  expect([...tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
  let worst = 0;
  for (const [name, values] of tensors) {
    const want = new Float64Array(Uint8Array.from(Buffer.from(expected[name]!, "base64")).buffer);
    const scale = want.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    for (const [i, value] of values.entries()) worst = Math.max(worst, Math.abs(value - want[i]!) / scale);
  }
  return worst;
}

describe("agrees with numpy in float64", () => {
  it("uniformly over F32, BF16 and a sharded F16 member", async () => {
    await averageCheckpoints({ members: [a, b, c], out });
    expect(await relativeError(out, averages.uniform)).toBeLessThan(1e-7);
    expect((await readJson(join(out, "config.json"), "")).dtype).toBe("float32");
  });

  it("with weights, normalised or not", async () => {
    await averageCheckpoints({ members: [a, { ...b, weight: 2 }, { ...c, weight: 5 }], out });
    expect(await relativeError(out, averages.weighted)).toBeLessThan(1e-7);
    const members = [
      { ...a, weight: 0.125 },
      { ...b, weight: 0.25 },
      { ...c, weight: 0.625 },
    ];
    await averageCheckpoints({ members, out, normalize: false });
    expect(await relativeError(out, averages.weighted)).toBeLessThan(1e-7);
  });

  it("over LoRA members by their merged weights", async () => {
    const base = fixture("lora-base");
    const members = [{ dir: fixture("lora-list"), base }, { dir: fixture("lora-regex"), base }, a];
    await averageCheckpoints({ members, out });
    expect(await relativeError(out, averages.lora)).toBeLessThan(1e-7);
  });
});

describe("exactness", () => {
  it("identical members give the member back bit for bit, in every type", async () => {
    for (const member of ["member-a", "member-b"]) {
      const copy = join(root, member);
      await cp(fixture(member), copy, { recursive: true });
      for (const count of [1, 2, 3, 7]) {
        const members = Array.from({ length: count }, (_, i) => ({
          dir: i % 2 ? copy : fixture(member),
          weight: 0.3,
        }));
        await averageCheckpoints({ members, out });
        const reader = await SafetensorsReader.open(out);
        const original = await SafetensorsReader.open(copy);
        for (const [name, info] of original.tensors) {
          expect(reader.info(name).dtype).toBe(info.dtype);
          expect(await reader.readRaw(name)).toEqual(await original.readRaw(name));
        }
        await Promise.all([reader.close(), original.close()]);
      }
    }
  });

  it("keeps the sign of zero and rounds the sum once", async () => {
    const config = { architectures: ["OtherForSequenceClassification"], model_type: "other" };
    const write = async (name: string, values: number[]) => {
      const dir = join(root, name);
      await cp(fixture("member-a"), dir, { recursive: true });
      await writeFile(join(dir, "config.json"), JSON.stringify(config));
      const source: TensorSource = {
        name: "w",
        shape: [3],
        dtype: "F32",
        values: () => Float32Array.from(values),
      };
      const ids: TensorSource = {
        name: "ids",
        shape: [2],
        dtype: "I32",
        bytes: () => new Uint8Array(8).fill(values.length),
      };
      await writeSafetensors(join(dir, "model.safetensors"), [source, ids]);
      return { dir };
    };
    const x = await write("x", [-0, 2 ** 24, 1e30]);
    const y = await write("y", [-0, 1, 1]);
    const z = await write("z", [-0, 1, -1e30]);
    await averageCheckpoints({ members: [x, y, z], out, normalize: false });
    const reader = await SafetensorsReader.open(out);
    const [zero, large] = await reader.readFloat32("w");
    expect(Object.is(zero, -0)).toBe(true);
    // In float32, 2^24 + 1 + 1 stays 2^24.
    expect(large).toBe(2 ** 24 + 2);
    // Integer tensors are the first member's.
    expect(await reader.readRaw("ids")).toEqual(new Uint8Array(8).fill(3));
    await reader.close();
  });

  it("does not depend on the order of the members", async () => {
    await averageCheckpoints({ members: [a, { ...b, weight: 0.7 }, { ...c, weight: 0.1 }], out });
    const first = await bytes(out);
    await averageCheckpoints({ members: [{ ...c, weight: 0.1 }, a, { ...b, weight: 0.7 }], out });
    expect(Buffer.compare(first, await bytes(out))).toBe(0);
  });

  it("crosses the chunks of a large tensor without a seam", async () => {
    const n = 2 * (1 << 18) + 5; // eight members hold 2^18 elements each
    const write = async (name: string, scale: number) => {
      const dir = join(root, name);
      await cp(fixture("member-a"), dir, { recursive: true });
      await writeFile(
        join(dir, "config.json"),
        JSON.stringify({ architectures: ["XForCausalLM"], model_type: "x" }),
      );
      const values = Float32Array.from({ length: n }, (_, i) => (i % 4096) * scale);
      await writeSafetensors(join(dir, "model.safetensors"), [
        {
          name: "w",
          shape: [n],
          dtype: scale === 1 ? "BF16" : "F32",
          values: () => values.map((v) => v & ~15),
        },
      ]);
      return { dir };
    };
    const pair = [await write("one", 1), await write("three", 3)];
    const seen: number[] = [];
    await averageCheckpoints({
      members: [pair, pair, pair, pair].flat(),
      out,
      rewardModels: false,
      onProgress: (done, total) => {
        seen.push(done);
        expect(total).toBe(n);
      },
    });
    expect(seen).toEqual([1 << 18, 2 << 18, n]);
    const [average, one, three] = await Promise.all(
      [out, ...pair.map(({ dir }) => dir)].map(async (dir) => {
        const reader = await SafetensorsReader.open(dir);
        const values = await reader.readFloat32("w");
        await reader.close();
        return values;
      }),
    );
    expect(average!.every((value, i) => value === (one![i]! + three![i]!) / 2)).toBe(true);
  });

  it("rounds to bfloat16 once, and refuses what does not fit", async () => {
    await averageCheckpoints({ members: [a, b, c], out });
    const exact = await SafetensorsReader.open(out);
    await averageCheckpoints({ members: [a, b, c], out: `${out}-narrow`, dtype: "BF16" });
    const narrow = await SafetensorsReader.open(`${out}-narrow`);
    for (const name of exact.tensors.keys()) {
      expect(narrow.info(name).dtype).toBe("BF16");
      const values = await exact.readFloat32(name);
      const expected = new Uint16Array(values.length);
      float32ToBfloat16(values, expected);
      expect(Buffer.compare(await narrow.readRaw(name), bytesOf(expected))).toBe(0);
    }
    await Promise.all([exact.close(), narrow.close()]);

    const large = join(root, "large");
    await cp(fixture("member-a"), large, { recursive: true });
    const config = { architectures: ["XForCausalLM"], model_type: "x" };
    await writeFile(join(large, "config.json"), JSON.stringify(config));
    const values = Float32Array.of(1, 3.4e38);
    await writeSafetensors(join(large, "model.safetensors"), [
      { name: "w", shape: [2], dtype: "F32", values: () => values },
    ]);
    const averaging = averageCheckpoints({
      members: [{ dir: large }],
      out: join(root, "refused"),
      dtype: "BF16",
      rewardModels: false,
    });
    await expect(averaging).rejects.toThrow(/tensor "w" has values too large for BF16; save it as F32/);
    expect(await readdir(root)).not.toContain("refused");
  });

  it("an exponential moving average is a weighted average", () => {
    const decay = 0.9;
    let average = 3;
    for (const value of [5, -1, 4]) average = decay * average + (1 - decay) * value;
    const weights = emaWeights(4, decay);
    expect([3, 5, -1, 4].reduce((sum, value, t) => sum + weights[t]! * value, 0)).toBeCloseTo(average, 12);
    expect(weights.reduce((x, y) => x + y)).toBeCloseTo(1, 12);
  });
});

describe("the directory that is written", () => {
  it("has config, tokenizer and a card that makes the same average again", async () => {
    const member = join(root, "with tokenizer");
    await cp(fixture("member-a"), member, { recursive: true });
    await cp(fixture("tokenizer-smollm2"), member, { recursive: true });
    await averageCheckpoints({ members: [{ dir: member, weight: 2 }, b], out, dtype: "F16" });
    expect((await readdir(out)).sort()).toEqual([
      "README.md",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect((await loadCheckpoint(out)).config.dtype).toBe("F16");
    const card = await readFile(join(out, "README.md"), "utf8");
    expect(parseMergekit(/```yaml\n([\s\S]*?)```/.exec(card)![1]!)).toEqual({
      models: [
        { model: member, weight: 2 },
        { model: b.dir, weight: 1 },
      ],
      normalize: true,
      dtype: "F16",
    });
  });
});

describe("refusals name what is wrong and write nothing", () => {
  let member: string;
  beforeEach(async () => {
    member = join(root, "member");
    await cp(fixture("member-a"), member, { recursive: true });
  });
  const weights = () => join(member, "model.safetensors");

  async function refused(message: RegExp, first = a): Promise<void> {
    const averaging = averageCheckpoints({ members: [first, { dir: member }], out });
    await expect(averaging).rejects.toThrow(UserError);
    await expect(averaging).rejects.toThrow(message);
    expect(await readdir(root)).not.toContain("out");
  }

  async function rewriteConfig(change: Record<string, unknown>): Promise<void> {
    const config = await readJson(join(member, "config.json"), "");
    await writeFile(join(member, "config.json"), JSON.stringify({ ...config, ...change }));
  }

  /** Writes the weights again with some tensors replaced, or left out where the replacement is null. */
  async function rewriteTensors(
    change: Record<string, { shape: number[]; values: number[] } | null>,
  ): Promise<void> {
    const { tensors } = await loadCheckpoint(member);
    const reader = await SafetensorsReader.open(member);
    const sources: TensorSource[] = [];
    for (const name of new Set([...tensors.keys(), ...Object.keys(change)])) {
      const own = change[name];
      if (own === null) continue;
      const shape = own?.shape ?? reader.info(name).shape;
      const values = own ? Float32Array.from(own.values) : tensors.get(name)!;
      sources.push({ name, shape, dtype: "F32", values: () => values });
    }
    await reader.close();
    await writeSafetensors(weights(), sources);
  }

  it("a tensor missing, added, or of another shape", async () => {
    await rewriteTensors({ "model.norm.weight": null });
    await refused(/member lacks the tensor "model.norm.weight"/);
    await cp(fixture("member-a"), member, { recursive: true });
    await rewriteTensors({ "lm_head.weight": { shape: [1], values: [1] } });
    await refused(/member holds the tensor "lm_head.weight", which .*member-a lacks/);
    await cp(fixture("member-a"), member, { recursive: true });
    await rewriteTensors({ "model.norm.weight": { shape: [2, 4], values: [1, 1, 1, 1, 1, 1, 1, 1] } });
    await refused(/"model.norm.weight" has shape \[2, 4\], but \[8\]/);
  });

  it("a head that is missing, of another shape, or a language model's", async () => {
    await rewriteTensors({ "score.weight": null });
    await refused(/member lacks the head of a reward model, tensor "score.weight"/);
    await cp(fixture("member-a"), member, { recursive: true });
    await rewriteTensors({ "score.weight": { shape: [2, 8], values: Array(16).fill(1) } });
    await refused(/"score.weight" has shape \[2, 8\], expected \[1, 8\]/);
    await cp(fixture("member-a"), member, { recursive: true });
    await rewriteConfig({ architectures: ["LlamaForCausalLM"] });
    await refused(/member is not a reward model: its architecture is LlamaForCausalLM/);
  });

  it("another vocabulary, tying, rotary base or padding token", async () => {
    await rewriteConfig({ vocab_size: 21 });
    await refused(/its vocabSize is 21, not 20/);
    await rewriteConfig({ vocab_size: 20, tie_word_embeddings: true });
    await refused(/its tieWordEmbeddings is true, not false/);
    await rewriteConfig({
      tie_word_embeddings: false,
      rope_parameters: { rope_theta: 5, rope_type: "default" },
    });
    await refused(/its ropes is .*"theta":5,.* not .*"theta":10000,/);
    await rewriteConfig({ rope_parameters: null, pad_token_id: 1 });
    await refused(/its padId is 1, not 0/);
  });

  it("another tokenizer or chat template", async () => {
    const first = join(root, "first");
    await cp(member, first, { recursive: true });
    await cp(fixture("tokenizer-smollm2"), first, { recursive: true });
    await cp(fixture("tokenizer-qwen"), member, { recursive: true });
    await refused(/tokenizer.json differs from that of .*first: the members must share one tokenizer/, {
      dir: first,
    });
    await rm(join(member, "chat_template.jinja"));
    await cp(fixture("tokenizer-smollm2"), member, { recursive: true });
    await writeFile(join(member, "chat_template.jinja"), "other");
    await refused(/the chat template of .*member differs/, { dir: first });
  });

  it("NaN, a truncated file, a missing config", async () => {
    await rewriteTensors({ "score.weight": { shape: [1, 8], values: [1, 2, Number.NaN, 4, 5, 6, 7, 8] } });
    await refused(/member\/model.safetensors: tensor "score.weight" holds NaN/);
    await truncate(weights(), 3000);
    await refused(/model.safetensors is truncated: expected \d+ bytes, the file has 3000/);
    await rm(join(member, "config.json"));
    await refused(/config.json does not exist: a member of an average/);
  });

  it("what was at the output stays when an average is refused", async () => {
    await averageCheckpoints({ members: [a], out });
    const before = await bytes(out);
    await rewriteTensors({
      "score.weight": { shape: [1, 8], values: Array(8).fill(Number.POSITIVE_INFINITY) },
    });
    await expect(averageCheckpoints({ members: [a, { dir: member }], out })).rejects.toThrow(
      /holds Infinity/,
    );
    expect(Buffer.compare(before, await bytes(out))).toBe(0);
  });

  it("no members, weights that sum to nothing, an output that is a member, an adapter without its base", async () => {
    await expect(averageCheckpoints({ members: [], out })).rejects.toThrow(/at least one member/);
    const cancelling = [
      { ...a, weight: 1 },
      { dir: member, weight: -1 },
    ];
    await expect(averageCheckpoints({ members: cancelling, out })).rejects.toThrow(/must not sum to 0/);
    await expect(averageCheckpoints({ members: [a, { dir: member }], out: member })).rejects.toThrow(
      /cannot be its output/,
    );
    await expect(averageCheckpoints({ members: [{ dir: fixture("lora-list") }], out })).rejects.toThrow(
      /is a LoRA adapter on "lora-base", which is not a directory here/,
    );
  });
});
