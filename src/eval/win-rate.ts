// touchstone eval --against: how often one policy's answers are better than another's, by a reward model or by a judge
// model that sees every pair in both orders. Ties count one half; what the judge could not decide is counted apart.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { hash32, mix32 } from "../base/random.js";
import { type Interval, mean } from "../base/statistics.js";
import { loadPrompts, type PromptRow } from "../data/index.js";
import { openServer, type ServerModel } from "../llm/models.js";
import { endsRun } from "../llm/types.js";
import type { Storage } from "../model/stored.js";
import type { EngineRecipe } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import { openPolicy, openTokenizer } from "../train/models.js";
import { pooledMean } from "./estimate.js";
import { answersTo, type Sampling } from "./generate.js";
import { notePlainPrompts } from "./inference.js";
import { creditOf, pairwiseMessages, pairwiseVersion, preferenceIn } from "./pairwise.js";
import { withoutThoughts } from "./prompts.js";
import { interrupted, RowLog, weightsOf } from "./row-log.js";
import { openScorer, type Sampled } from "./scorer.js";

export type Comparator = { reward: string } | { judge: ServerModel };

export interface WinRateRequest extends Sampling {
  model: string;
  against: string;
  /** A file or Hub name. */
  prompts: string;
  by: Comparator;
  engine: EngineRecipe;
  /** How the weights are kept in memory. Default: float32. */
  quantise?: Storage | undefined;
  chatTemplate?: string;
  /** Plain prompts as user messages, or plain on purpose. */
  chat?: boolean | undefined;
  limit?: number;
  /** Answers of each policy to each prompt. */
  samples: number;
  seed: number;
  out?: string;
}

export interface WinRateResult extends Interval {
  model: string;
  against: string;
  by: string;
  prompts: number;
  comparisons: number;
  wins: number;
  ties: number;
  losses: number;
  /** Comparisons without a verdict, in no figure. */
  failed: number;
  failure?: string;
  /** Mean rewards, where a reward model compares. */
  rewards?: { model: number; against: number };
  /** Share of the judge's verdicts that chose the reply that was shown first; 1/2 where the place does not matter. */
  firstPlace?: number;
  /** Share of comparisons in which the two orders chose different replies. */
  inconsistent?: number;
}

/** One line of rows.jsonl: an answer of one policy. */
interface AnswerRow {
  key: string;
  policy: "model" | "against";
  id: string;
  sample: number;
  completion: string;
  prompt_ids: readonly number[];
  completion_ids: readonly number[];
  truncated: boolean;
  /** The prompt is too long for the model. */
  failed?: string;
}

interface Outcome {
  /** What the model gets, in [0, 1]. */
  credit?: number;
  failed?: string;
  rewards?: readonly [model: number, against: number];
  verdicts?: readonly [shownFirst: string, shownSecond: string];
}

interface Pair {
  row: PromptRow;
  sample: number;
  model: AnswerRow;
  against: AnswerRow;
}

const CHUNK = 64;

export async function runWinRate(request: WinRateRequest, context: RunContext): Promise<WinRateResult> {
  const { rows } = await loadPrompts(request.prompts, {
    limit: request.limit,
    applyChatTemplate: request.chat,
  });
  const log = await RowLog.open<AnswerRow>(request.out, await settingsOf(request));
  try {
    const [ours, theirs] = [
      await answersOf("model", rows, request, log, context),
      await answersOf("against", rows, request, log, context),
    ];
    const pairs = ours.map((model, i) => ({
      row: rows[Math.floor(i / request.samples)]!,
      sample: i % request.samples,
      model,
      against: theirs[i]!,
    }));
    const outcomes =
      "reward" in request.by
        ? await byReward(pairs, request.by.reward, request)
        : await byJudge(pairs, request.by.judge, request, context);
    const result = summarise(pairs, outcomes, rows.length, request);
    if (result.comparisons === 0)
      throw new UserError(
        `none of ${pairs.length} comparisons could be decided, so there is no win rate: ${result.failure}`,
      );
    if (request.out !== undefined) await writeResult(request.out, pairs, outcomes, result);
    return result;
  } finally {
    await log.close();
  }
}

const nameOf = (by: Comparator) =>
  "reward" in by ? `reward model ${by.reward}` : `judge model ${by.judge.model} (prompt ${pairwiseVersion})`;

