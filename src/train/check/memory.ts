// Whether this machine has the memory that a run will need (../memory.ts).

import { UserError } from "../../base/errors.js";
import type { MemoryEstimate } from "../../engine/memory-estimate.js";
import { describeMemory, judgeMemory, type Memory, memoryHere } from "../memory.js";
import type { Findings } from "./findings.js";

/** `change` completes "to need less, ...". */
export async function checkMemory(
  findings: Findings,
  name: string,
  { estimate, change }: { estimate: () => Promise<MemoryEstimate>; change: string },
  memory: Memory = memoryHere(),
): Promise<boolean> {
  // A model that cannot be read is said where it is opened.
  const needed = await estimate().catch((error: unknown) => {
    if (error instanceof UserError) return undefined;
    throw error;
  });
  if (!needed) return true;
  const verdict = judgeMemory(needed, memory);
  const [free, total] = [memory.free, memory.total].map((bytes) => `${(bytes / 1e9).toFixed(1)} GB`);
  const said = `about ${describeMemory(needed)}; ${free} are free of ${total}`;
  if (verdict === "too much")
    findings.fail(name, `${said}, which is more than this machine has: to need less, ${change}`);
  else if (verdict === "tight")
    findings.warn(name, `${said}, and the system may end a run that takes more: to need less, ${change}`);
  else findings.ok(name, said);
  return verdict !== "too much";
}
