import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import { percent } from "../../base/percent.js";
import type { EvalResult } from "../../eval/run.js";
import type { Metric, TaskResult } from "../../eval/summary.js";
import type { Comparator, WinRateResult } from "../../eval/win-rate.js";
import type { ServerModel } from "../../llm/models.js";
import { storages } from "../../model/stored.js";
import { cameToNothing, printResult, withContext } from "../context.js";
import { limitOf, type ModelFlags, modelChoice } from "../model-flags.js";
import { needs, realNumber, repeated, wholeNumber } from "../values.js";

interface EvalFlags extends ModelFlags {
  task?: string[];
  shots: string;
  fewshot?: string[];
  chat?: boolean;
  samples: string;
  temperature?: string;
  topP: string;
  maxNewTokens?: string;
  seed: string;
  against?: string;
  prompts?: string;
  by?: string;
  judge?: string;
  judgeModel?: string;
  judgeKeyEnv?: string;
}

export const evalCommand = () =>
  new Command("eval")
    .summary("evaluate a model on benchmark files, or compare two by win rate")
    .description(
      "Answers the questions of benchmark files in their published formats and grades the answers, with 95 % intervals. " +
        "Formats, told by their columns: ifeval, gsm8k, math, humaneval, mbpp, arc, triviaqa, xstest. What could not be " +
        "judged is counted apart, never as right or wrong. With --out every row is kept as soon as it is graded, and the " +
        "same command again goes on from there.\n\n" +
        "With --against it compares two models on prompts instead: by a reward model, or by a judge model that sees each " +
        "pair in both orders; ties count one half.",
    )
    .requiredOption("--model <dir or Hub name>", "the model to evaluate")
    .option(
      "--task <[name=]file>",
      "a benchmark file or Hub name; repeat for several. A name that is a format settles the format, any other is a label",
      repeated,
    )
    .option("--shots <n>", "worked examples before each question", "0")
    .option(
      "--fewshot <file>",
      "rows to take worked examples from, in the benchmark's format (default: built-in ones); repeat for several",
      repeated,
    )
    .option(
      "--chat",
      "ask in the model's chat template (default: where there is one; ARC: as text; --against: plain prompts as text)",
    )
    .option("--no-chat", "ask as text that the model continues, in the form of lm-eval")
    .option("--samples <n>", "answers to each question: means over all, and pass@k for code", "1")
    .option("--temperature <t>", "default: 0, with several samples 0.8 (--against: 1)")
    .option("--top-p <p>", "nucleus sampling; 1 is off", "1")
    .option(
      "--max-new-tokens <n>",
      "upper bound on new tokens (default: the benchmark's own; --against: 256)",
    )
    .option("--seed <n>", "the same seed gives the same answers", "0")
    .option("--limit <n>", "use the first rows only")
    .option("--against <dir or Hub name>", "another model to compare with")
    .option("--prompts <file>", "with --against: the prompts")
    .option("--by <measure>", "with --against: reward:DIR, or judge:URL of an OpenAI-compatible server")
    .option(
      "--judge <url>",
      "for xstest: a judge model says what is a refusal (default: regular expressions)",
    )
    .option("--judge-model <name>", "the judge model's name on its server")
    .option("--judge-key-env <variable>", "environment variable with the server's key")
    .option("-o, --out <dir>", "keep rows and results here")
    .option("--chat-template <file>", "a Jinja template instead of the model's own")
    .addOption(new Option("--device <device>", "where to run").choices(["cpu", "webgpu"]).default("cpu"))
    .addOption(
      new Option("--quantise <kind>", "keep the weights small in memory (default: float32)").choices(
        storages,
      ),
    )
    .option("--threads <n>", "CPU threads (default: all)")
    .option("--max-batch-tokens <n>", "tokens of one batch: bounds memory, never changes results", "4096")
    .option("--quiet", "no progress")
    .option("--json", "the result as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone eval --model ./policy --task gsm8k=test.jsonl --task ifeval=ifeval.jsonl -o runs/eval\n" +
        "  $ touchstone eval --model ./base --task openai/gsm8k:main/test --shots 5 --fewshot openai/gsm8k:main/train\n" +
        "  $ touchstone eval --model ./policy --task humaneval.jsonl --samples 20 --temperature 0.8\n" +
        "  $ touchstone eval --model runs/cgpo/final --against runs/ppo/final --prompts held-out.jsonl --by reward:runs/rm/gold\n" +
        "  $ touchstone eval --model ./a --against ./b --prompts p.jsonl --by judge:http://127.0.0.1:11434/v1 --judge-model qwen3:8b",
    )
    .action(async (flags: EvalFlags) => {
      if ((flags.task === undefined) === (flags.against === undefined))
        throw new UserError("give benchmark files with --task, or a model to compare with --against");
      if (flags.against === undefined) await benchmarksOf(flags);
      else await winRateOf(flags, flags.against);
    });

const common = (flags: EvalFlags) => ({
  ...modelChoice(flags),
  limit: limitOf(flags),
  samples: wholeNumber(flags.samples, "--samples", 1),
  topP: realNumber(flags.topP, "--top-p", { max: 1 }),
  seed: wholeNumber(flags.seed, "--seed"),
  out: flags.out,
});

