// What the analyses and pages of the experiments have in common: figures over seeds, claims, and how both are shown.

import { tInterval } from "../../base/statistics.js";
import type { NumberCell, Point, Section } from "../../dashboard/report.js";
import { ofShare } from "../../dashboard/rules.js";
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

/** The interval as it is shown: of a share, what of it a share can be. */
const shown = ({ interval }: Figure, format?: NumberCell["format"]) =>
  interval && format === "percent" ? ofShare(interval) : interval;

/** With format `percent`, a share. */
export const cell = (figure: Figure, format?: NumberCell["format"]): NumberCell => {
  const interval = shown(figure, format);
  return { value: figure.value, ...(format && { format }), ...(interval && { interval }) };
};

/** A curve over steps as a chart draws it; with format `percent`, of shares. */
export const chartPoints = (
  points: readonly { step: number; figure: Figure }[],
  format?: NumberCell["format"],
): Point[] =>
  points.map(({ step, figure }) => {
    const interval = shown(figure, format);
    return { x: step, y: figure.value, ...(interval && { low: interval[0], high: interval[1] }) };
  });

/** A tile's words about a figure's interval. */
export const intervalDetail = ({ interval }: Figure): string =>
  interval
    ? `95 % over seeds: ${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}`
    : "one seed: no interval";

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
