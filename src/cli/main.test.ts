import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../test/support/in-process.js";
import { NonFiniteError, UserError } from "../base/errors.js";
import { InterruptedError } from "../run/context.js";
import { explainError } from "./errors.js";

const FIXTURES = new URL("../../test/fixtures/engine/", import.meta.url).pathname;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-cli-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const rowsOf = (jsonl: string) =>
  jsonl
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const file = async (name: string, ...rows: object[]): Promise<string> => {
  const path = join(root, name);
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
};

/** A fixture model with a tokenizer of single characters. */
async function tinyModel(fixture: string): Promise<string> {
  const dir = join(root, fixture);
  await mkdir(dir, { recursive: true });
  for (const name of ["config.json", "model.safetensors"])
    await cp(join(FIXTURES, fixture, name), join(dir, name));
  const characters = [..."Ġ0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-=?.,"];
  const special = ["<pad>", "<s>", "</s>"];
  const vocab = Object.fromEntries([...special, ...characters].map((token, id) => [token, id]));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  await writeFile(
    join(dir, "tokenizer.json"),
    JSON.stringify({
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: special.map((content, id) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: byteLevel,
      post_processor: null,
      decoder: byteLevel,
      model: { type: "BPE", vocab, merges: [], unk_token: null, fuse_unk: false, byte_fallback: false },
    }),
  );
  await writeFile(
    join(dir, "tokenizer_config.json"),
    JSON.stringify({
      tokenizer_class: "PreTrainedTokenizerFast",
      eos_token: "</s>",
      bos_token: "<s>",
      pad_token: "<pad>",
    }),
  );
  return dir;
}

describe("the program", () => {
  it("explains itself, every verb with examples", async () => {
    const { code, out } = await run("--help");
    expect(code).toBe(0);
    const verbs = [...out.matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)? .*(?:\[|<)/gm)].map((match) => match[1]!);
    expect(verbs).toEqual(
      expect.arrayContaining(["sft", "reward", "warm", "align", "sample", "score", "logprobs"]),
    );
    for (const verb of verbs.filter((name) => name !== "help")) {
      const help = await run(verb, "--help");
      expect(help.code, verb).toBe(0);
      expect(help.out, verb).toContain("Examples:\n  $ touchstone ");
    }
    expect((await run("--version")).out).toMatch(/^\d+\.\d+\.\d+/);
  });

  it.each([
    [["judg"], "Did you mean judge?"],
    [["sft", "--modl", "x"], "Did you mean --model?"],
    [["sft", "--model", "x"], "output_dir is missing"],
    [
      ["sft", "--steps", "many", "-o", "x", "--model", "x", "--data", "x"],
      "--steps many: steps must be a whole number",
    ],
    [["align", "nowhere.yaml"], "cannot read the recipe nowhere.yaml: there is no such file"],
    [["align", "a.yaml", "--config", "b.yaml"], "the recipe is given twice"],
    [["sample", "--model", "x"], "give either a file of prompts or --prompt"],
    [
      ["sample", "--model", "x", "--prompt", "a", "-n", "0"],
      '--n must be a whole number of at least 1, not "0"',
    ],
    [["report", "nowhere"], "nowhere is not a run directory"],
    [["warm", "a", "b", "-o", "c", "--weights", "1"], "--weights has 1 weights for 2 members"],
  ])("answers %j with one sentence and exit code 2", async (argv, sentence) => {
    const { code, out, err } = await run(...argv);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(err).not.toMatch(/\n\s+at /);
    expect(out).toBe("");
  });

  it("tells mistakes, interruptions and bugs apart", () => {
    expect(explainError(new UserError("a"), false)).toEqual({ message: "a", exitCode: 2 });
    expect(explainError(new NonFiniteError("a"), false)).toEqual({ message: "a", exitCode: 2 });
    expect(explainError(new InterruptedError("a"), false)).toEqual({ message: "a", exitCode: 130 });
    expect(explainError(Object.assign(new Error("x"), { code: "ENOSPC", path: "p" }), false)).toEqual({
      message: "could not write p: the disk is full; what was there before is unchanged",
      exitCode: 2,
    });
    const circle = Object.assign(new Error("x"), { code: "ELOOP", syscall: "stat", path: "p" });
    expect(explainError(circle, false)).toEqual({
      message: "could not read p: symbolic links lead in a circle",
      exitCode: 2,
    });
    const bug = explainError(new TypeError("x is not a function"), false);
    expect(bug.exitCode).toBe(1);
    expect(bug.message).toMatch(/internal error: x is not a function\n.*touchstone doctor/);
    expect(explainError(new UserError("a"), true).message).toContain("main.test.ts");
  });
});

