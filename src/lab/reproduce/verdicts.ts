// What a claim comes to. Evidence for it, evidence against it, and neither are three things: an interval that is wide enough
// to hold both sides has shown nothing.
//
// - "Above" and "below" a bound: the side on which the whole interval lies.
// - "No worse", "tied", "not below": needs a bound within which a difference does not matter, said before the figures are
//   seen. Reproduced when the interval leaves out every loss of that size; not reproduced when it leaves out 0 and not
//   that; else nothing was shown.
// - A figure of one seed has no interval and decides nothing.

export type Verdict = "reproduced" | "not reproduced" | "inconclusive";

/** Ends of an interval. */
export interface Range {
  low: number;
  high: number;
}

/** Whether something is above `bound`. */
export function isAbove({ low, high }: Range, bound = 0): Verdict {
  if (low > bound) return "reproduced";
  return high <= bound ? "not reproduced" : "inconclusive";
}

/** Whether something is below `bound`. */
export const isBelow = ({ low, high }: Range, bound = 0): Verdict =>
  isAbove({ low: -high, high: -low }, -bound);

/** Whether a difference (ours less theirs) is no loss: of `margin` or more. */
export function isNoLoss({ low, high }: Range, margin: number): Verdict {
  if (low > -margin) return "reproduced";
  return high < 0 ? "not reproduced" : "inconclusive";
}

/** What was counted, not estimated. */
export const isFact = (holds: boolean): Verdict => (holds ? "reproduced" : "not reproduced");

/** A claim of several parts. */
export function all(parts: readonly Verdict[]): Verdict {
  if (parts.includes("not reproduced")) return "not reproduced";
  return parts.includes("inconclusive") ? "inconclusive" : "reproduced";
}

/** A claim that one of several holds. */
export function some(parts: readonly Verdict[]): Verdict {
  if (parts.includes("reproduced")) return "reproduced";
  return parts.includes("inconclusive") ? "inconclusive" : "not reproduced";
}

/** "3 of 7 claims are reproduced, 1 is not, 3 are inconclusive" */
export function countVerdicts(verdicts: readonly Verdict[]): string {
  const of = (wanted: Verdict) => verdicts.filter((verdict) => verdict === wanted).length;
  const are = (count: number) => `${count} ${count === 1 ? "is" : "are"}`;
  return (
    `${of("reproduced")} of ${verdicts.length} claims ${of("reproduced") === 1 ? "is" : "are"} reproduced, ` +
    `${are(of("not reproduced"))} not, ${are(of("inconclusive"))} inconclusive`
  );
}

/** How a verdict looks on a page. */
export const toneOf: Readonly<Record<Verdict, "good" | "bad" | "neutral">> = {
  reproduced: "good",
  "not reproduced": "bad",
  inconclusive: "neutral",
};
