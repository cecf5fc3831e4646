// The sampling half of Algorithm 1 of CGPO (2409.20370): K responses to each prompt, judged, rewarded, and calibrated
// against the baseline response of their prompt, with the log-probabilities that the objectives need.

import { FailureRateError, NonFiniteError } from "../../base/errors.js";
import { percent } from "../../base/percent.js";
import { repeatedShare } from "../../base/repetition.js";
import { mean, mostFrequent } from "../../base/statistics.js";
import { type PromptRow, promptText } from "../../data/rows.js";
import type { Completion, Sequence } from "../../engine/contract.js";
import type { BatchJudgement, SampleJudgement } from "../../judges/mixture.js";

import type { Verdict } from "../../judges/verdict.js";
import {
  type Outcome,
  outcomeOf,
  type SampleFinding,
  sequenceLogRatio,
  type TaskBatch,
} from "../../objectives/index.js";
import { sideBySide, timed } from "../../run/clock.js";
import type { Metrics, Rollout } from "../../run/metrics.js";
import type { Scores } from "../rewards/source.js";

import { judgeBaselines, payFor, scoreBaselines, takeBaselines } from "./baselines.js";
import { judgeSamples } from "./judging.js";
import { spreadsIn } from "./measures.js";
import type { Baseline, SampledTask, StepContext, TaskRollouts } from "./parts.js";
import { logprobsNow, promptTokens, referenceLogprobsOf, samplingOptions, tokensOf } from "./passes.js";

/** Samples, judges and scores the next prompts of a task with the policy and the reward as they are now. */
export async function rollOut(task: SampledTask, context: StepContext): Promise<TaskRollouts> {
  const { codec, clock, signal } = context;
  // Step 1: a batch of B prompts.
  const rows = task.nextPrompts();
  const prompts = rows.map((row) => promptTokens(row, codec, task.limits));

  // Step 2: K responses to each prompt from the current policy.
  const { completions, seeds } = await sample(task, rows, prompts, context);
  const sequences = completions.map(({ promptIndex, tokens }) => sequenceOf(prompts[promptIndex]!, tokens));
  const responses = completions.map(({ tokens }) => codec.decode(tokens));
  const newBaselines = task.calibrates ? await takeBaselines(task, rows, prompts, context) : [];

  // Step 3: y = AND_h J_h(s, a), of the responses and of new baseline responses.
  const judge = async () => ({
    judged: await judgeSamples(task.judges, { rows, completions, responses }, context),
    ofBaselines: await judgeBaselines(task, newBaselines, context),
  });
  // Step 4: the rewards, of the responses and of the baseline responses; and what step 5 needs: log pi_w and log pi_ref.
  const score = async () => {
    const scores = await timed(clock.reward, tokensOf(sequences), () =>
      task.reward.score(
        sequences.map(({ tokens }, i) => ({
          row: rows[completions[i]!.promptIndex]!,
          text: responses[i]!,
          tokens,
          seed: seeds[i]!,
        })),
        "samples",
        signal,
      ),
    );
    if (task.calibrates) await timed(clock.reward, 0, () => scoreBaselines(task, rows, prompts, context));
    const logprobs = await logprobsNow(sequences, context);
    return { scores, logprobs, referenceLogprobs: await referenceLogprobsOf(sequences, context) };
  };
  // The engine has a thread of its own, so that judges deliberate while it computes.
  const [{ scores, logprobs, referenceLogprobs }, { judged, ofBaselines }] = await sideBySide(
    score,
    judge,
    clock.judge,
  );
  // Not while they are scored: a checkpoint's bytes do not depend on who was first.
  newBaselines.forEach(({ id }, k) => void (task.baselines.get(id)!.judged = ofBaselines[k]!));
  const baselines = task.calibrates ? rows.map(({ id }) => task.baselines.get(id)!) : [];

  const batch: TaskBatch = {
    logprobs,
    referenceLogprobs,
    rewards: payFor(task, scores.rewards, completions),
    verdicts: outcomes(judged, scores, completions, baselines),
    promptIndex: completions.map(({ promptIndex }) => promptIndex),
    promptCount: rows.length,
    // The samples of a prompt whose baseline has no reward have failed, so that the 0 enters nothing.
    baselineRewards: baselines.map(({ score }) => score?.reward ?? 0),
  };
  requireFiniteRewards(task, batch, rows);
  const failures = failuresOf(batch, judged, scores, baselines);
  requireFewFailures(task, failures, judged);
  const baselineSequences = baselines.map(({ tokens }, i) => sequenceOf(prompts[i]!, tokens));
  const learned = await learnedBaselines(task, baselines, baselineSequences, context);
  return {
    rows,
    completions,
    sequences,
    responses,
    judgements: judged.results,
    scores,
    metrics: {
      ...judged.metrics,
      ...batchMetrics(batch, scores, completions),
      ...watchedMetrics(judged, scores, responses, completions),
      ...failureMetrics(failures, batch),
    },
    batch: { ...batch, ...(learned && { baselines: learned }) },
    baselineSequences,
  };
}

