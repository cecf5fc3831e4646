// The verbs one after the other, each on what the ones before it made: from a base model to a report.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

type Row = Record<string, unknown> & { logprobs: number[] };

const rowsIn = (jsonl: string): Row[] =>
  jsonl
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const rowsOf = async (file: string): Promise<Row[]> => rowsIn(await readFile(file, "utf8"));

/** The command succeeds and says nothing on stderr; what it printed. */
async function succeed(...argv: string[]): Promise<string> {
  const { code, out, err } = await run(...argv);
  expect({ code, err }, argv.join(" ")).toEqual({ code: 0, err: "" });
  return out;
}

const train = (verb: string, name: string, ...more: string[]): Promise<string> =>
  succeed(verb, "-o", shop.path(name), "--steps", "2", "--batch-size", "4", "--quiet", ...more);

describe("a base model becomes an aligned one", () => {
  it("sft: full and LoRA", async () => {
    const data = ["--data", shop.data("sft.jsonl"), "--eval-data", shop.data("sft.jsonl")];
    const out = await train("sft", "sft", "--model", shop.policy, ...data);
    expect(out).toMatch(/^evaluation loss \d+\.\d+\nmodel: .*sft\/final\n$/);
    await train("sft", "sft-lora", "--model", shop.policy, ...data, "--lora-r", "4");
    expect(await readdir(shop.path("sft-lora/final"))).toEqual(
      expect.arrayContaining(["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"]),
    );
    const again = await succeed("sft", shop.path("sft/recipe.yaml"), "--resume", "--json");
    expect(JSON.parse(again)).toMatchObject({
      model: shop.path("sft/final"),
      evalLoss: expect.any(Number),
      remarks: [],
    });
  });

  it("reward and warm: two members, full and LoRA, and their average", async () => {
    for (const [name, more] of [
      ["rm", []],
      ["rm-lora", ["--lora-r", "2"]],
    ] as const) {
      const data = ["--data", shop.data("preferences.jsonl"), "--eval-data", shop.data("validation.jsonl")];
      const out = await train(
        "reward",
        name,
        "--model",
        shop.path("sft/final"),
        "--runs",
        "2",
        ...data,
        ...more,
      );
      expect(out).toMatch(
        /member-1\/final: accuracy \d+\.\d %\n.*member-2\/final: accuracy .*\naverage them: touchstone warm/,
      );
      const members = [1, 2].map((i) => shop.path(name, `member-${i}/final`));
      await succeed("warm", ...members, "-o", shop.path(name, "merged"), "--json");
      expect(await readdir(shop.path(name, "merged"))).toContain("model.safetensors");
    }
  });

  it("align: two tasks, from the adapter that sft made", async () => {
    const optimizer = { name: "crpg", generations: 2, batch_prompts: 2, max_new_tokens: 6 };
    const recipe = await shop.recipe("bot.yaml", {
      output_dir: "bot",
      policy: { model: "./sft-lora/final", lora: { r: 4 } },
      steps: 2,
      learning_rate: 0.01,
      tasks: [
        {
          name: "sums",
          prompts: "./data/prompts/arithmetic.jsonl",
          reward: { warm: "./rm/merged" },
          judges: [{ kind: "length", max_words: 40 }, "math"],
          optimizer,
        },
        {
          name: "writing",
          prompts: "./data/prompts/writing.jsonl",
          reward: { models: ["./rm-lora/member-1/final", "./rm-lora/merged"], combine: "mean" },
          judges: [{ kind: "length", max_words: 40 }],
          optimizer,
        },
      ],
    });
    expect(await succeed("align", recipe, "--quiet")).toMatch(
      /^model: .*bot\/final\nsee the curves: touchstone report/,
    );
    const config = JSON.parse(await readFile(shop.path("bot/final/adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ r: 4, base_model_name_or_path: shop.policy });
    const metrics = await rowsOf(shop.path("bot/metrics.jsonl"));
    expect(metrics.map(({ step }) => step)).toEqual([1, 2]);
    // The policy is its own reference before the first step.
    expect(metrics[0]!["tasks/writing/kl"]).toBeCloseTo(0, 5);
    expect(await rowsOf(shop.path("bot/rollouts.jsonl"))).toHaveLength(2 * 2 * 4);
  });

  it("sample, logprobs, score and judge read each other's rows", async () => {
    const [answers, scored] = [shop.path("answers.jsonl"), shop.path("scored.jsonl")];
    const policy = ["--model", shop.path("bot/final"), "--quiet"];
    const prompts = shop.data("prompts/arithmetic.jsonl");
    await succeed(
      "sample",
      prompts,
      ...policy,
      "-n",
      "2",
      "--max-new-tokens",
      "6",
      "--limit",
      "3",
      "-o",
      answers,
    );
    const samples = await rowsOf(answers);
    expect(samples).toHaveLength(6);

    const found = rowsIn(await succeed("logprobs", answers, ...policy));
    found.forEach(({ logprobs }, i) => {
      logprobs.forEach((value, t) => {
        expect(value).toBeCloseTo(samples[i]!.logprobs[t]!, 4);
      });
    });

    await succeed("score", answers, "--model", shop.path("rm/merged"), "--quiet", "-o", scored);
    for (const { reward } of await rowsOf(scored)) expect(Number.isFinite(reward)).toBe(true);

    const judged = await run(
      "judge",
      scored,
      "--recipe",
      shop.path("bot.yaml"),
      "--task",
      "sums",
      "--limit",
      "2",
    );
    expect(judged.code).toBe(0);
    expect(judged.err).toMatch(/constraints\/satisfied_rate: \d+\.\d %/);
    const verdicts = rowsIn(judged.out);
    expect(verdicts).toHaveLength(2);
    expect(verdicts[0]).toMatchObject({
      id: samples[0]!.id,
      feasible: expect.any(Boolean),
      reward: expect.any(Number),
    });
  });

  it("sample --prompt prints the completion alone, with and without the chat template", async () => {
    const ask = (...more: string[]) =>
      succeed(
        "sample",
        "--model",
        shop.policy,
        "--prompt",
        "Hi",
        "--max-new-tokens",
        "4",
        "--quiet",
        "--no-chat",
        ...more,
      );
    expect(await ask("--seed", "3")).toBe(await ask("--seed", "3"));
    const rows = shop.path("chat.jsonl");
    await ask("--chat", "-o", rows);
    const [row] = await rowsOf(rows);
    expect(row).toMatchObject({ prompt: [{ role: "user", content: "Hi" }], prompt_ids: expect.any(Array) });
  });

  it("report: one run, and several", async () => {
    expect(await succeed("report", shop.path("bot"))).toBe(`${shop.path("bot/report.html")}\n`);
    const page = await readFile(shop.path("bot/report.html"), "utf8");
    expect(page).toContain("<svg");
    expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
    await succeed("report", shop.path("bot"), shop.path("sft"), "-o", shop.path("both.html"));
    expect(existsSync(shop.path("both.html"))).toBe(true);
  });
});

const root = join(import.meta.dirname, "..");

describe.skipIf(!existsSync(join(root, "dist/cli/main.js")))("the built command", () => {
  it("runs, and its exit code is the program's", async () => {
    const touchstone = (...argv: string[]) =>
      promisify(execFile)(process.execPath, [join(root, "bin/touchstone.js"), ...argv]);
    expect((await touchstone("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    await expect(touchstone("sft", "--modl", "x")).rejects.toMatchObject({ code: 2 });
  });
});
