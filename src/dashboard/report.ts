// report.html: one file without script or outside requests, so it can be mailed, archived and opened years later. The
// texts in it come from models: everything is escaped, and the page's own policy forbids scripts and requests.

import { barChart, lineChart } from "./charts.js";
import { Html, html } from "./html.js";
import { formatNumber, formatPercent } from "./numbers.js";
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
        html`<li><span class="label">${label}</span><span class="figure ${tone}">${value}</span>${
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

function renderNumber({ value, format: as, interval, best }: NumberCell): Html {
  const show = (x: number) => (as === "percent" ? formatPercent(x) : formatNumber(x, 3, true));
  return html`<span class="${best ? "best" : ""}">${show(value)}</span>${
    interval && html`<span class="interval">${show(interval[0])} to ${show(interval[1])}</span>`
  }`;
}

function renderCell(cell: Cell): Html {
  if (cell === null) return html`<td class="n">–</td>`;
  if (typeof cell === "string") return html`<td>${cell}</td>`;
  return html`<td class="n">${renderNumber(typeof cell === "number" ? { value: cell } : cell)}</td>`;
}

function renderTable({ columns, rows, note }: TableSection): Html {
  const numeric = columns.map((_, i) => rows.some((row) => isNumeric(row[i])));
  return html`<div class="scroll"><table><thead><tr>${columns.map(
    (column, i) => html`<th scope="col" class="${numeric[i] ? "n" : ""}">${column}</th>`,
  )}</tr></thead><tbody>${rows.map((row) => html`<tr>${row.map(renderCell)}</tr>`)}</tbody></table></div>${
    note && html`<p class="note">${note}</p>`
  }`;
}

const SYMBOLS = { satisfied: "✓", violated: "✗", failed: "?" } as const;

function renderAnswer({ text, facts = [], verdicts = [], truncated }: SampleAnswer, heading: string): Html {
  return html`<div class="answer"><h4>${heading}</h4><div class="text">${text}${truncated && " …[cut at the token limit]"}</div>${
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

function renderBody(section: Section, wide: boolean): Html | Html[] {
  switch (section.kind) {
    case "text":
      return paragraphs(section.text);
    case "keyValue":
      return renderKeyValue(section);
    case "table":
      return renderTable(section);
    case "lineChart":
      return lineChart(section, wide);
    case "barChart":
      return barChart(section, wide);
    case "samples":
      return renderSamples(section);
    case "code":
      return html`<pre>${section.text}</pre>`;
    case "panels":
      return html`<div class="panels">${section.sections.map(
        (inner) => html`<div class="panel">${renderHeading(inner, "h3")}${renderBody(inner, false)}</div>`,
      )}</div>`;
  }
}

function renderHeading({ title, caption }: Section, level: "h2" | "h3"): Html {
  const heading = title && (level === "h2" ? html`<h2>${title}</h2>` : html`<h3>${title}</h3>`);
  return html`${heading}${caption && html`<p class="caption">${caption}</p>`}`;
}

function renderSection(section: Section): Html {
  if (section.kind === "code" && section.folded) {
    return html`<section><details><summary>${section.title ?? "Show"}</summary>${renderBody(section, true)}</details></section>`;
  }
  const frame = section.kind === "panels" ? "bare" : "";
  return html`<section class="${frame}">${renderHeading(section, "h2")}${renderBody(section, true)}</section>`;
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
