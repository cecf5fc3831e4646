// One verb within the test's own process, whether the program lists it or not.

import { Command } from "commander";
import { vi } from "vitest";
import { explainError } from "../../src/cli/errors.js";
import type { Printed } from "./in-process.js";

/** Runs a verb; its exit code and what it printed. */
export async function runVerb(verb: () => Command, ...argv: string[]): Promise<Printed> {
  const printed = { out: "", err: "" };
  const keep = (name: keyof typeof printed) => (text: unknown) => {
    printed[name] += String(text);
    return true;
  };
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation(keep("out"));
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation(keep("err"));
  try {
    const program = new Command("touchstone").exitOverride();
    const command = verb();
    program.addCommand(command.copyInheritedSettings(program));
    await program.parseAsync(["node", "touchstone", command.name(), ...argv]);
    return { code: 0, ...printed };
  } catch (error) {
    const { message, exitCode } = explainError(error, false);
    return { code: exitCode, out: printed.out, err: `${printed.err}${message}\n` };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}
