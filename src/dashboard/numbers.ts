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
