// The command as a process of its own: the build, as users have it, which starts in half of the time; the source where the
// build is older.

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { isBuilt } from "./built.js";

const here = import.meta.dirname;
const root = join(here, "../..");

export interface CliResult {
  /** null when a signal ended the process. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Largest file that the process may write, bytes (a multiple of 512): what lies beyond does not fit on the disk. */
  fileLimit?: number;
  /** Sees the process as soon as it runs. */
  onStart?: (child: ChildProcess) => void;
}

/** `touchstone ...argv` on one thread. */
export function runCli(
  argv: readonly string[],
  { env = {}, cwd, fileLimit, onStart }: CliOptions = {},
): Promise<CliResult> {
  const hooks = { TOUCHSTONE_TEST_KILL: "kill-at.js", TOUCHSTONE_TEST_SIGNAL: "signal-at.js" };
  const preload = Object.entries(hooks).flatMap(([name, file]) =>
    env[name] ? ["--import", join(here, file)] : [],
  );
  const program = isBuilt()
    ? [...preload, join(root, "bin/touchstone.js")]
    : ["--import", import.meta.resolve("tsx"), ...preload, join(here, "main.ts")];
  const command = [process.execPath, ...program, ...argv];
  const limited =
    fileLimit === undefined
      ? command
      : ["sh", "-c", `ulimit -f ${fileLimit / 512}; exec "$@"`, "sh", ...command];
  const child = spawn(limited[0]!, limited.slice(1), {
    cwd,
    env: {
      ...process.env,
      TOUCHSTONE_THREADS: "1",
      TOUCHSTONE_TEST_CODE: join(root, isBuilt() ? "dist" : "src"),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onStart?.(child);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name]!.on("data", (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...output }));
  });
}
