// What judges said: rates, reasons, and on what two of them disagree.

import { formatNumber, formatPercent } from "../../src/dashboard/numbers.js";
import { type JudgeFigures, type JudgePage, type RunSummary, useAnswer } from "./api.js";
import { go, linkTo, linkWith, type Route } from "./route.js";
import { RunHead } from "./runs.js";
import { Scroll } from "./scroll.js";

const share = (part: number, whole: number) => (whole === 0 ? "no verdicts" : formatPercent(part / whole));

export function Judges({ route, run }: { route: Route; run: RunSummary }) {
  const task = route.params.get("task") ?? "";
  const { data, error } = useAnswer<JudgePage>("judges", { run: run.id, ...(task && { task }) }, 10);
  return (
    <>
      <RunHead run={run} current="judges" />
      {error && <p class="error">{error}</p>}
      {data && (
        <form class="controls" onSubmit={(event) => event.preventDefault()}>
          <label>
            task
            <select
              value={task}
              onChange={(event) => go(linkWith(route, { task: event.currentTarget.value }))}
            >
              <option value="">all</option>
              {data.tasks.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          {data.progress < 1 && (
            <span class="soft">{formatPercent(data.progress, 0)} of the rollouts read</span>
          )}
        </form>
      )}
      {data?.judges.length === 0 && <p class="empty">No judge has judged a sample of this run.</p>}
      {data?.judges.map((figures) => (
        <JudgePanel key={figures.judge} run={run} task={task} figures={figures} />
      ))}
      {data && data.disagreements.length > 0 && <Disagreements page={data} />}
    </>
  );
}

const seconds = (value: number) =>
  value < 1 ? `${formatNumber(1000 * value)} ms` : `${formatNumber(value)} s`;

/** How long a judge took, and what its model was asked. */
function Expense({ expense }: Pick<JudgeFigures, "expense">) {
  const { latency, cache_hits: hits, calls, prompt_tokens: prompt, completion_tokens: reply, cost } = expense;
  const facts: [string, string | undefined][] = [
    ["mean latency", latency === undefined ? undefined : seconds(latency)],
    ["verdicts that were known", hits?.toLocaleString("en")],
    ["requests", calls?.toLocaleString("en")],
    ["prompt tokens", prompt?.toLocaleString("en")],
    ["reply tokens", reply?.toLocaleString("en")],
    ["cost", cost ? formatNumber(cost) : undefined],
  ];
  return (
    <div class="facts">
      {facts.map(
        ([name, value]) =>
          value !== undefined && (
            <span key={name}>
              {name} <b>{value}</b>
            </span>
          ),
      )}
    </div>
  );
}

function JudgePanel({ run, task, figures }: { run: RunSummary; task: string; figures: JudgeFigures }) {
  const { judge, satisfied, violated, failed, reasons } = figures;
  const decided = satisfied + violated;
  return (
    <section>
      <h2>{judge}</h2>
      <p>
        <span class="satisfied">
          <span class="badge">✓ {satisfied}</span>
        </span>{" "}
        <span class="violated">
          <span class="badge">✗ {violated}</span>
        </span>{" "}
        <span class="failed">
          <span class="badge">? {failed}</span>
        </span>{" "}
        violated {share(violated, decided)} of what it decided; failed on {share(failed, decided + failed)}
      </p>
      <Expense expense={figures.expense} />
      {(["violated", "failed"] as const).map(
        (verdict) =>
          reasons[verdict].length > 0 && (
            <div key={verdict}>
              <h3>
                <a href={linkTo("rollouts", { run: run.id, task, judge, verdict })}>
                  most frequent reasons of {verdict}
                </a>
              </h3>
              <ul>
                {reasons[verdict].map(({ reason, count }) => (
                  <li key={reason}>
                    {count}× {reason}
                  </li>
                ))}
              </ul>
            </div>
          ),
      )}
    </section>
  );
}

const Disagreements = ({ page }: { page: JudgePage }) => (
  <section>
    <h2>Judges that disagree</h2>
    <Scroll label="judges that disagree">
      <table>
        <thead>
          <tr>
            <th scope="col">judges</th>
            <th scope="col" class="n">
              samples that both decided
            </th>
            <th scope="col" class="n">
              differ
            </th>
          </tr>
        </thead>
        <tbody>
          {page.disagreements.map(({ judges: [a, b], both, differ }) => (
            <tr key={`${a} ${b}`}>
              <td>
                {a}, {b}
              </td>
              <td class="n">{both}</td>
              <td class="n">{formatPercent(differ / both)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  </section>
);
