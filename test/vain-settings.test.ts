// Settings that are said in vain: what a run would do without a word, although somebody has asked for something else.

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

let count = 0;
const recipe = async (content: object) => {
  const output_dir = shop.path(`run-${++count}`);
  return { path: await shop.recipe(`recipe-${count}.yaml`, { output_dir, ...content }), output_dir };
};
const sft = (more: object = {}) => ({
  model: shop.policy,
  data: shop.data("sft.jsonl"),
  batch_size: 4,
  warmup_steps: 0,
  ...more,
});
const stepsOf = async (dir: string) =>
  (await readFile(`${dir}/metrics.jsonl`, "utf8")).trim().split("\n").length;
const task = (more: object = {}) => ({
  name: "writing",
  prompts: shop.data("prompts/writing.jsonl"),
  reward: { model: shop.reward },
  optimizer: { name: "reinforce", generations: 2, batch_prompts: 2, max_new_tokens: 4 },
  ...more,
});
const align = (more: object = {}, ...tasks: object[]) => ({
  policy: shop.policy,
  steps: 1,
  warmup_steps: 0,
  tasks: tasks.length > 0 ? tasks : [task()],
  ...more,
});

describe("of a recipe, at the start and in --check", () => {
  it.each([
    [
      "sft",
      () => sft({ steps: 1, epochs: 3 }),
      "steps 1 decides how long the run is: epochs 3 is not looked at",
    ],
    [
      "sft",
      () => sft({ max_steps: 1, num_train_epochs: 2 }),
      "max_steps 1 decides how long the run is: num_train_epochs 2 is not looked at",
    ],
    ["sft", () => sft({ steps: 1, learning_rate: 0 }), "learning_rate is 0: nothing will be learned"],
    ["sft", () => sft({ steps: 1, eval_steps: 1 }), "eval_steps is not looked at: there is no eval_data"],
    [
      "sft",
      () => sft({ steps: 1, warmup_steps: 3, warmup_ratio: 0.5 }),
      "warmup_ratio 0.5 decides: warmup_steps 3 is not looked at",
    ],
    [
      "sft",
      () => sft({ steps: 1, warmup_steps: 3 }),
      "1 step, fewer than warmup_steps 3: the learning rate never reaches its peak",
    ],
    [
      "sft",
      () => sft({ steps: 1, lr_scheduler_type: "constant", min_lr_ratio: 0.5 }),
      "min_lr_ratio is not looked at",
    ],
    ["align", () => align({ eval_steps: 1 }), "eval_steps is not looked at: an alignment"],
    ["align", () => align({ warmup_steps: 2 }), "1 step, fewer than warmup_steps 2"],
    ["align", () => align({}, task({ judges: ["math"] })), /judge math:? applies to none of the/],
    [
      "align",
      () => align({}, task({ judges: [{ kind: "length", max_words: 9 }] })),
      "the judges change nothing that reinforce learns",
    ],
    [
      "align",
      () => align({}, task({ baseline_response: "reference" })),
      "baseline_response is not looked at: reinforce",
    ],
    [
      "align",
      () =>
        align(
          {},
          {
            name: "pairs",
            prompts: shop.data("preferences.jsonl"),
            judges: ["math"],
            optimizer: { name: "dpo", batch_prompts: 2 },
          },
        ),
      "dpo learns from the pairs as they are; reward and judges are not asked",
    ],
  ] as const)("%s %#", async (verb, content, said) => {
    const { path } = await recipe(content());
    const checked = await run(verb, path, "--check");
    expect(checked.out).toMatch(said);
    expect(checked.out).toMatch(/\n! /);
    const { code, err } = await run(verb, path);
    expect([code, err]).toEqual([0, expect.stringMatching(said)]);
    // The warm-up of a short run is worth a word, and no alarm.
    const isAlarm = !/fewer than warmup_steps/.test(String(said));
    expect(err.includes("warning: ")).toBe(isAlarm);
  });

  it("nothing of one that says nothing twice", async () => {
    const { path } = await recipe(sft({ steps: 2 }));
    const checked = await run("sft", path, "--check");
    expect([checked.code, checked.out]).toEqual([0, expect.not.stringContaining("\n! ")]);
    expect((await run("sft", path)).err).not.toContain("warning");
  });

  it("a task of judges that never apply, and of nothing else, does not start", async () => {
    const { path, output_dir } = await recipe(
      align(
        {},
        task({ reward: undefined, judges: ["math"], optimizer: { name: "crpg", max_new_tokens: 4 } }),
      ),
    );
    const said =
      /task writing: math applies to none of the 8 prompts \(their columns are .*\), and there is no reward/;
    const { code, err } = await run("align", path);
    expect([code, err]).toEqual([2, expect.stringMatching(said)]);
    expect(existsSync(output_dir)).toBe(false);
    expect((await run("align", path, "--check")).out).toMatch(said);
  });
});

