// The rubrics of a run as a time line: what each version changed, and what became of every round.

import { type RubricTimeline, type RunSummary, useAnswer } from "./api.js";
import { RunHead } from "./runs.js";

export function Rubric({ run }: { run: RunSummary }) {
  const { data, error } = useAnswer<RubricTimeline[]>("rubrics", { run: run.id }, 10);
  return (
    <>
      <RunHead run={run} current="rubric" />
      {error && <p class="error">{error}</p>}
      {data?.length === 0 && <p class="empty">No task of this run is rewarded by a rubric.</p>}
      {data?.map((timeline) => (
        <section key={`${timeline.task} ${timeline.cluster}`}>
          <h2>
            {timeline.task}
            {timeline.cluster && `, ${timeline.cluster}`}
          </h2>
          <ol class="timeline">
            {timeline.versions.map(({ version, reason, items, changes }) => (
              <li key={version}>
                <h3>version {version}</h3>
                {reason && <p>{reason}</p>}
                {changes.length > 0 && <Changes lines={changes} />}
                <details open={timeline.versions.length === 1}>
                  <summary>{items.length} items</summary>
                  <pre>{items.join("\n\n")}</pre>
                </details>
              </li>
            ))}
          </ol>
          {timeline.rounds.length > 0 && (
            <details>
              <summary>rounds of the meta reward model ({timeline.rounds.length})</summary>
              <ul>
                {timeline.rounds.map(({ step, round, trigger, outcome, reason, sampled, flagged }) => (
                  <li key={round}>
                    step {step} ({trigger}): <b>{outcome}</b>, {reason} ({flagged} of {sampled} samples
                    flagged)
                  </li>
                ))}
              </ul>
            </details>
          )}
        </section>
      ))}
    </>
  );
}

const Changes = ({ lines }: { lines: readonly string[] }) => (
  <pre class="changes">
    {lines.map((line, i) => {
      const Tag = line.startsWith("+") ? "ins" : line.startsWith("-") ? "del" : "span";
      // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other name
      return <Tag key={i}>{`${line}\n`}</Tag>;
    })}
  </pre>
);
