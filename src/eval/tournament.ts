// The work of `elo`: every policy answers every prompt, a judge model compares every two answers in both orders, and
// the comparisons become ratings. With an output directory the same command goes on where it stopped.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { hash32, mix32 } from "../base/random.js";
import type { Interval } from "../base/statistics.js";
import { loadPrompts, type PromptRow } from "../data/index.js";
import { openServer, type ServerModel } from "../llm/models.js";
import { endsRun } from "../llm/types.js";
import { eloRatings, type Match } from "../mpo/elo.js";
import type { EngineRecipe } from "../recipe/recipe.js";
import { InterruptedError, type RunContext } from "../run/context.js";
import { openPolicy } from "../train/models.js";
import { pooledMean } from "./estimate.js";
import { answersTo, type Sampling } from "./generate.js";
import { notePlainPrompts } from "./inference.js";
import { creditOf, type Preference, pairwiseMessages, pairwiseVersion, preferenceIn } from "./pairwise.js";
import { withoutThoughts } from "./prompts.js";
import { RowLog, weightsOf } from "./row-log.js";

export interface Player {
  name: string;
  /** Directory or Hub name. */
  model: string;
}

export interface TournamentRequest extends Sampling {
  players: readonly Player[];
  /** A file or Hub name. */
  prompts: string;
  judge: ServerModel;
  engine: EngineRecipe;
  chatTemplate?: string;
  /** Plain prompts as user messages, or plain on purpose. */
  chat?: boolean | undefined;
  limit?: number;
  seed: number;
  out?: string;
}

export interface Standing {
  name: string;
  elo: Interval;
  /** Mean credit over all comparisons. */
  score: number;
}

export interface PairStanding extends Interval {
  a: string;
  b: string;
  comparisons: number;
}

export interface TournamentResult {
  judge: string;
  prompts: number;
  /** The strongest first. */
  standings: Standing[];
  /** How often a is preferred to b, ties one half. */
  pairs: PairStanding[];
  /** Comparisons without a verdict, in no figure. */
  failed: number;
  failure?: string;
  /** Share of the verdicts that chose the reply shown first; 1/2 where the place does not matter. */
  firstPlace?: number;
}

/** One line of rows.jsonl. */
interface AnswerRow {
  key: string;
  player: string;
  id: string;
  completion: string;
  /** The prompt is too long for the model. */
  failed?: string;
}

interface Comparison extends Match {
  prompt: number;
  verdicts?: readonly [Preference, Preference];
}

interface Failure {
  failed: string;
}

const CHUNK = 64;

export async function runTournament(
  request: TournamentRequest,
  context: RunContext,
): Promise<TournamentResult> {
  const { players, prompts, limit, chat, out } = request;
  const { rows } = await loadPrompts(prompts, { limit, applyChatTemplate: chat });
  if (rows.length === 0) throw new UserError(`${prompts} has no prompts`);
  const log = await RowLog.open<AnswerRow>(out, await settingsOf(request));
  try {
    const answers: AnswerRow[][] = [];
    for (const player of players) answers.push(await answersOf(player, rows, request, log, context));
    const outcomes = await compareAll(rows, answers, request, context);
    const result = summarise(outcomes, rows.length, request);
    if (out !== undefined)
      await writeFileAtomic(
        join(out, "results.json"),
        `${JSON.stringify(tournamentJson(result), null, 2)}\n`,
      );
    return result;
  } finally {
    await log.close();
  }
}

const settingsOf = async ({ players, seed, temperature, topP, maxNewTokens, judge }: TournamentRequest) => ({
  players: await Promise.all(
    players.map(async ({ name, model }) => ({ name, model, weights: await weightsOf(model) })),
  ),
  seed,
  temperature,
  top_p: topP,
  max_new_tokens: maxNewTokens,
  judge: judge.model,
  judge_prompt: pairwiseVersion,
});

/** The answer of a player to every prompt. The seed belongs to the prompt: all players draw the same numbers. */
async function answersOf(
  { name, model }: Player,
  rows: readonly PromptRow[],
  request: TournamentRequest,
  log: RowLog<AnswerRow>,
  { reporter, signal }: RunContext,
): Promise<AnswerRow[]> {
  const cells = rows.map((row) => {
    const question = JSON.stringify([row.id, row.prompt]);
    const key = createHash("sha256")
      .update(JSON.stringify([name, question]))
      .digest("hex")
      .slice(0, 24);
    return { key, id: row.id, prompt: row.prompt, seed: mix32(request.seed, hash32(question), 0) };
  });
  const pending = cells.filter(({ key }) => !log.rows.has(key));
  if (pending.length > 0) {
    const opened = await openPolicy(model, { ...request, frozen: true });
    notePlainPrompts(rows, opened.codec, {
      data: `${request.prompts} for ${name}`,
      ...{ chat: request.chat, reporter },
    });
    try {
      reporter.begin(`answers of ${name}`, pending.length);
      for (let first = 0; first < pending.length; first += CHUNK) {
        if (signal?.aborted)
          throw new InterruptedError(`stopped among the answers of ${name}; the same command continues`);
        const chunk = pending.slice(first, first + CHUNK);
        const answers = await answersTo(chunk, opened, request, []);
        await log.append(
          answers.map((answer, i) => {
            const { key, id } = chunk[i]!;
            const row = { key, player: name, id };
            return "problem" in answer
              ? { ...row, completion: "", failed: answer.problem }
              : { ...row, completion: answer.text };
          }),
        );
        reporter.step(first + chunk.length);
      }
      reporter.end();
    } finally {
      opened.policy.dispose();
    }
  }
  return cells.map(({ key }) => log.rows.get(key)!);
}

