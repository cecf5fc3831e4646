import { readdir } from "node:fs/promises";
import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import type { Interval } from "../../base/statistics.js";
import { formatPercent } from "../../dashboard/numbers.js";
import {
  type AdapterDifference,
  averageAdapters,
  differenceSentence,
} from "../../reward/average-adapters.js";
import { type Connection, connectionSentences } from "../../reward/diagnostics/connectivity.js";
import type { PairScores } from "../../reward/diagnostics/pair-scores.js";
import type { LinearMerge } from "../../reward/mergekit.js";
import type { RunContext } from "../../run/context.js";
import { printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { realNumber } from "../values.js";
import {
  addEngineFlags,
  addOutputFlags,
  choiceOf,
  type EngineFlags,
  percentOf,
  snakeKeys,
} from "./warm-flags.js";

interface AverageFlags extends EngineFlags {
  out: string;
  weights?: string;
  ema?: string;
  greedy?: boolean;
  eval?: string;
  asAdapters?: boolean;
  base?: string;
  dtype?: keyof typeof FLOAT_TYPES;
  any?: boolean;
}

const FLOAT_TYPES = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

export const averageCommand = () => {
  const command = new Command("average")
    .summary("average reward models into one (the default)")
    .description(
      "Averages the weights of reward models, their heads included, into one model of the same size. The members must " +
        "share architecture, tokenizer and pre-training. LoRA adapters are merged into their base first. Reads MergeKit's " +
        "YAML (merge_method: linear) unchanged.",
    )
    .argument("<members...>", "reward model directories, or one MergeKit file")
    .requiredOption("-o, --out <dir>", "the directory of the average")
    .option("--weights <w1,w2,...>", "one weight for each member (default: all the same)")
    .option(
      "--ema <decay>",
      "exponential moving average over the checkpoints of one run, in the order of their steps",
    )
    .option(
      "--eval <file or Hub name>",
      "held-out preference pairs: the card says how good members and average are",
    )
    .option("--greedy", "best first, add a member only if the accuracy on --eval does not fall")
    .option(
      "--as-adapters",
      "average the A and B matrices of LoRA adapters into an adapter, and tell the difference",
    )
    .option("--base <dir>", "the base model of the adapters, where it is not the one that they name")
    .addOption(
      new Option("--dtype <type>", "precision on disk (default: that of the members)").choices(
        Object.keys(FLOAT_TYPES),
      ),
    )
    .option("--any", "average models that are not reward models, too");
  addOutputFlags(addEngineFlags(command));
  return command
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm runs/rm/member-*/final -o runs/rm/merged\n" +
        "  $ touchstone warm runs/rm/member-*/final -o runs/rm/soup --greedy --eval heldout.jsonl\n" +
        "  $ touchstone warm runs/rm/checkpoints/step-*/model -o runs/rm/ema --ema 0.5\n" +
        "  $ touchstone warm mergekit.yaml -o runs/rm/merged --dtype bfloat16",
    )
    .action(async (members: string[], flags: AverageFlags) => {
      checkFlags(flags);
      const merge = await mergeOf(members, flags);
      await refuseOccupied(flags.out);
      const result = await withContext(flags, (context) =>
        flags.asAdapters ? averageAsAdapters(merge, flags.out) : average(merge, flags, context),
      );
      const { lines, ...facts } = result;
      printResult(snakeKeys(facts) as object, lines, flags);
    });
};

function checkFlags({ weights, ema, greedy, eval: data, asAdapters, any, dtype, base }: AverageFlags): void {
  const conflicts: [string, unknown, string, unknown][] = [
    ["--ema", ema, "--weights", weights],
    ["--greedy", greedy, "--weights", weights],
    ["--greedy", greedy, "--ema", ema],
    ["--as-adapters", asAdapters, "--greedy", greedy],
    ["--as-adapters", asAdapters, "--eval", data],
    ["--as-adapters", asAdapters, "--dtype", dtype],
    ["--as-adapters", asAdapters, "--base", base],
    ["--any", any, "--eval", data],
  ];
  for (const [first, a, second, b] of conflicts)
    if (a !== undefined && b !== undefined) throw new UserError(`${first} and ${second} do not go together`);
  if (greedy && data === undefined)
    throw new UserError("--greedy needs held-out pairs to choose by: --eval pairs.jsonl");
}