async function sample(
  { name, limits, random }: SampledTask,
  rows: readonly PromptRow[],
  prompts: readonly number[][],
  { policy, codec, clock, signal }: StepContext,
): Promise<{ completions: Completion[]; seeds: number[] }> {
  const { generations: n } = limits;
  const seeds = Array.from({ length: rows.length * n }, () => random.nextSeed());
  const completions = await timed(
    clock.sample,
    (done: Completion[]) => done.reduce((sum, { tokens }) => sum + tokens.length, 0),
    () => policy.sample(prompts, { ...samplingOptions(limits), stopIds: codec.stopIds, n, seeds, signal }),
  );
  completions.forEach(({ logprobs, promptIndex }, i) => {
    if (!logprobs.every(Number.isFinite))
      throw new NonFiniteError(
        `task ${name}: log pi of sample ${i} (prompt ${rows[promptIndex]!.id}) is not finite`,
      );
  });
  return { completions, seeds };
}

/** What each sample counts as. Without a reward, or r_pair(s, abar) where it is to be had, a sample has failed. */
const outcomes = (
  { results }: BatchJudgement,
  { failed, violated }: Scores,
  completions: readonly Completion[],
  baselines: readonly Baseline[],
): Outcome[] =>
  completions.map(({ promptIndex }, i) => {
    const lacksBaseline = baselines.length > 0 && !baselines[promptIndex]!.score;
    return failed[i] || lacksBaseline ? "failed" : outcomeOf(results[i]!.feasible, violated[i]);
  });

function requireFiniteRewards(
  { name }: SampledTask,
  { rewards, verdicts, promptIndex }: TaskBatch,
  rows: readonly PromptRow[],
): void {
  verdicts.forEach((verdict, i) => {
    if (verdict === "failed" || Number.isFinite(rewards[i]!)) return;
    const { id } = rows[promptIndex[i]!]!;
    throw new NonFiniteError(`task ${name}: the reward of sample ${i} (prompt ${id}) is ${rewards[i]}`);
  });
}

/** Why the failed samples of a batch have failed, one reason each. */
const failuresOf = (
  { verdicts, promptIndex }: TaskBatch,
  { results }: BatchJudgement,
  scores: Scores,
  baselines: readonly Baseline[],
): string[] =>
  verdicts.flatMap((verdict, i) => {
    if (verdict !== "failed") return [];
    if (scores.failed[i]) return [`reward: ${scores.reasons?.[i] ?? "could not be had"}`];
    const judge = Object.entries(results[i]!.verdicts).find(
      ([, said]) => typeof said !== "string" && said.verdict === "failed",
    );
    if (judge) return [`judge ${judge[0]}: ${(judge[1] as Verdict).reason}`];
    const lacksBaseline = baselines.length > 0 && !baselines[promptIndex[i]!]!.score;
    return [lacksBaseline ? "the reward of the prompt's baseline response could not be had" : "no verdict"];
  });

/** Ends the run where more has failed than the task allows, before anything is learned from what is left. */
function requireFewFailures(
  { name, maxFailedRate }: SampledTask,
  failures: readonly string[],
  { results, metrics }: BatchJudgement,
): void {
  const remedy = `(max_failed_rate is ${maxFailedRate})`;
  for (const [key, rate] of Object.entries(metrics)) {
    const judge = /^judges\/(.+)\/failed_rate$/.exec(key)?.[1];
    if (judge === undefined || !(rate! > maxFailedRate)) continue;
    const reasons = results.flatMap(({ verdicts: { [judge]: said } }) =>
      typeof said === "object" && said.verdict === "failed" ? [said.reason] : [],
    );
    throw new FailureRateError(
      `task ${name}: judge ${judge} could not judge ${percent(rate!, 0)} of the samples ${remedy}: ${mostFrequent(reasons)}`,
    );
  }
  if (failures.length > maxFailedRate * results.length)
    throw new FailureRateError(
      `task ${name}: ${percent(failures.length / results.length, 0)} of the samples had to be dropped ${remedy}: ${mostFrequent(failures)}`,
    );
}