const settingsOf = async (request: WinRateRequest) => ({
  model: request.model,
  weights: await weightsOf(request.model),
  against: request.against,
  against_weights: await weightsOf(request.against),
  seed: request.seed,
  ...(request.quantise && { quantise: request.quantise }),
  temperature: request.temperature,
  top_p: request.topP,
  max_new_tokens: request.maxNewTokens,
  by: nameOf(request.by),
});

/** `samples` answers to every prompt. The seed belongs to prompt and sample, so both policies draw the same numbers. */
async function answersOf(
  side: AnswerRow["policy"],
  rows: readonly PromptRow[],
  request: WinRateRequest,
  log: RowLog<AnswerRow>,
  { reporter, signal }: RunContext,
): Promise<AnswerRow[]> {
  const cells = rows.flatMap((row) =>
    Array.from({ length: request.samples }, (_, sample) => {
      const question = JSON.stringify([row.id, row.prompt, sample]);
      const key = createHash("sha256").update(`${side} ${question}`).digest("hex").slice(0, 24);
      return { key, row, sample, prompt: row.prompt, seed: mix32(request.seed, hash32(question), 0) };
    }),
  );
  const pending = cells.filter(({ key }) => !log.rows.has(key));
  if (pending.length > 0) {
    const opened = await openPolicy(request[side], { ...request, frozen: true });
    notePlainPrompts(rows, opened.codec, {
      data: `${request.prompts} for ${request[side]}`,
      ...{ chat: request.chat, reporter },
    });
    try {
      let done = cells.length - pending.length;
      reporter.begin(`answers of ${request[side]}`, cells.length, done);
      for (let first = 0; first < pending.length; first += CHUNK) {
        if (signal?.aborted) throw interrupted(done, cells.length, "answers", request.out);
        const chunk = pending.slice(first, first + CHUNK);
        const answers = await answersTo(chunk, opened, request, []);
        await log.append(
          answers.map((answer, i) => {
            const { key, row, sample } = chunk[i]!;
            const at = { key, policy: side, id: row.id, sample };
            return "problem" in answer
              ? {
                  ...at,
                  completion: "",
                  prompt_ids: [],
                  completion_ids: [],
                  truncated: false,
                  failed: answer.problem,
                }
              : {
                  ...at,
                  completion: answer.text,
                  prompt_ids: Array.from(answer.prompt),
                  completion_ids: Array.from(answer.tokens),
                  truncated: answer.truncated,
                };
          }),
        );
        done += chunk.length;
        reporter.step(done);
      }
      reporter.end();
    } finally {
      opened.policy.dispose();
    }
  }
  return cells.map(({ key }) => log.rows.get(key)!);
}

const failureOf = ({ model, against }: Pair) => model.failed ?? against.failed;

async function byReward(pairs: readonly Pair[], reward: string, request: WinRateRequest): Promise<Outcome[]> {
  const scored = pairs.filter((pair) => failureOf(pair) === undefined);
  const scores = { model: [] as number[], against: [] as number[] };
  for (const side of ["model", "against"] as const) {
    const { hash } = await openTokenizer(request[side]);
    const scorer = await openScorer(reward, { engine: request.engine, policyTokenizer: hash });
    try {
      const answers = scored.map((pair) => sampled(pair.row, pair[side]));
      scores[side] = [...(await scorer.score(answers))];
    } finally {
      scorer.dispose();
    }
  }
  let next = 0;
  return pairs.map((pair) => {
    const failed = failureOf(pair);
    if (failed !== undefined) return { failed };
    const rewards = [scores.model[next]!, scores.against[next]!] as const;
    next++;
    return { credit: (1 + Math.sign(rewards[0] - rewards[1])) / 2, rewards };
  });
}

const sampled = ({ prompt }: PromptRow, row: AnswerRow): Sampled => ({
  prompt,
  completion: row.completion,
  promptTokens: row.prompt_ids,
  tokens: row.completion_ids,
});

