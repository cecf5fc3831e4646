// Charts as static SVG: no script, colours from the page's style, readable by screen readers and printers.

import { type Html, html } from "./html.js";
import { format, formatTicks } from "./numbers.js";
import { makeScale, type Scale } from "./scale.js";
import type { Axis, BarChartSection, LineChartSection, Point, Series } from "./sections.js";

/** Colours in the page's style; series beyond them start again. */
const COLORS = 8;
const DASHES = { solid: "", dashed: "7 5", dotted: "2 4" } as const;

interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const px = (value: number) => Number(value.toFixed(1));

function extent(values: readonly number[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? [0, 1] : [low, high];
}

/** The axis's domain: what it asks for, else the data with a little air, but not past 0, nor past 100 %. */
function domain(values: readonly number[], { min, max, format: as }: Axis, air = 0): [number, number] {
  const [low, high] = extent(values);
  if (low === high && as === "percent" && low >= 0 && high <= 1) return [min ?? 0, max ?? 1];
  const margin = (high - low) * air;
  const floor = low >= 0 ? 0 : Number.NEGATIVE_INFINITY;
  const ceiling = as === "percent" && high <= 1 ? 1 : Number.POSITIVE_INFINITY;
  return [min ?? Math.max(floor, low - margin), max ?? Math.min(ceiling, high + margin)];
}

const finite = ({ x, y }: Point) => Number.isFinite(x) && Number.isFinite(y);

function linePath(points: readonly Point[], x: Scale, y: Scale): string {
  return points.map((point, i) => `${i === 0 ? "M" : "L"}${px(x.at(point.x))} ${px(y.at(point.y))}`).join("");
}

/** The area between the intervals' ends. */
function bandPath(points: readonly Point[], x: Scale, y: Scale): string {
  const banded = points.filter(({ low, high }) => low !== undefined && high !== undefined);
  if (banded.length < 2) return "";
  const upper = banded.map((point) => ({ x: point.x, y: point.high! }));
  const lower = banded.map((point) => ({ x: point.x, y: point.low! })).reverse();
  return `${linePath(upper, x, y)}${linePath(lower, x, y).replace("M", "L")}Z`;
}

function gridAndAxes(frame: Frame, x: Scale, y: Scale | undefined, xAxis: Axis, yAxis?: Axis): Html {
  const { width, height, left, right, top, bottom } = frame;
  const base = height - bottom;
  const xLabels = formatTicks(x.ticks, xAxis.format);
  const yLabels = y ? formatTicks(y.ticks, yAxis?.format) : [];
  return html`<g class="grid" aria-hidden="true">${y?.ticks.map(
    (tick) => html`<line x1="${left}" x2="${width - right}" y1="${px(y.at(tick))}" y2="${px(y.at(tick))}"/>`,
  )}${!y && x.ticks.map((tick) => html`<line x1="${px(x.at(tick))}" x2="${px(x.at(tick))}" y1="${top}" y2="${base}"/>`)}</g
><g class="ticks">${y?.ticks.map(
    (tick, i) => html`<text x="${left - 8}" y="${px(y.at(tick) + 4)}" text-anchor="end">${yLabels[i]}</text>`,
  )}${x.ticks.map(
    (tick, i) => html`<text x="${px(x.at(tick))}" y="${base + 18}" text-anchor="middle">${xLabels[i]}</text>`,
  )}<text class="label" x="${px((left + width - right) / 2)}" y="${height - 4}" text-anchor="middle">${xAxis.label}</text
>${yAxis && html`<text class="label" x="${left}" y="12" text-anchor="start">${yAxis.label}</text>`}</g>`;
}

const colorOf = (series: { color?: number }, index: number) => `c${(series.color ?? index) % COLORS}`;

function legend(series: readonly Series[]): Html {
  if (series.length < 2) return html``;
  return html`<ul class="legend">${series.map(
    (one, i) =>
      html`<li><svg width="26" height="10" aria-hidden="true"><line class="line ${colorOf(one, i)}" x1="1" x2="25" y1="5" y2="5" stroke-dasharray="${DASHES[one.style ?? "solid"]}"/></svg>${one.name}</li>`,
  )}</ul>`;
}

/** The last value of every series, for those who cannot see the curves. */
function describeLines(chart: LineChartSection): string {
  const ends = chart.series.map(({ name, points }) => {
    const first = points[0];
    const last = points.at(-1);
    if (!first || !last) return `${name}: no data`;
    const value = (point: Point) =>
      `${format(point.y, chart.y.format)} at ${format(point.x, chart.x.format)}`;
    return `${name}: from ${value(first)} to ${value(last)}`;
  });
  return `${chart.y.label} against ${chart.x.label}. ${ends.join("; ")}.`;
}

/** The title already says what the y axis shows. */
const isRepeated = ({ title = "", y }: LineChartSection) => title.startsWith(y.label);

/** How large a chart is drawn, CSS pixels; its text has the same size in every one. */
export interface ChartSize {
  width: number;
  height: number;
}

const PANEL: ChartSize = { width: 510, height: 300 };
const PAGE: ChartSize = { width: 1040, height: 360 };

/**
 * Curves with interval bands and reference lines. `size`: false for a panel among others, true for a chart that has the page
 * for itself.
 */
export function lineChart(chart: LineChartSection, size: boolean | ChartSize): Html {
  const { width, height } = typeof size === "boolean" ? (size ? PAGE : PANEL) : size;
  const wide = width > 800;
  const frame: Frame = {
    width,
    height,
    left: 54,
    right: 14,
    top: isRepeated(chart) ? 12 : 26,
    bottom: 44,
  };
  const series = chart.series.map((one) => ({
    ...one,
    points: one.points.filter(finite),
    raw: one.raw?.filter(finite),
  }));
  const all = series.flatMap(({ points, raw = [] }) => [...points, ...raw]);
  if (all.length === 0) return html`<p class="empty">No data yet.</p>`;
  const xs = all.map((point) => point.x).filter((x) => chart.x.scale !== "log" || x > 0);
  const ys = all.flatMap(({ y, low = y, high = y }) => [y, low, high]);
  for (const reference of chart.references ?? []) ys.push(reference.y);
  const x = makeScale(domain(xs, chart.x), [frame.left, frame.width - frame.right], {
    kind: chart.x.scale,
    count: Math.max(2, Math.round(width / 100)),
    whole: chart.x.whole,
  });
  const y = makeScale(domain(ys, chart.y, 0.03), [frame.height - frame.bottom, frame.top], {
    kind: chart.y.scale,
    round: chart.y.min === undefined && chart.y.max === undefined,
  });
  const description = describeLines({ ...chart, series });
  const marks = series.map((one, i) => {
    const color = colorOf(one, i);
    const dash = DASHES[one.style ?? "solid"];
    const title = (point: Point) =>
      html`<title>${one.name}: ${format(point.y, chart.y.format)} at ${chart.x.label} ${format(point.x, chart.x.format)}</title>`;
    // Hovering tells the value; beyond a few hundred points the marks would only weigh the page down.
    const every = Math.max(1, Math.ceil(one.points.length / 120));
    const hovered = one.points.filter((_, place) => place % every === 0 || place === one.points.length - 1);
    return html`<g><path class="band ${color}" d="${bandPath(one.points, x, y)}"/>${
      one.raw && html`<path class="line raw ${color}" d="${linePath(one.raw, x, y)}"/>`
    }<path class="line ${color}" d="${linePath(one.points, x, y)}" stroke-dasharray="${dash}"/>${hovered.map(
      (point) =>
        html`<circle class="${one.markers || one.points.length === 1 ? "mark" : "hover"} ${color}" cx="${px(x.at(point.x))}" cy="${px(y.at(point.y))}" r="4">${title(point)}</circle>`,
    )}</g>`;
  });
  const references = (chart.references ?? []).map(
    ({ y: value, label }) =>
      html`<g class="reference"><line x1="${frame.left}" x2="${frame.width - frame.right}" y1="${px(y.at(value))}" y2="${px(y.at(value))}"/><text x="${frame.width - frame.right}" y="${px(y.at(value) - 5)}" text-anchor="end">${label}</text></g>`,
  );
  return html`${legend(series)}<div class="plot${wide ? " wide" : ""}"><svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${description}">${gridAndAxes(frame, x, y, chart.x, isRepeated(chart) ? { ...chart.y, label: "" } : chart.y)}${references}${marks}</svg></div>`;
}

/** Horizontal bars from 0, or points beside a reference line. */
export function barChart(chart: BarChartSection, wide: boolean): Html {
  const rowHeight = 30;
  const longest = Math.max(...chart.bars.map(({ label }) => label.length), 0);
  const width = wide ? 1040 : 510;
  const left = Math.min(width * 0.42, 18 + longest * 7.2);
  const frame: Frame = {
    width,
    height: chart.bars.length * rowHeight + 74,
    left,
    right: 76,
    top: 26,
    bottom: 44,
  };
  const values = chart.bars.flatMap(({ value, low = value, high = value }) => [value, low, high]);
  values.push(chart.reference?.x ?? 0);
  const x = makeScale(
    domain(values, chart.x, chart.reference ? 0.05 : 0),
    [frame.left, frame.width - frame.right],
    {
      count: wide ? 8 : 5,
      round: chart.x.min === undefined && chart.x.max === undefined,
    },
  );
  const origin = chart.reference?.x ?? 0;
  const bars = chart.bars.map((bar, i) => {
    const middle = frame.top + (i + 0.5) * rowHeight;
    const color = colorOf(bar, chart.reference ? 0 : i);
    const [start, end] = [x.at(origin), x.at(bar.value)];
    const interval =
      bar.low !== undefined &&
      bar.high !== undefined &&
      html`<line class="whisker ${color}" x1="${px(x.at(bar.low))}" x2="${px(x.at(bar.high))}" y1="${middle}" y2="${middle}"/>`;
    const shape = chart.reference
      ? html`<circle class="mark ${color}" cx="${px(end)}" cy="${middle}" r="5.5"/>`
      : html`<rect class="bar ${color}" x="${px(Math.min(start, end))}" width="${px(Math.abs(end - start))}" y="${middle - 9}" height="18" rx="2"/>`;
    return html`<g>${!chart.reference && shape}${interval}${chart.reference && shape}<text class="name" x="${frame.left - 10}" y="${middle + 4}" text-anchor="end">${bar.label}</text><text class="value" x="${frame.width - 6}" y="${middle + 4}" text-anchor="end">${format(bar.value, chart.x.format)}</text></g>`;
  });
  const line =
    chart.reference &&
    html`<g class="reference"><line x1="${px(x.at(origin))}" x2="${px(x.at(origin))}" y1="${frame.top - 4}" y2="${frame.height - frame.bottom}"/><text x="${px(x.at(origin))}" y="${frame.top - 10}" text-anchor="middle">${chart.reference.label}</text></g>`;
  const description = chart.bars
    .map(({ label, value, low, high }) => {
      const interval =
        low !== undefined && high !== undefined
          ? ` (${format(low, chart.x.format)} to ${format(high, chart.x.format)})`
          : "";
      return `${label}: ${format(value, chart.x.format)}${interval}`;
    })
    .join("; ");
  return html`<div class="plot${wide ? " wide" : ""}"><svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${chart.x.label}. ${description}.">${gridAndAxes(frame, x, undefined, chart.x)}${line}${bars}</svg></div>`;
}
