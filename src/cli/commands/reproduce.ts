import { Argument, Command, Option } from "commander";
import type { ExperimentName } from "../../lab/reproduce/experiments.js";
import { type ContextFlags, printResult, withContext } from "../context.js";
import { wholeNumber } from "../values.js";

interface ReproduceFlags extends ContextFlags {
  seeds: number;
  firstSeed: number;
  jobs?: number;
  out?: string;
  quick?: boolean;
  baseUrl?: string;
  model?: string;
  apiKeyEnv?: string;
  world?: string;
}

const number = (flag: string) => (text: string) => wholeNumber(text, flag);

export const reproduceCommand = () =>
  new Command("reproduce")
    .summary("repeat a paper's experiments on the miniature world")
    .description(
      "Runs the experiments of a paper in miniature, over several seeds, and says of every claim whether it was " +
        "reproduced, with intervals. The true reward of the miniature world is programmed, and no training sees it.\n\n" +
        "  warm  weight-averaged reward models: noise, shift, best-of-N, reinforcement learning (15 minutes a seed and core)\n" +
        "  cgpo  five tasks, with and without judges, against DPO and PPO (20 minutes a seed and core)\n" +
        "  mpo   a flawed rubric that is hacked, and one that is rewritten as it is hacked (8 minutes a seed and core)",
    )
    .addArgument(new Argument("<experiment>", "what to repeat").choices(["warm", "cgpo", "mpo"]))
    .option("--seeds <S>", "how many seeds", number("--seeds"), 5)
    .option("--first-seed <n>", "the first of them", number("--first-seed"), 1)
    .option("--jobs <n>", "processes at a time (default: one for each core)", number("--jobs"))
    .option("-o, --out <dir>", "where everything goes (default: runs/reproduce-<experiment>)")
    .option("--quick", "a miniature of the experiment, to see that it runs; its figures mean nothing")
    .addOption(
      new Option("--world <size>", "warm: how large a world (default: small)").choices(["small", "large"]),
    )
    .option("--base-url <url>", "mpo: a real model instead of the scripted one (OpenAI-compatible endpoint)")
    .option("--model <name>", "mpo: the model at --base-url")
    .option("--api-key-env <name>", "mpo: the environment variable that holds its key")
    .option("--resume", "go on with what the directory holds")
    .option("--quiet", "no progress")
    .option("--json", "the figures as one JSON object on stdout; no progress")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone reproduce warm --seeds 5\n" +
        "  $ touchstone reproduce mpo --base-url http://127.0.0.1:8000/v1 --model qwen3\n" +
        "\nA run that was stopped goes on with --resume: finished seeds, and finished parts of the others, are kept.",
    )
    .action(async (experiment: ExperimentName, flags: ReproduceFlags) => {
      const { reproduce } = await import("../../lab/reproduce/harness.js");
      const {
        out = `runs/reproduce-${experiment}`,
        seeds,
        firstSeed,
        jobs,
        baseUrl,
        model,
        apiKeyEnv,
        world,
      } = flags;
      const options = Object.fromEntries(
        Object.entries({ baseUrl, model, apiKeyEnv, world: world === "small" ? undefined : world }).filter(
          (entry) => entry[1] !== undefined,
        ),
      ) as Record<string, string>;
      const result = await withContext(flags, (context) =>
        reproduce({
          ...context,
          experiment,
          out,
          seeds: Array.from({ length: seeds }, (_, i) => firstSeed + i),
          ...(jobs === undefined ? {} : { jobs }),
          quick: flags.quick ?? false,
          options,
        }),
      );
      const lines = [result.summary, "", `report: ${result.report}`, `figures: ${result.json}`];
      if (result.warning !== undefined) lines.push(result.warning);
      printResult(result.document as object, lines, flags);
    });
