// What the analyses and pages of the experiments have in common: figures over seeds, claims, and how both are shown.

import { tInterval } from "../../base/statistics.js";
import type { NumberCell, Point, Section } from "../../dashboard/report.js";
import type { Range, Verdict } from "./verdicts.js";

/** A mean over seeds; the ends of its 95 % Student interval are absent for a single seed. */
export interface Figure {
  value: number;
  interval?: readonly [low: number, high: number];
}

export function figure(values: readonly number[]): Figure {
  const { estimate, low, high } = tInterval(values);
  return values.length < 2 ? { value: estimate } : { value: estimate, interval: [low, high] };
}

/** What the interval leaves open: without one, everything. */
export const rangeOf = ({ interval }: Figure): Range =>
  interval
    ? { low: interval[0], high: interval[1] }
    : { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };

export interface Claim {
  claim: string;
  verdict: Verdict;
  evidence: string[];
}

export const cell = (figure: Figure, format?: NumberCell["format"]): NumberCell => ({
  value: figure.value,
  ...(format && { format }),
  ...(figure.interval && { interval: figure.interval }),
});

/** A curve over steps as a chart draws it. */
export const chartPoints = (points: readonly { step: number; figure: Figure }[]): Point[] =>
  points.map(({ step, figure: { value, interval } }) => ({
    x: step,
    y: value,
    ...(interval && { low: interval[0], high: interval[1] }),
  }));

export const claimsTable = (claims: readonly Claim[], note: string): Section => ({
  kind: "table",
  title: "The claims",
  columns: ["claim", "verdict", "evidence"],
  rows: claims.map(({ claim, verdict, evidence }) => [claim, verdict, evidence.join("; ")]),
  note,
});

/** The claims with their evidence, for the terminal. */
export const claimLines = (claims: readonly Claim[]): string[] =>
  claims.flatMap(({ claim, verdict, evidence }) => [
    `${`${verdict}:`.padEnd("not reproduced:".length)} ${claim}`,
    ...evidence.map((line) => `  ${line}`),
  ]);
