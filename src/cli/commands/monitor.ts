import { Command } from "commander";
import { brief } from "../../base/brief.js";
import { printResult } from "../context.js";
import { realNumber, wholeNumber } from "../values.js";

interface MonitorFlags {
  window?: string;
  threshold?: string;
  fail?: boolean;
  json?: boolean;
}

/** Exit code of --fail where there are alarms: a bound that was not met. */
const ALARMED = 3;

export const monitorCommand = () =>
  new Command("monitor")
    .summary("the alarms for reward hacking of a run, with the samples that show it")
    .description(
      "Reads the metrics of run directories, finished or on their way, and says what left its best while the reward went on " +
        "rising: held-out measures, the share of feasible samples, members that disagree, length, repetition, entropy. A run of " +
        "align does the same while it runs (monitor: in its recipe).",
    )
    .argument("<run...>", "run directories")
    .option("--window <steps>", "steps of memory (default: as the run's recipe says, 10)")
    .option(
      "--threshold <se>",
      "standard errors that a figure must move (default: as the run's recipe says, 4)",
    )
    .option("--fail", "exit with code 3 where there is an alarm")
    .option("--json", "every alarm with its samples as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone monitor runs/bot\n  $ touchstone monitor runs/* --threshold 5 --json",
    )
    .action(async (runs: string[], { window, threshold, fail, json }: MonitorFlags) => {
      const [{ alarmsOfRun }, { runDirectories }] = await Promise.all([
        import("../../monitor/run.js"),
        import("../../run/directory.js"),
      ]);
      const changes = {
        ...(window !== undefined && { window: wholeNumber(window, "--window", 2) }),
        ...(threshold !== undefined && { threshold: realNumber(threshold, "--threshold", { min: 0.1 }) }),
      };
      const found = [];
      for (const run of (await Promise.all(runs.map(runDirectories))).flat())
        found.push({ run, ...(await alarmsOfRun(run, changes)) });
      const lines = found.flatMap(({ run, steps, alarms }) => [
        `${run}: ${alarms.length === 0 ? "no alarm" : alarms.length === 1 ? "1 alarm" : `${alarms.length} alarms`} in ${steps} steps`,
        ...alarms.flatMap(({ step, sentence, samples }) => [
          `  step ${step}: ${sentence}`,
          ...samples.map(
            ({ prompt_id, reward, response }) =>
              `    ${prompt_id ?? "?"} (reward ${reward?.toPrecision(3) ?? "none"}): ${brief(response, 160)}`,
          ),
        ]),
      ]);
      printResult({ runs: found }, lines, { json });
      if (fail && found.some(({ alarms }) => alarms.length > 0)) process.exitCode = ALARMED;
    });
