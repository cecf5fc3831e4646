// Findings as they come: one check after the other, none of which ends the rest.

import { explainDiskError } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import type { Finding } from "../../run/finding.js";

/** What is no mistake of the user's, whatever it is about. */
const BUGS = [TypeError, ReferenceError, RangeError, SyntaxError];

export class Findings {
  readonly all: Finding[] = [];

  constructor(
    /** Told of every finding at once. */
    private readonly tell: (finding: Finding) => void,
    readonly signal?: AbortSignal,
  ) {}

  add(name: string, status: Finding["status"], detail: string): void {
    const finding = { name, status, detail };
    this.all.push(finding);
    this.tell(finding);
  }

  ok(name: string, detail: string): void {
    this.add(name, "ok", detail);
  }

  warn(name: string, detail: string): void {
    this.add(name, "warning", detail);
  }

  fail(name: string, detail: string): void {
    this.add(name, "problem", detail);
  }

  /** What `work` gives; what it throws is a problem, and nothing is given. */
  async attempt<T>(name: string, work: () => Promise<T> | T): Promise<T | undefined> {
    this.signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      this.signal?.throwIfAborted();
      const told = explainDiskError(error, (error as NodeJS.ErrnoException).path ?? name);
      if (!(told instanceof UserError) && BUGS.some((bug) => told instanceof bug)) throw told;
      this.fail(name, told instanceof Error ? told.message : String(told));
      return undefined;
    }
  }

  /** Whether a run would start. */
  get areFine(): boolean {
    return this.all.every(({ status }) => status !== "problem");
  }
}
