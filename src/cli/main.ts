// The command line: parses, calls one function of a lower layer, and turns errors into sentences and exit codes.

import { CommanderError } from "commander";
import { diskProblem } from "../base/atomic.js";
import { isInterruption } from "../run/context.js";
import { explainError } from "./errors.js";
import { INTERRUPTED, interruption, listenForSignals } from "./interrupt.js";
import { checkTyped } from "./mistyped.js";
import { createProgram } from "./program.js";

/** A mistake in how the command was written, or in what it was given. */
const USAGE = 2;

/** A reader that has had enough (`| head`) or a terminal that was closed is no error; a full disk is one. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") process.exit(0);
  if (error.code === "EIO") return;
  const problem = diskProblem(error);
  if (problem === undefined) throw error;
  process.stderr.write(`touchstone: could not write to the standard output: ${problem}\n`);
  process.exit(USAGE);
}

/** Runs one command; returns 0 (done), 2 (a mistake of the user's), 3 (done, out of the bounds that a
 * flag sets), 130 (interrupted) or 1 (a bug of ours). */
export async function main(argv: readonly string[]): Promise<number> {
  // Node itself listens as well once a thread has its output here.
  if (!process.stdout.listeners("error").includes(onOutputError)) process.stdout.on("error", onOutputError);
  // Nobody is left to be told.
  if (process.stderr.listenerCount("error") === 0) process.stderr.on("error", () => {});
  const stopListening = listenForSignals();
  // What a verb sets is this command's, and the process may run others.
  const exitCodeBefore = process.exitCode;
  process.exitCode = undefined;
  try {
    const program = createProgram();
    checkTyped(program, argv);
    await program.parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has printed its own message by now.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    const { message, exitCode } = isInterruption(error, interruption())
      ? { message: "stopped", exitCode: INTERRUPTED }
      : explainError(error);
    process.stderr.write(`touchstone: ${message}\n`);
    return exitCode;
  } finally {
    process.exitCode = exitCodeBefore;
    stopListening();
  }
}

/** The process of a command: what an interrupted one has left running ends with it. */
export async function runProcess(argv: readonly string[]): Promise<void> {
  const code = await main(argv);
  if (code === INTERRUPTED) process.exit(code);
  process.exitCode = code;
}
