// The curves of one run or of several.

import { type Alarm, type Following, type RunSummary, useAnswer } from "./api.js";
import { Chart, type Range } from "./chart.js";
import { go, linkTo, linkWith, type Route } from "./route.js";
import { RunHead } from "./runs.js";
import { Scroll } from "./scroll.js";
import { charts, type NamedTable, recipeDifferences } from "./series.js";

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
  if (runs.length < ids.length || ids.length === 0)
    return <p class="empty">There is no such run in {following.root}.</p>;
  const settings = {
    smoothing: Number(route.params.get("smooth") ?? 0) / 100,
    logarithmic: route.params.get("log") === "1",
    bySeed: route.params.get("seeds") === "1",
  };
  const range = parseRange(route.params.get("steps"));
  const { headline, others } = charts(tables, settings);
  const onRange = (next: Range) => go(linkWith(route, { steps: next && `${next[0]}-${next[1]}` }));
  return (
    <>
      {runs.length === 1 ? <RunHead run={runs[0]!} current="curves" /> : <Compared runs={runs} />}
      {runs.length === 1 && <Alarms run={runs[0]!} />}
      <Controls route={route} several={runs.length > 1} range={range} onRange={onRange} />
      {tables.length === 0 && <p class="empty">No step has been logged yet.</p>}
      <div class="charts">
        {headline.map((chart) => (
          <Chart key={chart.title} chart={chart} range={range} onRange={onRange} />
        ))}
      </div>
      {others.length > 0 && (
        <details open={route.params.get("all") === "1"}>
          <summary>Further metrics ({others.length})</summary>
          <div class="charts">
            {others.map((chart) => (
              <Chart key={chart.title} chart={chart} range={range} onRange={onRange} />
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
          onChange={(event) =>
            set("smooth", event.currentTarget.value === "0" ? undefined : event.currentTarget.value)
          }
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
