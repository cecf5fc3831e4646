// Charts as static SVG: no script, colours from the page's style, readable by screen readers and printers. What the live page
// draws is drawn here too.
//
// A chart is as wide as its place, and its text has one size at every width: heights are pixels, places along the x axis are
// shares of the plot, and only the curves themselves are stretched (with strokes that are not). The axes' text stands in the
// padding around the plot, so nothing here needs to know how wide it will be.

import { escapeHtml, Html, html } from "./html.js";
import { format, formatEstimate, formatTicks } from "./numbers.js";
import { outline } from "./points.js";
import { domainOf, isWhole } from "./rules.js";
import { makeScale, type Scale } from "./scale.js";
import type { Axis, BarChartSection, LineChartSection, Point, Series } from "./sections.js";

/** Colours in the page's style; series beyond them start again. */
const COLORS = 8;
const DASHES = { solid: "", dashed: "7 5", dotted: "2 4" } as const;

/** Curves are drawn in a box of this width, which is stretched to the plot's. */
const STRETCHED = 1000;

/** Pixels that a character of an axis takes. */
const CHARACTER = 6.8;

/** Space below the plot for the ticks and the axis's name. */
const BOTTOM = 44;
const RIGHT = 20;

/** For a chart among others, and for one that has the page for itself: its height, and a width that is usual for it. */
const SIZES = { panel: { height: 300, width: 450 }, page: { height: 360, width: 980 } } as const;
export type ChartSize = keyof typeof SIZES;

const px = (value: number) => Number(value.toFixed(1));
/** A place along the x axis, which scales give in shares of `STRETCHED`. */
const share = (place: number) => `${Number(((100 * place) / STRETCHED).toFixed(2))}%`;

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

/** Which labels of the x axis a narrow place leaves out: every second one, and of the rest every second. */
const tickClass = (i: number) => (i % 4 === 0 ? "x" : i % 2 === 0 ? "x sparse" : "x dense");

function xTicks(x: Scale, axis: Axis, base: number): Html {
  // Squares and powers are not evenly spaced, so that a common number of decimals would only be noise.
  const labels =
    (axis.scale ?? "linear") === "linear"
      ? formatTicks(x.ticks, axis.format)
      : x.ticks.map((tick) => format(tick, axis.format));
  return html`${x.ticks.map(
    (tick, i) =>
      html`<text class="${tickClass(i)}" x="${share(x.at(tick))}" y="${base + 18}" text-anchor="middle">${labels[i]}</text>`,
  )}<text class="label" x="50%" y="${base + BOTTOM - 4}" text-anchor="middle">${axis.label}</text>`;
}

const colorOf = (series: { color?: number }, index: number) => `c${(series.color ?? index) % COLORS}`;

const key = (one: Series, i: number): Html =>
  html`<line class="line ${colorOf(one, i)}" x1="1" x2="25" y1="5" y2="5" stroke-dasharray="${DASHES[one.style ?? "solid"]}"/>`;

