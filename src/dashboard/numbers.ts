// Numbers as people read them.

import { percent } from "../base/percent.js";

/** About `digits` significant digits, a real minus sign, thousands in groups; `pad` keeps trailing zeros. */
export function formatNumber(value: number, digits = 3, pad = false): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude < 1e-4 || magnitude >= 1e7)
    return value.toExponential(Math.max(0, digits - 1)).replace("-", "−");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(magnitude)));
  const rounded = value.toFixed(Math.min(decimals, 8));
  const trimmed =
    rounded.includes(".") && !(pad && !Number.isInteger(value))
      ? rounded.replace(/0+$/, "").replace(/\.$/, "")
      : rounded;
  const [whole, fraction] = trimmed.replace("-", "").split(".") as [string, string?];
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") : whole;
  return `${value < 0 ? "−" : ""}${grouped}${fraction ? `.${fraction}` : ""}`;
}

/** 0.6234 as 62.3 %, with a thin space and a real minus sign. */
export const formatPercent = (share: number, decimals = 1) =>
  percent(share, decimals).replace("-", "−").replace(" ", "\u2009");

export type NumberFormat = "number" | "percent";

export const format = (value: number, as: NumberFormat = "number") =>
  as === "percent" ? formatPercent(value) : formatNumber(value);

/** `decimals` of a number that stands beside others, with a real minus sign and thousands in groups. */
function fixed(value: number, decimals: number): string {
  const [whole, fraction] = value.toFixed(decimals).replace("-", "").split(".") as [string, string?];
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") : whole;
  const digits = `${grouped}${fraction ? `.${fraction}` : ""}`;
  return value < 0 && /[1-9]/.test(digits) ? `−${digits}` : digits;
}

const MAX_DECIMALS = 6;

/** Decimals that an interval leaves meaning to: two significant digits of half its width. */
export function decimalsOf([low, high]: readonly [low: number, high: number]): number | undefined {
  const half = (high - low) / 2;
  if (!(half > 0 && half < 1e7)) return undefined;
  const decimals = Math.max(0, 1 - Math.floor(Math.log10(half)));
  return decimals <= MAX_DECIMALS ? decimals : undefined;
}

/** A figure with as many digits as its interval leaves meaning to; without one, with three. */
export function formatEstimate(
  value: number,
  interval: readonly [low: number, high: number] | undefined,
  as: NumberFormat = "number",
): string {
  const decimals =
    interval && decimalsOf(as === "percent" ? [100 * interval[0], 100 * interval[1]] : interval);
  if (decimals === undefined) return as === "percent" ? formatPercent(value) : formatNumber(value, 3, true);
  return as === "percent" ? formatPercent(value, decimals) : fixed(value, decimals);
}

/** Figures of one quantity below each other have one number of decimals: the one that gives the largest three digits. */
export function formatColumn(values: readonly number[]): string[] {
  const largest = Math.max(...values.map(Math.abs));
  const isPlain = values.every(Number.isInteger) || !(largest >= 1e-3 && largest < 1e7);
  if (isPlain) return values.map((value) => formatNumber(value, 3, true));
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(largest)));
  const least = fixed(10 ** -decimals, decimals);
  return values.map((value) => {
    if (value === 0) return "0";
    if (Math.abs(value) < 10 ** -decimals / 2) return value > 0 ? `<${least}` : `>−${least}`;
    return fixed(value, decimals);
  });
}

/** Tick labels of one axis share their number of decimals. */
export function formatTicks(ticks: readonly number[], as: NumberFormat = "number"): string[] {
  const values = as === "percent" ? ticks.map((tick) => 100 * tick) : ticks;
  const largest = Math.max(...values.map(Math.abs));
  if (largest >= 1e6 || (largest > 0 && largest < 1e-3)) {
    return values.map((value) =>
      value === 0 ? "0" : value.toExponential(1).replace("-", "−").replace(".0e", "e"),
    );
  }
  const decimalsOf = (value: number) => (Number(value.toPrecision(6)).toString().split(".")[1] ?? "").length;
  const decimals = Math.min(6, Math.max(...values.map(decimalsOf)));
  const suffix = as === "percent" ? "\u2009%" : "";
  return values.map((value) => value.toFixed(decimals).replace("-", "−") + suffix);
}
