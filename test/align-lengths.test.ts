// Prompts and pairs that do not fit: counted before the first step, left out, cut at the beginning, or the end of the run.

import { readFile, rm, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { MetricsRow } from "../src/run/metrics.js";
import { openCodec } from "../src/train/models.js";
import { encodePairs, pairLimits } from "../src/train/reward-model/pairs.js";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
  const prompts = [{ prompt: "I am" }, { prompt: "I am ".repeat(200) }, { prompt: "I am glad" }];
  await writeFile(shop.path("prompts.jsonl"), prompts.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const pairs = [
    { prompt: "I am", chosen: " glad", rejected: " very glad" },
    { prompt: "I am ".repeat(40), chosen: "glad", rejected: "very very glad" },
    { prompt: "I am", chosen: " glad".repeat(60), rejected: " glad" },
  ];
  await writeFile(shop.path("pairs.jsonl"), pairs.map((row) => `${JSON.stringify(row)}\n`).join(""));
});
afterEach(() => rm(shop.path("run"), { recursive: true, force: true }));
afterAll(() => shop.remove());

const metrics = async (): Promise<MetricsRow[]> =>
  (await readFile(shop.path("run", "metrics.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

async function align(optimizer: object) {
  const recipe = await shop.recipe("recipe.yaml", {
    output_dir: shop.path("run"),
    policy: shop.policy,
    steps: 1,
    tasks: [
      {
        name: "chat",
        prompts: shop.path("prompts.jsonl"),
        reward: { model: shop.reward },
        optimizer: { name: "reinforce", generations: 2, batch_prompts: 3, max_new_tokens: 8, ...optimizer },
      },
    ],
  });
  return run("align", recipe);
}

describe("prompts", () => {
  it("beyond the window end the run before it begins", async () => {
    const { code, err } = await align({});
    expect(code).toBe(2);
    expect(err).toMatch(
      /touchstone: task chat: 1 of 3 rows is longer than the 248 tokens that max_new_tokens 8 leaves of the 256 that the policy reads \(prompts\.jsonl:2 has \d+ tokens\); set overlong: skip or truncate_left, or lower max_new_tokens\n$/,
    );
    const none = await align({ max_new_tokens: 400 });
    expect([none.code, none.err]).toEqual([
      2,
      expect.stringContaining(
        "max_new_tokens 400 leaves no room for a prompt, for the policy reads 256 tokens",
      ),
    ]);
  });

  it("are left out and counted", async () => {
    const { code, out, err } = await align({ overlong: "skip" });
    expect(code).toBe(0);
    for (const said of [out, err])
      expect(said).toContain("task chat: 1 of 3 rows left out, which do not fit");
    expect((await metrics())[0]).toMatchObject({ "tasks/chat/data/skipped_rows": 1 });
  });

  it("lose their beginning", async () => {
    const { code, out } = await align({ overlong: "truncate_left", max_prompt_length: 3 });
    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/task chat: \d of 3 prompts cut at their beginning/),
    ]);
  });
});

it("pairs of offline DPO likewise", async () => {
  const task = async (options: object) => {
    const path = await shop.recipe("dpo.yaml", {
      output_dir: shop.path("run"),
      policy: shop.policy,
      steps: 1,
      tasks: [
        {
          name: "pairs",
          prompts: { path: shop.path("pairs.jsonl"), apply_chat_template: false },
          optimizer: { name: "dpo", batch_prompts: 2, max_length: 40, ...options },
        },
      ],
    });
    return run("align", path, "--json");
  };
  const stopped = await task({});
  expect([stopped.code, stopped.err]).toEqual([
    2,
    expect.stringContaining("task pairs: 2 of 3 rows are longer than max_length 40"),
  ]);
  // The completion of the third does not fit by itself.
  const cut = await task({ overlong: "truncate_left" });
  expect(JSON.parse(cut.out).remarks).toEqual([
    "task pairs: 1 of 3 rows left out, which do not fit max_length 40",
    "task pairs: 1 of 3 prompts cut at their beginning to fit max_length 40",
  ]);
});

describe("pairs of reward models", () => {
  const reward = (...flags: string[]) =>
    run(
      ...["reward", "--model", shop.policy, "--data", shop.path("pairs.jsonl"), "-o", shop.path("run")],
      ...["--steps", "1", "--batch-size", "1", "--set", "eval_split=0", "--set", "max_length=40", ...flags],
    );

  it("end the run, or are left out and counted", async () => {
    const stopped = await reward();
    expect([stopped.code, stopped.err]).toEqual([
      2,
      expect.stringMatching(/pairs\.jsonl: 2 of 3 rows are longer than max_length 40/),
    ]);
    const { code, out } = await reward("--set", "overlong=skip", "--runs", "2");
    expect([code, out]).toEqual([0, expect.stringContaining("pairs.jsonl: 2 of 3 rows left out")]);
    const member = await readFile(shop.path("run", "member-2", "metrics.jsonl"), "utf8");
    expect(JSON.parse(member.split("\n")[0]!)).toMatchObject({ "data/skipped_rows": 2 });
  });

  it("lose the same beginning", async () => {
    const codec = await openCodec(shop.policy);
    const row = {
      id: "x",
      prompt: "I am ".repeat(40),
      chosen: "glad",
      rejected: "very very glad",
      metadata: {},
    };
    const limits = pairLimits({ maxLength: 40, overlong: "truncate_left" }, 256);
    const {
      pairs: [pair],
    } = encodePairs(codec, [row], { limits, source: "x" });
    const whole = [row.chosen, row.rejected].map((completion) => codec.scored(row.prompt, completion));
    expect(pair!.rejected).toHaveLength(40);
    const lost = whole[1]!.length - 40;
    expect([pair!.chosen, pair!.rejected]).toEqual(whole.map((tokens) => tokens.slice(lost)));
  });
});
