// Steps 2 to 4 of Algorithm 1 of CGPO (2409.20370): responses, their verdicts and rewards, and the log-probabilities under
// policy and reference. With an engine here they follow each other, and judges deliberate while it computes. With one that
// is elsewhere every response is judged and scored as it arrives, and the requests of all prompts are under way together;
// what comes out does not depend on what arrives first.

import { NonFiniteError } from "../../base/errors.js";
import { together } from "../../base/together.js";
import type { PromptRow } from "../../data/rows.js";
import type { Completion, Sequence } from "../../engine/contract.js";
import { type BatchJudgement, BatchJudging } from "../../judges/mixture.js";
import type { Outcome } from "../../objectives/index.js";
import { timed } from "../../run/clock.js";
import type { Scores } from "../rewards/source.js";
import { judgeBaselines, scoreBaselines, takeBaselines } from "./baselines.js";
import { judgeInputs } from "./judging.js";
import type { SampledTask, StepContext } from "./parts.js";
import { logprobsNow, referenceLogprobsOf, samplingOptions, tokensOf } from "./passes.js";

/** A batch of prompts, with the seeds of their responses (prompt-major). */
interface Asked {
  rows: readonly PromptRow[];
  prompts: readonly number[][];
  seeds: readonly number[];
}

/** Responses to prompts of a batch, prompt-major; `promptIndex` counts the whole batch. */
interface Drawn {
  completions: Completion[];
  sequences: Sequence[];
  responses: string[];
  seeds: readonly number[];
}

export interface Taken {
  drawn: Drawn;
  judged: BatchJudgement;
  scores: Scores;
  logprobs: Float32Array[];
  referenceLogprobs: Float32Array[];
  /** Prompts that got their abar now, and what the judges say of it. */
  newBaselines: readonly PromptRow[];
  ofBaselines: readonly Outcome[];
}

/** One thing behind the other, but for the judges: the engine has a thread of its own. */
export async function takeInTurn(task: SampledTask, asked: Asked, context: StepContext): Promise<Taken> {
  const { clock, signal, codec } = context;
  const { rows, prompts } = asked;
  const drawn = await draw(task, asked, [0, rows.length], context, signal);
  const newBaselines = task.calibrates ? await takeBaselines(task, rows, prompts, context) : [];
  const judge = async () => {
    const judging = new BatchJudging(task.judges, signal);
    const judged = judging.end(await judging.judge(judgeInputs({ ...drawn, rows }, codec)));
    return { judged, ofBaselines: await judgeBaselines(task, newBaselines, context) };
  };
  const score = async () => {
    const scores = await scoresOf(task, asked, drawn, context);
    if (task.calibrates) await timed(clock.reward, 0, () => scoreBaselines(task, rows, prompts, context));
    // As they were when the tokens were drawn, at the very weights that the update starts from.
    const logprobs = drawn.completions.map((completion) => completion.logprobs);
    return { scores, logprobs, referenceLogprobs: await referenceLogprobsOf(drawn.sequences, context) };
  };
  const [scored, verdicts] = await together(() => [score(), timed(clock.judge, 0, judge)] as const);
  return { drawn, newBaselines, ...scored, ...verdicts };
}

/** Every prompt by itself, passes of policy and reference by lots of prompts. */
export async function takeSideBySide(task: SampledTask, asked: Asked, context: StepContext): Promise<Taken> {
  const { clock, codec } = context;
  const { rows, prompts } = asked;
  const judging = new BatchJudging(task.judges, context.signal);
  const [drawn, newBaselines, results, ofBaselines, scores, , logprobs, referenceLogprobs] = await together(
    (signal, also) => {
      const each = rows.map((_, i) => also(draw(task, asked, [i, i + 1], context, signal)));
      const fresh = task.calibrates
        ? takeBaselines(task, rows, prompts, { ...context, signal })
        : Promise.resolve([]);
      const judge = async (one: Promise<Drawn>) => {
        const inputs = judgeInputs({ ...(await one), rows }, codec);
        return timed(clock.judge, 0, () => judging.judge(inputs));
      };
      const judgements = each.map((one) => also(judge(one)));
      const whole = Promise.all(each).then(joined);
      const score = async (one: Promise<Drawn>) => scoresOf(task, asked, await one, context);
      const scored = task.reward.scoresApart ? each.map((one) => also(score(one))) : [score(whole)];
      const scoring = Promise.all(scored).then(joinedScores);
      const ofFresh = async () => {
        const taken = await fresh;
        return timed(clock.judge, 0, () => judgeBaselines(task, taken, context));
      };
      // Behind the samples' scores, which may have moved the scale of the reward.
      const scoreFresh = async () => {
        await Promise.all([fresh, scoring]);
        if (task.calibrates) await timed(clock.reward, 0, () => scoreBaselines(task, rows, prompts, context));
      };
      const pass = async ([from, to]: readonly [number, number]) => {
        const { sequences } = joined(await Promise.all(each.slice(from, to)));
        return Promise.all([
          also(logprobsNow(sequences, context, signal)),
          also(referenceLogprobsOf(sequences, context, signal)),
        ]);
      };
      const passes = Promise.all(lotsOf(rows.length, task.limits.generations).map((lot) => also(pass(lot))));
      return [
        whole,
        fresh,
        Promise.all(judgements),
        ofFresh(),
        scoring,
        scoreFresh(),
        passes.then((all) => all.flatMap(([policy]) => policy)),
        passes.then((all) => all.flatMap(([, reference]) => reference)),
      ] as const;
    },
    context.signal,
  );
  const judged = judging.end(results.flat());
  return { drawn, newBaselines, judged, ofBaselines, scores, logprobs, referenceLogprobs };
}

