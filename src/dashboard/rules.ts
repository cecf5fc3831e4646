// What holds for every chart and table, on the live page and in reports: which axes count, which charts share a scale, and
// where a colour says that something is better.

import type { Axis, LineChartSection, Section } from "./sections.js";

/** The lowest and the highest of some values; undefined of none. */
export function extentOf(values: Iterable<number>): [number, number] | undefined {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? undefined : [low, high];
}

/** Whether an axis has nothing between its whole numbers: as it says, or where every value is one. */
export const isWhole = (values: readonly number[], { whole, format, scale = "linear" }: Axis): boolean =>
  whole ?? (format !== "percent" && scale === "linear" && values.every(Number.isInteger));

/** A share's axis goes from 0 to 100 % unless its values would fill less than this part of it. */
const FILLED = 1 / 3;

/**
 * From where to where an axis goes: what it asks for, else its values and those that it `holds` with a little air, but not
 * past 0, nor past 100 %. A share's axis shows the whole unless the values lie close together.
 */
export function domainOf(values: readonly number[], axis: Axis, air = 0): [number, number] {
  const { min, max, holds = [], format, scale = "linear" } = axis;
  const [low, high] = extentOf([...values, ...holds]) ?? [0, 1];
  const isShare = format === "percent" && low >= 0 && high <= 1;
  const isCrowded = high - low > 0 && high - low < FILLED;
  if (isShare && !isCrowded && scale === "linear") return [min ?? 0, max ?? 1];
  const margin = (high - low) * air;
  const floor = low >= 0 ? 0 : Number.NEGATIVE_INFINITY;
  const ceiling = isShare ? 1 : Number.POSITIVE_INFINITY;
  return [min ?? Math.max(floor, low - margin), max ?? Math.min(ceiling, high + margin)];
}

/** The part of an interval that a share can be in: an interval over few seeds knows nothing of 0 and 100 %. */
export const ofShare = ([low, high]: readonly [number, number]): readonly [number, number] => [
  Math.max(0, low),
  Math.min(1, high),
];

const quantityOf = ({ y: { quantity, label, format = "number", scale = "linear" } }: LineChartSection) =>
  `${quantity ?? label}\n${format}\n${scale}`;

/** Values that a chart's y axis must show. */
function valuesOf({ series, references = [] }: LineChartSection): number[] {
  const points = series.flatMap(({ points, raw = [] }) => [...points, ...raw]);
  return [
    ...points.flatMap(({ y, low = y, high = y }) => [y, low, high]),
    ...references.map(({ y }) => y),
  ].filter(Number.isFinite);
}

/** The same sections, charts of one quantity on one scale. */
export function onSharedScales<Given extends Section>(sections: readonly Given[]): Given[] {
  const extents = new Map<string, [number, number]>();
  for (const section of sections) {
    if (section.kind !== "lineChart") continue;
    const known = extents.get(quantityOf(section)) ?? [];
    const extent = extentOf([...known, ...valuesOf(section)]);
    if (extent) extents.set(quantityOf(section), extent);
  }
  return sections.map((section) => {
    const holds = section.kind === "lineChart" && extents.get(quantityOf(section));
    return holds ? { ...section, y: { ...(section as LineChartSection).y, holds } } : section;
  });
}

/** Ends of an interval; of a figure without one, infinite. */
export interface Range {
  low: number;
  high: number;
}

/** Green and red say that one is better or worse than another: only where their intervals do not meet. */
export function toneAgainst(one: Range, other: Range): "good" | "bad" | "neutral" {
  if (one.low > other.high) return "good";
  return one.high < other.low ? "bad" : "neutral";
}