/** The members named on the command line, or those of a MergeKit file. */
async function mergeOf(
  members: readonly string[],
  { weights, ema, greedy }: AverageFlags,
): Promise<LinearMerge> {
  const [first] = members;
  if (members.length === 1 && /\.ya?ml$/.test(first!)) {
    if (weights !== undefined || ema !== undefined || greedy)
      throw new UserError("--weights, --ema and --greedy go with members; the file has its own weights");
    const { readMergekit } = await import("../../reward/mergekit.js");
    return readMergekit(first!);
  }
  if (ema !== undefined) {
    const { emaWeights } = await import("../../reward/average.js");
    const ordered = byStep(members);
    const decayed = emaWeights(ordered.length, realNumber(ema, "--ema", { max: 1 }));
    return { models: ordered.map((model, i) => ({ model, weight: decayed[i]! })) };
  }
  const given = weights?.split(",").map((weight) => realNumber(weight, "--weights"));
  if (given && given.length !== members.length) {
    throw new UserError(`--weights has ${given.length} weights for ${members.length} members`);
  }
  return { models: members.map((model, i) => ({ model, weight: given?.[i] ?? 1 })) };
}

/** Checkpoints whose paths name a step (step-200, checkpoint-200) by it, for shells sort them by letters; others as given. */
function byStep(members: readonly string[]): string[] {
  const steps = members.map((path) => Number(/(?:step|checkpoint)-(\d+)/.exec(path)?.[1] ?? Number.NaN));
  if (steps.some(Number.isNaN)) return [...members];
  return members
    .map((_, i) => i)
    .sort((i, j) => steps[i]! - steps[j]!)
    .map((i) => members[i]!);
}

async function refuseOccupied(out: string): Promise<void> {
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error.code === "ENOTDIR" ? new UserError(`${out} is a file; choose another --out`) : error;
  });
  if (entries.length > 0)
    throw new UserError(`${out} already holds files (${entries[0]}); choose another --out`);
}

interface Evaluation {
  data: string;
  pairs: number;
  /** In the order in which they were named. */
  members: (Interval & { member: string; loss: number; kept: boolean })[];
  average: Interval & { loss: number };
  /** Accuracy of the average less its members', weighted as they are. */
  gain: Interval;
  connection: Connection;
}

interface Result {
  model: string;
  members: LinearMerge["models"];
  evaluation?: Evaluation;
  difference?: AdapterDifference;
  /** For a person. */
  lines: string[];
}

async function average(given: LinearMerge, flags: AverageFlags, context: RunContext): Promise<Result> {
  const { out, base, dtype, any } = flags;
  const { averageCheckpoints } = await import("../../reward/average.js");
  const evaluation = flags.eval === undefined ? undefined : await evaluate(given, flags.eval, flags, context);
  const lines = evaluation ? describe(evaluation) : [];
  const models = given.models.filter((_, i) => evaluation?.members[i]?.kept ?? true);
  await averageCheckpoints({
    members: models.map(({ model, weight }) => ({ dir: model, weight, base })),
    out,
    dtype: dtype ? FLOAT_TYPES[dtype] : given.dtype,
    normalize: given.normalize,
    rewardModels: !any,
    diagnostics: evaluation && {
      isWarm: evaluation.connection !== "broken",
      text: lines.map((line) => `- ${line}`).join("\n"),
    },
    onProgress: percentOf(context.reporter, "averaging, percent"),
  });
  context.reporter.end();
  return {
    model: out,
    members: models,
    ...(evaluation && { evaluation }),
    lines: [...lines, `average of ${models.length} models: ${out}`],
  };
}

