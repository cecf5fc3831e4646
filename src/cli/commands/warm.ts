import { Command } from "commander";
import { averageCommand } from "./warm-average.js";
import { checkCommand } from "./warm-check.js";
import { inspectCommand } from "./warm-inspect.js";

export const warmCommand = () =>
  new Command("warm")
    .alias("merge")
    .summary("average reward models into one (WARM), and see whether it helps")
    .usage("<members...> -o <dir> | average|inspect|check ...")
    .description(
      "Averages the weights of reward models, shows whether that helps, and scores public benchmarks. `warm` with members " +
        "means `warm average`, whose flags `touchstone warm average --help` lists.",
    )
    .addCommand(averageCommand(), { isDefault: true })
    .addCommand(inspectCommand())
    .addCommand(checkCommand())
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm runs/rm/member-*/final -o runs/rm/merged\n" +
        "  $ touchstone warm inspect runs/rm/member-*/final --data heldout.jsonl -o runs/rm/inspect\n" +
        "  $ touchstone warm check runs/rm/merged --data rewardbench.jsonl",
    );
