// The work of `warm check`: a reward model on pairs in RewardBench's format.

import { UserError } from "../../base/errors.js";
import { loadPreferences } from "../../data/index.js";
import type { Message, PreferenceRow, Text } from "../../data/rows.js";
import type { EngineRecipe } from "../../recipe/recipe.js";
import { correctness } from "../../reward/diagnostics/pair-scores.js";
import { type RewardBenchResult, rewardBench } from "../../reward/reward-bench.js";
import type { RunContext } from "../../run/context.js";
import { openCodec, openRewardModel } from "../../train/models.js";
import { encodePair, PairScorer } from "./pair-scorer.js";

export interface CheckRequest {
  model: string;
  /** A file or Hub name. */
  data: string;
  limit?: number;
  /** Whether strings stand as they are, even where the model has a chat template. */
  plain?: boolean;
  engine: EngineRecipe;
  chatTemplate?: string;
}

export async function checkRewardModel(
  { model, data, limit, plain = false, engine, chatTemplate }: CheckRequest,
  context: RunContext,
): Promise<RewardBenchResult> {
  const codec = await openCodec(model, { chatTemplate });
  const { rows, description } = await loadPreferences(data, { limit });
  context.reporter.note(`${data}: ${description}`);
  const subsets = rows.map(subsetOf);
  const isChat = !plain && codec.hasTemplate;
  const pairs = rows.map((row) => encodePair(codec, isChat ? asConversation(row) : row));
  const scorer = new PairScorer(await openRewardModel(model, { engine, frozen: true }), [pairs], context);
  try {
    context.reporter.begin("scoring, sequences", scorer.sequences);
    const [scores] = await scorer.score((sequences) => context.reporter.step(sequences));
    context.reporter.end();
    return rewardBench(correctness(scores!), subsets);
  } finally {
    scorer.dispose();
  }
}

function subsetOf({ id, metadata }: PreferenceRow): string {
  const { subset } = metadata;
  if (typeof subset === "string") return subset;
  throw new UserError(
    `${id}: "subset" must name the subset of the pair; check reads RewardBench's columns prompt, chosen, rejected, subset`,
  );
}

/** A string is one turn, as RewardBench has it. */
const turn = (text: Text, role: string): Message[] =>
  typeof text === "string" ? [{ role, content: text }] : text;

const asConversation = (row: PreferenceRow): PreferenceRow => ({
  ...row,
  prompt: turn(row.prompt, "user"),
  chosen: turn(row.chosen, "assistant"),
  rejected: turn(row.rejected, "assistant"),
});
