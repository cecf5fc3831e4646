import { dirname, join, resolve } from "node:path";
import { Command, Option } from "commander";
import { writeFileAtomic } from "../../base/atomic.js";
import { printResult } from "../context.js";
import { needs, wholeNumber } from "../values.js";

interface ReportFlags {
  out?: string;
  title?: string;
  evaluation?: string[];
  samples?: string;
  trackingUri?: string;
  experiment?: string;
  json?: boolean;
  to: "html" | "tensorboard" | "mlflow" | "wandb";
}

const HTML_ONLY = ["title", "evaluation", "samples"] as const;

/** Flags of other forms than the chosen one are refused. */
function checkFlags(flags: ReportFlags): void {
  if (flags.to !== "html") needs({ ...flags }, HTML_ONLY, "goes with a page (--to html)");
  if (flags.to !== "mlflow") needs({ ...flags }, ["tracking-uri", "experiment"], "goes with --to mlflow");
  if (flags.to === "mlflow") needs({ ...flags }, ["out"], "goes with files, and --to mlflow writes none");
}

/** What `--to` names writes or sends, and what is said of it. */
const FORMS: Record<ReportFlags["to"], (runs: string[], flags: ReportFlags) => Promise<[object, string[]]>> =
  {
    html: async (runs, { out, title, evaluation, samples = "8" }) => {
      const { reportFromRuns } = await import("../../dashboard/run-report.js");
      const page = await reportFromRuns(runs, {
        title,
        evaluations: evaluation,
        samples: wholeNumber(samples, "--samples"),
      });
      const path = resolve(out ?? join(runs.length === 1 ? runs[0]! : ".", "report.html"));
      await writeFileAtomic(path, page);
      return [{ report: path }, [path]];
    },
    tensorboard: async (runs, { out }) => {
      const { eventsFromRuns } = await import("../../trackers/from-runs.js");
      const files = await eventsFromRuns(runs, out);
      return [{ events: files }, files];
    },
    wandb: async (runs, { out }) => {
      const { runsToWandb } = await import("../../trackers/from-runs.js");
      const files = await runsToWandb(runs, out);
      return [{ wandb: files }, files.map((file) => `upload it: wandb sync ${dirname(file)}`)];
    },
    mlflow: async (runs, { trackingUri, experiment }) => {
      const { runsToMlflow } = await import("../../trackers/from-runs.js");
      const changes = { ...(trackingUri && { trackingUri }), ...(experiment && { experiment }) };
      const sent = await runsToMlflow(runs, changes, (line) => process.stderr.write(`${line}\n`));
      return [{ mlflow: sent }, sent.map(({ run, id }) => `${run}: MLflow run ${id}`)];
    },
  };

export const reportCommand = () =>
  new Command("report")
    .summary(
      "make a self-contained report.html of one run, or comparing several; or show runs in other tools",
    )
    .description(
      "Writes one HTML file with the curves, win rates, samples and recipes of run directories. It needs no network " +
        "and runs no script, so it can be mailed and archived. Or, with --to, shows the runs in TensorBoard, MLflow or Weights & Biases.",
    )
    .argument("<run...>", "run directories")
    .option(
      "-o, --out <file>",
      "where to write (default: report.html in the run, or here when there are several)",
    )
    .addOption(
      new Option(
        "--to <form>",
        "a page, event files for TensorBoard or offline runs for wandb (-o: their directory), or an MLflow server",
      )
        .choices(["html", "tensorboard", "mlflow", "wandb"])
        .default("html"),
    )
    .option("--title <text>", "the title of the page")
    .option("--evaluation <file...>", "further evaluation.json files with win rates")
    .option("--samples <n>", "prompts shown with their answers (default: 8)")
    .option("--tracking-uri <url>", "the MLflow server (default: the recipe's, else MLFLOW_TRACKING_URI)")
    .option("--experiment <name>", "the MLflow experiment (default: the recipe's, else touchstone)")
    .option("--json", "the path as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone report runs/bot\n  $ touchstone report runs/cgpo runs/ppo -o compare.html" +
        "\n  $ touchstone report runs/cgpo runs/ppo --to tensorboard && tensorboard --logdir runs" +
        "\n  $ touchstone report runs/cgpo --to mlflow --tracking-uri http://127.0.0.1:5000",
    )
    .action(async (runs: string[], flags: ReportFlags) => {
      checkFlags(flags);
      const [result, lines] = await FORMS[flags.to](runs, flags);
      printResult(result, lines, { json: flags.json });
    });
