// Where the fuzzer writes its inputs, and what a target is.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Target {
  seeds(): Buffer[];
  /** Inputs that may be under way at the same time. */
  slots?: number;
  /** `slot` tells inputs apart that are under way at the same time. */
  run(input: Buffer, slot: number): unknown;
}

export const dir = mkdtempSync(join(tmpdir(), "touchstone-fuzz-"));
