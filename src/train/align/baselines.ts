// The baseline response abar of every prompt, which calibrated rewards compare with (CGPO, eq. 5): taken once, judged once,
// scored once by each version of the reward, and kept in the checkpoint.

import { UserError } from "../../base/errors.js";
import { hash32 } from "../../base/random.js";
import type { PromptRow } from "../../data/rows.js";
import { judgeBatch } from "../../judges/mixture.js";
import { type Outcome, outcomeOf } from "../../objectives/index.js";
import { penaliseLength } from "../../reward/ensemble.js";
import { timed } from "../../run/clock.js";
import type { ScoredResponse } from "../rewards/source.js";
import type { Codec } from "../text.js";
import type { SampledTask, StepContext } from "./parts.js";
import { samplingOptions } from "./passes.js";

/**
 * Takes abar of every prompt that has none yet, one response for the whole run: the data's own answer, or one sample of
 * pi_ref drawn from a seed of the prompt's own. `auto` takes the data's answer where there is one. Returns the prompts
 * that got theirs now, whose abar nobody has judged.
 */
export async function takeBaselines(
  task: SampledTask,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  { reference, codec, clock, signal }: StepContext,
): Promise<PromptRow[]> {
  const missing = firstOfEach(rows).filter((i) => !task.baselines.has(rows[i]!.id));
  const fromData = new Map(missing.map((i) => [i, dataBaseline(task, rows[i]!, codec)]));
  const toSample = missing.filter((i) => fromData.get(i) === undefined);
  const sampled =
    toSample.length === 0
      ? []
      : await timed(clock.sample, 0, () =>
          reference.sample(
            toSample.map((i) => prompts[i]!),
            {
              ...samplingOptions(task.limits),
              stopIds: codec.stopIds,
              signal,
              seeds: toSample.map((i) => seedOf(task, rows[i]!)),
            },
          ),
        );
  const sampleOf = new Map(toSample.map((i, k) => [i, sampled[k]!]));
  for (const i of missing) {
    const sample = sampleOf.get(i);
    task.baselines.set(rows[i]!.id, {
      tokens: fromData.get(i) ?? Array.from(sample!.tokens),
      isCutOff: sample?.finishReason === "length",
    });
  }
  return missing.map((i) => rows[i]!);
}

/** Scores every abar once by each version of the reward; one that could not be scored is tried again the next time. */
export async function scoreBaselines(
  task: SampledTask,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  { codec, signal }: StepContext,
): Promise<void> {
  const baselineOf = (i: number) => task.baselines.get(rows[i]!.id)!;
  const stale = firstOfEach(rows).filter(
    (i) => baselineOf(i).score?.version !== task.reward.versionFor(rows[i]!),
  );
  if (stale.length === 0) return;
  const { rewards, failed, violated } = await task.reward.score(
    stale.map((i): ScoredResponse => {
      const { tokens } = baselineOf(i);
      const text = codec.decode(tokens);
      return { row: rows[i]!, text, tokens: [...prompts[i]!, ...tokens], seed: seedOf(task, rows[i]!) };
    }),
    "baselines",
    signal,
  );
  // What the samples pay for length and a missing end, the baseline pays too: R_calib(s, abar) stays 0.5.
  const paid = payFor(
    task,
    rewards,
    stale.map((i) => {
      const { tokens, isCutOff } = baselineOf(i);
      return { tokens, finishReason: isCutOff ? "length" : "stop" };
    }),
  );
  stale.forEach((i, k) => {
    const { score: _, ...baseline } = baselineOf(i);
    const score = { reward: paid[k]!, isViolated: violated[k]!, version: task.reward.versionFor(rows[i]!) };
    task.baselines.set(rows[i]!.id, failed[k] ? baseline : { ...baseline, score });
  });
}

/** What the judges say of the abar of `rows`. */
export async function judgeBaselines(
  task: SampledTask,
  rows: readonly PromptRow[],
  { codec, signal }: StepContext,
): Promise<Outcome[]> {
  const { results } = await judgeBatch(
    task.judges,
    rows.map(({ id, prompt, metadata }) => {
      const { tokens, isCutOff } = task.baselines.get(id)!;
      const [response, openThought] = [codec.decode(tokens), codec.openThought?.(prompt, metadata)];
      return { prompt, response, openThought, truncated: isCutOff, metadata };
    }),
    signal,
  );
  return results.map(({ feasible }) => outcomeOf(feasible));
}

/** Indices of the rows, each prompt once. */
const firstOfEach = (rows: readonly PromptRow[]): number[] =>
  rows.flatMap((row, i) => (rows.findIndex(({ id }) => id === row.id) < i ? [] : [i]));

/** The rewards less what the task takes off for a response's length and for a missing end. */
export function payFor(
  { lengthPenalty, missingEosPenalty }: Pick<SampledTask, "lengthPenalty" | "missingEosPenalty">,
  rewards: Float64Array,
  responses: readonly { tokens: ArrayLike<number>; finishReason: "stop" | "length" }[],
): Float64Array {
  const lengths = responses.map(({ tokens }) => tokens.length);
  const paid = lengthPenalty ? penaliseLength(rewards, lengths, lengthPenalty) : rewards;
  return paid.map((reward, i) =>
    responses[i]!.finishReason === "length" ? reward - missingEosPenalty : reward,
  );
}

const seedOf = ({ random, name }: SampledTask, row: PromptRow): number =>
  hash32(`${random.seed} baseline ${name} ${row.id}`);

/** The data's own answer to a prompt. */
export const answerIn = ({ metadata: { response, completion, chosen } }: PromptRow): string | undefined =>
  [response, completion, chosen].map(replyIn).find((reply) => reply !== undefined);

/** Text, or what the assistant says in messages of one turn. */
function replyIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const [turn, ...others] = Array.isArray(value) ? (value as unknown[]) : [];
  if (others.length > 0 || typeof turn !== "object" || turn === null) return undefined;
  const { role, content } = turn as { role?: unknown; content?: unknown };
  return role === "assistant" && typeof content === "string" ? content : undefined;
}

/** The data's own answer as a completion. */
function dataBaseline({ baselineResponse }: SampledTask, row: PromptRow, codec: Codec): number[] | undefined {
  if (baselineResponse === "reference") return undefined;
  const answer = answerIn(row);
  if (answer !== undefined) {
    const { tokens, promptLength } = codec.sequence(row.prompt, answer, row.metadata);
    return Array.from(tokens.slice(promptLength));
  }
  if (baselineResponse === "auto") return undefined;
  throw new UserError(
    `${row.id}: baseline_response is dataset, but the row has no text in response, completion or chosen`,
  );
}
