import { readdir } from "node:fs/promises";
import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import type { AverageEvaluation } from "../../eval/reward-models/average.js";
import {
  type AdapterDifference,
  averageAdapters,
  differenceSentence,
} from "../../reward/average-adapters.js";
import type { LinearMerge } from "../../reward/mergekit.js";
import type { RunContext } from "../../run/context.js";
import { printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { realNumber } from "../values.js";
import {
  addChatFlags,
  addEngineFlags,
  addOutputFlags,
  choiceOf,
  type EngineFlags,
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
  addOutputFlags(addChatFlags(addEngineFlags(command)));
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
      printResult(snakeKeys(facts), lines, flags);
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
    const { emaMembers } = await import("../../reward/average.js");
    return { models: emaMembers(members, realNumber(ema, "--ema", { max: 1 })) };
  }
  const given = weights?.split(",").map((weight) => realNumber(weight, "--weights"));
  if (given && given.length !== members.length) {
    throw new UserError(`--weights has ${given.length} weights for ${members.length} members`);
  }
  return { models: members.map((model, i) => ({ model, weight: given?.[i] ?? 1 })) };
}

async function refuseOccupied(out: string): Promise<void> {
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error.code === "ENOTDIR" ? new UserError(`${out} is a file; choose another --out`) : error;
  });
  if (entries.length > 0)
    throw new UserError(`${out} already holds files (${entries[0]}); choose another --out`);
}

interface Result {
  model: string;
  members: LinearMerge["models"];
  evaluation?: AverageEvaluation;
  difference?: AdapterDifference;
  /** For a person. */
  lines: string[];
}

async function average(merge: LinearMerge, flags: AverageFlags, context: RunContext): Promise<Result> {
  const { out, base, greedy, any } = flags;
  const { averageRewardModels, evaluationLines } = await import("../../eval/reward-models/average.js");
  const { engine, chatTemplate, chat } = choiceOf(base ?? merge.models[0]!.model, flags);
  const { members, evaluation } = await averageRewardModels(
    {
      merge,
      out,
      base,
      dtype: flags.dtype && FLOAT_TYPES[flags.dtype],
      anyModel: any,
      heldOut: flags.eval === undefined ? undefined : { data: flags.eval, limit: limitOf(flags) },
      greedy,
      engine,
      chatTemplate,
      chat,
    },
    context,
  );
  return {
    model: out,
    members,
    ...(evaluation && { evaluation }),
    lines: [
      ...(evaluation ? evaluationLines(evaluation) : []),
      `average of ${members.length} models: ${out}`,
    ],
  };
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
