// Verdicts by (judge, version, prompt, response), with whatever else the judge sees: the same question is asked once.

import { createHash } from "node:crypto";
import { type Judge, type JudgeInput, type Verdict, verdictFrom } from "./verdict.js";

const asJson = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}n` : value);

function keyOf({ name, version }: Judge, input: JudgeInput): string {
  const { prompt, response, openThought, truncated, metadata } = input;
  const question = JSON.stringify(
    [name, version, prompt, response, openThought, truncated, metadata],
    asJson,
  );
  return createHash("sha256").update(question).digest("base64");
}

export interface CachedVerdict {
  /** Undefined: the judge does not apply. */
  verdict: Verdict | undefined;
  /** The judge was not asked. */
  isHit: boolean;
}

export class VerdictCache {
  /** The oldest first. */
  private readonly verdicts = new Map<string, Promise<Verdict | undefined>>();

  constructor(private readonly maxVerdicts = 20_000) {}

  /** A question under way is shared; a failed verdict is not kept. Cheap judges are asked every time. */
  async verdictFrom(judge: Judge, input: JudgeInput, signal?: AbortSignal): Promise<CachedVerdict> {
    if (!judge.isCostly) return { verdict: await verdictFrom(judge, input, signal), isHit: false };
    const key = keyOf(judge, input);
    const known = this.verdicts.get(key);
    if (known) return { verdict: await known, isHit: true };
    const asked = verdictFrom(judge, input, signal);
    this.verdicts.set(key, asked);
    if (this.verdicts.size > this.maxVerdicts) this.verdicts.delete(this.verdicts.keys().next().value!);
    let isKept = false;
    try {
      const verdict = await asked;
      isKept = verdict !== undefined && verdict.verdict !== "failed";
      return { verdict, isHit: false };
    } finally {
      if (!isKept) this.verdicts.delete(key);
    }
  }
}
