import { trainingCommand } from "../training.js";

export const alignCommand = () =>
  trainingCommand("align", {
    summary: "align a policy with reward models, judges and constrained optimizers (CGPO)",
    description:
      "Trains a policy on one or several tasks at once. Each task has its own prompts, reward model, judges, optimizer, " +
      "KL bound and number of generations; the tasks' gradients are summed with their weights into one step.",
    examples: [
      "touchstone align recipe.yaml",
      "touchstone align recipe.yaml --steps 20 --set tasks.chat.optimizer.kl_max=10",
      "touchstone align recipe.yaml --resume",
    ],
    run: async (recipe, context) => (await import("../../train/align.js")).runAlign(recipe, context),
    report: ({ model }, { outputDir }) => [
      `model: ${model}`,
      `see the curves: touchstone report ${outputDir}`,
    ],
  });
