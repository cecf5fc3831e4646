// The command within the test's own process: faster than a process of its own.

import { vi } from "vitest";
import { main } from "../../src/cli/main.js";

export interface Printed {
  code: number;
  out: string;
  err: string;
}

/** Runs a command; its exit code and what it printed. */
export async function run(...argv: string[]): Promise<Printed> {
  const printed = { out: "", err: "" };
  const keep = (name: keyof typeof printed) => (text: unknown) => {
    printed[name] += String(text);
    return true;
  };
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation(keep("out"));
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation(keep("err"));
  try {
    return { code: await main(argv), ...printed };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}
