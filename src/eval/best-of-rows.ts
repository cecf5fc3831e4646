// The work of `sample --best-of`: N completions of every prompt, scored once; the best goes out, and on request the curve
// of best-of-n for every n up to N from the same scores.

import { UserError } from "../base/errors.js";
import type { Metadata, Text } from "../data/rows.js";
import { createMember } from "../judges/registry.js";
import { verdictFrom } from "../judges/verdict.js";
import type { JudgeRecipe } from "../recipe/recipe.js";
import { ensembleMean, uncertaintyWeighted, worstCase } from "../reward/ensemble.js";
import type { RunContext } from "../run/context.js";
import { openTokenizer } from "../train/models.js";
import { type BestOfPoint, bestOfCurve } from "./best-of.js";
import { inChunks, type OutputRow, type SampleRequest, sampleRows } from "./inference.js";
import { openScorer, type Sampled } from "./scorer.js";

export type Combine = "mean" | "min" | "uwo";

/** A reward model, or a judge as in a recipe, whose module's path starts from `baseDir`. */
export type Gold = { name: string } & ({ judge: string | JudgeRecipe; baseDir: string } | { model: string });

export interface BestOfRequest extends Omit<SampleRequest, "n"> {
  /** N. */
  bestOf: number;
  /** Reward models; several are combined. */
  rewards: readonly string[];
  combine: Combine;
  /** Another measure of the same completions. */
  gold?: Gold;
  /** Sample one more completion of every prompt, as the opponent, and report best-of-n. */
  withCurve: boolean;
}

export interface BestOfReport {
  model: string;
  rewards: readonly string[];
  combine: Combine | undefined;
  gold: string | undefined;
  prompts: number;
  /** Prompts of which a completion could not be judged by the gold judge; they are in no gold figure. */
  goldFailed: number;
  /** In the points' `gold`, over the prompts that were judged. */
  points: BestOfPoint[];
}

export interface BestOfResult {
  rows: OutputRow[];
  report?: BestOfReport;
}

/** One score a completion; NaN where there is none. */
type Measure = (rows: readonly OutputRow[]) => Promise<Float64Array>;

export async function bestOfRows(request: BestOfRequest, context: RunContext): Promise<BestOfResult> {
  const { bestOf, rewards, combine, gold, withCurve, model } = request;
  if (request.temperature === 0 && bestOf > 1)
    throw new UserError("best of several at temperature 0 would draw the same completion every time");
  const drawn = bestOf + (withCurve ? 1 : 0);
  // The gold judge is made first: a mistake in its name should not cost the sampling.
  const judged = gold && "judge" in gold ? await judgeMeasure(gold) : undefined;
  const samples = await sampleRows({ ...request, n: drawn }, context);
  const policyTokenizer = (await openTokenizer(model)).hash;
  const scored = async (reward: string) => {
    const scorer = await openScorer(reward, { engine: request.engine, policyTokenizer });
    try {
      const label = `scoring by ${reward}`;
      return Float64Array.from(
        await inChunks(label, samples, context, async (chunk) => [
          ...(await scorer.score(chunk.map(asSampled))),
        ]),
      );
    } finally {
      scorer.dispose();
    }
  };
  const members: Float64Array[] = [];
  for (const reward of rewards) members.push(await scored(reward));
  const proxy = rewardsOf(members, combine);
  const prompts = samples.length / drawn;
  const ofPrompt = (values: Float64Array) =>
    Array.from({ length: prompts }, (_, p) => values.subarray(p * drawn, (p + 1) * drawn));
  const byPrompt = ofPrompt(proxy);
  const rows = byPrompt.map((values, p) => {
    const best = argmax(values.subarray(0, bestOf));
    return { ...samples[p * drawn + best]!, reward: values[best]!, best_of: bestOf };
  });
  if (!withCurve) return { rows };

  const goldValues = judged ? await judged(samples) : gold && "model" in gold && (await scored(gold.model));
  const goldByPrompt = goldValues && ofPrompt(goldValues);
  const isJudged = byPrompt.map((_, p) => !(goldByPrompt && goldByPrompt[p]!.some(Number.isNaN)));
  const points = bestOfCurve(byPrompt);
  const chosen = (list: readonly Float64Array[]) => list.filter((_, p) => isJudged[p]);
  const goldPoints = goldByPrompt && bestOfCurve(chosen(byPrompt), chosen(goldByPrompt));
  return {
    rows,
    report: {
      model,
      rewards,
      combine: rewards.length > 1 ? combine : undefined,
      gold: gold?.name,
      prompts,
      goldFailed: isJudged.filter((judged) => !judged).length,
      points: points.map((point, i) => ({ ...point, ...(goldPoints && { gold: goldPoints[i]!.gold! }) })),
    },
  };
}

/** lambda of `uwo`, as recipes have it. */
const uwoLambda = 0.1;

function rewardsOf(members: readonly Float64Array[], combine: Combine): Float64Array {
  if (members.length === 1) return members[0]!;
  if (combine === "min") return worstCase(members);
  return combine === "uwo" ? uncertaintyWeighted(members, uwoLambda) : ensembleMean(members);
}

function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

const asSampled = (row: OutputRow): Sampled => ({
  prompt: (row.prompt ?? "") as Text,
  completion: row.completion as string,
  promptTokens: row.prompt_ids as number[],
  tokens: row.completion_ids as number[],
});

/** 1 where the judge is satisfied, 0 where the response violates it, NaN where it cannot tell or does not apply. */
async function judgeMeasure({ judge: entry, baseDir }: Extract<Gold, { judge: unknown }>): Promise<Measure> {
  const { judge } = await createMember(entry, { baseDir });
  return async (rows) =>
    Float64Array.from(
      await Promise.all(
        rows.map(async ({ prompt, completion, finish_reason, ...columns }) => {
          const verdict = await verdictFrom(judge, {
            prompt: (prompt ?? "") as Text,
            response: completion as string,
            truncated: finish_reason === "length",
            metadata: columns as Metadata,
          });
          if (verdict?.verdict === "satisfied") return 1;
          return verdict?.verdict === "violated" ? 0 : Number.NaN;
        }),
      ),
    );
}
