// The work of `warm average`: members into one model, and before that, where there are held-out pairs, how good the members
// and their average are.

import type { Interval } from "../../base/statistics.js";
import { formatPercent } from "../../dashboard/numbers.js";
import type { FloatType } from "../../model/config.js";
import type { EngineRecipe } from "../../recipe/recipe.js";
import { averageCheckpoints } from "../../reward/average.js";
import { connectionSentences } from "../../reward/diagnostics/connectivity.js";
import { evaluateAverage, type HeldOutResult } from "../../reward/held-out.js";
import { MemberSet } from "../../reward/member-set.js";
import type { LinearMerge } from "../../reward/mergekit.js";
import type { RunContext } from "../../run/context.js";
import { openCodec, openScalarModel } from "../../train/models.js";
import { loadSplits, PairScorer } from "./pair-scorer.js";
import { percentOf } from "./progress.js";

export interface AverageRequest {
  merge: LinearMerge;
  out: string;
  /** Of the adapters among the members, where it is not the one that they name. */
  base?: string;
  /** On disk. Default: that of `merge`, else the members'. */
  dtype?: FloatType;
  /** Whether members may be other models than reward models. */
  anyModel?: boolean;
  /** Pairs to evaluate on: a file or Hub name. */
  heldOut?: { data: string; limit?: number };
  /** Whether the greedy soup on the held-out pairs chooses the members. */
  greedy?: boolean;
  engine: EngineRecipe;
  chatTemplate?: string;
  /** Plain prompts as user messages, or plain on purpose. */
  chat?: boolean | undefined;
}

export interface AverageEvaluation extends HeldOutResult {
  data: string;
  pairs: number;
}

export interface AveragedModels {
  /** The members of the average. */
  members: LinearMerge["models"];
  evaluation?: AverageEvaluation;
}

export async function averageRewardModels(
  request: AverageRequest,
  context: RunContext,
): Promise<AveragedModels> {
  const { merge, out, base, dtype = merge.dtype, anyModel = false, heldOut } = request;
  const evaluation = heldOut && (await evaluate(request, heldOut, context));
  const members = merge.models.filter((_, i) => evaluation?.members[i]?.kept ?? true);
  await averageCheckpoints({
    members: members.map(({ model, weight }) => ({ dir: model, weight, base })),
    out,
    dtype,
    normalize: merge.normalize,
    rewardModels: !anyModel,
    diagnostics: evaluation && {
      isWarm: evaluation.connection !== "broken",
      text: evaluationLines(evaluation)
        .map((line) => `- ${line}`)
        .join("\n"),
    },
    onProgress: percentOf(context.reporter, "averaging, percent"),
  });
  context.reporter.end();
  return { members, ...(evaluation && { evaluation }) };
}

async function evaluate(
  { merge, base, greedy, engine, chatTemplate, chat }: AverageRequest,
  { data, limit }: NonNullable<AverageRequest["heldOut"]>,
  context: RunContext,
): Promise<AverageEvaluation> {
  const { reporter } = context;
  const set = await MemberSet.open(merge.models.map(({ model }) => ({ dir: model, base })));
  try {
    const first = base ?? merge.models[0]!.model;
    const codec = await openCodec(first, { chatTemplate });
    const [split] = await loadSplits(codec, [{ name: "held-out", data }], { limit, chat }, context);
    // A base model of its own may be a language model: all weights, the head's too, are the set's.
    const model = await openScalarModel(first, { engine, frozen: true });
    const scorer = new PairScorer(model, [split!.pairs], context);
    try {
      const result = await evaluateAverage(merge, {
        greedy,
        score: async (label, weights) => {
          reporter.begin(`scoring ${label}, sequences`, scorer.sequences);
          const [scored] = await scorer.scoreAverage(set, weights, (sequences) => reporter.step(sequences));
          reporter.end();
          return scored!;
        },
      });
      return { data, pairs: split!.pairs.length, ...result };
    } finally {
      scorer.dispose();
    }
  } finally {
    await set.close();
  }
}

const withInterval = ({ estimate, low, high }: Interval): string =>
  `${formatPercent(estimate)} (${formatPercent(low)} to ${formatPercent(high)})`;

/** The evaluation in a few sentences. */
export function evaluationLines(evaluation: AverageEvaluation): string[] {
  const { data, pairs, members, average, gain, connection } = evaluation;
  return [
    `accuracy on ${pairs} pairs of ${data}, Wilson intervals at 95 %:`,
    ...members.map(
      ({ member, kept, ...accuracy }) => `${member}: ${withInterval(accuracy)}${kept ? "" : ", left out"}`,
    ),
    `average: ${withInterval(average)}, ${withInterval(gain)} over its members`,
    connectionSentences[connection],
  ];
}
