import type { Command } from "commander";
import { percent } from "../../base/percent.js";
import { trainingCommand } from "../training.js";
import { wholeNumber } from "../values.js";

export function rewardCommand() {
  const command: Command = trainingCommand("reward", {
    summary: "train Bradley-Terry reward models on preferences",
    description:
      "Trains one reward model, or M of them from one initialisation (--runs M) for `touchstone warm` to average, " +
      "on rows with prompt, chosen and rejected. Each is saved as a sequence classifier with one label, which " +
      "transformers loads too.",
    examples: [
      "touchstone reward --model ./sft --data preferences.jsonl --runs 4 -o runs/rm",
      "touchstone reward recipe.yaml --set learning_rate=[1e-5,4e-5] --set dropout=[0.05,0.1] --jobs 2",
      "touchstone warm runs/rm/member-*/final -o runs/rm/merged",
    ],
    run: async (recipe, context) => {
      const { runReward } = await import("../../train/reward-model/runs.js");
      return runReward(recipe, context, command.opts<{ jobs?: number }>());
    },
    report: ({ members, remarks }, { outputDir }) => [
      ...remarks,
      ...members.map(({ model, accuracy }) =>
        accuracy === undefined ? model : `${model}: accuracy ${percent(accuracy)}`,
      ),
      ...(members.length > 1
        ? [
            `average them: touchstone warm ${members.map(({ model }) => model).join(" ")} -o ${outputDir}/merged`,
          ]
        : []),
    ],
  });
  return command
    .option(
      "--jobs <n>",
      "train so many of the runs at a time, each in a process of its own on its share of the cores",
      (text) => wholeNumber(text, "--jobs", 1),
    )
    .alias("rm");
}
