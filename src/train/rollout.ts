// The sampling half of Algorithm 1 of CGPO: K responses to each prompt, judged, rewarded, and calibrated against the
// baseline response of their prompt, with the log-probabilities that the objectives need.

import { NonFiniteError, UserError } from "../base/errors.js";
import { hash32 } from "../base/random.js";
import type { PromptRow } from "../data/rows.js";
import type { Completion, Sequence } from "../engine/contract.js";
import { judgeBatch, type SampleJudgement } from "../judges/mixture.js";
import type { Outcome } from "../objectives/index.js";
import { type Baseline, type Surroundings, samplingOptions, type Task } from "./align-task.js";
import { timed } from "./clock.js";
import { calibrates } from "./judge-gate.js";
import type { Metrics, Rollout } from "./metrics.js";
import type { TaskBatch } from "./policy-objectives.js";
import { promptText, type TextCodec } from "./text.js";

/** What a task's policy said in one step, and all that is known of it. Arrays have one entry per completion. */
export interface TaskRollouts {
  rows: readonly PromptRow[];
  completions: readonly Completion[];
  sequences: readonly Sequence[];
  responses: readonly string[];
  judgements: readonly SampleJudgement[];
  /** Of the judges and of the reward, before the update. */
  metrics: Metrics;
  batch: TaskBatch;
  /** One for each prompt where the task calibrates its rewards. */
  baselineSequences: readonly Sequence[];
}

/** Samples, judges and scores the next prompts of a task with the policy and the reward as they are now. */
export async function rollOut(task: Task, around: Surroundings): Promise<TaskRollouts> {
  const { policy, reference, codec, clock, context } = around;
  const { recipe, optimizer } = task;
  const rows = task.cursor.next(optimizer.batchPrompts);
  task.batch = rows;
  const prompts = rows.map((row) => codec.prompt(row.prompt));

  // Step 2: K responses to each prompt from the current policy.
  const seeds = Array.from({ length: rows.length * optimizer.generations }, () => task.random.nextSeed());
  const completions = await timed(
    clock.sample,
    (done: Completion[]) => done.reduce((sum, { tokens }) => sum + tokens.length, 0),
    () => policy.sample(prompts, { ...samplingOptions(optimizer, codec), n: optimizer.generations, seeds }),
  );
  completions.forEach(({ logprobs, promptIndex }, i) => {
    if (!logprobs.every(Number.isFinite))
      throw new NonFiniteError(
        `task ${recipe.name}: log pi of sample ${i} (prompt ${rows[promptIndex]!.id}) is not finite`,
      );
  });
  const sequences = completions.map((completion) =>
    sequenceOf(prompts[completion.promptIndex]!, completion.tokens),
  );
  const responses = completions.map(({ tokens }) => codec.decode(tokens));
  const tokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0);

  // Step 3: y = AND_h J_h(s, a).
  const judged = await timed(clock.judge, 0, () =>
    judgeBatch(
      task.mixture,
      completions.map(({ promptIndex, finishReason }, i) => ({
        prompt: rows[promptIndex]!.prompt,
        response: responses[i]!,
        truncated: finishReason === "length",
        metadata: rows[promptIndex]!.metadata,
      })),
      context.signal,
    ),
  );

  // Step 4: rewards, of the samples and of the baseline responses.
  const scores = await timed(clock.reward, tokens, () =>
    task.reward.score(
      sequences.map((sequence, i) => ({
        row: rows[completions[i]!.promptIndex]!,
        text: responses[i]!,
        tokens: sequence.tokens,
        seed: seeds[i]!,
      })),
      context.signal,
    ),
  );
  const baselines = calibrates(recipe)
    ? await timed(clock.reward, 0, () => baselinesOf(task, rows, prompts, around))
    : [];
  const rewards = Float64Array.from(scores.rewards);
  const verdicts = completions.map(({ finishReason, promptIndex }, i): Outcome => {
    if (scores.failed[i]) return "failed";
    if (!Number.isFinite(rewards[i]!))
      throw new NonFiniteError(
        `task ${recipe.name}: the reward of sample ${i} (prompt ${rows[promptIndex]!.id}) is ${rewards[i]}`,
      );
    if (finishReason === "length") rewards[i]! -= recipe.missingEosPenalty;
    return verdictOf(judged.results[i]!);
  });

  // What step 5 needs: policy and reference by the same forward code.
  const logprobs = await timed(clock.logprobs, tokens, () => policy.logprobs(sequences));
  const referenceLogprobs = await timed(clock.logprobs, tokens, () => reference.logprobs(sequences));
  const batch: TaskBatch = {
    logprobs,
    referenceLogprobs,
    rewards,
    verdicts,
    promptIndex: completions.map(({ promptIndex }) => promptIndex),
    promptCount: rows.length,
    baselineRewards: baselines.map(({ reward }) => reward),
  };
  const baselineSequences = baselines.map((baseline, i) => sequenceOf(prompts[i]!, baseline.tokens));
  if (optimizer.name === "crraft")
    batch.baselines = {
      logprobs: await policy.logprobs(baselineSequences),
      referenceLogprobs: await reference.logprobs(baselineSequences),
      verdicts: baselines.map(({ verdict }) => verdict),
    };
  const scored = Array.from(rewards).filter((_, i) => !scores.failed[i]);
  return {
    rows,
    completions,
    sequences,
    responses,
    judgements: judged.results,
    metrics: {
      ...judged.metrics,
      ...scores.metrics,
      kl: klEstimate(batch),
      "rewards/mean": scored.length > 0 ? mean(scored) : undefined,
      "completions/mean_length": mean(completions.map((completion) => completion.tokens.length)),
      "completions/clipped_ratio": mean(
        completions.map(({ finishReason }) => Number(finishReason === "length")),
      ),
    },
    batch,
    baselineSequences,
  };
}