async function byJudge(
  pairs: readonly Pair[],
  judge: ServerModel,
  { out }: WinRateRequest,
  { reporter, signal }: RunContext,
): Promise<Outcome[]> {
  // A restart asks only what has no reply yet.
  const client = openServer(judge, out === undefined ? undefined : join(out, "judge.jsonl"));
  let done = 0;
  reporter.begin(`verdicts of ${judge.model}`, pairs.length);
  const verdict = async ({ row: { prompt } }: Pair, replyA: string, replyB: string) => {
    const messages = pairwiseMessages(prompt, replyA, replyB);
    const { content } = await client.chat({ model: judge.model, messages, seed: 0, maxTokens: 2048 }, signal);
    const preference = preferenceIn(content);
    if (preference === undefined)
      throw new Error(`${judge.model} names neither A nor B nor T: ${JSON.stringify(content.slice(0, 100))}`);
    return preference;
  };
  const outcomes = await Promise.all(
    pairs.map(async (pair): Promise<Outcome> => {
      const failed = failureOf(pair);
      if (failed !== undefined) return { failed };
      const [ours, theirs] = [pair.model, pair.against].map(({ completion }) => withoutThoughts(completion));
      // Nothing to choose between.
      if (ours === theirs) return { credit: 0.5 };
      try {
        const verdicts = await Promise.all([verdict(pair, ours!, theirs!), verdict(pair, theirs!, ours!)]);
        return { credit: creditOf(...verdicts), verdicts };
      } catch (error) {
        if (signal?.aborted) throw interrupted(done, pairs.length, "comparisons", out);
        if (endsRun(error)) throw error;
        return { failed: error instanceof Error ? error.message : String(error) };
      } finally {
        reporter.step(++done);
      }
    }),
  );
  reporter.end();
  return outcomes;
}

function summarise(
  pairs: readonly Pair[],
  outcomes: readonly Outcome[],
  prompts: number,
  { model, against, by, samples }: WinRateRequest,
): WinRateResult {
  const credits = outcomes.map(({ credit }) => credit);
  const decided = credits.filter((credit) => credit !== undefined);
  const clusters = Array.from({ length: prompts }, (_, i) =>
    credits.slice(i * samples, (i + 1) * samples).filter((credit) => credit !== undefined),
  );
  const failure = outcomes.find(({ failed }) => failed !== undefined)?.failed;
  const rewards = outcomes.flatMap((outcome) => (outcome.rewards ? [outcome.rewards] : []));
  const verdicts = outcomes.flatMap((outcome) => (outcome.verdicts ? [outcome.verdicts] : []));
  const chosen = verdicts.flat().filter((verdict) => verdict !== "tie");
  return {
    ...pooledMean(clusters),
    model,
    against,
    by: nameOf(by),
    prompts,
    comparisons: decided.length,
    wins: decided.filter((credit) => credit > 0.5).length,
    ties: decided.filter((credit) => credit === 0.5).length,
    losses: decided.filter((credit) => credit < 0.5).length,
    failed: pairs.length - decided.length,
    ...(failure !== undefined && { failure }),
    ...(rewards.length > 0 && {
      rewards: {
        model: mean(rewards.map(([ours]) => ours)),
        against: mean(rewards.map(([, theirs]) => theirs)),
      },
    }),
    ...(verdicts.length > 0 && {
      // Where all are ties the place mattered to none.
      firstPlace:
        chosen.length === 0 ? 0.5 : chosen.filter((verdict) => verdict === "A").length / chosen.length,
      // The same letter in both orders is the other reply.
      inconsistent: verdicts.filter(([a, b]) => a === b && a !== "tie").length / verdicts.length,
    }),
  };
}

/** The result as files have it. */
export const winRateJson = ({ firstPlace, ...result }: WinRateResult) => ({
  ...result,
  ...(firstPlace !== undefined && { first_place: firstPlace }),
});

/** comparisons.jsonl, results.json, and evaluation.json as `touchstone report` reads it. */
async function writeResult(
  out: string,
  pairs: readonly Pair[],
  outcomes: readonly Outcome[],
  result: WinRateResult,
): Promise<void> {
  const lines = pairs.map(({ row, sample, model, against }, i) => {
    const { credit = null, ...rest } = outcomes[i]!;
    const line = {
      id: row.id,
      sample,
      prompt: row.prompt,
      model: model.completion,
      against: against.completion,
    };
    return `${JSON.stringify({ ...line, credit, ...rest })}\n`;
  });
  const { model, against, estimate: rate, low, high, by: judge, comparisons } = result;
  const evaluation = { win_rates: [{ policy: model, against, rate, low, high, judge, comparisons }] };
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  await writeFileAtomic(join(out, "comparisons.jsonl"), lines.join(""));
  await writeFileAtomic(join(out, "evaluation.json"), json(evaluation));
  await writeFileAtomic(join(out, "results.json"), json(winRateJson(result)));
}