/** `dropped_rate`: failed samples, whatever the reason; `dropped_reason`: the most frequent. */
const failureMetrics = (failures: readonly string[], { verdicts }: TaskBatch): Metrics => ({
  dropped_rate: failures.length / verdicts.length,
  ...(failures.length > 0 && { dropped_reason: mostFrequent(failures) }),
});

/** abar with its log-probabilities, where the objective learns from it too. */
async function learnedBaselines(
  { objective: { learnsBaselines } }: SampledTask,
  baselines: readonly Baseline[],
  sequences: readonly Sequence[],
  context: StepContext,
): Promise<TaskBatch["baselines"]> {
  if (learnsBaselines === undefined) return undefined;
  return {
    logprobs: await logprobsNow(sequences, context),
    referenceLogprobs: learnsBaselines === "both" ? await referenceLogprobsOf(sequences, context) : undefined,
    verdicts: baselines.map(({ judged, score }) =>
      score?.isViolated && judged !== "failed" ? "violated" : judged!,
    ),
  };
}

function batchMetrics(batch: TaskBatch, scores: Scores, completions: readonly Completion[]): Metrics {
  const scored = Array.from(batch.rewards).filter((_, i) => !scores.failed[i]);
  return {
    // Mean log(pi/pi_ref) of the responses, nats (k1: unbiased, may be negative).
    kl: mean(batch.logprobs.map((_, i) => sequenceLogRatio(batch, i))),
    "rewards/mean": scored.length > 0 ? mean(scored) : undefined,
    "completions/mean_length": mean(completions.map(({ tokens }) => tokens.length)),
    "completions/clipped_ratio": mean(
      completions.map(({ finishReason }) => Number(finishReason === "length")),
    ),
  };
}

/** What only the monitor needs (src/monitor): how the texts and the opinions of them change. */
function watchedMetrics(
  { results }: BatchJudgement,
  { notes }: Scores,
  responses: readonly string[],
  completions: readonly Completion[],
): Metrics {
  const spreads = spreadsIn(notes);
  const opinions = results.map(({ verdicts }) =>
    Object.values(verdicts).flatMap((said) => (typeof said === "string" ? [] : [said.verdict])),
  );
  const several = opinions.filter((said) => said.length > 1);
  const differ = several.filter((said) => said.includes("satisfied") && said.includes("violated"));
  const surprises = completions.filter(({ tokens }) => tokens.length > 0);
  return {
    // -log pi of a sampled token, nats: its mean is the entropy at temperature 1.
    "completions/entropy":
      surprises.length > 0 ? mean(surprises.map(({ logprobs }) => -mean(logprobs))) : undefined,
    "completions/repetition": mean(responses.map(repeatedShare)),
    ...(spreads.length > 0 && { "rewards/spread": mean(spreads) }),
    ...(several.length > 0 && { "judges/disagreement": differ.length / several.length }),
  };
}

/**
 * The lines of rollouts.jsonl: everything that was said of each sample, and what the objective made of it. `columns` has
 * what else belongs to it.
 */
export function rolloutRows(
  { name, calibrates }: SampledTask,
  step: number,
  { rows, completions, responses, judgements, scores, batch }: TaskRollouts,
  findings: readonly SampleFinding[],
  columns: readonly Readonly<Record<string, unknown>>[] = [],
): Rollout[] {
  const numberOrNull = (x: number): number | null => (Number.isFinite(x) ? x : null);
  return completions.map(({ promptIndex, finishReason, tokens }, i) => {
    const { advantage, calibratedReward, dropped } = findings[i]!;
    return {
      step,
      task: name,
      prompt_id: rows[promptIndex]!.id,
      prompt: promptText(rows[promptIndex]!.prompt),
      response: responses[i]!,
      finish_reason: finishReason,
      tokens: tokens.length,
      reward: numberOrNull(batch.rewards[i]!),
      ...(calibrates && {
        baseline_reward: batch.verdicts[i] === "failed" ? null : batch.baselineRewards[promptIndex]!,
        calibrated_reward: calibratedReward,
      }),
      log_ratio: sequenceLogRatio(batch, i),
      outcome: batch.verdicts[i]!,
      advantage,
      ...(dropped !== null && { dropped }),
      verdicts: asked(judgements[i]!),
      ...columns[i],
      ...scores.notes[i],
    };
  });
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
