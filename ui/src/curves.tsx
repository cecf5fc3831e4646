// The curves of one run or of several.

import { frontierCharts, metricCharts, SETTINGS } from "../../src/dashboard/metric-charts.js";
import type { StandardErrors } from "../../src/run/spread.js";
import { type Alarm, type Following, type RunSummary, useAnswer } from "./api.js";
import { Chart } from "./chart.js";
import { go, linkTo, linkWith, type Route } from "./route.js";
import { RunHead } from "./runs.js";
import { Scroll } from "./scroll.js";
import { curvesOf, type NamedTable, type Range, recipeDifferences, repetitions } from "./series.js";

/** "10-50" as a range of steps. */
function parseRange(text: string | null): Range {
  const found = /^(\d+)-(\d+)$/.exec(text ?? "");
  return found ? [Number(found[1]), Number(found[2])] : undefined;
}

export function Curves({ route, following }: { route: Route; following: Following }) {
  const ids = route.params.getAll("run");
  const runs = ids.flatMap((id) => following.runs?.find((run) => run.id === id) ?? []);
  const tables = runs.flatMap((run): NamedTable[] => {
    const table = following.metrics.get(run.id);
    return table ? [{ run, table }] : [];
  });
  if (!following.runs) return <p class="empty">Reading the runs…</p>;
  const [only] = runs;
  if (!only || runs.length < ids.length)
    return <p class="empty">There is no such run in {following.root}.</p>;
  if (runs.length === 1) return <OneRun route={route} run={only} tables={tables} />;
  return (
    <>
      <Compared runs={runs} />
      <Charts route={route} tables={tables} />
    </>
  );
}

interface OneRunProps {
  route: Route;
  run: RunSummary;
  tables: readonly NamedTable[];
}

/** A run's alarms, and its curves with how sure they are. */
function OneRun({ route, run, tables }: OneRunProps) {
  const { data: errors } = useAnswer<StandardErrors>("spread", { run: run.id }, 10);
  return (
    <>
      <RunHead run={run} current="curves" />
      <Alarms run={run} />
      <Charts route={route} tables={tables.map((one) => ({ ...one, errors }))} />
    </>
  );
}

/** The charts of some runs, as the address wants them. */
function Charts({ route, tables }: { route: Route; tables: readonly NamedTable[] }) {
  const range = parseRange(route.params.get("steps"));
  const onRange = (next: Range) => go(linkWith(route, { steps: next && `${next[0]}-${next[1]}` }));
  const asked = route.params.get("smooth");
  const smoothing = asked === null ? SETTINGS.smoothing : () => Number(asked) / 100;
  const groups = route.params.get("seeds") === "1" ? repetitions(tables) : tables.map((one) => [one]);
  const curves = groups.map((group) => group.map((one) => curvesOf(one, range)));
  const { headline, others } = metricCharts(curves, {
    smoothing,
    logarithmic: route.params.get("log") === "1",
  });
  const frontier = frontierCharts(curves.flat());
  const isOpen = route.params.get("all") === "1";
  return (
    <>
      <Controls route={route} several={tables.length > 1} range={range} onRange={onRange} />
      {tables.length === 0 && <p class="empty">No step has been logged yet.</p>}
      <div class="charts">
        {headline.map((chart) => (
          <Chart key={chart.title} chart={chart} onRange={onRange} />
        ))}
        {frontier.map((chart) => (
          <Chart key={chart.title} chart={chart} />
        ))}
      </div>
      {others.length > 0 && (
        <details
          open={isOpen}
          onToggle={({ currentTarget: { open } }) =>
            open !== isOpen && go(linkWith(route, { all: open ? "1" : undefined }), { replace: true })
          }
        >
          <summary>Further metrics ({others.length})</summary>
          <div class="charts">
            {others.map((chart) => (
              <Chart key={chart.title} chart={chart} onRange={onRange} />
            ))}
          </div>
        </details>
      )}
    </>
  );
}

/** What the monitor says of a run, each with a way to the samples of its step. */
function Alarms({ run }: { run: RunSummary }) {
  const { data = [] } = useAnswer<Alarm[]>("alarms", { run: run.id }, 10);
  if (data.length === 0) return null;
  return (
    <section class="alarms" aria-label="alarms">
      <h2>{data.length === 1 ? "1 alarm" : `${data.length} alarms`}</h2>
      <ul>
        {data.map(({ step, task, signal, metric, sentence }) => (
          <li key={`${step} ${task} ${signal} ${metric}`}>
            step {step}: {sentence}{" "}
            <a
              href={linkTo("rollouts", {
                run: run.id,
                task,
                step_from: `${step}`,
                step_to: `${step}`,
                sort: "reward",
                descending: "1",
              })}
            >
              samples
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface ControlsProps {
  route: Route;
  several: boolean;
  range: Range;
  onRange(range: Range): void;
}

function Controls({ route, several, range, onRange }: ControlsProps) {
  const set = (key: string, value: string | undefined) =>
    go(linkWith(route, { [key]: value }), { replace: true });
  const bound = (place: 0 | 1) => (event: Event) => {
    const { value } = event.currentTarget as HTMLInputElement;
    const [low, high] = range ?? [0, 1_000_000_000];
    if (value !== "") onRange(place === 0 ? [Number(value), high] : [low, Number(value)]);
  };
  return (
    <form class="controls" onSubmit={(event) => event.preventDefault()}>
      <label>
        smoothing
        <input
          type="range"
          min="0"
          max="20"
          value={route.params.get("smooth") ?? "0"}
          onInput={(event) => set("smooth", event.currentTarget.value)}
        />
      </label>
      <label>
        steps from
        <input type="number" min="0" value={range?.[0] ?? ""} onChange={bound(0)} />
      </label>
      <label>
        to
        <input type="number" min="0" value={range && range[1] < 1e9 ? range[1] : ""} onChange={bound(1)} />
      </label>
      {range && (
        <button type="button" onClick={() => onRange(undefined)}>
          all steps
        </button>
      )}
      <label>
        <input
          type="checkbox"
          checked={route.params.get("log") === "1"}
          onChange={(event) => set("log", event.currentTarget.checked ? "1" : undefined)}
        />
        logarithmic
      </label>
      {several && (
        <label>
          <input
            type="checkbox"
            checked={route.params.get("seeds") === "1"}
            onChange={(event) => set("seeds", event.currentTarget.checked ? "1" : undefined)}
          />
          seeds as one curve
        </label>
      )}
    </form>
  );
}

function Compared({ runs }: { runs: NonNullable<Following["runs"]> }) {
  const differences = recipeDifferences(runs);
  return (
    <header>
      <h1>{runs.length} runs</h1>
      <details>
        <summary>What their recipes differ in ({differences.length})</summary>
        <Scroll label="recipe differences">
          <table>
            <thead>
              <tr>
                <th scope="col">key</th>
                {runs.map(({ id, name }) => (
                  <th scope="col" key={id}>
                    <a href={linkTo("run", { run: id })}>{name}</a>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {differences.map(({ key, values }) => (
                <tr key={key}>
                  <td>{key}</td>
                  {values.map((value, i) => (
                    <td key={runs[i]!.id}>{value ?? "–"}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </header>
  );
}