/** The lines of rollouts.jsonl: `advantages` has what the update made of each sample, if anything. */
export function rolloutRows(
  task: string,
  step: number,
  { rows, completions, responses, judgements, batch }: TaskRollouts,
  advantages: readonly (number | null)[],
): Rollout[] {
  return completions.map((completion, i) => ({
    step,
    task,
    prompt: promptText(rows[completion.promptIndex]!.prompt),
    response: responses[i]!,
    finish_reason: completion.finishReason,
    tokens: completion.tokens.length,
    reward: Number.isFinite(batch.rewards[i]!) ? batch.rewards[i]! : null,
    log_ratio: difference(batch.logprobs[i]!, batch.referenceLogprobs[i]!),
    advantage: advantages[i] ?? null,
    verdicts: asked(judgements[i]!),
  }));
}

const sequenceOf = (prompt: readonly number[], completion: ArrayLike<number>): Sequence => ({
  tokens: [...prompt, ...Array.from(completion)],
  promptLength: prompt.length,
});

function verdictOf({ feasible }: SampleJudgement): Outcome {
  if (feasible === undefined) return "failed";
  return feasible ? "satisfied" : "violated";
}

function asked({ verdicts }: SampleJudgement): Rollout["verdicts"] {
  return Object.fromEntries(
    Object.entries(verdicts).flatMap(([name, verdict]) =>
      typeof verdict === "string" ? [] : [[name, verdict]],
    ),
  );
}

/**
 * abar of every prompt, scored once per prompt and reward version: the data's own answer, or one sample of pi_ref drawn
 * from a seed of the prompt's own. `auto` takes the data's answer where there is one.
 */
async function baselinesOf(
  task: Task,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  { reference, codec, context }: Surroundings,
): Promise<Baseline[]> {
  const missing = rows.flatMap((row, i) =>
    task.baselines.has(row.id) || rows.findIndex(({ id }) => id === row.id) < i ? [] : [i],
  );
  if (missing.length > 0) {
    const seedOf = (i: number) => hash32(`${task.random.seed} baseline ${task.recipe.name} ${rows[i]!.id}`);
    const fromData = missing.map((i) => dataBaseline(task, rows[i]!, codec));
    const toSample = missing.filter((_, k) => fromData[k] === undefined);
    const sampled = await reference.sample(
      toSample.map((i) => prompts[i]!),
      { ...samplingOptions(task.optimizer, codec), seeds: toSample.map(seedOf) },
    );
    const samples = new Map(toSample.map((i, k) => [i, sampled[k]!]));
    const tokens = missing.map((i, k) => fromData[k] ?? Array.from(samples.get(i)!.tokens));
    const texts = tokens.map((row) => codec.decode(row));
    const { rewards } = await task.reward.score(
      missing.map((i, k) => ({
        row: rows[i]!,
        text: texts[k]!,
        tokens: [...prompts[i]!, ...tokens[k]!],
        seed: seedOf(i),
      })),
      context.signal,
    );
    const { results } = await judgeBatch(
      task.mixture,
      missing.map((i, k) => ({
        prompt: rows[i]!.prompt,
        response: texts[k]!,
        truncated: samples.get(i)?.finishReason === "length",
        metadata: rows[i]!.metadata,
      })),
      context.signal,
    );
    missing.forEach((i, k) => {
      // What the samples pay for a missing end, the baseline pays too: R_calib(s, abar) stays 0.5.
      const penalty = samples.get(i)?.finishReason === "length" ? task.recipe.missingEosPenalty : 0;
      task.baselines.set(rows[i]!.id, {
        reward: rewards[k]! - penalty,
        tokens: tokens[k]!,
        verdict: verdictOf(results[k]!),
      });
    });
  }
  return rows.map((row) => task.baselines.get(row.id)!);
}

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

/** Mean log(pi/pi_ref) of the responses, nats (k1: unbiased, may be negative). */
function klEstimate({ logprobs, referenceLogprobs }: TaskBatch): number {
  return mean(logprobs.map((row, i) => difference(row, referenceLogprobs[i]!)));
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let t = 0; t < a.length; t++) sum += a[t]! - b[t]!;
  return sum;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
