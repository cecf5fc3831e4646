import { Command } from "commander";
import { portNumber } from "../values.js";

interface UiFlags {
  host: string;
  port?: string;
  json?: boolean;
}

export const uiCommand = () =>
  new Command("ui")
    .summary("a live page of runs: curves, samples, verdicts and rubrics while they train")
    .description(
      "Serves a page of the runs below a directory, on this machine only. It reads their files and asks nothing of the " +
        "training processes, so runs may be finished, running, or on another machine's mounted disk.",
    )
    .argument("[runs-dir]", "the directory that holds run directories", "runs")
    .option("--host <address>", "the address to listen at", "127.0.0.1")
    .option("--port <n>", "the port to listen at (default: any that is free)")
    .option("--json", "the address as one JSON object on stdout")
    .addHelpText("after", "\nExamples:\n  $ touchstone ui\n  $ touchstone ui runs/cgpo --port 8123")
    .action(async (root: string, { host, port, json }: UiFlags) => {
      const { startUi } = await import("../../ui/server.js");
      const { interruption } = await import("../interrupt.js");
      const server = await startUi({
        root,
        host,
        port: port === undefined ? undefined : portNumber(port),
      });
      process.stdout.write(
        json ? `${JSON.stringify({ url: server.url })}\n` : `${server.url}\nCtrl-C ends it\n`,
      );
      const signal = interruption();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await server.close();
    });
