// The baseline response abar of every prompt, which calibrated rewards compare with (CGPO, eq. 5): taken once, judged once,
// scored once by each version of the reward, and kept in the checkpoint.

import { UserError } from "../../base/errors.js";
import { hash32 } from "../../base/random.js";
import type { PromptRow } from "../../data/rows.js";
import { judgeBatch } from "../../judges/mixture.js";
import type { Outcome } from "../../objectives/index.js";
import type { TaskRecipe } from "../../recipe/recipe.js";
import { penaliseLength } from "../../reward/ensemble.js";
import { timed } from "../../run/clock.js";
import type { RewardInput } from "../rewards/rewards.js";
import type { TextCodec } from "../text.js";
import { verdictOf } from "./judge-gate.js";
import { type Surroundings, samplingOptions, type Task } from "./task.js";

/**
 * Takes abar of every prompt that has none yet, one response for the whole run: the data's own answer, or one sample of
 * pi_ref drawn from a seed of the prompt's own. `auto` takes the data's answer where there is one. Returns the prompts
 * that got theirs now, whose abar nobody has judged.
 */
export async function takeBaselines(
  task: Task,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  { reference, codec, clock }: Surroundings,
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
              ...samplingOptions(task.optimizer, codec),
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
  task: Task,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  codec: TextCodec,
): Promise<void> {
  const baselineOf = (i: number) => task.baselines.get(rows[i]!.id)!;
  const stale = firstOfEach(rows).filter(
    (i) => baselineOf(i).score?.version !== task.reward.versionFor(rows[i]!),
  );
  if (stale.length === 0) return;
  const { rewards, failed, violated } = await task.reward.score(
    stale.map((i): RewardInput => {
      const { tokens } = baselineOf(i);
      const text = codec.decode(tokens);
      return { row: rows[i]!, text, tokens: [...prompts[i]!, ...tokens], seed: seedOf(task, rows[i]!) };
    }),
    "baselines",
  );
  const paid = withoutLength(
    task.recipe,
    rewards,
    stale.map((i) => baselineOf(i).tokens),
  );
  stale.forEach((i, k) => {
    const { score: _, ...baseline } = baselineOf(i);
    // What the samples pay for length and a missing end, the baseline pays too: R_calib(s, abar) stays 0.5.
    const reward = paid[k]! - (baseline.isCutOff ? task.recipe.missingEosPenalty : 0);
    const score = { reward, isViolated: violated[k]!, version: task.reward.versionFor(rows[i]!) };
    task.baselines.set(rows[i]!.id, failed[k] ? baseline : { ...baseline, score });
  });
}

/** What the judges say of the abar of `rows`. */
export async function judgeBaselines(
  task: Task,
  rows: readonly PromptRow[],
  { codec, context }: Surroundings,
): Promise<Outcome[]> {
  const { results } = await judgeBatch(
    task.mixture,
    rows.map(({ id, prompt, metadata }) => {
      const { tokens, isCutOff } = task.baselines.get(id)!;
      const [response, openThought] = [codec.decode(tokens), codec.openThought(prompt)];
      return { prompt, response, openThought, truncated: isCutOff, metadata };
    }),
    context.signal,
  );
  return results.map((result) => verdictOf(result));
}

/** Indices of the rows, each prompt once. */
const firstOfEach = (rows: readonly PromptRow[]): number[] =>
  rows.flatMap((row, i) => (rows.findIndex(({ id }) => id === row.id) < i ? [] : [i]));

/** The rewards less what the task takes off for the responses' length. */
export const withoutLength = (
  { lengthPenalty }: TaskRecipe,
  rewards: Float64Array,
  responses: readonly ArrayLike<number>[],
): Float64Array =>
  lengthPenalty
    ? penaliseLength(
        rewards,
        responses.map(({ length }) => length),
        lengthPenalty,
      )
    : rewards.slice();

const seedOf = ({ random, recipe }: Task, row: PromptRow): number =>
  hash32(`${random.seed} baseline ${recipe.name} ${row.id}`);

function dataBaseline({ recipe }: Task, row: PromptRow, codec: TextCodec): number[] | undefined {
  const { response, completion, chosen } = row.metadata;
  const answer = [response, completion, chosen].find((value) => typeof value === "string");
  if (recipe.baselineResponse === "reference") return undefined;
  if (answer === undefined) {
    if (recipe.baselineResponse === "auto") return undefined;
    throw new UserError(
      `${row.id}: baseline_response is dataset, but the row has no text in response, completion or chosen`,
    );
  }
  return [...codec.tokenizer.encode(answer as string, { addSpecialTokens: false }), codec.endId];
}
