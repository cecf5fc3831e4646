// The work of `warm inspect`: opens the members, scores the pairs with them and with their averages, and measures the deltas
// of their weights.

import { UserError } from "../../base/errors.js";
import { didYouMean } from "../../base/suggest.js";
import type { EngineRecipe } from "../../recipe/recipe.js";
import { deltaGeometry } from "../../reward/diagnostics/deltas.js";
import { type InspectionReport, inspectMembers, type SplitFacts } from "../../reward/diagnostics/inspect.js";
import { MemberSet } from "../../reward/member-set.js";
import type { RunContext } from "../../run/context.js";
import { openCodec, openRewardModel } from "../../train/models.js";
import { editPairs, type LoadedSplit, loadSplits, PairScorer, type SplitSource } from "./pair-scorer.js";
import { percentOf } from "./progress.js";

export interface InspectRequest {
  /** Reward model directories or LoRA adapters. */
  members: readonly string[];
  sources: readonly SplitSource[];
  /** The column that is true where a label is known to be wrong. */
  flippedColumn: string;
  limit?: number;
  /** The split that ranks the members. Default: the first that is not corrupted. */
  select?: string;
  /** Members to interpolate between, counted from 0. Default: the best two. */
  paths?: readonly (readonly [number, number])[];
  /** Where all members began, or each of them; without any there are no deltas. */
  init: readonly string[];
  seed: number;
  engine: EngineRecipe;
  chatTemplate?: string;
  /** Plain prompts as user messages, or plain on purpose. */
  chat?: boolean | undefined;
}

export async function inspectRewardModels(
  request: InspectRequest,
  context: RunContext,
): Promise<InspectionReport> {
  const { members, sources, flippedColumn, limit, init, engine, chatTemplate, chat } = request;
  const { reporter } = context;
  const set = await MemberSet.open(members.map((dir) => ({ dir })));
  try {
    const codec = await openCodec(members[0]!, { chatTemplate });
    const splits = await loadSplits(codec, sources, { limit, chat, flippedColumn }, context);
    const select = selection(splits, request.select);
    const deltas =
      init.length > 0
        ? await deltaGeometry(set, { init, onProgress: percentOf(reporter, "weight deltas, percent") })
        : undefined;
    if (deltas) reporter.end();
    const model = await openRewardModel(members[0]!, { engine, frozen: true });
    const inspection = await score({ ...request, set, splits, select, model }, context);
    return { ...inspection, ...(deltas && { deltas }) };
  } finally {
    await set.close();
  }
}

interface Scoring extends Pick<InspectRequest, "members" | "paths" | "seed"> {
  set: MemberSet;
  splits: readonly LoadedSplit[];
  select: number;
  model: Awaited<ReturnType<typeof openRewardModel>>;
}

/** Scores the pairs, and the pairs with one token changed, and disposes of the model. */
async function score({ set, splits, model, seed, ...options }: Scoring, context: RunContext) {
  const { reporter } = context;
  const pairs = splits.map((split) => split.pairs);
  const edits = pairs.map((of) => editPairs(of, seed));
  const scorer = new PairScorer(model, pairs, context);
  const edited = new PairScorer(model, edits, context);
  try {
    let scored = 0;
    let expected = options.members.length;
    const onSequences = (sequences: number) => reporter.step(scored * scorer.sequences + sequences);
    reporter.begin("scoring, sequences", expected * scorer.sequences);
    const result = await inspectMembers({
      ...options,
      splits,
      seed,
      score: (weights) => scorer.scoreAverage(set, weights, onSequences),
      scoreEdited: (weights) => edited.scoreAverage(set, weights, onSequences),
      onProgress: (done, total) => {
        scored = done;
        if (total === expected) return;
        expected = total;
        reporter.begin("scoring averages, sequences", total * scorer.sequences, done * scorer.sequences);
      },
    });
    reporter.end();
    return result;
  } finally {
    scorer.dispose();
  }
}

/** The place of the split that ranks the members. */
function selection(
  splits: readonly Pick<SplitFacts, "name" | "corrupted">[],
  wanted: string | undefined,
): number {
  const clean = splits.filter(({ corrupted }) => !corrupted).map(({ name }) => name);
  if (clean.length === 0)
    throw new UserError(
      "every label is marked as wrong, so nothing can rank the members; add a split of clean pairs",
    );
  if (wanted !== undefined && !clean.includes(wanted))
    throw new UserError(
      `--select ${wanted}: there is no clean split of that name${didYouMean(wanted, clean)}; there are ${clean.join(", ")}`,
    );
  return splits.findIndex(({ name }) => name === (wanted ?? clean[0]));
}
