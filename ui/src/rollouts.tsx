// The samples of a run: filtered, sorted and searched by the server, a page at a time.

import { useEffect, useRef, useState } from "preact/hooks";
import { formatNumber, formatPercent } from "../../src/dashboard/numbers.js";
import { ask, type RolloutPage, type Row, type RunSummary } from "./api.js";
import { download } from "./download.js";
import { anchorsOf, type MarkStore, pairsOf, useMarks } from "./marks.js";
import { go, linkWith, type Route } from "./route.js";
import { RunHead } from "./runs.js";
import { Outcome, Sample } from "./sample.js";
import { Scroll } from "./scroll.js";

const FILTERS = [
  "task",
  "prompt",
  "step_from",
  "step_to",
  "outcome",
  "finish",
  "judge",
  "verdict",
  "reward_from",
  "reward_to",
  "sort",
  "descending",
  "text",
  "regex",
] as const;

const NUMBERS = ["reward", "calibrated_reward", "advantage", "log_ratio", "tokens", "step"] as const;
const LIMIT = 100;

interface Listing {
  page?: RolloutPage;
  rows: Row[];
  error?: string;
  isLoading: boolean;
  more?(): void;
}

/** The rows of a query: the first page, and more when asked. A search that has found nothing yet goes on by itself. */
function useListing(run: string, params: URLSearchParams): Listing {
  const query = new URLSearchParams([["run", run]]);
  for (const key of FILTERS) if (params.get(key)) query.set(key, params.get(key)!);
  const key = query.toString();
  const [state, setState] = useState<Listing & { key: string }>({ key, rows: [], isLoading: true });
  const current = useRef(key);
  current.current = key;
  const load = async (from: number, before: Row[]): Promise<void> => {
    setState((now) => ({ ...now, key, rows: before, isLoading: true, error: undefined }));
    try {
      const page = await ask<RolloutPage>(
        "rollouts",
        new URLSearchParams([...query, ["from", `${from}`], ["limit", `${LIMIT}`]]),
      );
      if (current.current !== key) return;
      const rows = [...before, ...page.rows];
      setState({ key, page, rows, isLoading: false });
      const isUnfinished = page.progress < 1 || page.next !== null;
      if (rows.length < LIMIT && isUnfinished && (page.next !== null || before.length === 0))
        setTimeout(
          () => current.current === key && void load(page.next ?? from, page.next === null ? [] : rows),
          300,
        );
    } catch (error) {
      if (current.current === key)
        setState({ key, rows: before, error: (error as Error).message, isLoading: false });
    }
  };
  useEffect(() => void load(0, []), [key]);
  if (state.key !== key) return { rows: [], isLoading: true };
  const next = state.page?.next;
  return {
    ...state,
    more: next === null || next === undefined ? undefined : () => void load(next, state.rows),
  };
}

export function Rollouts({ route, run }: { route: Route; run: RunSummary }) {
  const listing = useListing(run.id, route.params);
  const marks = useMarks(run.id);
  const open = route.params.get("row");
  const place = listing.rows.findIndex(({ row }) => String(row) === open);
  const show = (row: Row | undefined) =>
    go(linkWith(route, { row: row && String(row.row) }), { replace: true });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
      if (event.key === "j") show(listing.rows[place + 1]);
      if (event.key === "k" && place > 0) show(listing.rows[place - 1]);
      if (event.key === "Escape") show(undefined);
      if (place >= 0 && event.key === "g") marks.set(listing.rows[place]!, "good");
      if (place >= 0 && event.key === "b") marks.set(listing.rows[place]!, "bad");
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  return (
    <>
      <RunHead run={run} current="rollouts" />
      <Filters route={route} page={listing.page} />
      <Count listing={listing} />
      <MarkBar run={run} marks={marks} />
      {listing.error && <p class="error">{listing.error}</p>}
      <div class={open ? "split" : ""}>
        <Table rows={listing.rows} open={open} marks={marks} onOpen={show} />
        {open && <Detail run={run.id} row={open} marks={marks} />}
      </div>
      {listing.more && !listing.isLoading && (
        <p>
          <button type="button" onClick={listing.more}>
            more
          </button>
        </p>
      )}
    </>
  );
}

function Count({ listing: { page, isLoading, rows } }: { listing: Listing }) {
  return (
    <p class="soft" role="status">
      {isLoading && "Looking… "}
      {page && `${rows.length} shown; the filters leave ${page.matching} of ${page.count} samples. `}
      {page && page.progress < 1 && `${formatPercent(page.progress, 0)} of the file has been read. `}
      {page && page.unreadable > 0 && `${page.unreadable} lines could not be read. `}
      Keys: j and k for the next and the previous sample, g and b to mark it.
    </p>
  );
}

