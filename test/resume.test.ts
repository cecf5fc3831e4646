// A run that is killed and resumed leaves the same bytes as one that was left alone, wherever the kill falls.

import { readFile, rename } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "./support/cli.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { smallRuns } from "./support/small-runs.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

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
  it.concurrent.each(["align", "sft", "reward"] as const)(
    "%s leaves the same metrics, rollouts, checkpoints and weights",
    async (verb) => {
      const dir = shop.path(`run-${verb}`);
      const undisturbed = `${dir}-undisturbed`;
      const recipe = await shop.recipe(`${verb}.yaml`, { output_dir: dir, ...smallRuns[verb](shop) });
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
