// One prompt through all steps, with what changed from one answer to the next.

import { type Row, type RunSummary, useAnswer } from "./api.js";
import { useMarks } from "./marks.js";
import { linkTo, type Route } from "./route.js";
import { Facts, MarkButtons, Outcome, Verdicts } from "./sample.js";
import { differences } from "./words.js";

export function Prompt({ route, run }: { route: Route; run: RunSummary }) {
  const prompt = route.params.get("prompt") ?? "";
  const marks = useMarks(run.id);
  const { data, error } = useAnswer<{ rows: Row[]; matching: number }>("prompt", { run: run.id, prompt });
  if (error) return <p class="error">{error}</p>;
  if (!data) return <p class="empty">Reading…</p>;
  if (data.rows.length === 0) return <p class="empty">No sample of this prompt has been seen yet.</p>;
  return (
    <>
      <h1>One prompt through the steps</h1>
      <p>
        <a href={linkTo("rollouts", { run: run.id })}>rollouts of {run.name}</a> · {data.matching} samples
        {data.rows.length < data.matching && `, of which the first ${data.rows.length} are shown`}
      </p>
      <div class="text prompt-text">{data.rows[0]!.prompt}</div>
      <div class="through">
        {data.rows.map((row, i) => (
          <article class="answer" key={row.row}>
            <h2>
              step {row.step} <Outcome outcome={row.outcome} /> <MarkButtons row={row} marks={marks} />
            </h2>
            <div class="text">
              {i === 0
                ? row.response
                : differences(data.rows[i - 1]!.response, row.response).map(({ text, change }, k) => {
                    const Tag = change === "added" ? "ins" : change === "removed" ? "del" : "span";
                    // biome-ignore lint/suspicious/noArrayIndexKey: pieces of a text have no other name
                    return <Tag key={k}>{text}</Tag>;
                  })}
            </div>
            <Facts row={row} />
            <Verdicts row={row} />
          </article>
        ))}
      </div>
    </>
  );
}
