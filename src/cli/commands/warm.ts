import { readdir } from "node:fs/promises";
import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import type { LinearMerge } from "../../reward/mergekit.js";
import { type ContextFlags, printResult, withContext } from "../context.js";
import { realNumber } from "../values.js";

interface WarmFlags extends ContextFlags {
  out: string;
  weights?: string;
  dtype?: "float32" | "float16" | "bfloat16";
  any?: boolean;
}

const FLOAT_TYPES = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

/** The members named on the command line, or those of a MergeKit file. */
async function mergeOf(members: readonly string[], weights: string | undefined): Promise<LinearMerge> {
  const [first] = members;
  if (members.length === 1 && /\.ya?ml$/.test(first!)) {
    if (weights !== undefined)
      throw new UserError("--weights goes with members; the file has its own weights");
    const { readMergekit } = await import("../../reward/mergekit.js");
    return readMergekit(first!);
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

export const warmCommand = () =>
  new Command("warm")
    .alias("merge")
    .summary("average reward models into one (WARM)")
    .description(
      "Averages the weights of reward models, their heads included, into one model of the same size. The members must " +
        "share architecture, tokenizer and pre-training. Reads MergeKit's YAML (merge_method: linear) unchanged.",
    )
    .argument("<members...>", "reward model directories, or one MergeKit file")
    .requiredOption("-o, --out <dir>", "the directory of the average")
    .option("--weights <w1,w2,...>", "one weight for each member (default: all the same)")
    .addOption(
      new Option("--dtype <type>", "precision on disk (default: that of the members)").choices(
        Object.keys(FLOAT_TYPES),
      ),
    )
    .option("--any", "average models that are not reward models, too")
    .option("--quiet", "no progress")
    .option("--json", "the result as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm runs/rm/member-*/final -o runs/rm/merged\n" +
        "  $ touchstone warm mergekit.yaml -o runs/rm/merged --dtype bfloat16",
    )
    .action(async (members: string[], { out, weights, dtype, any, ...flags }: WarmFlags) => {
      const merge = await mergeOf(members, weights);
      await refuseOccupied(out);
      const { averageCheckpoints } = await import("../../reward/average.js");
      await withContext(flags, async ({ reporter }) => {
        let begun = false;
        await averageCheckpoints({
          members: merge.models.map(({ model, weight }) => ({ dir: model, weight })),
          out,
          dtype: dtype ? FLOAT_TYPES[dtype] : merge.dtype,
          normalize: merge.normalize,
          rewardModels: !any,
          onProgress: (done, total) => {
            if (!begun) reporter.begin("averaging, percent", 100);
            begun = true;
            reporter.step(Math.floor((100 * done) / total));
          },
        });
        reporter.end();
      });
      printResult(
        { model: out, members: merge.models },
        [`average of ${merge.models.length} models: ${out}`],
        flags,
      );
    });