describe("flags win over the file", () => {
  it.each([
    ["--epochs over steps", { steps: 7 }, ["--epochs", "1"], 5],
    ["--steps over epochs", { epochs: 7 }, ["--steps", "2"], 2],
    ["--epochs over max_steps", { max_steps: 7 }, ["--epochs", "1"], 5],
  ] as const)("%s", async (_, given, flags, steps) => {
    const { path, output_dir } = await recipe(sft(given));
    const { code, err } = await run("sft", path, ...flags);
    expect([code, err]).toEqual([0, expect.not.stringContaining("is not looked at")]);
    expect(await stepsOf(output_dir)).toBe(steps);
  });
});

it.each([
  ["a split of a file", { split: "test" }, /split "test" chooses nothing: .*sft\.jsonl is a file/],
  ["a revision of a file", { revision: "main" }, /revision "main" chooses nothing/],
  [
    "columns of no part",
    { columns: { promt: "q" } },
    /columns\.promt is no part of a row \(did you mean "prompt"\?\)/,
  ],
])("a data source: %s", async (_, source, said) => {
  const { path } = await recipe(sft({ steps: 1, data: { path: shop.data("sft.jsonl"), ...source } }));
  const { code, err } = await run("sft", path);
  expect([code, err]).toEqual([2, expect.stringMatching(said)]);
});

it.each([
  [
    ["sample", "--prompt", "a", "--model", "m", "--greedy", "--temperature", "0.7"],
    /--greedy is --temperature 0/,
  ],
  [
    ["sample", "x.jsonl", "--model", "m", "--combine", "min", "--best-of", "2", "--reward", "r"],
    /--combine goes with several/,
  ],
  [["sample", "--prompt", "a", "--limit", "2", "--model", "m"], /--limit goes with a file/],
  [["eval", "--model", "m", "--task", "a.jsonl", "--judge-model", "j"], /--judge-model goes with --judge/],
  [["eval", "--model", "m", "--task", "a.jsonl", "--fewshot", "f.jsonl"], /--fewshot goes with --shots/],
  [
    ["eval", "--model", "m", "--against", "n", "--prompts", "p", "--by", "reward:r", "--judge-model", "j"],
    /--judge-model goes with --by judge/,
  ],
  [
    ["eval", "--model", "m", "--against", "n", "--prompts", "p", "--by", "reward:r", "--shots", "2"],
    /--shots goes with --task/,
  ],
  [["judge", "a.jsonl", "--judge", "math", "--task", "t"], /--task goes with --recipe/],
  [["report", "runs/x", "--to", "tensorboard", "--title", "a"], /--title goes with a page/],
  [["chat", "--model", "m", "--limit", "2"], /chat has no flag --limit/],
  [["chat", "--model", "m", "-o", "x"], /unknown option '-o'/],
])("flags: %j", async (argv, said) => {
  const { code, err } = await run(...argv);
  expect([code, err]).toEqual([2, expect.stringMatching(said)]);
});

it("eval: a judge of refusals with no task that has any", async () => {
  const file = shop.path("gsm8k.jsonl");
  await writeFile(file, '{"question":"1+1?","answer":"#### 2"}\n');
  const flags = ["--judge", "http://127.0.0.1:9/v1", "--judge-model", "j"];
  const { code, err } = await run("eval", "--model", shop.policy, "--task", `gsm8k=${file}`, ...flags);
  expect([code, err]).toEqual([2, expect.stringMatching(/--judge says what is a refusal in xstest/)]);
});

it("init: a reward model for a recipe of sft", async () => {
  const argv = [
    "--model",
    shop.policy,
    "--data",
    shop.data("sft.jsonl"),
    "--verb",
    "sft",
    "--reward",
    shop.reward,
  ];
  const { code, err } = await run("init", ...argv, "-o", shop.path("x.yaml"), "--yes");
  expect([code, err]).toEqual([2, expect.stringMatching(/--reward goes with align/)]);
});

it("serve: nothing is opened or written where the port is taken", async () => {
  const other = createServer();
  await new Promise<void>((listening) => other.listen(0, "127.0.0.1", listening));
  const { port } = other.address() as AddressInfo;
  const out = shop.path("served");
  try {
    const { code, err } = await run("serve", "--reward", shop.reward, "--port", String(port), "-o", out);
    expect([code, err]).toEqual([2, expect.stringMatching(/port \d+ of 127\.0\.0\.1 is in use/)]);
    expect(existsSync(out)).toBe(false);
  } finally {
    other.close();
  }
});
