import { Command } from "commander";
import { type ContextFlags, printResult, withContext } from "../context.js";
import { wholeNumber } from "../values.js";

interface QuickstartFlags extends ContextFlags {
  out: string;
  seed: number;
}

export const quickstartCommand = () =>
  new Command("quickstart")
    .summary("see reward hacking, and what helps against it, on a miniature world in minutes")
    .description(
      "Trains reward models on noisy preferences and averages them (WARM), then optimises one policy with CRPG under " +
        "judges (CGPO) and another by plain policy gradient against a single reward model, and measures both by the true " +
        "reward, which neither could see. Ends with report.html.",
    )
    .option("-o, --out <dir>", "where everything goes", "runs/quickstart")
    .option("--seed <n>", "seed of the data and of the training", (text) => wholeNumber(text, "--seed"), 1)
    .option("--resume", "continue what the directory holds")
    .option("--quiet", "no progress")
    .option("--json", "the result as one JSON object on stdout; no progress")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone quickstart\n  $ touchstone quickstart --seed 2 --out runs/quickstart-2 --json\n" +
        "\nThe recipes it ran are in <out>/recipes; run any of them again with touchstone reward or touchstone align.",
    )
    .action(async (flags: QuickstartFlags) => {
      const { runQuickstart } = await import("../../lab/quickstart.js");
      const { summarise } = await import("../../lab/quickstart-summary.js");
      const result = await withContext(flags, (context) => runQuickstart({ ...context, ...flags }));
      const { json, lines } = summarise(result);
      printResult(json, lines, flags);
    });
