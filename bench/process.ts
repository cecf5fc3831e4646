// A process that answers JSON lines: one request a line on its stdin, one answer a line on its stdout. Both sides of the
// engine benchmark are such processes (ours.ts, peer.py), so that they are measured in the same way.

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface Answer {
  /** Wall time of the work alone. */
  seconds: number;
  tokens: number;
  /** Peak resident memory since the last reset, MiB; null where the system does not tell. */
  peakMb: number | null;
  losses?: number[];
  logprobs?: number[][];
  scores?: number[];
  completions?: number[][];
  versions?: Record<string, string>;
  /** Of `bench -- step`: processor time, and seconds by phase. */
  cpuSeconds?: number;
  phases?: Record<string, number>;
}

const stderrKept = 2000;
/** Kernel clock ticks a second, as /proc reports them. */
const ticks = 100;

export class BenchProcess {
  private readonly lines: AsyncIterator<string>;
  private stderr = "";

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
  ) {
    this.lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    child.stderr!.on("data", (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString()).slice(-stderrKept);
    });
    // A process that ended is reported by the answer that does not come.
    child.stdin!.on("error", () => {});
    child.on("error", (error) => {
      this.stderr += error.message;
    });
  }

  /** The local engine of this repository. */
  static ours(): BenchProcess {
    return BenchProcess.script("touchstone", "./ours.ts");
  }

  /** PyTorch and transformers. */
  static peer(python: string): BenchProcess {
    return BenchProcess.start("peer", python, [fileURLToPath(new URL("./peer.py", import.meta.url))]);
  }

  /** Our side, or TRL's, of `bench -- step`. */
  static oursStep(): BenchProcess {
    return BenchProcess.script("touchstone", "./step-ours.ts");
  }

  static trl(python: string): BenchProcess {
    return BenchProcess.start("trl", python, [fileURLToPath(new URL("./trl_step.py", import.meta.url))]);
  }

  private static script(name: string, file: string): BenchProcess {
    const path = fileURLToPath(new URL(file, import.meta.url));
    return BenchProcess.start(name, process.execPath, ["--import", import.meta.resolve("tsx"), path]);
  }

  private static start(name: string, command: string, args: readonly string[]): BenchProcess {
    return new BenchProcess(name, spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] }));
  }

  async request(fields: object): Promise<Answer> {
    this.child.stdin!.write(`${JSON.stringify(fields)}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`the benchmark's ${this.name} process ended: ${this.stderr.trim()}`);
    const answer = JSON.parse(value) as Answer & { error?: string };
    if (answer.error !== undefined) throw new Error(`${this.name}: ${answer.error}`);
    return answer;
  }

  /** Processor time that the process has used; undefined where the system does not tell. */
  cpuSeconds(): number | undefined {
    try {
      const stat = readFileSync(`/proc/${this.child.pid}/stat`, "utf8");
      // The name in parentheses may hold spaces; user and system time are the 14th and 15th fields.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / ticks;
    } catch {
      return undefined;
    }
  }

  /** Ends the process and waits until its memory is free. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null || this.child.pid === undefined)
      return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }
}
