// The page of `touchstone ui`: one view at a time, chosen by the address.

import { render } from "preact";
import type { JSX } from "preact/jsx-runtime";
import { CHART_STYLE, SCROLL_STYLE, THEME } from "../../src/dashboard/style.js";
import { type RunSummary, useAnswer, useFollowed } from "./api.js";
import { Curves } from "./curves.js";
import { Judges } from "./judges.js";
import { Prompt } from "./prompt.js";
import { Rollouts } from "./rollouts.js";
import { type Route, useRoute } from "./route.js";
import { Rubric } from "./rubric.js";
import { RunHead, Runs } from "./runs.js";
import "./style.css";

/** Views of one run, by their name in the address. */
const OF_A_RUN: Record<string, (props: { route: Route; run: RunSummary }) => JSX.Element> = {
  rollouts: Rollouts,
  prompt: Prompt,
  judges: Judges,
  rubric: Rubric,
  recipe: Recipe,
};

function Recipe({ run }: { run: RunSummary }) {
  const { data, error } = useAnswer<{ recipeText: string }>("run", { run: run.id });
  return (
    <>
      <RunHead run={run} current="recipe" />
      {error && <p class="error">{error}</p>}
      <pre>{data?.recipeText}</pre>
    </>
  );
}

function App() {
  const route = useRoute();
  const following = useFollowed(route.view === "run" ? route.params.getAll("run") : []);
  const run = following.runs?.find(({ id }) => id === route.params.get("run"));
  const View = OF_A_RUN[route.view];
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("main")!.focus()}>
        to the content
      </button>
      <header class="top">
        <a class="brand" href="#/runs">
          <i aria-hidden="true" />
          Touchstone
        </a>
        {!following.isConnected && (
          <span class="error" role="alert">
            the server is gone; this is what it said last
          </span>
        )}
      </header>
      <main id="main" tabIndex={-1}>
        {View === undefined ? (
          route.view === "run" ? (
            <Curves route={route} following={following} />
          ) : (
            <Runs following={following} />
          )
        ) : run ? (
          <View route={route} run={run} />
        ) : (
          <p class="empty">
            {following.runs ? `There is no such run in ${following.root}.` : "Reading the runs…"}
          </p>
        )}
      </main>
    </>
  );
}

const sheet = document.createElement("style");
sheet.textContent = THEME + CHART_STYLE + SCROLL_STYLE;
document.head.append(sheet);
render(<App />, document.getElementById("app")!);
