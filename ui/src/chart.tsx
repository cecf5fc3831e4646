// One chart of the page: drawn by the reports' own component, as wide as it stands, with a range that all charts share, and
// as a table, CSV, SVG or PNG.

import { useEffect, useRef, useState } from "preact/hooks";
import { lineChart } from "../../src/dashboard/charts.js";
import { format } from "../../src/dashboard/numbers.js";
import type { LineChartSection, Point, Series } from "../../src/dashboard/sections.js";
import { download } from "./download.js";
import { Scroll } from "./scroll.js";

/** Points of a curve that are drawn; of more, the lowest and the highest of each part are. */
const DRAWN = 600;

/** Fewer points with the same outline. */
export function thin(points: readonly Point[]): readonly Point[] {
  if (points.length <= DRAWN) return points;
  const part = points.length / (DRAWN / 2);
  return Array.from({ length: DRAWN / 2 }, (_, i) => {
    const some = points.slice(Math.floor(i * part), Math.floor((i + 1) * part));
    const low = some.reduce((a, b) => (b.y < a.y ? b : a));
    const high = some.reduce((a, b) => (b.y > a.y ? b : a));
    return low === high ? [low] : low.x < high.x ? [low, high] : [high, low];
  }).flat();
}

/** A range of steps, shared by all charts. */
export type Range = readonly [low: number, high: number] | undefined;

const within = (range: Range) => (point: Point) => !range || (point.x >= range[0] && point.x <= range[1]);

interface ChartProps {
  chart: LineChartSection;
  range: Range;
  onRange(range: Range): void;
}

const MARGIN = { left: 54, right: 14 };

export function Chart({ chart, range, onRange }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const series = chart.series.map((one) => ({
    ...one,
    points: thin(one.points.filter(within(range))),
    raw: one.raw && thin(one.raw.filter(within(range))),
  }));
  const shown: LineChartSection = { ...chart, series };
  const svg = width > 0 ? lineChart(shown, { width, height: 260 }).toString() : "";
  return (
    <figure class="chart">
      <figcaption>
        <h2>{chart.title}</h2>
        {chart.caption && <p class="caption">{chart.caption}</p>}
      </figcaption>
      <Drag range={range} series={series} width={width} onRange={onRange}>
        {/* biome-ignore lint/security/noDangerouslySetInnerHtml: made by the reports' template, which escapes all text */}
        <div ref={box} dangerouslySetInnerHTML={{ __html: svg }} />
      </Drag>
      <Exports chart={chart} svg={svg} />
    </figure>
  );
}

interface DragProps extends Pick<ChartProps, "range" | "onRange"> {
  series: readonly Series[];
  width: number;
  // biome-ignore lint/suspicious/noExplicitAny: preact's children
  children: any;
}

