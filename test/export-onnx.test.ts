// Exported ONNX graphs, run by onnxruntime-node, against the logits, greedy tokens and scores of transformers.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, describe, expect, it } from "vitest";
import { silent } from "../src/run/context.js";
import { exportOnnx } from "../src/train/export/onnx.js";
import { run } from "./support/in-process.js";

const root = join(import.meta.dirname, "fixtures/engine");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-export-onnx-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const folders = readdirSync(root).filter((name) => existsSync(join(root, name, "expected.json")));
// biome-ignore lint/suspicious/noExplicitAny: the fixture's layout is described in test/oracle/README.md
const expected = (name: string): any => JSON.parse(readFileSync(join(root, name, "expected.json"), "utf8"));
const config = (name: string): Record<string, number> =>
  JSON.parse(readFileSync(join(root, name, "config.json"), "utf8"));
const isReward = (name: string) => expected(name).kind === "reward";

const context = { reporter: silent, resume: false };

async function opened(name: string, externalAbove?: number): Promise<InferenceSession> {
  const out = join(scratch, `${name}-${externalAbove ?? "inline"}`);
  await exportOnnx({ model: join(root, name), out, externalAbove }, context);
  return InferenceSession.create(join(out, "onnx/model.onnx"), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
}

const int64 = (rows: readonly (readonly number[])[]): Tensor =>
  new Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0]!.length]);

interface Step {
  logits: number[][][];
  past: Record<string, Tensor>;
}

/** One call: the new tokens of each row, the whole attention mask so far, and the cache. */
async function step(
  session: InferenceSession,
  tokens: number[][],
  mask: number[][],
  past: Record<string, Tensor>,
): Promise<Step> {
  const seen = mask[0]!.length - tokens[0]!.length;
  const positions = mask.map((row) =>
    row.map((_, i) => Math.max(0, row.slice(0, i + 1).reduce((a, b) => a + b, 0) - 1)).slice(seen),
  );
  const result = await session.run({
    input_ids: int64(tokens),
    attention_mask: int64(mask),
    ...(session.inputNames.includes("position_ids") && { position_ids: int64(positions) }),
    ...past,
  });
  const { logits } = result;
  const [rows, length, width] = logits!.dims as [number, number, number];
  const data = Array.from(logits!.data as Float32Array);
  return {
    logits: Array.from({ length: rows }, (_, b) =>
      Array.from({ length }, (_, t) => data.slice((b * length + t) * width, (b * length + t + 1) * width)),
    ),
    past: Object.fromEntries(
      Object.entries(result)
        .filter(([name]) => name.startsWith("present."))
        .map(([name, value]) => [name.replace("present.", "past_key_values."), value as Tensor]),
    ),
  };
}

function emptyPast(session: InferenceSession, name: string, rows: number): Record<string, Tensor> {
  const { num_attention_heads: heads, num_key_value_heads: kv, head_dim, hidden_size } = config(name);
  const dims = [rows, kv ?? heads!, 0, head_dim ?? hidden_size! / heads!];
  const names = session.inputNames.filter((input) => input.startsWith("past_key_values."));
  return Object.fromEntries(names.map((input) => [input, new Tensor("float32", new Float32Array(0), dims)]));
}

const ones = (length: number): number[] => new Array<number>(length).fill(1);
const best = (row: number[]): number => row.indexOf(Math.max(...row));
const furthest = (a: number[], b: number[]): number => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
/** Fixtures whose random weights magnify rounding; see engine-fixtures.test.ts. */
const tolerance = (name: string): number => (["gemma3", "phi3-longrope"].includes(name) ? 1e-3 : 2e-4);

