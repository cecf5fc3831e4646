// The list of runs, and the head of a run's pages.

import { useState } from "preact/hooks";
import type { Following, RunSummary } from "./api.js";
import { go, linkTo } from "./route.js";

const SYMBOLS = { running: "●", finished: "✓", interrupted: "‖", failed: "✗" } as const;

export const State = ({ run: { state } }: { run: RunSummary }) => (
  <span class={`state ${state}`}>
    <span aria-hidden="true">{SYMBOLS[state]}</span> {state}
  </span>
);

/** 5400 as "1 h 30 min". */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function ago(milliseconds: number): string {
  const seconds = (Date.now() - milliseconds) / 1000;
  return seconds < 60
    ? "just now"
    : seconds < 86_400
      ? `${duration(seconds)} ago`
      : new Date(milliseconds).toLocaleDateString();
}

function Progress({ run: { step, steps, secondsLeft } }: { run: RunSummary }) {
  return (
    <>
      {steps === null ? (
        `step ${step}`
      ) : (
        <>
          <progress value={step} max={steps} aria-label={`${step} of ${steps} steps`} /> {step} of {steps}
        </>
      )}
      {secondsLeft !== null && <span class="soft"> · {duration(secondsLeft)} left</span>}
    </>
  );
}

export function Runs({ following }: { following: Following }) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [text, setText] = useState("");
  const { runs, root } = following;
  if (!runs) return <p class="empty">Reading the runs…</p>;
  if (runs.length === 0)
    return (
      <p class="empty">
        There is no run in {root} yet. A run is a directory with a recipe.yaml, as `touchstone align` makes
        it; this page shows it as soon as it is there.
      </p>
    );
  const shown = runs.filter(({ name }) => name.includes(text)).sort((a, b) => b.changed - a.changed);
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  return (
    <>
      <h1>Runs</h1>
      <form class="controls" onSubmit={(event) => event.preventDefault()}>
        <label>
          name
          <input type="search" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <button
          type="button"
          disabled={chosen.size < 2}
          onClick={() => go(linkTo("run", { run: [...chosen] }))}
        >
          compare {chosen.size > 1 ? chosen.size : ""}
        </button>
        <span class="soft">
          {runs.length} in {root}
        </span>
      </form>
      <ul class="runs">
        {shown.map((run) => (
          <li key={run.id}>
            <input
              type="checkbox"
              aria-label={`choose ${run.name}`}
              checked={chosen.has(run.id)}
              onChange={() => toggle(run.id)}
            />
            <div class="run">
              <a href={linkTo("run", { run: run.id })}>{run.name}</a> <span class="tag">{run.kind}</span>{" "}
              {run.seed !== null && <span class="soft">seed {run.seed}</span>}
              <div class="soft">
                <State run={run} /> · <Progress run={run} /> · {ago(run.changed)}
              </div>
              {run.reason && <div class="reason">{run.reason}</div>}
            </div>
          </li>
        ))}
      </ul>
    </>
  );
}

const PAGES = [
  ["run", "curves"],
  ["rollouts", "rollouts"],
  ["judges", "judges"],
  ["rubric", "rubric"],
  ["recipe", "recipe"],
] as const;

/** Name, state and the pages of a run. */
export function RunHead({ run, current }: { run: RunSummary; current: (typeof PAGES)[number][1] }) {
  return (
    <header>
      <h1>{run.name}</h1>
      <p class="soft">
        <State run={run} /> · {run.kind} · <Progress run={run} />
      </p>
      {run.reason && <p class="reason">{run.reason}</p>}
      <nav aria-label="of this run">
        {PAGES.map(([view, name]) => (
          <a
            key={view}
            href={linkTo(view, { run: run.id })}
            aria-current={name === current ? "page" : undefined}
          >
            {name}
          </a>
        ))}
      </nav>
    </header>
  );
}
