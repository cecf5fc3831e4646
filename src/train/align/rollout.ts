// The sampling half of Algorithm 1 of CGPO: K responses to each prompt, judged, rewarded, and calibrated against the
// baseline response of their prompt, with the log-probabilities that the objectives need.

import { NonFiniteError } from "../../base/errors.js";
import { mean } from "../../base/statistics.js";
import type { PromptRow } from "../../data/rows.js";
import type { Completion, Sequence } from "../../engine/contract.js";
import { judgeBatch, type SampleJudgement } from "../../judges/mixture.js";
import type { Outcome } from "../../objectives/index.js";
import { sideBySide, timed } from "../../run/clock.js";
import type { Metrics, Rollout } from "../../run/metrics.js";
import type { Scores } from "../rewards/rewards.js";
import { promptText } from "../text.js";
import { judgeBaselines, scoreBaselines, takeBaselines, withoutLength } from "./baselines.js";
import { calibrates, verdictOf } from "./judge-gate.js";
import { logprobsNow, referenceLogprobsOf, tokensOf } from "./learning.js";
import type { TaskBatch } from "./policy-objectives.js";
import { type Surroundings, samplingOptions, type Task } from "./task.js";

/** What a task's policy said in one step, and all that is known of it. Arrays have one entry per completion. */
export interface TaskRollouts {
  rows: readonly PromptRow[];
  completions: readonly Completion[];
  sequences: readonly Sequence[];
  responses: readonly string[];
  judgements: readonly SampleJudgement[];
  scores: Scores;
  /** Of the judges and of the reward, before the update. */
  metrics: Metrics;
  batch: TaskBatch;
  /** One for each prompt where the task calibrates its rewards. */
  baselineSequences: readonly Sequence[];
}

/** Samples, judges and scores the next prompts of a task with the policy and the reward as they are now. */
export async function rollOut(task: Task, around: Surroundings): Promise<TaskRollouts> {
  const { policy, codec, clock, context } = around;
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
  const tokens = tokensOf(sequences);

  const found = calibrates(recipe) ? await takeBaselines(task, rows, prompts, around) : [];

  // The engine has a thread of its own, so that judges deliberate while it computes.
  const [{ scores, logprobs, referenceLogprobs }, { judged, ofBaselines }] = await sideBySide(
    async () => {
      // Step 4: rewards, of the samples and of the baseline responses.
      const scores = await timed(clock.reward, tokens, () =>
        task.reward.score(
          sequences.map((sequence, i) => ({
            row: rows[completions[i]!.promptIndex]!,
            text: responses[i]!,
            tokens: sequence.tokens,
            seed: seeds[i]!,
          })),
          "samples",
        ),
      );
      if (calibrates(recipe))
        await timed(clock.reward, 0, () => scoreBaselines(task, rows, prompts, around.codec));
      // What step 5 needs: policy and reference by the same forward code.
      const logprobs = await logprobsNow(sequences, around);
      return { scores, logprobs, referenceLogprobs: await referenceLogprobsOf(sequences, around) };
    },
    async () => {
      // Step 3: y = AND_h J_h(s, a).
      const openThoughts = rows.map(({ prompt }) => codec.openThought(prompt));
      const samples = completions.map(({ promptIndex, finishReason }, i) => ({
        prompt: rows[promptIndex]!.prompt,
        response: responses[i]!,
        openThought: openThoughts[promptIndex],
        truncated: finishReason === "length",
        metadata: rows[promptIndex]!.metadata,
      }));
      const judged = await judgeBatch(task.mixture, samples, context.signal);
      return { judged, ofBaselines: await judgeBaselines(task, found, around) };
    },
    clock.judge,
  );
  // Not while they are scored: a checkpoint's bytes do not depend on who was first.
  found.forEach(({ id }, k) => {
    task.baselines.set(id, { ...task.baselines.get(id)!, judged: ofBaselines[k]! });
  });
  const baselines = calibrates(recipe) ? rows.map(({ id }) => task.baselines.get(id)!) : [];
  const rewards = withoutLength(
    recipe,
    scores.rewards,
    completions.map((completion) => completion.tokens),
  );
  const verdicts = completions.map(({ finishReason, promptIndex }, i): Outcome => {
    // Without r_pair(s, abar) there is no R_calib: such a sample has failed too.
    if (scores.failed[i] || (baselines.length > 0 && !baselines[promptIndex]!.score)) return "failed";
    if (!Number.isFinite(rewards[i]!))
      throw new NonFiniteError(
        `task ${recipe.name}: the reward of sample ${i} (prompt ${rows[promptIndex]!.id}) is ${rewards[i]}`,
      );
    if (finishReason === "length") rewards[i]! -= recipe.missingEosPenalty;
    return verdictOf(judged.results[i]!, scores.violated[i]!);
  });

  const batch: TaskBatch = {
    logprobs,
    referenceLogprobs,
    rewards,
    verdicts,
    promptIndex: completions.map(({ promptIndex }) => promptIndex),
    promptCount: rows.length,
    // The samples of a prompt whose baseline has no reward have failed, so that the 0 enters nothing.
    baselineRewards: baselines.map(({ score }) => score?.reward ?? 0),
  };
  const baselineSequences = baselines.map((baseline, i) => sequenceOf(prompts[i]!, baseline.tokens));
  if (optimizer.name === "crraft")
    batch.baselines = {
      logprobs: await logprobsNow(baselineSequences, around),
      referenceLogprobs: optimizer.fallbackKlTest
        ? await referenceLogprobsOf(baselineSequences, around)
        : undefined,
      verdicts: baselines.map(({ judged, score }) =>
        score?.isViolated && judged !== "failed" ? "violated" : judged!,
      ),
    };
  const scored = Array.from(rewards).filter((_, i) => !scores.failed[i]);
  return {
    rows,
    completions,
    sequences,
    responses,
    judgements: judged.results,
    scores,
    metrics: {
      ...judged.metrics,
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
  { rows, completions, responses, judgements, scores, batch }: TaskRollouts,
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
    ...scores.notes[i],
  }));
}

const sequenceOf = (prompt: readonly number[], completion: ArrayLike<number>): Sequence => ({
  tokens: [...prompt, ...Array.from(completion)],
  promptLength: prompt.length,
});

function asked({ verdicts }: SampleJudgement): Rollout["verdicts"] {
  return Object.fromEntries(
    Object.entries(verdicts).flatMap(([name, verdict]) =>
      typeof verdict === "string" ? [] : [[name, verdict]],
    ),
  );
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
