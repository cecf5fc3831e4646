import { trainingCommand } from "../training.js";

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
    ],
    run: async (recipe, context, { replay }) =>
      (await import("../../train/align/stages.js")).runAlignRecipe(recipe, {
        ...context,
        ...(typeof replay === "string" && { replay }),
      }),
    report: ({ model }, { outputDir }) => [
      `model: ${model}`,
      `see the curves: touchstone report ${outputDir}`,
    ],
  });