/** Dragging across a chart chooses a range; a double click takes it back. */
function Drag({ series, width, onRange, children }: DragProps) {
  const [from, setFrom] = useState<number>();
  const [to, setTo] = useState(0);
  const xs = series.flatMap(({ points }) => points.map(({ x }) => x));
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const stepAt = (px: number) =>
    low + ((px - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (high - low);
  const at = (event: PointerEvent) =>
    event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left;
  const end = () => {
    if (from !== undefined && Math.abs(to - from) > 12) {
      const [a, b] = [stepAt(Math.min(from, to)), stepAt(Math.max(from, to))];
      onRange([Math.max(low, Math.floor(a)), Math.min(high, Math.ceil(b))]);
    }
    setFrom(undefined);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the same range is set by the fields above the charts
    <div
      class="drag"
      onPointerDown={(event) => {
        if (event.pointerType !== "mouse") return;
        setFrom(at(event));
        setTo(at(event));
      }}
      onPointerMove={(event) => from !== undefined && setTo(at(event))}
      onPointerUp={end}
      onPointerLeave={end}
      onDblClick={() => onRange(undefined)}
    >
      {children}
      {from !== undefined && (
        <div
          class="selection"
          style={{ left: `${Math.min(from, to)}px`, width: `${Math.abs(to - from)}px` }}
        />
      )}
    </div>
  );
}

/** x, then each curve's value at it. */
function tableOf({ series }: LineChartSection): { x: number; values: (number | undefined)[] }[] {
  const curves = series.map((one) => new Map((one.raw ?? one.points).map(({ x, y }) => [x, y])));
  const xs = [...new Set(curves.flatMap((curve) => [...curve.keys()]))].sort((a, b) => a - b);
  return xs.map((x) => ({ x, values: curves.map((curve) => curve.get(x)) }));
}

const quoted = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

const csvOf = (chart: LineChartSection) =>
  [
    [chart.x.label, ...chart.series.map(({ name }) => name)].map(quoted).join(","),
    ...tableOf(chart).map(({ x, values }) => [x, ...values.map((value) => value ?? "")].join(",")),
    "",
  ].join("\n");

const fileName = (chart: LineChartSection, ending: string) =>
  `${(chart.title ?? "chart").toLowerCase().replace(/[^a-z0-9]+/g, "-")}.${ending}`;

/** The picture alone, with the colours that it has on the page. */
function standalone(svg: string): string {
  const element = new DOMParser().parseFromString(svg, "text/html").querySelector(".plot svg")!;
  const style = getComputedStyle(document.documentElement);
  const names = [
    "ink",
    "soft",
    "faint",
    "grid",
    "card",
    "accent",
    ...Array.from({ length: 8 }, (_, i) => `c${i}`),
  ];
  const variables = names.map((name) => `--${name}:${style.getPropertyValue(`--${name}`)}`).join(";");
  const rules = [...document.styleSheets]
    .flatMap((sheet) => [...sheet.cssRules])
    .map(({ cssText }) => cssText)
    .filter((rule) => /^(svg|\.(grid|line|band|mark|hover|reference|c\d))/.test(rule));
  const sheet = document.createElementNS("http://www.w3.org/2000/svg", "style");
  sheet.textContent = `svg{${variables};background:var(--card);font-family:system-ui,sans-serif}${rules.join("")}`;
  element.prepend(sheet);
  const [, , width, height] = element.getAttribute("viewBox")!.split(" ");
  element.setAttribute("width", width!);
  element.setAttribute("height", height!);
  return new XMLSerializer().serializeToString(element);
}

async function png(svg: string): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * image.width;
  canvas.height = 2 * image.height;
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  return await new Promise((resolve) => canvas.toBlob((blob) => resolve(blob!), "image/png"));
}

function Exports({ chart, svg }: { chart: LineChartSection; svg: string }) {
  const [isTable, setTable] = useState(false);
  const name = chart.title ?? "chart";
  return (
    <div class="exports">
      <button
        type="button"
        aria-expanded={isTable}
        aria-label={`${name} as a table`}
        onClick={() => setTable(!isTable)}
      >
        table
      </button>
      <button
        type="button"
        aria-label={`${name} as CSV`}
        onClick={() => download(fileName(chart, "csv"), csvOf(chart), "text/csv")}
      >
        CSV
      </button>
      <button
        type="button"
        aria-label={`${name} as SVG`}
        onClick={() => download(fileName(chart, "svg"), standalone(svg), "image/svg+xml")}
      >
        SVG
      </button>
      <button
        type="button"
        aria-label={`${name} as PNG`}
        onClick={async () => download(fileName(chart, "png"), await png(svg), "image/png")}
      >
        PNG
      </button>
      {isTable && <ChartTable chart={chart} />}
    </div>
  );
}

function ChartTable({ chart }: { chart: LineChartSection }) {
  return (
    <Scroll class="table-of-chart" label={`${chart.title ?? "chart"}, table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">{chart.x.label}</th>
            {chart.series.map(({ name }) => (
              <th scope="col" class="n" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tableOf(chart).map(({ x, values }) => (
            <tr key={x}>
              <td>{x}</td>
              {values.map((value, i) => (
                <td class="n" key={chart.series[i]!.name}>
                  {value === undefined ? "–" : format(value, chart.y.format)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
