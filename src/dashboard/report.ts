// report.html: one file without script or outside requests, so it can be mailed, archived and opened years later. The
// texts in it come from models: everything is escaped, and the page's own policy forbids scripts and requests.

import { barChart, type ChartSize, lineChart } from "./charts.js";
import { Html, html } from "./html.js";
import { formatColumn, formatEstimate, formatNumber } from "./numbers.js";
import { onSharedScales } from "./rules.js";
import type {
  Cell,
  KeyValueSection,
  NumberCell,
  Report,
  SampleAnswer,
  SamplesSection,
  Section,
  Summary,
  TableSection,
} from "./sections.js";
import { STYLE } from "./style.js";

export type * from "./sections.js";

const paragraphs = (text: string) => text.split(/\n\s*\n/).map((paragraph) => html`<p>${paragraph}</p>`);

function renderSummary({ headline, highlights = [] }: Summary): Html {
  return html`<p class="headline">${headline}</p>${
    highlights.length > 0 &&
    html`<ul class="tiles">${highlights.map(
      ({ label, value, detail, tone = "neutral" }) =>
        html`<li><span class="label">${label}</span><span class="figure ${/\d/.test(value) ? "" : "word "}${tone}">${value}</span>${
          detail && html`<span class="detail">${detail}</span>`
        }</li>`,
    )}</ul>`
  }`;
}

function renderKeyValue({ entries }: KeyValueSection): Html {
  return html`<dl>${entries.map(
    ([key, value]) =>
      html`<dt>${key}</dt><dd>${typeof value === "number" ? formatNumber(value, 6) : value}</dd>`,
  )}</dl>`;
}

const isNumeric = (cell: Cell | undefined) =>
  typeof cell === "number" || (typeof cell === "object" && cell !== null);

function renderNumber(cell: NumberCell, plain: string | undefined): Html {
  const { value, format: as, interval, best } = cell;
  const show = (x: number) => formatEstimate(x, interval, as);
  return html`<span class="${best ? "best" : ""}">${plain ?? show(value)}</span>${
    interval && html` <span class="interval">${show(interval[0])} to ${show(interval[1])}</span>`
  }`;
}

function renderCell(cell: Cell, isNumeric: boolean, plain: string | undefined): Html {
  if (cell === null) return html`<td class="n">–</td>`;
  if (typeof cell === "string") return html`<td${isNumeric && html` class="n"`}>${cell}</td>`;
  return html`<td class="n">${renderNumber(typeof cell === "number" ? { value: cell } : cell, plain)}</td>`;
}

/** The texts of a column's plain figures, by their rows; shares and figures with an interval have their own. */
function plainTexts(column: readonly Cell[]): Map<number, string> {
  const plain = column.flatMap((cell, row) => {
    if (typeof cell === "number") return [{ row, value: cell }];
    const isPlain = typeof cell === "object" && cell !== null && !cell.interval && cell.format !== "percent";
    return isPlain ? [{ row, value: cell.value }] : [];
  });
  const finite = plain.filter(({ value }) => Number.isFinite(value));
  const texts = formatColumn(finite.map(({ value }) => value));
  return new Map(finite.map(({ row }, i) => [row, texts[i]!]));
}

/** Beyond so many columns intervals stand below their figures. */
const MANY = 4;

function renderTable({ title, columns, rows, note, mixed }: TableSection): Html {
  const numeric = columns.map((_, i) => rows.some((row) => isNumeric(row[i])));
  const plain = columns.map((_, i) => (mixed ? new Map() : plainTexts(rows.map((row) => row[i] ?? null))));
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${title ?? "table"}"><table class="${columns.length > MANY && "stacked"}"><thead><tr>${columns.map(
    (column, i) =>
      column === "" ? html`<td></td>` : html`<th scope="col" class="${numeric[i] ? "n" : ""}">${column}</th>`,
  )}</tr></thead><tbody>${rows.map(
    (row, r) => html`<tr>${row.map((cell, i) => renderCell(cell, numeric[i]!, plain[i]?.get(r)))}</tr>`,
  )}</tbody></table></div>${note && html`<p class="note">${note}</p>`}`;
}

const SYMBOLS = { satisfied: "✓", violated: "✗", failed: "?" } as const;

function renderAnswer({ text, facts = [], verdicts = [], truncated }: SampleAnswer, heading: string): Html {
  return html`<div class="answer"><h3>${heading}</h3><div class="text">${text}${truncated && " …[cut at the token limit]"}</div>${
    facts.length > 0 &&
    html`<div class="facts">${facts.map(
      ([key, value]) =>
        html`<span>${key} <b>${typeof value === "number" ? formatNumber(value) : value}</b></span>`,
    )}</div>`
  }${
    verdicts.length > 0 &&
    html`<ul class="verdicts">${verdicts.map(
      ({ judge, verdict, reason }) =>
        html`<li class="${verdict}"><span class="badge">${SYMBOLS[verdict]} ${judge}: ${verdict}</span>${
          reason && html`<span class="reason">${reason}</span>`
        }</li>`,
    )}</ul>`
  }</div>`;
}

function renderSamples({ columns, rows }: SamplesSection): Html[] {
  return rows.map(
    ({ prompt, task, answers }) =>
      html`<div class="sample"><div class="prompt">${task && html`<span class="task">${task}</span>`}<div class="text">${prompt}</div></div><div class="answers">${answers.map(
        (answer, i) => renderAnswer(answer, columns[i] ?? ""),
      )}</div></div>`,
  );
}

function renderBody(section: Section, size: ChartSize): Html | Html[] {
  switch (section.kind) {
    case "text":
      return paragraphs(section.text);
    case "keyValue":
      return renderKeyValue(section);
    case "table":
      return renderTable(section);
    case "lineChart":
      return lineChart(section, size);
    case "barChart":
      return barChart(section, size);
    case "samples":
      return renderSamples(section);
    case "code":
      return html`<pre>${section.text}</pre>`;
    case "panels":
      // One panel alone has the page for itself.
      return html`<div class="panels">${onSharedScales(section.sections).map(
        (inner) =>
          html`<div class="panel">${renderHeading(inner, "h3")}${renderBody(inner, section.sections.length === 1 ? "page" : "panel")}</div>`,
      )}</div>`;
  }
}

function renderHeading(section: Section, level: "h2" | "h3"): Html {
  const { title, caption } = section;
  const raw = section.kind === "lineChart" && section.rawName;
  const attribute = raw && html` title="${raw}"`;
  const heading =
    title && (level === "h2" ? html`<h2${attribute}>${title}</h2>` : html`<h3${attribute}>${title}</h3>`);
  return html`${heading}${caption && html`<p class="caption">${caption}</p>`}`;
}

function renderSection(section: Section): Html {
  if (section.kind === "code" && section.folded) {
    return html`<section><details><summary>${section.title ?? "Show"}</summary>${renderBody(section, "page")}</details></section>`;
  }
  const frame = section.kind === "panels" ? "bare" : "";
  return html`<section class="${frame}">${renderHeading(section, "h2")}${renderBody(section, "page")}</section>`;
}

/** The whole page. */
export function renderReport({ title, summary, sections, footer }: Report): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="generator" content="Touchstone">
<title>${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
<header><div class="brand"><i></i>Touchstone</div><h1>${title}</h1>${renderSummary(summary)}</header>
${sections.map((section) => html`${renderSection(section)}\n`)}
${footer && html`<footer>${footer}</footer>`}
</main>
</body>
</html>
`;
  return page.toString();
}