describe.each(folders.filter((name) => !isReward(name)))("a policy: %s", (name) => {
  const want = expected(name);

  it("gives the reference's logits at once, in parts with a cache, and left-padded", async () => {
    const session = await opened(name);
    expect(session.inputNames.slice(0, 4)).toEqual([
      ...["input_ids", "attention_mask", "position_ids", "past_key_values.0.key"],
    ]);
    const tokens: number[] = want.sequences[want.logits.sequence].tokens.slice(0, want.logits.values.length);
    const none = emptyPast(session, name, 1);
    const whole = await step(session, [tokens], [ones(tokens.length)], none);
    want.logits.values.forEach((row: number[], t: number) => {
      expect(furthest(whole.logits[0]![t]!, row)).toBeLessThan(tolerance(name));
    });
    const half = tokens.length >> 1;
    let { past } = await step(session, [tokens.slice(0, half)], [ones(half)], none);
    for (let t = half; t < tokens.length; t++) {
      const next = await step(session, [[tokens[t]!]], [ones(t + 1)], past);
      past = next.past;
      expect(furthest(next.logits[0]![0]!, want.logits.values[t])).toBeLessThan(tolerance(name));
    }
    // A row of a batch with three pads before it; the other row has none.
    const other = [...tokens, ...tokens.slice(0, 3)];
    const mask = [[0, 0, 0, ...ones(tokens.length)], ones(other.length)];
    const batch = await step(session, [[1, 1, 1, ...tokens], other], mask, emptyPast(session, name, 2));
    want.logits.values.forEach((row: number[], t: number) => {
      expect(furthest(batch.logits[0]![t + 3]!, row)).toBeLessThan(tolerance(name));
    });
  });

  it("continues greedily as the reference does", async () => {
    const session = await opened(name, 0);
    const { prompt, continuation } = want.greedy[0] as { prompt: number[]; continuation: number[] };
    let { logits, past } = await step(session, [prompt], [ones(prompt.length)], emptyPast(session, name, 1));
    const found: number[] = [];
    for (;;) {
      found.push(best(logits[0]!.at(-1)!));
      if (found.length === continuation.length) break;
      ({ logits, past } = await step(session, [found.slice(-1)], [ones(prompt.length + found.length)], past));
    }
    expect(found).toEqual(continuation);
  });
});

describe.each(folders.filter(isReward))("a reward model: %s", (name) => {
  it("gives the reference's scores, one by one and padded", async () => {
    const session = await opened(name);
    expect(session.inputNames.toSorted()).toEqual(["attention_mask", "input_ids"]);
    const { sequences, scores } = expected(name) as { sequences: number[][]; scores: number[] };
    for (const [i, tokens] of sequences.entries()) {
      const { logits } = await session.run({
        input_ids: int64([tokens]),
        attention_mask: int64([ones(tokens.length)]),
      });
      expect(logits!.dims).toEqual([1, 1]);
      expect(Math.abs(Number(logits!.data[0]) - scores[i]!)).toBeLessThan(1e-4);
    }
    const width = Math.max(...sequences.map(({ length }) => length));
    const pad = config(name).pad_token_id!;
    const padded = sequences.map((tokens) => [...tokens, ...new Array(width - tokens.length).fill(pad)]);
    const mask = sequences.map((tokens) => [
      ...ones(tokens.length),
      ...new Array(width - tokens.length).fill(0),
    ]);
    const { logits } = await session.run({ input_ids: int64(padded), attention_mask: int64(mask) });
    scores.forEach((score, i) => {
      expect(Math.abs(Number(logits!.data[i]) - score)).toBeLessThan(1e-4);
    });
  });
});

describe("touchstone export --to onnx", () => {
  const model = join(import.meta.dirname, "../lab/model");

  it("writes the directory that transformers.js loads, once", async () => {
    const out = join(scratch, "lab");
    const { code, out: printed } = await run("export", model, out, "--to", "onnx", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(printed)).toMatchObject({
      format: "onnx",
      kind: "policy",
      architecture: "LlamaForCausalLM",
    });
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx"])
      expect([file, existsSync(join(out, file))]).toEqual([file, true]);
    const again = await run("export", model, out, "--to", "onnx");
    expect([again.code, again.err]).toEqual([2, expect.stringContaining("exists already")]);
  });

  it("keeps weights beyond the limit in a file beside the model", () => {
    const dir = join(scratch, "llama-tied-0");
    expect(existsSync(join(dir, "onnx/model.onnx_data"))).toBe(true);
    const written = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
    expect(written["transformers.js_config"]).toEqual({ use_external_data_format: { "model.onnx": 1 } });
  });

  it.each([
    [["--dtype", "q8_0"], "is not available for ONNX"],
    [["--adapter-only"], "ONNX has no adapters"],
  ])("%s is refused", async (flags, message) => {
    const out = join(scratch, "never");
    const { code, err } = await run("export", model, out, "--to", "onnx", ...flags);
    expect([code, err, existsSync(out)]).toEqual([2, expect.stringContaining(message), false]);
  });
});