/** Responses of the current policy to the prompts [from, to) of the batch. */
async function draw(
  { name, limits }: SampledTask,
  { rows, prompts, seeds }: Asked,
  [from, to]: readonly [number, number],
  { policy, codec, clock }: StepContext,
  signal: AbortSignal | undefined,
): Promise<Drawn> {
  const { generations: n } = limits;
  const own = seeds.slice(from * n, to * n);
  const options = { ...samplingOptions(limits), stopIds: codec.stopIds, n, seeds: own, signal };
  const sampled = await timed(
    clock.sample,
    (done: Completion[]) => done.reduce((sum, { tokens }) => sum + tokens.length, 0),
    () => policy.sample(prompts.slice(from, to), options),
  );
  const completions = sampled.map((one) => ({ ...one, promptIndex: from + one.promptIndex }));
  completions.forEach(({ logprobs, promptIndex }, i) => {
    if (!logprobs.every(Number.isFinite))
      throw new NonFiniteError(
        `task ${name}: log pi of sample ${from * n + i} (prompt ${rows[promptIndex]!.id}) is not finite`,
      );
  });
  return {
    completions,
    sequences: completions.map(({ promptIndex, tokens }) => sequenceOf(prompts[promptIndex]!, tokens)),
    responses: completions.map(({ tokens }) => codec.decode(tokens)),
    seeds: own,
  };
}

const joined = (parts: readonly Drawn[]): Drawn => ({
  completions: parts.flatMap(({ completions }) => completions),
  sequences: parts.flatMap(({ sequences }) => sequences),
  responses: parts.flatMap(({ responses }) => responses),
  seeds: parts.flatMap(({ seeds }) => seeds),
});

const scoresOf = (
  { reward }: SampledTask,
  { rows }: Asked,
  { completions, sequences, responses, seeds }: Drawn,
  { clock, signal }: StepContext,
): Promise<Scores> =>
  timed(clock.reward, tokensOf(sequences), () =>
    reward.score(
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

function joinedScores(parts: readonly Scores[]): Scores {
  if (parts.length === 1) return parts[0]!;
  return {
    rewards: Float64Array.from(parts.flatMap(({ rewards }) => Array.from(rewards))),
    failed: parts.flatMap(({ failed }) => failed),
    reasons: parts.flatMap(({ reasons, failed }) => reasons ?? failed.map(() => undefined)),
    violated: parts.flatMap(({ violated }) => violated),
    notes: parts.flatMap(({ notes }) => notes),
  };
}

/** A pass of this many sequences is worth its exchange with the service. */
const sequencesOfLot = 64;
const mostLots = 8;

/** Prompts whose passes go together, as [from, to): the same whatever arrives first. */
export function lotsOf(prompts: number, generations: number): [number, number][] {
  const count = Math.min(
    mostLots,
    Math.max(1, Math.floor((prompts * generations) / sequencesOfLot)),
    prompts,
  );
  const cuts = Array.from({ length: count + 1 }, (_, k) => Math.round((k * prompts) / count));
  return cuts.slice(1).map((to, k) => [cuts[k]!, to]);
}

export const sequenceOf = (prompt: readonly number[], completion: ArrayLike<number>): Sequence => ({
  tokens: [...prompt, ...Array.from(completion)],
  promptLength: prompt.length,
});
