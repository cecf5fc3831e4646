// The sampling half of Algorithm 1 of CGPO (2409.20370): K responses to each prompt, judged, rewarded, and calibrated
// against the baseline response of their prompt, with the log-probabilities that the objectives need.

import { FailureRateError, NonFiniteError } from "../../base/errors.js";
import { percent } from "../../base/percent.js";
import { repeatedShare } from "../../base/repetition.js";
import { mean, mostFrequent } from "../../base/statistics.js";
import { together } from "../../base/together.js";
import { type PromptRow, promptText } from "../../data/rows.js";
import type { Completion, Sequence } from "../../engine/contract.js";
import type { BatchJudgement, SampleJudgement } from "../../judges/mixture.js";

import type { Verdict } from "../../judges/verdict.js";
import { StreamDecoder } from "../../model/tokenizer.js";
import {
  type Outcome,
  outcomeOf,
  type SampleFinding,
  sequenceLogRatio,
  type TaskBatch,
} from "../../objectives/index.js";
import type { Metrics, Rollout } from "../../run/metrics.js";
import type { Scores } from "../rewards/source.js";

import type { Codec } from "../text.js";
import { payFor } from "./baselines.js";
import { spreadsIn } from "./measures.js";
import type { Baseline, SampledTask, StepContext, TaskRollouts } from "./parts.js";
import { logprobsNow, promptTokens, referenceLogprobsOf } from "./passes.js";
import { sequenceOf, takeInTurn, takeSideBySide } from "./take.js";

/** Samples, judges and scores the next prompts of a task with the policy and the reward as they are now. */
export async function rollOut(task: SampledTask, context: StepContext): Promise<TaskRollouts> {
  // Step 1: a batch of B prompts.
  const rows = task.nextPrompts();
  const prompts = rows.map((row) => promptTokens(row, context.codec, task.limits));
  const seeds = Array.from({ length: rows.length * task.limits.generations }, () => task.random.nextSeed());
  const asked = { rows, prompts, seeds };
  // Steps 2 to 4, and what step 5 needs: log pi_w and log pi_ref.
  const { drawn, judged, ofBaselines, newBaselines, scores, logprobs, referenceLogprobs } = context.policy
    .answersSideBySide
    ? await takeSideBySide(task, asked, context)
    : await takeInTurn(task, asked, context);
  const { completions, sequences, responses } = drawn;
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
  const logprobs = () => logprobsNow(sequences, context);
  const referenceLogprobs = async () =>
    learnsBaselines === "both" ? referenceLogprobsOf(sequences, context) : undefined;
  const [own, ofReference] = context.policy.answersSideBySide
    ? await together(() => [logprobs(), referenceLogprobs()] as const)
    : [await logprobs(), await referenceLogprobs()];
  return {
    logprobs: own,
    referenceLogprobs: ofReference,
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

/** Six significant digits. */
export const rounded = (x: number): number => Number(x.toPrecision(6));

/**
 * A sample token by token: the text that each completes ("" within a character), and log(pi_w / pi_ref) of it. Bytes that
 * the end left without their character are the last token's.
 */
export function tokenColumns(
  { completions, responses, batch }: TaskRollouts,
  i: number,
  codec: Codec,
): { token_texts: string[]; token_log_ratios: number[] } {
  const decoder = new StreamDecoder(codec);
  const texts = Array.from(completions[i]!.tokens, (id) => decoder.push(id));
  const shown = texts.join("");
  if (texts.length > 0 && responses[i]!.startsWith(shown))
    texts[texts.length - 1] += responses[i]!.slice(shown.length);
  return {
    token_texts: texts,
    token_log_ratios: Array.from(batch.logprobs[i]!, (x, t) => rounded(x - batch.referenceLogprobs[i]![t]!)),
  };
}

function asked({ verdicts }: SampleJudgement): Rollout["verdicts"] {
  return Object.fromEntries(
    Object.entries(verdicts).flatMap(([name, verdict]) =>
      typeof verdict === "string" ? [] : [[name, verdict]],
    ),
  );
}
