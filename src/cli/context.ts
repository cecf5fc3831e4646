// What the terminal brings to a loop: progress, and Ctrl-C.

import { redact } from "../base/secrets.js";
import { isSaving, type RunContext } from "../run/context.js";
import { interruption } from "./interrupt.js";
import { createReporter } from "./progress.js";

export interface ContextFlags {
  resume?: boolean;
  quiet?: boolean;
  /** A panel instead of a line. */
  watch?: boolean;
  json?: boolean;
}

/** Runs `work` with progress, unless --quiet or --json is there, and with the signal that Ctrl-C aborts. */
export async function withContext<T>(
  { resume = false, quiet = false, watch = false, json = false }: ContextFlags,
  work: (context: RunContext) => Promise<T>,
): Promise<T> {
  const reporter = createReporter({ quiet: quiet || json, watch });
  const signal = interruption();
  const onAbort = () => {
    if (isSaving()) reporter.note("ending the step, then saving; press Ctrl-C again to stop at once");
  };
  signal.addEventListener("abort", onAbort);
  try {
    return await work({ reporter, resume, signal });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What came of the work is there, and it is nothing: said behind it, with exit code 2. */
export function cameToNothing(sentences: readonly string[]): void {
  for (const sentence of sentences) process.stderr.write(`touchstone: ${redact(sentence)}\n`);
  if (sentences.length > 0) process.exitCode = 2;
}

/** The result: one JSON object for scripts, or sentences for people. */
export function printResult(result: object, lines: readonly string[], { json = false }: ContextFlags): void {
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : lines.map((line) => `${line}\n`).join(""));
}
