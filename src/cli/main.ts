// The command line: parses, calls one function of a lower layer, and turns errors into sentences and exit codes.

import { CommanderError } from "commander";
import { explainError } from "./errors.js";
import { createProgram } from "./program.js";

/** A mistake in how the command was written, or in what it was given. */
const USAGE = 2;

/** A reader that has had enough (`| head`) is no error. */
function exitQuietlyOnClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
}

/** Runs one command; returns 0 (done), 2 (a mistake of the user's), 130 (interrupted) or 1 (a bug of ours). */
export async function main(argv: readonly string[]): Promise<number> {
  if (process.stdout.listenerCount("error") === 0) process.stdout.on("error", exitQuietlyOnClosedPipe);
  try {
    await createProgram().parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has printed its own message by now.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    const { message, exitCode } = explainError(error);
    process.stderr.write(`touchstone: ${message}\n`);
    return exitCode;
  }
}
