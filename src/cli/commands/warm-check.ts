import { Command } from "commander";
import type { Interval } from "../../base/statistics.js";
import { formatPercent } from "../../dashboard/numbers.js";
import type { RewardBenchResult } from "../../reward/reward-bench.js";
import { printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { addEngineFlags, addOutputFlags, choiceOf, type EngineFlags } from "./warm-flags.js";

interface CheckFlags extends EngineFlags {
  data: string;
  plain?: boolean;
}

export const checkCommand = () => {
  const command = new Command("check")
    .summary("score a file in RewardBench's format, subset by subset")
    .description(
      "Reads pairs (prompt, chosen, rejected, subset; strings or messages) and tells how often the reward model prefers " +
        "the chosen response: by subset with Wilson's 95 % interval, and RewardBench's sections (Chat, Chat Hard, Safety, " +
        "Reasoning) weighted as on its leaderboard. Ties count one half.",
    )
    .argument("<model>", "the reward model")
    .requiredOption("--data <file or Hub name>", "the pairs")
    .option("--plain", "strings stand as they are, even where the model has a chat template");
  addOutputFlags(addEngineFlags(command));
  return command
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm check runs/rm/merged --data rewardbench.jsonl\n" +
        "  $ touchstone warm check runs/rm/merged --data allenai/reward-bench:filtered --json",
    )
    .action(async (model: string, flags: CheckFlags) => {
      const { checkRewardModel } = await import("../../eval/reward-models/check.js");
      const { data, plain } = flags;
      const request = { ...choiceOf(model, flags), data, plain, limit: limitOf(flags) };
      const result = await withContext(flags, (context) => checkRewardModel(request, context));
      printResult(result, describe(result), flags);
    });
};

const withInterval = ({ estimate, low, high }: Interval): string =>
  `${formatPercent(estimate)} (${formatPercent(low)} to ${formatPercent(high)})`;

function describe({ subsets, sections, score, overall }: RewardBenchResult): string[] {
  return [
    ...subsets.map((result) => `${result.subset}: ${withInterval(result)}, ${result.pairs} pairs`),
    `all pairs: ${withInterval(overall)}`,
    ...sections.map(
      ({ section, accuracy, missing }) =>
        `${section}: ${formatPercent(accuracy)}${missing.length > 0 ? ` (without ${missing.join(", ")})` : ""}`,
    ),
    ...(score === undefined ? [] : [`score, mean of the sections: ${formatPercent(score)}`]),
  ];
}
