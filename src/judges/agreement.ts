// Agreement of judges with labels that people or programs gave: how often a verdict is the label's, how often a wrong
// response passes, and how often a right one fails. A failed verdict is neither; it is counted beside them.

import { type Interval, wilsonInterval } from "../base/statistics.js";
import type { Verdict } from "./verdict.js";

/** What labels look like; anything else is refused. */
const words: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...["true", "1", "yes", "satisfied", "pass", "passed", "good", "correct", "right", "feasible", "safe"].map(
    (word) => [word, true],
  ),
  ...[
    "false",
    "0",
    "no",
    "violated",
    "fail",
    "failed",
    "bad",
    "incorrect",
    "wrong",
    "infeasible",
    "unsafe",
  ].map((word) => [word, false]),
]);

/** Whether a label says that the response satisfies; undefined when it is no label. */
export function labelOf(value: unknown): boolean | undefined {
  if (!["boolean", "number", "bigint", "string"].includes(typeof value)) return undefined;
  const word = String(value).trim().toLowerCase();
  return Object.hasOwn(words, word) ? words[word] : undefined;
}

/** A share with its 95 % interval (Wilson) and the counts that it is made of. */
export interface Share extends Interval {
  count: number;
  of: number;
}

export interface Agreement {
  /** Rows that the judge applies to. */
  rows: number;
  /** Without a verdict, because the judge failed. */
  failed: number;
  /** Of the decided rows, those whose verdict is the label. */
  agreement: Share;
  /** Of the decided rows labelled violated, those that passed: the dangerous mistake. */
  falsePasses: Share;
  /** Of the decided rows labelled satisfied, those that did not pass. */
  falseFailures: Share;
}

const share = (count: number, of: number): Share => ({ count, of, ...wilsonInterval(count, of) });

/** `verdicts[i]` stands beside `labels[i]`; undefined: the judge does not apply to the row. */
export function agreementWith(
  verdicts: readonly (Verdict["verdict"] | undefined)[],
  labels: readonly boolean[],
): Agreement {
  const rows = labels.flatMap((label, i) =>
    verdicts[i] === undefined ? [] : [{ label, verdict: verdicts[i] }],
  );
  const decided = rows
    .filter(({ verdict }) => verdict !== "failed")
    .map(({ label, verdict }) => ({ label, passes: verdict === "satisfied" }));
  const count = (label: boolean, passes: boolean) =>
    decided.filter((row) => row.label === label && row.passes === passes).length;
  const [wrongPasses, wrongFails] = [count(false, true), count(true, false)];
  return {
    rows: rows.length,
    failed: rows.length - decided.length,
    agreement: share(decided.length - wrongPasses - wrongFails, decided.length),
    falsePasses: share(wrongPasses, wrongPasses + count(false, false)),
    falseFailures: share(wrongFails, wrongFails + count(true, true)),
  };
}