describe("doctor", () => {
  it("finds what is needed", async () => {
    const { code, out } = await run("doctor", "--json");
    expect(code).toBe(0);
    const { healthy, findings } = JSON.parse(out) as {
      healthy: boolean;
      findings: { name: string; detail: string }[];
    };
    expect(healthy).toBe(true);
    expect(findings.find(({ name }) => name === "onnx runtime")!.detail).toMatch(/version \d+\.\d+/);
    expect(findings.find(({ name }) => name === "sandbox")!.detail).toBe("runs JavaScript");
  });
});

describe("judge", () => {
  it("writes the rows with verdicts, and the rates", async () => {
    const data = await file(
      "answers.jsonl",
      { prompt: "2+2?", response: "4", answer: "4" },
      { prompt: "3+3?", response: "5", answer: "6" },
    );
    const out = join(root, "judged.jsonl");
    const result = await run(
      "judge",
      data,
      "--judge",
      "exact",
      "{kind: length, max_words: 9}",
      "--all",
      "-o",
      out,
      "--json",
    );
    expect(result.code).toBe(0);
    expect(JSON.parse(result.out)).toMatchObject({ rows: 2, "constraints/exact/violation_rate": 0.5 });
    const rows = rowsOf(await readFile(out, "utf8"));
    expect(rows.map(({ feasible }) => feasible)).toEqual([true, false]);
    expect(rows[1]).toMatchObject({
      prompt: "3+3?",
      answer: "6",
      verdicts: { length: { verdict: "satisfied" } },
    });
    expect((await run("judge", data, "--judge", "exct")).err).toContain('did you mean "exact"');
  });
});

describe("warm", () => {
  it("averages reward models into an empty directory only", async () => {
    const member = join(FIXTURES, "llama-reward");
    const out = join(root, "merged");
    const result = await run("warm", member, member, "-o", out, "--json");
    expect(result).toMatchObject({ code: 0, err: "" });
    expect(await readdir(out)).toContain("model.safetensors");
    const again = await run("warm", member, member, "-o", out);
    expect(again.code).toBe(2);
    expect(again.err).toContain("already holds files");
  });
});

describe("sample, score and logprobs", () => {
  it("read what the others write", async () => {
    const model = await tinyModel("llama-tied");
    const prompts = await file(
      "prompts.jsonl",
      { prompt: "2+2=?", answer: "4" },
      { prompt: "Hi", answer: "Ho" },
    );
    const samples = join(root, "samples.jsonl");
    const flags = ["--model", model, "--threads", "1", "--quiet"];
    const sampled = await run(
      "sample",
      prompts,
      ...flags,
      "-n",
      "2",
      "--max-new-tokens",
      "5",
      "--seed",
      "3",
      "-o",
      samples,
    );
    expect(sampled).toMatchObject({ code: 0, err: "" });
    const rows = rowsOf(await readFile(samples, "utf8"));
    expect(rows).toHaveLength(4);
    expect(rows[0]).toMatchObject({ prompt: "2+2=?", answer: "4" });

    // The log-probabilities that sampling reports are those that scoring finds.
    const scored = rowsOf((await run("logprobs", samples, ...flags)).out);
    scored.forEach(({ logprobs, logprob, completion_ids }, i) => {
      const expected = rows[i]!.logprobs as number[];
      expect(completion_ids).toEqual(rows[i]!.completion_ids);
      expect((logprobs as number[]).length).toBe(expected.length);
      for (const [t, value] of expected.entries()) expect((logprobs as number[])[t]).toBeCloseTo(value, 4);
      expect(logprob).toBeCloseTo(
        expected.reduce((sum, value) => sum + value, 0),
        3,
      );
    });

    // The same seed, the same completions.
    const again = await run("sample", prompts, ...flags, "-n", "2", "--max-new-tokens", "5", "--seed", "3");
    expect(again.out).toBe(await readFile(samples, "utf8"));

    const reward = await tinyModel("llama-reward");
    const rewards = rowsOf((await run("score", samples, "--model", reward, "--threads", "1", "--quiet")).out);
    expect(rewards).toHaveLength(4);
    for (const { reward: value } of rewards) expect(Number.isFinite(value)).toBe(true);
    expect(rewards[0]).toMatchObject({ prompt: "2+2=?", answer: "4" });
  });
});
