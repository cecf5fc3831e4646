// A run that is killed and resumed leaves the same bytes as one that was left alone, wherever the kill falls.

import { readFile, rename } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "./support/cli.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

const crpg = (batchPrompts: number) => ({
  name: "crpg",
  generations: 2,
  batch_prompts: batchPrompts,
  max_new_tokens: 8,
});

const recipes: Record<string, () => object> = {
  align: () => ({
    policy: shop.policy,
    steps: 6,
    save_steps: 2,
    save_total_limit: 1,
    learning_rate: 0.02,
    seed: 3,
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { warm: shop.reward },
        judges: [{ kind: "length", max_words: 4 }],
        optimizer: crpg(2),
      },
      {
        name: "sums",
        weight: 0.5,
        prompts: shop.data("prompts/arithmetic.jsonl"),
        reward: { models: [shop.reward, shop.reward], combine: "min" },
        judges: [{ kind: "length", min_words: 2 }],
        optimizer: crpg(3),
      },
    ],
  }),
  sft: () => ({
    model: shop.policy,
    data: shop.data("sft.jsonl"),
    eval_data: shop.data("sft.jsonl"),
    steps: 5,
    save_steps: 2,
    eval_steps: 2,
    batch_size: 3,
    learning_rate: 0.01,
    lora: { r: 2 },
  }),
  reward: () => ({
    model: shop.policy,
    data: shop.data("preferences.jsonl"),
    eval_data: shop.data("validation.jsonl"),
    runs: 2,
    steps: 4,
    save_steps: 2,
    batch_size: 4,
    learning_rate: [0.001, 0.01],
  }),
};

/** Where the process is killed, one process after the other, each resuming what the one before it left. */
const kills: Record<string, readonly string[]> = {
  align: [
    "rename recipe.yaml",
    // In step 1, between its two tasks; then in the middle of the first checkpoint's tensors.
    "append rollouts.jsonl #2",
    "write training_state.safetensors #9",
    // The checkpoint is whole, but not in its place; then in its place, but "latest" does not know.
    "rename checkpoints/step-2",
    "rename checkpoints/latest",
    "append metrics.jsonl #2",
    // Two checkpoints, of which the older one is about to go, by another name.
    "remove checkpoints/.step-2",
    // All steps are done; the last checkpoint, then the final model, is not written yet.
    "write model.safetensors #40",
    "rename run-align/final",
  ],
  sft: ["append metrics.jsonl #2", "write training_state.safetensors #5", "rename run-sft/final"],
  reward: [
    "append metrics.jsonl #3",
    "rename member-1/final",
    // Member 1 is finished, member 2 in its first steps.
    "append metrics.jsonl",
    "rename member-2/checkpoints/step-4",
  ],
};

/** Starts the command and kills it once its metrics have `lines` lines, whatever it is doing then. */
async function killFromOutside(argv: readonly string[], dir: string, lines: number): Promise<void> {
  const written = () => readFile(`${dir}/metrics.jsonl`, "utf8").then(countLines, () => 0);
  await runCli(argv, {
    onStart: async (child) => {
      while (child.exitCode === null && child.signalCode === null) {
        if ((await written()) >= lines) child.kill("SIGKILL");
        await delay(2);
      }
    },
  });
}

const countLines = (text: string): number => text.split("\n").length - 1;

describe("kill -9 and --resume", () => {
  it.concurrent.each(Object.keys(recipes))(
    "%s leaves the same metrics, rollouts, checkpoints and weights",
    async (verb) => {
      const dir = shop.path(`run-${verb}`);
      const undisturbed = `${dir}-undisturbed`;
      const recipe = await shop.recipe(`${verb}.yaml`, { output_dir: dir, ...recipes[verb]!() });
      const argv = [verb, recipe, "--quiet"];
      const resume = [...argv, "--resume"];
      expect(await runCli(argv)).toMatchObject({ code: 0, stderr: "" });
      await rename(dir, undisturbed);

      for (const [i, kill] of kills[verb]!.entries()) {
        const killed = await runCli(i > 0 ? resume : argv, { env: { TOUCHSTONE_TEST_KILL: kill } });
        expect(killed, kill).toMatchObject({ signal: "SIGKILL", stderr: "" });
      }
      expect(await runCli(resume)).toMatchObject({ code: 0, stderr: "" });
      await expectSameBytes(dir, undisturbed);

      if (verb !== "align") return;
      await rename(dir, `${dir}-resumed`);
      await killFromOutside(argv, dir, 1);
      await killFromOutside(resume, dir, 3);
      expect(await runCli(resume)).toMatchObject({ code: 0, stderr: "" });
      await expectSameBytes(dir, undisturbed);
    },
    300_000,
  );
});
