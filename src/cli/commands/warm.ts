import { Command } from "commander";
import { averageCommand } from "./warm-average.js";
import { checkCommand } from "./warm-check.js";
import { inspectCommand } from "./warm-inspect.js";

export const warmCommand = () =>
  new Command("warm")
    .alias("merge")
    .summary("average reward models into one (WARM), and see whether it helps")
    .argument("[members...]", "reward model directories, for `warm average`")
    .description(
      "Averages the weights of reward models, shows whether that helps, and scores public benchmarks. `warm` with members " +
        "means `warm average`, whose flags `touchstone warm average --help` lists.",
    )
    // Their mistakes come back to the caller, as those of every verb do.
    .addCommand(averageCommand().exitOverride(), { isDefault: true })
    .addCommand(inspectCommand().exitOverride())
    .addCommand(checkCommand().exitOverride())
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm runs/rm/member-*/final -o runs/rm/merged\n" +
        "  $ touchstone warm inspect runs/rm/member-*/final --data heldout.jsonl -o runs/rm/inspect\n" +
        "  $ touchstone warm check runs/rm/merged --data rewardbench.jsonl",
    );
