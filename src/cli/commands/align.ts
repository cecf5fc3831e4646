import { dirname, resolve } from "node:path";
import type { RunContext } from "../../run/context.js";
import { trainingCommand } from "../training.js";

/** Runs `work` with the live page of the runs beside this one. */
async function withPage<T>(outputDir: string, { reporter }: RunContext, work: () => Promise<T>): Promise<T> {
  const [{ startUi }, { makeDirectory }] = await Promise.all([
    import("../../ui/server.js"),
    import("../../base/files.js"),
  ]);
  const root = dirname(resolve(outputDir));
  await makeDirectory(root);
  const page = await startUi({ root });
  reporter.note(`live page: ${page.url}`);
  try {
    return await work();
  } finally {
    await page.close();
  }
}

export const alignCommand = () =>
  trainingCommand("align", {
    summary: "align a policy with reward models, judges and constrained optimizers (CGPO)",
    description:
      "Trains a policy on one or several tasks at once. Each task has its own prompts, reward model, judges, optimizer, " +
      "KL bound and number of generations; the tasks' gradients are summed with their weights into one step. A recipe with stages runs them one after the " +
      "other (a DPO warm-up, then CGPO), each from the model before it and in a directory of its own.",
    examples: [
      "touchstone align recipe.yaml",
      "touchstone align recipe.yaml --steps 20 --set tasks.chat.optimizer.kl_max=10",
      "touchstone align recipe.yaml --resume",
      "touchstone align staged.yaml --set stages.warmup.steps=100",
    ],
    ownFlags: [
      [
        "--replay <run>",
        "take the replies of language models from this earlier run of the recipe; no server is asked",
      ],
      ["--ui", "serve the live page of touchstone ui while the run lasts"],
    ],
    run: async (recipe, context, { replay, ui }) => {
      const { runAlignRecipe } = await import("../../train/align/stages.js");
      const work = () =>
        runAlignRecipe(recipe, {
          ...context,
          preflight: true,
          ...(typeof replay === "string" && { replay }),
        });
      return ui === true ? await withPage(recipe.outputDir, context, work) : await work();
    },
    report: ({ model, remarks }, { outputDir }) => [
      ...remarks,
      `model: ${model}`,
      `see the curves: touchstone report ${outputDir}`,
    ],
  });
