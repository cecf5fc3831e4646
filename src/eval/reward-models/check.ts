// The work of `warm check`: a reward model, or a judge model, on the files of public benchmarks.

import { UserError } from "../../base/errors.js";
import { loadDataRows } from "../../data/index.js";
import type { Text } from "../../data/rows.js";
import { openServer, type ServerModel } from "../../llm/models.js";
import { endsRun } from "../../llm/types.js";
import type { EngineRecipe } from "../../recipe/recipe.js";
import { type Decision, type JudgeBenchResult, judgeBench } from "../../reward/judge-bench.js";
import { type RewardBenchResult, rewardBench } from "../../reward/reward-bench.js";
import { type RewardBench2Result, rewardBench2 } from "../../reward/reward-bench-2.js";
import { type RmBenchResult, rmBench } from "../../reward/rm-bench.js";
import { InterruptedError, type RunContext } from "../../run/context.js";
import { openCodec, openRewardModel } from "../../train/models.js";
import { atRow } from "../../train/text.js";
import { pairwiseMessages, preferenceIn } from "../pairwise.js";
import {
  asConversation,
  type Candidates,
  type CheckData,
  type JudgeBenchRow,
  readCheckRows,
} from "./check-rows.js";
import { rewardsOf } from "./pair-scorer.js";

export interface CheckRequest {
  by: { reward: string } | { judge: ServerModel };
  /** A file or Hub name. */
  data: string;
  limit?: number;
  /** Whether strings stand as they are, even where the model has a chat template. */
  plain?: boolean;
  engine: EngineRecipe;
  chatTemplate?: string;
}

export type CheckResult =
  | ({ benchmark: "reward_bench" } & RewardBenchResult)
  | RewardBench2Result
  | RmBenchResult
  | JudgeBenchResult;

export async function checkRewardModel(request: CheckRequest, context: RunContext): Promise<CheckResult> {
  const { by, data, limit } = request;
  const rows = await loadDataRows(data, { limit });
  const found = readCheckRows(rows);
  context.reporter.note(`${data}: ${names[found.benchmark]}, ${rows.length} rows`);
  if ("reward" in by) return resultOf(found, await scored(by.reward, found.rows, request, context));
  if (found.benchmark !== "judge_bench")
    throw new UserError(
      `${data} is in the format of ${names[found.benchmark]}, which scores rewards; a judge model compares the two ` +
        "responses of JudgeBench (question, response_A, response_B, label)",
    );
  return judgeBench(await decided(by.judge, found.rows, context));
}

const names: Record<CheckData["benchmark"], string> = {
  reward_bench: "RewardBench",
  reward_bench_2: "RewardBench 2",
  rm_bench: "RM-Bench",
  judge_bench: "JudgeBench",
};

/** Rewards of each row's responses. */
async function scored(
  model: string,
  rows: readonly Candidates[],
  { plain = false, engine, chatTemplate }: CheckRequest,
  context: RunContext,
): Promise<number[][]> {
  const codec = await openCodec(model, { chatTemplate });
  const isChat = !plain && codec.hasTemplate;
  const sequences = rows.map((row) => {
    const { id, prompt, responses, metadata } = isChat ? asConversation(row) : row;
    return atRow(id, () => responses.map((response) => codec.scoredSequence(prompt, response, metadata)));
  });
  const reward = await openRewardModel(model, { engine, frozen: true });
  try {
    const flat = sequences.flat();
    context.reporter.begin("scoring, sequences", flat.length);
    const rewards = await rewardsOf(reward, flat, context, (done) => context.reporter.step(done));
    context.reporter.end();
    let at = 0;
    return sequences.map((own) => own.map(() => rewards[at++]!));
  } finally {
    reward.dispose();
  }
}

/** 1 for the better reward, 1/2 for equal ones. */
const creditOf = (a: number, b: number) => (1 + Math.sign(a - b)) / 2;

function resultOf(data: CheckData, rewards: readonly number[][]): CheckResult {
  switch (data.benchmark) {
    case "reward_bench": {
      const right = rewards.map(([chosen, rejected]) => creditOf(chosen!, rejected!));
      return { benchmark: "reward_bench", ...rewardBench(right, data.subsets) };
    }
    case "reward_bench_2":
      return rewardBench2(data.choices.map((choice, i) => ({ ...choice, rewards: rewards[i]! })));
    case "rm_bench":
      return rmBench(
        data.domains.map((domain, i) => ({
          domain,
          chosen: rewards[i]!.slice(0, 3),
          rejected: rewards[i]!.slice(3),
        })),
      );
    case "judge_bench":
      return judgeBench(
        data.rows.map(({ source, label }, i) => {
          const [a, b] = rewards[i]!;
          return { source, label, decisions: [a! > b! ? "A>B" : a! < b! ? "B>A" : "A=B"] };
        }),
      );
  }
}

const letters: Record<string, Decision> = { A: "A>B", B: "B>A", tie: "A=B" };

/** What a judge model says of each pair in both orders. A question that fails is no decision, as in the benchmark. */
async function decided(judge: ServerModel, rows: readonly JudgeBenchRow[], { reporter, signal }: RunContext) {
  const client = openServer(judge);
  let done = 0;
  let failure: string | undefined;
  reporter.begin(`decisions of ${judge.model}`, 2 * rows.length);
  const decision = async (prompt: Text, a: string, b: string): Promise<Decision> => {
    try {
      const messages = pairwiseMessages(prompt, a, b);
      const { content } = await client.chat(
        { model: judge.model, messages, seed: 0, maxTokens: 2048 },
        signal,
      );
      const preference = preferenceIn(content);
      if (preference === undefined)
        failure ??= `${judge.model} names neither A nor B nor T: ${JSON.stringify(content.slice(0, 100))}`;
      return preference && letters[preference];
    } catch (error) {
      if (signal?.aborted) throw new InterruptedError("stopped; nothing was written");
      if (endsRun(error)) throw error;
      failure ??= error instanceof Error ? error.message : String(error);
      return undefined;
    } finally {
      reporter.step(++done);
    }
  };
  const pairs = await Promise.all(
    rows.map(async ({ prompt, responses, source, label }) => {
      const [a, b] = responses as [string, string];
      return {
        source,
        label,
        decisions: await Promise.all([decision(prompt, a, b), decision(prompt, b, a)]),
      };
    }),
  );
  reporter.end();
  if (pairs.every(({ decisions }) => decisions.every((one) => one === undefined)))
    throw new UserError(`the judge decided none of ${pairs.length} pairs: ${failure}`);
  if (failure !== undefined) reporter.note(`some questions have no decision, the first: ${failure}`);
  return pairs;
}
