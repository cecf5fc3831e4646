// One chart of the page: drawn by the reports' own component, as wide as it stands, with a range that all charts share, and
// as a table, CSV, SVG or PNG.

import { useState } from "preact/hooks";
import { chartFile, lineChart } from "../../src/dashboard/charts.js";
import { format } from "../../src/dashboard/numbers.js";
import type { LineChartSection } from "../../src/dashboard/sections.js";
import { CHART_STYLE } from "../../src/dashboard/style.js";
import { download } from "./download.js";
import { Scroll } from "./scroll.js";
import type { Range } from "./series.js";

interface ChartProps {
  chart: LineChartSection;
  /** Absent: its x axis is not the steps. */
  onRange?(range: Range): void;
}

export function Chart({ chart, onRange }: ChartProps) {
  const svg = lineChart(chart, "panel").toString();
  // biome-ignore lint/security/noDangerouslySetInnerHtml: made by the reports' template, which escapes all text
  const drawn = <div dangerouslySetInnerHTML={{ __html: svg }} />;
  return (
    <figure class="chart">
      <figcaption>
        <h2 title={chart.rawName}>{chart.title}</h2>
        {chart.caption && <p class="caption">{chart.caption}</p>}
      </figcaption>
      {onRange ? (
        <Drag chart={chart} onRange={onRange}>
          {drawn}
        </Drag>
      ) : (
        drawn
      )}
      <Exports chart={chart} />
    </figure>
  );
}

interface DragProps extends Required<ChartProps> {
  // biome-ignore lint/suspicious/noExplicitAny: preact's children
  children: any;
}

/** Dragging across a chart chooses a range; a double click takes it back. */
function Drag({ chart, onRange, children }: DragProps) {
  const [from, setFrom] = useState<number>();
  const [to, setTo] = useState(0);
  const xs = chart.series.flatMap(({ points }) => [points[0]?.x ?? [], points.at(-1)?.x ?? []].flat());
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const at = (event: PointerEvent) =>
    event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left;
  const end = (event: PointerEvent) => {
    if (from !== undefined && Math.abs(to - from) > 12) {
      const frame = event.currentTarget as HTMLElement;
      // The plot's svg is as wide as its x axis.
      const plot = frame.querySelector("svg[role=img]")!.getBoundingClientRect();
      const left = plot.left - frame.getBoundingClientRect().left;
      const stepAt = (px: number) => low + ((px - left) / plot.width) * (high - low);
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

/** A column of a chart's table. */
interface ChartColumn {
  name: string;
  values: ReadonlyMap<number, number>;
}

/** Each curve's values over x, with the ends of its intervals where it has any. */
function columnsOf({ series }: LineChartSection): ChartColumn[] {
  return series.flatMap(({ name, points, raw = points }) => {
    const column = (name: string, key: "y" | "low" | "high"): ChartColumn => ({
      name,
      values: new Map(raw.flatMap((point) => (point[key] === undefined ? [] : [[point.x, point[key]]]))),
    });
    const ends = raw.some(({ low }) => low !== undefined);
    return [
      column(name, "y"),
      ...(ends ? [column(`${name}, from`, "low"), column(`${name}, to`, "high")] : []),
    ];
  });
}

function tableOf(chart: LineChartSection): { columns: ChartColumn[]; xs: number[] } {
  const columns = columnsOf(chart);
  const xs = [...new Set(columns.flatMap(({ values }) => [...values.keys()]))].sort((a, b) => a - b);
  return { columns, xs };
}

const quoted = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function csvOf(chart: LineChartSection): string {
  const { columns, xs } = tableOf(chart);
  return [
    [chart.x.label, ...columns.map(({ name }) => name)].map(quoted).join(","),
    ...xs.map((x) => [x, ...columns.map(({ values }) => values.get(x) ?? "")].join(",")),
    "",
  ].join("\n");
}

const fileName = (chart: LineChartSection, ending: string) =>
  `${(chart.title ?? "chart").toLowerCase().replace(/[^a-z0-9]+/g, "-")}.${ending}`;

/** Pixels that a picture is wide. */
const WIDTH = 720;

/** The picture alone, with the colours that it has on the page. */
function picture(chart: LineChartSection): string {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "faint", "grid", "card", ...Array.from({ length: 8 }, (_, i) => `c${i}`)];
  const variables = names.map((name) => `--${name}:${style.getPropertyValue(`--${name}`)}`).join(";");
  const classes = names.map((name) => `.${name}{--c:var(--${name})}`).join("");
  const own = `svg{${variables};font-family:system-ui,sans-serif}${classes}${CHART_STYLE}`;
  return (chartFile(chart, WIDTH, own) ?? "").replace("<svg ", '<svg style="background:var(--card)" ');
}

async function png(svg: string): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * image.width;
  canvas.height = 2 * image.height;
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  return await new Promise((resolve) => canvas.toBlob((blob) => resolve(blob!), "image/png"));
}

function Exports({ chart }: { chart: LineChartSection }) {
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
        onClick={() => download(fileName(chart, "svg"), picture(chart), "image/svg+xml")}
      >
        SVG
      </button>
      <button
        type="button"
        aria-label={`${name} as PNG`}
        onClick={async () => download(fileName(chart, "png"), await png(picture(chart)), "image/png")}
      >
        PNG
      </button>
      {isTable && <ChartTable chart={chart} />}
    </div>
  );
}

function ChartTable({ chart }: { chart: LineChartSection }) {
  const { columns, xs } = tableOf(chart);
  return (
    <Scroll class="table-of-chart" label={`${chart.title ?? "chart"}, table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">{chart.x.label}</th>
            {columns.map(({ name }) => (
              <th scope="col" class="n" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {xs.map((x) => (
            <tr key={x}>
              <td>{Number.isInteger(x) ? x : format(x, chart.x.format)}</td>
              {columns.map(({ name, values }) => {
                const value = values.get(x);
                return (
                  <td class="n" key={name}>
                    {value === undefined ? "–" : format(value, chart.y.format)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
