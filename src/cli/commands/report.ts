import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { writeFileAtomic } from "../../base/atomic.js";
import { printResult } from "../context.js";
import { needs, wholeNumber } from "../values.js";

interface ReportFlags {
  out?: string;
  title?: string;
  evaluation?: string[];
  samples: string;
  json?: boolean;
  to: "html" | "tensorboard";
}

/** Each run's figures and samples as an event file in `tensorboard/` of its directory, or in a directory of `out`. */
async function writeEvents(runs: readonly string[], out: string | undefined): Promise<string[]> {
  const { eventsFromRuns } = await import("../../trackers/from-runs.js");
  return await eventsFromRuns(runs, out);
}

export const reportCommand = () =>
  new Command("report")
    .summary("make a self-contained report.html of one run, or comparing several")
    .description(
      "Writes one HTML file with the curves, win rates, samples and recipes of run directories. It needs no network " +
        "and runs no script, so it can be mailed and archived.",
    )
    .argument("<run...>", "run directories")
    .option(
      "-o, --out <file>",
      "where to write (default: report.html in the run, or here when there are several)",
    )
    .addOption(
      new Option("--to <form>", "a page, or event files for TensorBoard (-o: their directory)")
        .choices(["html", "tensorboard"])
        .default("html"),
    )
    .option("--title <text>", "the title of the page")
    .option("--evaluation <file...>", "further evaluation.json files with win rates")
    .option("--samples <n>", "prompts shown with their answers", "8")
    .option("--json", "the path as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone report runs/bot\n  $ touchstone report runs/cgpo runs/ppo -o compare.html" +
        "\n  $ touchstone report runs/cgpo runs/ppo --to tensorboard && tensorboard --logdir runs",
    )
    .action(async (runs: string[], { out, title, evaluation, samples, json, to }: ReportFlags) => {
      if (to === "tensorboard") {
        needs({ title, evaluation }, ["title", "evaluation"], "goes with a page (--to html)");
        const files = await writeEvents(runs, out);
        printResult({ events: files }, files, { json });
        return;
      }
      const { reportFromRuns } = await import("../../dashboard/run-report.js");
      const page = await reportFromRuns(runs, {
        title,
        evaluations: evaluation,
        samples: wholeNumber(samples, "--samples"),
      });
      const path = resolve(out ?? join(runs.length === 1 ? runs[0]! : ".", "report.html"));
      await writeFileAtomic(path, page);
      printResult({ report: path }, [path], { json });
    });
