// Every optimizer of align: that it runs, that it learns what it should, and that stages are runs one after the other.

import { readFile, rename, rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { loadPreferences, PromptCursor } from "../src/data/index.js";
import { dpo } from "../src/objectives/dpo.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { runDirectories } from "../src/run/directory.js";
import { type MetricsRow, type Rollout, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { openPolicy } from "../src/train/models.js";
import { runCli } from "./support/cli.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

const task = (name: string, changes: { weight?: number; [key: string]: unknown } = {}) => ({
  name,
  // Preferences are prompts too.
  prompts: shop.data("preferences.jsonl"),
  reward: { model: shop.reward },
  judges: [{ kind: "length", max_words: 4 }],
  ...changes,
});

const settings = (dir: string) => ({
  output_dir: shop.path(dir),
  engine: { threads: 1 },
  policy: shop.policy,
  learning_rate: 0.01,
  warmup_steps: 0,
  save_steps: 0,
});

interface Outcome {
  metrics: MetricsRow[];
  rollouts: Rollout[];
}

/** Runs a recipe in `dir`, whatever was there. */
async function align(changes: object, dir = "run"): Promise<Outcome> {
  await rm(shop.path(dir), { recursive: true, force: true });
  const recipe = stringify({ ...settings(dir), ...changes });
  await runAlignRecipe(parseRecipe("align", recipe, shop.path("recipe.yaml")), {
    reporter: silent,
    resume: false,
  });
  return {
    metrics: await readJsonl(shop.path(dir, "metrics.jsonl")),
    rollouts: await readJsonl(shop.path(dir, "rollouts.jsonl")),
  };
}

const number = (row: MetricsRow | undefined, key: string): number => row![key] as number;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;

const weights = (...dir: string[]): Promise<Buffer> => readFile(shop.path(...dir, "model.safetensors"));

describe("one recipe", () => {
  const optimizers = "crpg crraft codpo ppo grpo rloo reinforce raft dpo online_dpo".split(" ");

  it.each(optimizers)("runs with %s by its name alone", async (name) => {
    const sampling = name === "dpo" ? {} : { max_new_tokens: 6 };
    const { metrics, rollouts } = await align({
      steps: 2,
      tasks: [task("writing", { optimizer: { name, batch_prompts: 4, ...sampling } })],
    });
    expect(metrics).toHaveLength(2);
    for (const row of metrics) {
      expect(number(row, "grad_norm")).toBeGreaterThan(0);
      expect(Number.isFinite(number(row, "tasks/writing/loss"))).toBe(true);
    }
    expect(rollouts.length > 0).toBe(name !== "dpo");
    // What the first step learned moves the policy away from the reference.
    if (name !== "dpo") expect(Math.abs(number(metrics[1], "kl"))).toBeGreaterThan(1e-5);
  });
});

describe("ppo", () => {
  const wantsA = { reward: undefined, judges: [{ kind: "regex", must_match: "a" }], judge_gate: {} };

  it("raises the reward of a toy task", async () => {
    const optimizer = { name: "ppo", batch_prompts: 16, max_new_tokens: 6, ppo_epochs: 2, mini_batches: 2 };
    const { metrics } = await align({
      steps: 24,
      tasks: [task("letters", { ...wantsA, optimizer: { ...optimizer, kl_coef: 0.02 } })],
    });
    const satisfied = metrics.map((row) => number(row, "constraints/satisfied_rate"));
    expect(mean(satisfied.slice(-6))).toBeGreaterThan(mean(satisfied.slice(0, 6)) + 0.25);
    // R_calib is 1/2 without a reward model, and a violation counts 0.
    const last = metrics.at(-1);
    expect(number(last, "tasks/letters/reward")).toBeCloseTo(
      number(last, "constraints/satisfied_rate") / 2,
      6,
    );
  });

  it("starts from values of 0, and trains its critic at its own learning rate", async () => {
    const optimizer = { name: "ppo", batch_prompts: 8, max_new_tokens: 6, kl_coef: 0, gae_lambda: 1 };
    const judges = [{ kind: "length", max_words: 1000 }];
    const { metrics } = await align({
      steps: 12,
      learning_rate: 0,
      tasks: [
        task("any", {
          ...wantsA,
          judges,
          optimizer: { ...optimizer, ppo_epochs: 1, critic_learning_rate: 0.01 },
        }),
      ],
    });
    // Every return is the reward, 1/2: with V = 0 the loss is half its square.
    const losses = metrics.map((row) => number(row, "tasks/any/value_loss"));
    expect(losses[0]).toBeCloseTo(0.125, 6);
    expect(losses.at(-1)).toBeLessThan(0.05);
    expect(metrics.every((row) => number(row, "critic_grad_norm") > 0)).toBe(true);
    expect(number(metrics.at(-1), "kl")).toBeCloseTo(0, 6);
  });

  it("takes its first update only where other tasks take one", async () => {
    const ppo = { name: "ppo", batch_prompts: 4, max_new_tokens: 6, ppo_epochs: 3 };
    const crpg = { name: "crpg", batch_prompts: 2, generations: 2, max_new_tokens: 6 };
    const tasks = [task("a", { optimizer: ppo }), task("b", { optimizer: crpg })];
    const { metrics } = await align({ steps: 2, tasks });
    const alone = await align({ steps: 2, tasks: [tasks[1]!] });
    for (const key of Object.keys(alone.metrics[0]!).filter((name) => name.startsWith("tasks/b/")))
      expect(metrics[0]![key], key).toBe(alone.metrics[0]![key]);
  });
});

describe("grpo", () => {
  it("takes as many updates as iterations, the ratio being 1 at the first", async () => {
    const grpo = { name: "grpo", batch_prompts: 4, generations: 4, max_new_tokens: 6, clip_range: 0.01 };
    const clipped = async (iterations: number) => {
      const { metrics } = await align({
        steps: 1,
        tasks: [task("writing", { optimizer: { ...grpo, iterations } })],
      });
      return number(metrics[0], "tasks/writing/clip_ratio");
    };
    expect(await clipped(1)).toBe(0);
    expect(await clipped(3)).toBeGreaterThan(0.1);
  });
});

describe("log_task_grad_norm", () => {
  it("tells the norm of each task's own gradient", async () => {
    const crpg = { name: "crpg", batch_prompts: 2, generations: 2, max_new_tokens: 6 };
    const tasks = [task("a", { optimizer: crpg, weight: 3 }), task("b", { optimizer: crpg })];
    const norm = async (chosen: object[], key: string) => {
      const { metrics } = await align({ steps: 1, log_task_grad_norm: true, tasks: chosen });
      return number(metrics[0], key);
    };
    for (const [i, name] of ["a", "b"].entries()) {
      const alone = (await norm([tasks[i]!], "grad_norm")) / (tasks[i]!.weight ?? 1);
      expect(alone).toBeGreaterThan(0);
      expect(await norm(tasks, `tasks/${name}/grad_norm`)).toBeCloseTo(alone, 5);
    }
  });
});

describe("dpo", () => {
  it("does what a loop by hand does", async () => {
    const [steps, pairs, beta, learningRate] = [3, 4, 0.3, 0.01];
    const { metrics } = await align({
      steps,
      seed: 5,
      learning_rate: learningRate,
      max_grad_norm: 0,
      tasks: [
        {
          name: "pairs",
          prompts: shop.data("preferences.jsonl"),
          optimizer: { name: "dpo", beta, batch_prompts: pairs },
        },
      ],
    });

    const engine = { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 } as const;
    const { policy, codec } = await openPolicy(shop.policy, { engine, saveDtype: "float32" });
    const reference = await policy.snapshot();
    const { rows } = await loadPreferences(shop.data("preferences.jsonl"));
    const cursor = PromptCursor.start(rows, { seed: 5, name: "prompts of pairs" });
    for (let step = 0; step < steps; step++) {
      const batch = cursor.next(pairs);
      const sequences = batch.flatMap(({ prompt, chosen, rejected }) => [
        codec.sequence(prompt, chosen),
        codec.sequence(prompt, rejected),
      ]);
      const logprobs = await policy.logprobs(sequences);
      const referenceLogprobs = await reference.logprobs(sequences);
      const order = batch.map((_, i) => ({ chosen: 2 * i, rejected: 2 * i + 1 }));
      const { loss, g, metrics: said } = dpo({ logprobs, referenceLogprobs }, order, { beta });
      await policy.backward(sequences, g);
      const { gradNorm } = await policy.step({ learningRate });
      expect(metrics[step]).toMatchObject({
        "tasks/pairs/loss": loss,
        "tasks/pairs/rewards/accuracies": said["rewards/accuracies"],
        "tasks/pairs/rewards/margins": said["rewards/margins"],
        accuracy: said["rewards/accuracies"],
        grad_norm: gradNorm,
      });
    }
    await policy.save(shop.path("by-hand"));
    expect((await weights("by-hand")).equals(await weights("run", "final"))).toBe(true);
    expect(metrics.every((row) => !("kl" in row) && !("reward" in row))).toBe(true);
  });

  it("stands beside tasks that sample", async () => {
    const pairs = {
      name: "pairs",
      prompts: shop.data("preferences.jsonl"),
      optimizer: { name: "dpo", batch_prompts: 2 },
    };
    const crpg = { name: "crpg", batch_prompts: 2, generations: 2, max_new_tokens: 6 };
    const { metrics } = await align({ steps: 1, tasks: [pairs, task("writing", { optimizer: crpg })] });
    expect(metrics[0]).toMatchObject({
      "tasks/pairs/loss": expect.closeTo(Math.log(2), 4),
      "tasks/writing/rewards/mean": expect.any(Number),
    });
  });
});

describe("stages", () => {
  const warmup = () => ({
    name: "warmup",
    steps: 3,
    tasks: [
      {
        name: "pairs",
        prompts: shop.data("preferences.jsonl"),
        optimizer: { name: "dpo", batch_prompts: 4 },
      },
    ],
  });
  const cgpo = () => ({
    name: "cgpo",
    steps: 4,
    learning_rate: 0.02,
    tasks: [
      task("writing", {
        optimizer: { name: "crpg", batch_prompts: 2, generations: 3, max_new_tokens: 6 },
      }),
      task("letters", {
        weight: 0.5,
        optimizer: { name: "ppo", batch_prompts: 4, max_new_tokens: 6, ppo_epochs: 2, mini_batches: 2 },
      }),
      task("sums", {
        optimizer: { name: "grpo", batch_prompts: 2, generations: 2, max_new_tokens: 6, iterations: 2 },
      }),
    ],
  });

  it.each([
    ["all weights", {}],
    ["one adapter all the way", { lora: { r: 2 } }],
  ])("are the same runs one after the other, with %s", async (_, lora) => {
    const policy = { model: shop.policy, ...lora };
    await align({ policy, stages: [warmup(), cgpo()] }, "staged");
    const { name: first, ...one } = warmup();
    const { name: second, ...two } = cgpo();
    await align({ policy, ...one }, first);
    const start = shop.path(first, "final");
    await align({ policy: { ...policy, model: start }, ...two }, second);

    const file = "lora" in lora ? "adapter_model.safetensors" : "model.safetensors";
    const model = (...dir: string[]) => readFile(shop.path(...dir, file));
    const separate = await model(second, "final");
    expect(separate.equals(await model(first, "final"))).toBe(false);
    for (const dir of [
      ["staged", "cgpo", "final"],
      ["staged", "final"],
    ])
      expect((await model(...dir)).equals(separate), dir.join("/")).toBe(true);
    expect(await runDirectories(shop.path("staged"))).toEqual(
      [first, second].map((name) => shop.path("staged", name)),
    );
    expect(await runDirectories(shop.path(first))).toEqual([shop.path(first)]);
    // pi_ref of the second stage is where it starts.
    const rollouts = await readJsonl<Rollout>(shop.path("staged", "cgpo", "rollouts.jsonl"));
    expect(rollouts).toEqual(await readJsonl(shop.path(second, "rollouts.jsonl")));
    for (const { log_ratio } of rollouts.filter(({ step }) => step === 1))
      expect(log_ratio).toBeCloseTo(0, 4);
  });

  it("leave the same bytes when they are killed and resumed, critic included", async () => {
    const dir = shop.path("killed");
    const stages = [warmup(), cgpo()];
    const recipe = await shop.recipe("killed.yaml", { ...settings("killed"), save_steps: 2, stages });
    const argv = ["align", recipe, "--quiet"];
    expect(await runCli(argv)).toMatchObject({
      code: 0,
      stderr: expect.not.stringContaining("touchstone: "),
    });
    await rename(dir, `${dir}-undisturbed`);
    const kills = [
      // In the warm-up, after its checkpoint; then before its model is in its place.
      "append warmup/metrics.jsonl #3",
      "rename warmup/final",
      // In the second stage: in the middle of the critic's tensors, then between a step's tasks.
      "write critic/.training_state #7",
      "append cgpo/rollouts.jsonl #8",
      "rename killed/final",
    ];
    for (const [i, kill] of kills.entries()) {
      const killed = await runCli(i > 0 ? [...argv, "--resume"] : argv, {
        env: { TOUCHSTONE_TEST_KILL: kill },
      });
      expect(killed, kill).toMatchObject({
        signal: "SIGKILL",
        stderr: expect.not.stringContaining("touchstone: "),
      });
    }
    expect(await runCli([...argv, "--resume"])).toMatchObject({
      code: 0,
      stderr: expect.not.stringContaining("touchstone: "),
    });
    await expectSameBytes(dir, `${dir}-undisturbed`);
  }, 600_000);
});