async function compareAll(
  rows: readonly PromptRow[],
  answers: readonly (readonly AnswerRow[])[],
  { judge, out }: TournamentRequest,
  { reporter, signal }: RunContext,
): Promise<(Comparison | Failure)[]> {
  const client = openServer(judge, out === undefined ? undefined : join(out, "judge.jsonl"));
  const verdict = async (row: PromptRow, replyA: string, replyB: string): Promise<Preference> => {
    const messages = pairwiseMessages(row.prompt, replyA, replyB);
    const { content } = await client.chat({ model: judge.model, messages, seed: 0, maxTokens: 2048 }, signal);
    const preference = preferenceIn(content);
    if (preference === undefined)
      throw new Error(`${judge.model} names neither A nor B nor T: ${JSON.stringify(content.slice(0, 100))}`);
    return preference;
  };
  const compare = async (prompt: number, a: number, b: number): Promise<Comparison | Failure> => {
    const failed = answers[a]![prompt]!.failed ?? answers[b]![prompt]!.failed;
    if (failed !== undefined) return { failed };
    const [ours, theirs] = [a, b].map((player) => withoutThoughts(answers[player]![prompt]!.completion));
    // Nothing to choose between.
    if (ours === theirs) return { prompt, a, b, credit: 0.5 };
    try {
      const row = rows[prompt]!;
      const verdicts = await Promise.all([verdict(row, ours!, theirs!), verdict(row, theirs!, ours!)]);
      return { prompt, a, b, credit: creditOf(...verdicts), verdicts };
    } catch (error) {
      if (signal?.aborted)
        throw new InterruptedError("stopped among the comparisons; the same command continues");
      if (endsRun(error)) throw error;
      return { failed: error instanceof Error ? error.message : String(error) };
    }
  };
  const matches = rows.flatMap((_, prompt) =>
    answers.flatMap((_, a) => answers.slice(a + 1).map((_, k) => [prompt, a, a + 1 + k] as const)),
  );
  let done = 0;
  reporter.begin(`comparisons by ${judge.model}`, matches.length);
  const outcomes = await Promise.all(
    matches.map(async (match) => {
      const outcome = await compare(...match);
      reporter.step(++done);
      return outcome;
    }),
  );
  reporter.end();
  return outcomes;
}

function summarise(
  outcomes: readonly (Comparison | Failure)[],
  prompts: number,
  { players, judge }: TournamentRequest,
): TournamentResult {
  const comparisons = outcomes.filter((outcome) => "credit" in outcome);
  const byPrompt = Array.from({ length: prompts }, (_, prompt) =>
    comparisons.filter((match) => match.prompt === prompt),
  );
  const elo = eloRatings(players.length, byPrompt);
  const standings = players.map(({ name }, i) => {
    const credits = comparisons.flatMap(({ a, b, credit }) =>
      a === i ? [credit] : b === i ? [1 - credit] : [],
    );
    const score = credits.reduce((sum, credit) => sum + credit, 0) / credits.length;
    return { name, elo: elo[i]!, score };
  });
  const pairs = players.flatMap(({ name: a }, i) =>
    players.slice(i + 1).map(({ name: b }, k): PairStanding => {
      const credits = byPrompt.map((matches) =>
        matches.filter((match) => match.a === i && match.b === i + 1 + k).map(({ credit }) => credit),
      );
      return { a, b, ...pooledMean(credits), comparisons: credits.flat().length };
    }),
  );
  const failure = outcomes.find((outcome) => "failed" in outcome)?.failed;
  const chosen = comparisons.flatMap(({ verdicts }) => verdicts ?? []).filter((verdict) => verdict !== "tie");
  return {
    judge: judge.model,
    prompts,
    standings: standings.sort((x, y) => y.elo.estimate - x.elo.estimate),
    pairs,
    failed: outcomes.length - comparisons.length,
    ...(failure !== undefined && { failure }),
    ...(chosen.length > 0 && {
      firstPlace: chosen.filter((verdict) => verdict === "A").length / chosen.length,
    }),
  };
}

/** The result as files have it. */
export const tournamentJson = ({ firstPlace, ...result }: TournamentResult) => ({
  ...result,
  ...(firstPlace !== undefined && { first_place: firstPlace }),
});