async function benchmarksOf(flags: EvalFlags): Promise<void> {
  const stray = (["prompts", "by"] as const).find((flag) => flags[flag] !== undefined);
  if (stray) throw new UserError(`--${stray} goes with --against`);
  if (flags.judge === undefined) needs({ ...flags }, ["judge-model", "judge-key-env"], "goes with --judge");
  if (Number(flags.shots) === 0) needs({ ...flags }, ["fewshot"], "goes with --shots: how many to show");
  const { runEval } = await import("../../eval/run.js");
  const { samples, ...rest } = common(flags);
  const temperature =
    flags.temperature === undefined
      ? samples > 1
        ? 0.8
        : 0
      : realNumber(flags.temperature, "--temperature");
  if (samples > 1 && temperature === 0)
    throw new UserError("--samples at temperature 0 would draw the same answer every time");
  const request = {
    ...rest,
    samples,
    temperature,
    tasks: flags.task!,
    shots: wholeNumber(flags.shots, "--shots"),
    fewshot: flags.fewshot ?? [],
    chat: flags.chat,
    maxNewTokens:
      flags.maxNewTokens === undefined ? undefined : wholeNumber(flags.maxNewTokens, "--max-new-tokens", 1),
    judge: flags.judge === undefined ? undefined : endpointAt(flags.judge, flags),
  };
  const result = await withContext(flags, (context) => runEval(request, context));
  printResult(result, linesOf(result), flags);
  cameToNothing(
    Object.entries(result.results).flatMap(([task, { items, samples: each, failed, failure }]) =>
      failed > 0 && failed === items * each
        ? [`none of the ${failed} answers of ${task} could be judged: ${failure}`]
        : [],
    ),
  );
}

async function winRateOf(flags: EvalFlags, against: string): Promise<void> {
  const { prompts } = flags;
  if (prompts === undefined)
    throw new UserError("--against needs --prompts, the prompts that both models answer");
  needs({ ...flags }, ["fewshot", "judge"], "goes with --task");
  if (Number(flags.shots) !== 0) throw new UserError("--shots goes with --task");
  if (!flags.by?.startsWith("judge:"))
    needs({ ...flags }, ["judge-model", "judge-key-env"], "goes with --by judge:URL");
  const { runWinRate, winRateJson } = await import("../../eval/win-rate.js");
  const request = {
    ...common(flags),
    against,
    prompts,
    by: comparatorOf(flags),
    temperature: realNumber(flags.temperature ?? "1", "--temperature"),
    maxNewTokens: wholeNumber(flags.maxNewTokens ?? "256", "--max-new-tokens", 1),
  };
  const result = await withContext(flags, (context) => runWinRate(request, context));
  printResult(winRateJson(result), winRateLines(result), flags);
}

function endpointAt(url: string, { judgeModel, judgeKeyEnv }: EvalFlags): ServerModel {
  if (!URL.canParse(url)) throw new UserError(`"${url}" is not the URL of a server`);
  if (judgeModel === undefined) throw new UserError("a judge needs --judge-model, its name on the server");
  return { baseUrl: url, model: judgeModel, apiKeyEnv: judgeKeyEnv };
}

function comparatorOf(flags: EvalFlags): Comparator {
  const [, kind, value] = /^(reward|judge):(.+)$/.exec(flags.by ?? "") ?? [];
  if (kind === "reward") return { reward: value! };
  if (kind === "judge") return { judge: endpointAt(value!, flags) };
  throw new UserError(
    `--by must be reward:DIR or judge:URL${flags.by === undefined ? "" : `, not "${flags.by}"`}`,
  );
}

const withInterval = ({ estimate, low, high }: Pick<Metric, "estimate" | "low" | "high">) =>
  Number.isNaN(estimate)
    ? "no answer was judged"
    : `${percent(estimate)} (${percent(low)} to ${percent(high)})`;

const linesOf = ({ results }: EvalResult) =>
  Object.entries(results).flatMap(([task, result]) => [
    `${task}: ${result.items} rows, ${formOf(result)}`,
    ...Object.entries(result.metrics).map(
      ([name, metric]) =>
        `  ${name}: ${withInterval(metric)}${metric.better === "lower" ? ", less is better" : ""}`,
    ),
    ...Object.entries(result.groups).flatMap(([group, values]) =>
      Object.entries(values).map(([value, metrics]) => {
        const figures = Object.entries(metrics).map(([name, metric]) => `${name} ${withInterval(metric)}`);
        return `    ${group} ${value}: ${figures.join(", ")}`;
      }),
    ),
    ...(result.truncated > 0 ? [`  ${result.truncated} answers were cut at the token limit`] : []),
    ...failures(result),
  ]);

const formOf = ({ shots, chat, samples }: TaskResult) =>
  [`${shots} shots`, chat ? "chat" : "text", ...(samples > 1 ? [`${samples} samples`] : [])].join(", ");

const failures = ({ failed, failure }: { failed: number; failure?: string }) =>
  failed > 0 ? [`  ${failed} could not be judged, for example: ${failure}`] : [];

const winRateLines = (result: WinRateResult) => {
  const { model, against, by, wins, ties, losses, rewards, firstPlace, inconsistent } = result;
  return [
    `${model} beats ${against}: ${withInterval(result)}`,
    `  by ${by}: ${wins} wins, ${ties} ties, ${losses} losses`,
    ...(rewards
      ? [`  mean reward ${rewards.model.toPrecision(3)} against ${rewards.against.toPrecision(3)}`]
      : []),
    ...(firstPlace === undefined
      ? []
      : [
          `  the judge chose the reply shown first in ${percent(firstPlace)} of its verdicts; its two orders disagree on ${percent(inconsistent!)}`,
        ]),
    ...failures(result),
  ];
};
