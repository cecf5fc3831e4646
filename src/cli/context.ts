// What the terminal brings to a loop: progress, and Ctrl-C.

import type { RunContext } from "../run/context.js";
import { createReporter } from "./progress.js";

export interface ContextFlags {
  resume?: boolean;
  quiet?: boolean;
  json?: boolean;
}

/**
 * Runs `work` so that the first Ctrl-C lets it finish its step and save, and the second ends the process. With
 * --quiet or --json there is no progress.
 */
export async function withContext<T>(
  { resume = false, quiet = false, json = false }: ContextFlags,
  work: (context: RunContext) => Promise<T>,
): Promise<T> {
  const reporter = createReporter({ quiet: quiet || json });
  const controller = new AbortController();
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    reporter.note("finishing the step, then saving; press Ctrl-C again to stop at once");
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  try {
    return await work({ reporter, resume, signal: controller.signal });
  } finally {
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

/** The result: one JSON object for scripts, or sentences for people. */
export function printResult(result: object, lines: readonly string[], { json = false }: ContextFlags): void {
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : lines.map((line) => `${line}\n`).join(""));
}