function legend(series: readonly Series[]): Html {
  if (series.length < 2) return html``;
  return html`<ul class="legend">${series.map(
    (one, i) => html`<li><svg width="26" height="10" aria-hidden="true">${key(one, i)}</svg>${one.name}</li>`,
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

/** Where along a path its direction is shown. */
const ARROWS = [0.25, 0.5, 0.75, 1];

/** Arrow heads along a path, turned as they point at the chart's usual width. */
function arrows(points: readonly Point[], x: Scale, y: Scale, color: string, width: number): Html[] {
  const places = points.map((point) => ({
    x: (x.at(point.x) * width) / STRETCHED,
    y: y.at(point.y),
  }));
  const lengths = places.map(({ x, y }, i) =>
    i === 0 ? 0 : Math.hypot(x - places[i - 1]!.x, y - places[i - 1]!.y),
  );
  const whole = lengths.reduce((sum, length) => sum + length, 0);
  if (whole < 24) return [];
  const drawn = new Set<number>();
  return ARROWS.map((part) => {
    let [end, walked] = [0, 0];
    while (end < places.length - 1 && walked < part * whole * 0.999) walked += lengths[++end]!;
    if (drawn.has(end)) return html``;
    drawn.add(end);
    // From a few pixels back: between neighbours that nearly coincide the direction is noise.
    let start = end;
    while (start > 0 && walked - part * whole > -8) walked -= lengths[start--]!;
    const [from, to] = [places[start]!, places[end]!];
    const turn = Math.round((Math.atan2(to.y - from.y, to.x - from.x) * 180) / Math.PI);
    return html`<svg class="${color}" x="${share((to.x * STRETCHED) / width)}" y="${px(to.y)}" width="1" height="1" overflow="visible"><path class="arrow" d="M-7 -4.5L3 0L-7 4.5Z" transform="rotate(${turn})"/></svg>`;
  });
}

/** Beyond so many points the marks that tell values would only weigh the page down. */
const HOVERED = 120;

/** Points of a path in time that are drawn. */
const DOTS = 300;

interface Plot {
  /** What is inside the plot's svg. */
  content: Html;
  description: string;
  height: number;
  /** Pixels that the y axis's labels take. */
  left: number;
}

/** Everything of a chart but its frame; undefined without data. */
function plot(chart: LineChartSection, size: ChartSize): Plot | undefined {
  const { height, width } = SIZES[size];
  const top = isRepeated(chart) ? 12 : 26;
  const base = height - BOTTOM;
  const series = chart.series.map((one) => ({
    ...one,
    points: one.directed ? one.points.filter(finite) : outline(one.points.filter(finite)),
    raw: one.raw && outline(one.raw.filter(finite), one.directed ? DOTS : undefined),
  }));
  const all = series.flatMap(({ points, raw = [] }) => [...points, ...raw]);
  if (all.length === 0) return undefined;
  const xs = all.map((point) => point.x).filter((x) => chart.x.scale !== "log" || x > 0);
  const ys = all.flatMap(({ y, low = y, high = y }) => [y, low, high]);
  for (const reference of chart.references ?? []) ys.push(reference.y);
  const count = size === "page" ? 10 : 5;
  const x = makeScale(domainOf(xs, chart.x), [0, STRETCHED], {
    kind: chart.x.scale,
    count,
    whole: isWhole(xs, chart.x),
  });
  // Rounding to whole ticks gives the curves air enough.
  const isRounded = chart.y.min === undefined && chart.y.max === undefined;
  const y = makeScale(domainOf(ys, chart.y, isRounded ? 0 : 0.03), [base, top], {
    kind: chart.y.scale,
    round: isRounded,
    whole: isWhole(
      all.map((point) => point.y),
      chart.y,
    ),
  });
  const yLabels = formatTicks(y.ticks, chart.y.format);
  const marks = series.map((one, i) => {
    const color = colorOf(one, i);
    const title = ({ x, y, low, high }: Point) =>
      html`<title>${one.name}: ${formatEstimate(y, low !== undefined && high !== undefined ? [low, high] : undefined, chart.y.format)} at ${chart.x.label} ${format(x, chart.x.format)}</title>`;
    const every = Math.max(1, Math.ceil(one.points.length / HOVERED));
    const hovered = one.points.filter((_, place) => place % every === 0 || place === one.points.length - 1);
    const circle = (name: string, r: number) => (point: Point) =>
      html`<circle class="${name} ${color}" cx="${share(x.at(point.x))}" cy="${px(y.at(point.y))}" r="${r}">${name !== "dot" && title(point)}</circle>`;
    const isMarked = one.markers || one.points.length === 1;
    return html`<g>${one.directed && one.raw?.map(circle("dot", 2.5))}<svg viewBox="0 0 ${STRETCHED} ${height}" preserveAspectRatio="none" width="100%" height="${height}" overflow="visible" aria-hidden="true"><path class="band ${color}" d="${bandPath(one.points, x, y)}"/>${
      !one.directed && one.raw && html`<path class="line raw ${color}" d="${linePath(one.raw, x, y)}"/>`
    }<path class="line ${color}" d="${linePath(one.points, x, y)}" stroke-dasharray="${DASHES[one.style ?? "solid"]}"/></svg>${
      one.directed && arrows(one.points, x, y, color, width)
    }${hovered.map(circle(isMarked ? "mark" : "hover", 4))}</g>`;
  });
  const references = (chart.references ?? []).map(
    ({ y: value, label }) =>
      html`<g class="reference"><line x1="0" x2="100%" y1="${px(y.at(value))}" y2="${px(y.at(value))}"/><text x="100%" y="${px(y.at(value) - 5)}" text-anchor="end">${label}</text></g>`,
  );
  const left = 16 + CHARACTER * Math.max(...yLabels.map((label) => label.length), 2);
  const axes = html`<g class="grid" aria-hidden="true">${y.ticks.map(
    (tick) => html`<line x1="0" x2="100%" y1="${px(y.at(tick))}" y2="${px(y.at(tick))}"/>`,
  )}</g><g class="ticks">${y.ticks.map(
    (tick, i) => html`<text x="-8" y="${px(y.at(tick) + 4)}" text-anchor="end">${yLabels[i]}</text>`,
  )}${xTicks(x, chart.x, base)}${
    !isRepeated(chart) &&
    html`<text class="label" x="${8 - Math.ceil(left)}" y="12" text-anchor="start">${chart.y.label}</text>`
  }</g>`;
  return {
    content: html`${axes}${references}${marks}`,
    description: describeLines({ ...chart, series }),
    height,
    left: Math.ceil(left),
  };
}

/** Curves with interval bands and reference lines. */
export function lineChart(chart: LineChartSection, size: ChartSize): Html {
  const drawn = plot(chart, size);
  if (!drawn) return html`<p class="empty">No data yet.</p>`;
  const { content, description, height, left } = drawn;
  return html`${legend(chart.series)}<div class="plot of-${size}"><div style="padding:0 ${RIGHT}px 0 ${left}px"><svg width="100%" height="${height}" role="img" aria-label="${description}">${content}</svg></div></div>`;
}

/** Pixels of the text above and below a chart that stands alone. */
const LINE = 20;

/** A chart as a file of its own: with its title, its legend and `style`, `width` pixels wide; undefined without data. */
export function chartFile(chart: LineChartSection, width: number, style: string): string | undefined {
  const drawn = plot(chart, "panel");
  if (!drawn) return undefined;
  const { content, description, height, left } = drawn;
  const keys = chart.series.length > 1 ? chart.series : [];
  const top = chart.title ? 32 : 8;
  const total = top + height + LINE * keys.length + 8;
  return html`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${total}" viewBox="0 0 ${width} ${total}" role="img" aria-label="${description}"><style>${new Html(escapeHtml(style))}</style>${
    chart.title && html`<text class="title" x="12" y="20">${chart.title}</text>`
  }<svg x="${left}" y="${top}" width="${width - left - RIGHT}" height="${height}" overflow="visible">${content}</svg>${keys.map(
    (one, i) =>
      html`<g transform="translate(${left} ${top + height + LINE * i})">${key(one, i)}<text x="32" y="9">${one.name}</text></g>`,
  )}</svg>`.toString();
}

/** Horizontal bars from 0, or points beside a reference line. */
export function barChart(chart: BarChartSection, size: ChartSize): Html {
  const values = chart.bars.flatMap(({ value, low = value, high = value }) => [value, low, high]);
  values.push(chart.reference?.x ?? 0);
  const x = makeScale(domainOf(values, chart.x, chart.reference ? 0.05 : 0), [0, STRETCHED], {
    count: size === "page" ? 6 : 4,
    round: chart.x.min === undefined && chart.x.max === undefined,
    whole: isWhole(values, chart.x),
  });
  const origin = chart.reference?.x ?? 0;
  const at = (value: number) => share(x.at(value));
  const lines = html`<g class="grid">${x.ticks.map(
    (tick) => html`<line x1="${at(tick)}" x2="${at(tick)}" y1="0" y2="100%"/>`,
  )}</g>${chart.reference && html`<g class="reference"><line x1="${at(origin)}" x2="${at(origin)}" y1="0" y2="100%"/></g>`}`;
  const shown = (value: number, low?: number, high?: number) =>
    formatEstimate(value, low !== undefined && high !== undefined ? [low, high] : undefined, chart.x.format);
  const rows = chart.bars.map((bar, i) => {
    const { value, low, high } = bar;
    const color = colorOf(bar, chart.reference ? 0 : i);
    const [start, end] = [x.at(origin), x.at(value)];
    const interval =
      low !== undefined &&
      high !== undefined &&
      html`<line class="whisker ${color}" x1="${at(low)}" x2="${at(high)}" y1="15" y2="15"/>`;
    const shape = chart.reference
      ? html`<circle class="mark ${color}" cx="${share(end)}" cy="15" r="5.5"/>`
      : html`<rect class="bar ${color}" x="${share(Math.min(start, end))}" width="${share(Math.abs(end - start))}" y="6" height="18" rx="2"/>`;
    return html`<span class="name">${bar.label}</span><svg width="100%" height="30">${lines}${!chart.reference && shape}${interval}${chart.reference && shape}</svg><span class="value">${shown(value, low, high)}</span>`;
  });
  const head =
    chart.reference &&
    html`<span></span><svg width="100%" height="18"><g class="reference"><text x="${at(origin)}" y="12" text-anchor="middle">${chart.reference.label}</text></g></svg><span></span>`;
  const foot = html`<span></span><div class="axis"><svg width="100%" height="${BOTTOM}"><g class="ticks">${xTicks(x, chart.x, 0)}</g></svg></div><span></span>`;
  const description = chart.bars
    .map(({ label, value, low, high }) => {
      const interval =
        low !== undefined && high !== undefined
          ? ` (${format(low, chart.x.format)} to ${format(high, chart.x.format)})`
          : "";
      return `${label}: ${format(value, chart.x.format)}${interval}`;
    })
    .join("; ");
  return html`<div class="plot"><div class="bars" role="img" aria-label="${chart.x.label}. ${description}.">${head}${rows}${foot}</div></div>`;
}
