// What `sft` says of itself: token accuracy, entropy, epochs and tokens seen against an independent calculation, and rows
// that do not fit.

import { readFile, rm, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { loadCompletions, PromptCursor } from "../src/data/index.js";
import type { MetricsRow } from "../src/run/metrics.js";
import { openPolicy } from "../src/train/models.js";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterEach(() => rm(shop.path("run"), { recursive: true, force: true }));
afterAll(() => shop.remove());

const sft = (data: string, ...more: string[]) =>
  run("sft", "--model", shop.policy, "--data", data, "-o", shop.path("run"), ...more);

const metrics = async (): Promise<MetricsRow[]> =>
  (await readFile(shop.path("run", "metrics.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** The first choice and the entropy at every learned token, from the log-probabilities of the whole vocabulary. */
async function byHand(tokens: readonly number[], promptLength: number) {
  const { policy } = await openPolicy(shop.policy);
  const found: { isBest: boolean; entropy: number }[] = [];
  for (let t = promptLength; t < tokens.length; t++) {
    const next = Array.from({ length: policy.limits.vocabSize }, (_, token) => ({
      tokens: [...tokens.slice(0, t), token],
      promptLength: t,
    }));
    const logs = (await policy.logprobs(next)).map(([log]) => log!);
    found.push({
      isBest: logs.indexOf(Math.max(...logs)) === tokens[t],
      entropy: -logs.reduce((sum, log) => sum + Math.exp(log) * log, 0),
    });
  }
  policy.dispose();
  return found;
}

it("logs token accuracy, entropy, epochs and tokens seen", async () => {
  const data = shop.data("sft.jsonl");
  const { code } = await sft(data, "--batch-size", "2", "--epochs", "1.2", "--eval-data", data, "--json");
  expect(code).toBe(0);
  const rows = await metrics();

  const { codec } = await openPolicy(shop.policy);
  const encoded = (await loadCompletions(data)).rows.map(({ id, prompt, completion }) => ({
    id,
    ...codec.sequence(prompt, completion),
  }));
  const n = encoded.length;
  const cursor = PromptCursor.start(encoded, { seed: 0, name: "sft" });
  const batches = rows.map(() => cursor.next(2, { untilEpochEnd: true }));
  const seen = batches.map((_, i) => batches.slice(0, i + 1).flat());
  expect(rows.map(({ num_tokens }) => num_tokens)).toEqual(
    seen.map((all) => all.reduce((sum, { tokens }) => sum + tokens.length, 0)),
  );
  rows.forEach(({ epoch }, i) => {
    expect(epoch).toBeCloseTo(seen[i]!.length / n, 12);
  });
  const tokens = (
    await Promise.all(
      batches[0]!.map((row) => byHand(Array.from(row.tokens as readonly number[]), row.promptLength)),
    )
  ).flat();
  const share = tokens.filter(({ isBest }) => isBest).length / tokens.length;
  expect(rows[0]!.mean_token_accuracy).toBeCloseTo(share, 10);
  expect(rows[0]!.entropy).toBeCloseTo(
    tokens.reduce((sum, { entropy }) => sum + entropy, 0) / tokens.length,
    4,
  );
  expect(Object.keys(rows.at(-1)!)).toEqual(
    expect.arrayContaining(["eval/loss", "eval/mean_token_accuracy", "eval/entropy"]),
  );
});

describe("rows that do not fit", () => {
  const long = async () => {
    const file = shop.path("long.jsonl");
    const rows = [
      { prompt: "I am", completion: " glad" },
      { prompt: "I am ".repeat(30), completion: "glad" },
      { prompt: "I am", completion: " very glad".repeat(20) },
    ];
    await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    return file;
  };
  const train = async (...flags: string[]) =>
    sft(await long(), "--steps", "1", "--batch-size", "1", "--set", "max_length=40", ...flags);

  it("are cut at the end, or left out where nothing is left to learn: counted, said before and after", async () => {
    const { code, out, err } = await train();
    expect(code).toBe(0);
    for (const said of [out, err]) {
      expect(said).toContain("long.jsonl: 1 of 3 rows left out, which do not fit max_length 40");
      expect(said).toContain("long.jsonl: 1 of 3 completions cut at their end to fit max_length 40");
    }
    expect((await metrics())[0]).toMatchObject({ "data/skipped_rows": 1, "data/truncated_completions": 1 });
  });

  it("lose the beginning of the prompt", async () => {
    const { out } = await train("--set", "overlong=truncate_left", "--json");
    expect(JSON.parse(out).lengths).toMatchObject({ skipped: 0, truncatedPrompts: 2, rows: 3 });
  });

  it("are left out, or end the run, and TRL's truncation_mode is understood", async () => {
    const skipped = await train("--set", "overlong=skip", "--json");
    expect(JSON.parse(skipped.out).lengths).toMatchObject({ skipped: 2 });
    await rm(shop.path("run"), { recursive: true });
    const stopped = await train("--set", "overlong=stop");
    expect([stopped.code, stopped.err]).toEqual([
      2,
      expect.stringMatching(
        /: 2 of 3 rows are longer than max_length 40 \(.* has \d+ tokens\); set overlong: /,
      ),
    ]);
    const cut = await train("--set", "truncation_mode=keep_end", "--json");
    expect(JSON.parse(cut.out).lengths).toMatchObject({ skipped: 0, truncatedPrompts: 2 });
  });

  it("are those that the model does not read, where max_length is longer", async () => {
    const file = shop.path("window.jsonl");
    await writeFile(file, `${JSON.stringify({ prompt: "I am", completion: " very glad".repeat(300) })}\n`);
    const { err, code } = await sft(file, "--steps", "1");
    expect([code, err]).toEqual([
      0,
      expect.stringContaining(
        "1 of 1 completions cut at their end to fit the 256 tokens that the model reads",
      ),
    ]);
  });
});