/** How good the members and their average are on held-out pairs; with --greedy, which members stay. */
async function evaluate(
  { models, normalize = true }: LinearMerge,
  data: string,
  flags: AverageFlags,
  context: RunContext,
): Promise<Evaluation> {
  const [
    { MemberSet },
    { PairScorer, loadSplits },
    scores,
    orders,
    { gainOf },
    { RandomStream },
    { openCodec, openScalarModel },
  ] = await Promise.all([
    import("../../reward/member-set.js"),
    import("./warm-scoring.js"),
    import("../../reward/diagnostics/pair-scores.js"),
    import("../../reward/diagnostics/orders.js"),
    import("../../reward/diagnostics/connectivity.js"),
    import("../../base/random.js"),
    import("../../train/models.js"),
  ]);
  const { reporter } = context;
  const set = await MemberSet.open(models.map(({ model }) => ({ dir: model, base: flags.base })));
  try {
    const choice = choiceOf(flags.base ?? models[0]!.model, flags);
    const options = { limit: limitOf(flags) };
    const [split] = await loadSplits(
      await openCodec(choice.model, choice),
      [{ name: "held-out", data }],
      options,
      context,
    );
    // A base model of its own may be a language model: all weights, the head's too, are the set's.
    const model = await openScalarModel(choice.model, { engine: choice.engine, frozen: true });
    const scorer = new PairScorer(model, [split!.pairs], context);
    const scoreOf = async (label: string, weights: readonly number[]) => {
      reporter.begin(`scoring ${label}, sequences`, scorer.sequences);
      const [scored] = await scorer.scoreAverage(set, weights, (sequences) => reporter.step(sequences));
      reporter.end();
      return scored!;
    };
    try {
      const singles: PairScores[] = [];
      for (const [i, { model }] of models.entries())
        singles.push(await scoreOf(model, orders.uniformOver([i], models.length)));
      const qualities = singles.map(scores.qualityOf);
      let kept = models.map((_, i) => i);
      let weights = normalised(
        models.map(({ weight }) => weight),
        normalize,
      );
      if (flags.greedy) {
        const soup = await orders.greedySoup(orders.bestFirst(qualities), async (subset) => {
          if (subset.length === 1) return qualities[subset[0]!]!.accuracy;
          const scored = await scoreOf(
            `an average of ${subset.length}`,
            orders.uniformOver(subset, models.length),
          );
          return scores.qualityOf(scored).accuracy;
        });
        kept = soup.members;
        weights = orders.uniformOver(kept, models.length);
      }
      const all = await scoreOf("the average", weights);
      const { connection, ...gain } = gainOf(all, singles, {
        weights,
        stream: new RandomStream(0, "bootstrap"),
      });
      return {
        data,
        pairs: split!.pairs.length,
        members: models.map(({ model }, i) => ({
          member: model,
          ...scores.accuracyInterval(singles[i]!),
          loss: qualities[i]!.loss,
          kept: kept.includes(i),
        })),
        average: { ...scores.accuracyInterval(all), loss: scores.qualityOf(all).loss },
        gain,
        connection,
      };
    } finally {
      scorer.dispose();
    }
  } finally {
    await set.close();
  }
}

function normalised(weights: readonly number[], normalize: boolean): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  return normalize ? weights.map((weight) => weight / sum) : [...weights];
}

const withInterval = ({ estimate, low, high }: Interval): string =>
  `${formatPercent(estimate)} (${formatPercent(low)} to ${formatPercent(high)})`;

function describe({ data, pairs, members, average: whole, gain, connection }: Evaluation): string[] {
  return [
    `accuracy on ${pairs} pairs of ${data}, Wilson intervals at 95 %:`,
    ...members.map(
      ({ member, kept, ...accuracy }) => `${member}: ${withInterval(accuracy)}${kept ? "" : ", left out"}`,
    ),
    `average: ${withInterval(whole)}, ${withInterval(gain)} over its members`,
    connectionSentences[connection],
  ];
}

async function averageAsAdapters({ models }: LinearMerge, out: string): Promise<Result> {
  const difference = await averageAdapters({ members: models, out });
  return {
    model: out,
    members: models,
    difference,
    lines: [
      differenceSentence(difference),
      `adapter, average of the matrices of ${models.length} adapters: ${out}`,
    ],
  };
}
