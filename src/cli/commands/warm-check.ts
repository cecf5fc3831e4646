import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import type { Interval } from "../../base/statistics.js";
import { formatPercent } from "../../dashboard/numbers.js";
import type { CheckRequest, CheckResult } from "../../eval/reward-models/check.js";
import type { JudgeBenchResult } from "../../reward/judge-bench.js";
import type { RewardBenchResult } from "../../reward/reward-bench.js";
import type { RewardBench2Result } from "../../reward/reward-bench-2.js";
import type { RmBenchResult } from "../../reward/rm-bench.js";
import { printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { addEngineFlags, addOutputFlags, choiceOf, type EngineFlags, snakeKeys } from "./warm-flags.js";

interface CheckFlags extends EngineFlags {
  data: string;
  plain?: boolean;
  judge?: string;
  judgeModel?: string;
  judgeKeyEnv?: string;
}

export const checkCommand = () => {
  const command = new Command("check")
    .summary("score a file of RewardBench, RewardBench 2, RM-Bench or JudgeBench")
    .description(
      "Reads the file of a public benchmark, told by its columns, and counts as the benchmark does. RewardBench (prompt, " +
        "chosen, rejected, subset): accuracy by subset with Wilson's 95 % interval, and the sections of its leaderboard; ties " +
        "count one half. RewardBench 2 (chosen and rejected are lists of texts, with subset): best of four, and the score of " +
        "Ties. RM-Bench (three texts each, with domain): hard, normal and easy. JudgeBench (question, response_A, response_B, " +
        "label): accuracy by source; with --judge a judge model sees each pair in both orders.",
    )
    .argument("[model]", "the reward model")
    .requiredOption("--data <file or Hub name>", "the benchmark's rows")
    .option("--plain", "strings stand as they are, even where the model has a chat template")
    .option(
      "--judge <url>",
      "JudgeBench by a judge model at an OpenAI-compatible server, instead of a reward model",
    )
    .option("--judge-model <name>", "the judge model's name on its server")
    .option("--judge-key-env <variable>", "environment variable with the server's key");
  addOutputFlags(addEngineFlags(command));
  return command
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm check runs/rm/merged --data rewardbench.jsonl\n" +
        "  $ touchstone warm check runs/rm/merged --data allenai/reward-bench-2 --json\n" +
        "  $ touchstone warm check --judge http://127.0.0.1:11434/v1 --judge-model qwen3:8b --data judgebench.jsonl",
    )
    .action(async (model: string | undefined, flags: CheckFlags) => {
      const { checkRewardModel } = await import("../../eval/reward-models/check.js");
      const { data, plain } = flags;
      const by = measureOf(model, flags);
      const { engine, chatTemplate } = choiceOf(model ?? "", flags);
      const request = { by, engine, chatTemplate, data, plain, limit: limitOf(flags) };
      const result = await withContext(flags, (context) => checkRewardModel(request, context));
      printResult(snakeKeys(result), linesOf(result), flags);
    });
};

function measureOf(model: string | undefined, flags: CheckFlags): CheckRequest["by"] {
  const { judge, judgeModel, judgeKeyEnv } = flags;
  if ((model === undefined) === (judge === undefined))
    throw new UserError("check needs a reward model or --judge, the server of a judge model, and not both");
  if (model !== undefined) return { reward: model };
  if (!URL.canParse(judge!)) throw new UserError(`"${judge}" is not the URL of a server`);
  if (judgeModel === undefined) throw new UserError("--judge needs --judge-model, its name on the server");
  return { judge: { baseUrl: judge!, model: judgeModel, apiKeyEnv: judgeKeyEnv } };
}

const withInterval = ({ estimate, low, high }: Interval): string =>
  `${formatPercent(estimate)} (${formatPercent(low)} to ${formatPercent(high)})`;

function linesOf(result: CheckResult): string[] {
  switch (result.benchmark) {
    case "reward_bench":
      return rewardBenchLines(result);
    case "reward_bench_2":
      return rewardBench2Lines(result);
    case "rm_bench":
      return rmBenchLines(result);
    case "judge_bench":
      return judgeBenchLines(result);
  }
}

const rewardBenchLines = ({ subsets, sections, score, overall }: RewardBenchResult): string[] => [
  ...subsets.map((result) => `${result.subset}: ${withInterval(result)}, ${result.pairs} pairs`),
  `all pairs: ${withInterval(overall)}`,
  ...sections.map(
    ({ section, accuracy, missing }) =>
      `${section}: ${formatPercent(accuracy)}${missing.length > 0 ? ` (without ${missing.join(", ")})` : ""}`,
  ),
  ...(score === undefined ? [] : [`score, mean of the sections: ${formatPercent(score)}`]),
];

const rewardBench2Lines = ({ subsets, score }: RewardBench2Result): string[] => [
  ...subsets.map(({ subset, rows, score: own, low, high }) =>
    low === undefined || high === undefined
      ? `${subset}: ${formatPercent(own)} (the benchmark's own score), ${rows} rows`
      : `${subset}: ${withInterval({ estimate: own, low, high })}, ${rows} rows`,
  ),
  `score, mean of the subsets: ${formatPercent(score)}`,
];

const rmBenchLines = ({ domains, hard, normal, easy, score }: RmBenchResult): string[] => {
  const levels = (result: { hard: number; normal: number; easy: number }) =>
    `hard ${formatPercent(result.hard)}, normal ${formatPercent(result.normal)}, easy ${formatPercent(result.easy)}`;
  return [
    ...domains.map(
      (result) => `${result.domain}: ${formatPercent(result.score)} (${levels(result)}), ${result.rows} rows`,
    ),
    `all domains: ${levels({ hard, normal, easy })}`,
    `score, mean of the domains: ${formatPercent(score)}`,
  ];
};

const judgeBenchLines = ({ sources, orders }: JudgeBenchResult): string[] => [
  ...sources.map((result) => `${result.source}: ${withInterval(result)}, ${result.pairs} pairs`),
  ...(orders
    ? [
        `right in both orders: ${formatPercent(orders.bothRight)}; orders that disagree: ${formatPercent(orders.inconsistent)}` +
          `${orders.undecided > 0 ? `; without a decision in an order: ${orders.undecided} pairs` : ""}`,
      ]
    : []),
];
