// One sample with everything that was said of it.

import { formatNumber } from "../../src/dashboard/numbers.js";
import type { Row } from "./api.js";
import type { MarkStore } from "./marks.js";
import { linkTo } from "./route.js";
import { Tokens, tokensOf } from "./tokens.js";

const SYMBOLS = { satisfied: "✓", violated: "✗", failed: "?" } as const;

export const Outcome = ({ outcome }: Pick<Row, "outcome">) =>
  outcome ? (
    <span class={outcome}>
      <span class="badge">
        {SYMBOLS[outcome]} {outcome}
      </span>
    </span>
  ) : null;

/** Columns of a sample that have a place of their own; the others are shown as they stand. */
const PLACED = new Set([
  "row",
  "step",
  "task",
  "prompt_id",
  "prompt",
  "response",
  "finish_reason",
  "outcome",
  "verdicts",
  "dropped",
  "token_texts",
  "token_log_ratios",
]);

const show = (value: unknown): string =>
  typeof value === "number" ? formatNumber(value) : typeof value === "string" ? value : JSON.stringify(value);

export function Facts({ row }: { row: Row }) {
  const facts = Object.entries(row).filter(
    ([key, value]) => !PLACED.has(key) && (typeof value !== "object" || value === null),
  );
  return (
    <div class="facts">
      {facts.map(([key, value]) => (
        <span key={key}>
          {key.replaceAll("_", " ")} <b>{value === null ? "none" : show(value)}</b>
        </span>
      ))}
      {row.finish_reason === "length" && <span>cut at the token limit</span>}
      {row.dropped !== undefined && <span>dropped: {String(row.dropped)}</span>}
    </div>
  );
}

export function Verdicts({ row }: { row: Row }) {
  return (
    <ul class="verdicts">
      {Object.entries(row.verdicts ?? {}).map(([judge, { verdict, reason, evidence }]) => (
        <li key={judge} class={verdict}>
          <span class="badge">
            {SYMBOLS[verdict]} {judge}: {verdict}
          </span>
          <span class="reason">{reason}</span>
          {evidence !== undefined && (
            <details>
              <summary>evidence</summary>
              <pre>{JSON.stringify(evidence, null, 2)}</pre>
            </details>
          )}
        </li>
      ))}
    </ul>
  );
}

export function MarkButtons({ row, marks }: { row: Row; marks: MarkStore }) {
  const mark = marks.of(row);
  return (
    <span class="marks">
      <button type="button" aria-pressed={mark === "good"} onClick={() => marks.set(row, "good")}>
        good
      </button>
      <button type="button" aria-pressed={mark === "bad"} onClick={() => marks.set(row, "bad")}>
        bad
      </button>
    </span>
  );
}

/** Lists of figures on one line, anything else by its parts. */
const shownStructure = (value: unknown): string =>
  Array.isArray(value) && value.every((item) => typeof item === "number")
    ? value.map((item: number) => formatNumber(item)).join("  ")
    : JSON.stringify(value, null, 2);

/** What a rollout holds beside plain figures: rubric items with their points, parts of a reward. */
function Structures({ row }: { row: Row }) {
  const rest = Object.entries(row).filter(
    ([key, value]) =>
      (!PLACED.has(key) || (key === "token_log_ratios" && !tokensOf(row))) &&
      typeof value === "object" &&
      value !== null,
  );
  return rest.map(([key, value]) => (
    <details key={key} open>
      <summary>{key.replaceAll("_", " ")}</summary>
      <pre>{shownStructure(value)}</pre>
    </details>
  ));
}

interface SampleProps {
  row: Row;
  run: string;
  marks: MarkStore;
}

export function Sample({ row, run, marks }: SampleProps) {
  const tokens = tokensOf(row);
  const key = `${row.task}\n${row.prompt_id ?? row.prompt}`;
  return (
    <article class="sample">
      <p class="soft">
        step {row.step} · {row.task} · <Outcome outcome={row.outcome} /> ·{" "}
        <a href={linkTo("prompt", { run, prompt: key })}>this prompt through all steps</a>{" "}
        <MarkButtons row={row} marks={marks} />
      </p>
      <h2>Prompt</h2>
      <div class="text">{row.prompt}</div>
      <h2>Response</h2>
      {tokens ? <Tokens tokens={tokens} /> : <div class="text">{row.response}</div>}
      <Facts row={row} />
      <Verdicts row={row} />
      <Structures row={row} />
    </article>
  );
}