function Filters({ route, page }: { route: Route; page?: RolloutPage }) {
  const get = (key: string) => route.params.get(key) ?? "";
  const set = (key: string) => (event: Event) =>
    go(linkWith(route, { [key]: (event.currentTarget as HTMLInputElement).value, row: undefined }), {
      replace: true,
    });
  const choice = (key: string, label: string, options: readonly string[]) => (
    <label>
      {label}
      <select value={get(key)} onChange={set(key)}>
        <option value="">any</option>
        {options.map((option) => (
          <option key={option} value={option}>
            {option.replaceAll("_", " ")}
          </option>
        ))}
      </select>
    </label>
  );
  const bound = (key: string, label: string) => (
    <label>
      {label}
      <input type="number" step="any" value={get(key)} onInput={set(key)} />
    </label>
  );
  const check = (key: string, label: string) => (
    <label>
      <input
        type="checkbox"
        checked={get(key) === "1"}
        onChange={(event) =>
          go(linkWith(route, { [key]: event.currentTarget.checked ? "1" : undefined }), { replace: true })
        }
      />
      {label}
    </label>
  );
  return (
    <form class="controls" onSubmit={(event) => event.preventDefault()}>
      <label>
        text
        <input type="search" value={get("text")} onInput={set("text")} />
      </label>
      {check("regex", "regular expression")}
      {choice("task", "task", page?.tasks ?? [])}
      {choice("outcome", "outcome", ["satisfied", "violated", "failed"])}
      {choice("judge", "judge", page?.judges ?? [])}
      {choice("verdict", "verdict", ["satisfied", "violated", "failed"])}
      {choice("finish", "finished by", ["stop", "length"])}
      {bound("step_from", "step from")}
      {bound("step_to", "to")}
      {bound("reward_from", "reward from")}
      {bound("reward_to", "to")}
      {choice("sort", "sorted by", NUMBERS)}
      {check("descending", "highest first")}
    </form>
  );
}

function MarkBar({ run, marks }: { run: RunSummary; marks: MarkStore }) {
  const count = Object.keys(marks.all).length;
  if (count === 0) return null;
  const name = run.name.replace(/[^\w-]+/g, "-");
  return (
    <p class="markbar">
      {count} marked:{" "}
      <button
        type="button"
        onClick={() => download(`${name}-anchors.jsonl`, anchorsOf(marks.all), "application/jsonl")}
      >
        export as anchors of a rubric
      </button>{" "}
      <button
        type="button"
        onClick={() => download(`${name}-pairs.jsonl`, pairsOf(marks.all), "application/jsonl")}
      >
        export as pairs for a reward model
      </button>{" "}
      <button type="button" onClick={marks.clear}>
        forget them
      </button>
    </p>
  );
}

const cell = (value: unknown) => (typeof value === "number" ? formatNumber(value) : "–");

interface TableProps {
  rows: readonly Row[];
  open: string | null;
  marks: MarkStore;
  onOpen(row: Row): void;
}

function Table({ rows, open, marks, onOpen }: TableProps) {
  return (
    <Scroll class="on-page" label="samples">
      <table class="rows">
        <thead>
          <tr>
            <th scope="col" class="n">
              step
            </th>
            <th scope="col">task</th>
            <th scope="col">prompt and response</th>
            <th scope="col">outcome</th>
            <th scope="col" class="n">
              reward
            </th>
            <th scope="col" class="n">
              advantage
            </th>
            <th scope="col" class="n">
              log-ratio
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.row} class={String(row.row) === open ? "open" : ""}>
              <td class="n">{row.step}</td>
              <td>{row.task}</td>
              <td class="excerpt">
                <button
                  type="button"
                  class="plain"
                  aria-expanded={String(row.row) === open}
                  onClick={() => onOpen(row)}
                >
                  <span class="soft">{row.prompt.slice(0, 160)}</span>
                  <span>{row.response.slice(0, 240) || "(empty)"}</span>
                </button>
              </td>
              <td>
                <Outcome outcome={row.outcome} /> {marks.of(row) && <span class="tag">{marks.of(row)}</span>}
              </td>
              <td class="n">{cell(row.reward)}</td>
              <td class="n">{cell(row.advantage)}</td>
              <td class="n">{cell(row.log_ratio)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Detail({ run, row, marks }: { run: string; row: string; marks: MarkStore }) {
  const [sample, setSample] = useState<Row>();
  const [error, setError] = useState<string>();
  useEffect(() => {
    setSample(undefined);
    ask<Row>("rollout", { run, row }).then(
      (data) => {
        setSample(data);
        setError(undefined);
      },
      (reason: Error) => setError(reason.message),
    );
  }, [run, row]);
  if (error) return <p class="error">{error}</p>;
  return sample ? (
    <Sample row={{ ...sample, row: Number(row) }} run={run} marks={marks} />
  ) : (
    <p class="empty">Reading…</p>
  );
}
