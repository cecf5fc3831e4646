// The work of `rubric test`: labelled responses through a rubric and the model that applies it.

import { UserError } from "../base/errors.js";
import { loadCompletions } from "../data/index.js";
import type { CompletionRow } from "../data/rows.js";
import { promptText } from "../data/rows.js";
import { openServer, type ServerModel } from "../llm/models.js";
import { type AnchorLabel, type AnchorReport, compareWithLabels } from "../mpo/anchors.js";
import type { TaskPrompts } from "../mpo/prompts.js";
import type { Rubric } from "../mpo/rubric.js";
import { RubricReward, type ScoringMode } from "../mpo/rubric-reward.js";
import { InterruptedError, type RunContext } from "../run/context.js";

export interface RubricTest {
  rubric: Rubric;
  task: TaskPrompts;
  /** A file or Hub name. */
  anchors: string;
  endpoint: ServerModel;
  scoring: ScoringMode;
  threshold: number;
  limit?: number;
  log?: string;
}

const words: Record<string, boolean> = { good: true, bad: false, true: true, false: false };

function labelOf({ id, metadata: { label, score } }: CompletionRow): AnchorLabel {
  if (typeof score === "number" && label === undefined) return score;
  if (typeof label === "boolean") return label;
  if (label === 0 || label === 1) return label === 1;
  const known = typeof label === "string" ? words[label.toLowerCase()] : undefined;
  if (known !== undefined) return known;
  throw new UserError(
    `${id}: an anchor needs a label, good or bad, or a score, which is a number; this row has ${JSON.stringify(label ?? score) ?? "neither"}`,
  );
}

export async function testRubric(
  { rubric, task, anchors, endpoint, scoring, threshold, limit, log }: RubricTest,
  { reporter, signal }: RunContext,
): Promise<AnchorReport> {
  const { rows } = await loadCompletions(anchors, { limit });
  if (rows.length === 0) throw new UserError(`${anchors} has no rows`);
  const labels = rows.map(labelOf);
  const odd = labels.findIndex((label) => typeof label !== typeof labels[0]);
  if (odd >= 0) throw new UserError(`${rows[odd]!.id}: labels and scores are mixed in one file`);
  const reward = new RubricReward({
    client: openServer(endpoint, log),
    model: endpoint.model,
    task,
    mode: scoring,
  });
  let done = 0;
  reporter.begin("anchors", rows.length);
  try {
    const scores = await Promise.all(
      rows.map(async ({ id, prompt, completion, metadata: { answer } }) => {
        const score = await reward.scoreByRubric(
          {
            promptId: id,
            prompt: promptText(prompt),
            response: promptText(completion),
            ...(typeof answer === "string" && { reference: answer }),
          },
          rubric,
          signal,
        );
        reporter.step(++done);
        return score;
      }),
    );
    return compareWithLabels(scores, labels, threshold);
  } catch (error) {
    if (signal?.aborted) throw new InterruptedError(`stopped after ${done} of ${rows.length} anchors`);
    throw error;
  } finally {
    reporter.end();
  }
}
