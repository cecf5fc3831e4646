import { Command } from "commander";
import { printResult } from "../context.js";

const MARKS = { ok: "✓", warning: "!", problem: "✗" } as const;

export const doctorCommand = () =>
  new Command("doctor")
    .summary("check this machine: Node, ONNX Runtime, memory, disk, sandbox")
    .description(
      "Checks what Touchstone needs on this machine. Exit code 1 when something that it needs is missing.",
    )
    .option("--json", "the findings as one JSON object on stdout")
    .addHelpText("after", "\nExamples:\n  $ touchstone doctor\n  $ touchstone doctor --json")
    .action(async (flags: { json?: boolean }) => {
      const { examine } = await import("../doctor.js");
      const findings = await examine();
      const isHealthy = findings.every(({ status }) => status !== "problem");
      const width = Math.max(...findings.map(({ name }) => name.length));
      const lines = findings.map(
        ({ name, status, detail }) => `${MARKS[status]} ${name.padEnd(width)}  ${detail}`,
      );
      printResult({ healthy: isHealthy, findings }, lines, flags);
      if (!isHealthy) process.exitCode = 1;
    });
