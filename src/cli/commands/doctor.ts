import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import { printResult } from "../context.js";
import { MARKS } from "../findings.js";

export const doctorCommand = () =>
  new Command("doctor")
    .summary("check this machine, or every byte of a run's checkpoints")
    .description(
      "Checks what Touchstone needs on this machine: Node, ONNX Runtime, memory, disk, sandbox. With the directory of a run " +
        "it checks that instead: recipe, logs, and that every file of every checkpoint holds what it held when it was saved. " +
        "With --model it prints what runs of that model need of memory. Exit code 1 when something is missing or damaged.",
    )
    .argument("[run]", "the directory of a run")
    .option("--model <dir or Hub name>", "what typical runs of this model need of memory")
    .option("--json", "the findings as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone doctor\n  $ touchstone doctor --json\n  $ touchstone doctor runs/bot\n  $ touchstone doctor --model ./SmolLM2-135M-Instruct",
    )
    .action(async (run: string | undefined, flags: { json?: boolean; model?: string }) => {
      if (run !== undefined && flags.model !== undefined)
        throw new UserError("give the directory of a run or --model, not both");
      const { examine, examineRun } = await import("../../run/doctor.js");
      const examineModel = async (model: string) =>
        (await import("../../train/memory.js")).typicalMemory(model);
      const findings =
        flags.model !== undefined
          ? await examineModel(flags.model)
          : run === undefined
            ? await examine()
            : await examineRun(run);
      const isHealthy = findings.every(({ status }) => status !== "problem");
      const width = Math.max(...findings.map(({ name }) => name.length));
      const lines = findings.map(
        ({ name, status, detail }) => `${MARKS[status]} ${name.padEnd(width)}  ${detail}`,
      );
      printResult({ healthy: isHealthy, findings }, lines, flags);
      if (!isHealthy) process.exitCode = 1;
    });
