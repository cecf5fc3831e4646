// What the verbs that train have in common: a recipe, flags that win over it, --resume.

import { Command, Option } from "commander";
import { UserError } from "../base/errors.js";
import type { Override } from "../recipe/file.js";
import type { RecipeOf } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import type { Finding } from "../run/finding.js";
import { type ContextFlags, printResult, withContext } from "./context.js";
import { findingLine } from "./findings.js";
import { isWarning } from "./progress.js";
import { repeated } from "./values.js";

type TrainingVerb = "sft" | "reward" | "align";

/** A flag that stands for a key of the recipe. */
interface RecipeFlag {
  flags: string;
  description: string;
  /** Where it goes: one path for all verbs, or one for each verb that has it. */
  key: string | Partial<Record<TrainingVerb, string>>;
  /** Text is taken as it stands; everything else is read as YAML. */
  isText?: boolean;
}

const RECIPE_FLAGS: readonly RecipeFlag[] = [
  {
    flags: "--model <dir or Hub name>",
    description: "the model to start from",
    key: { sft: "model", reward: "model", align: "policy.model" },
    isText: true,
  },
  {
    flags: "--data <file or Hub name>",
    description: "the rows to train on",
    key: { sft: "data", reward: "data" },
    isText: true,
  },
  {
    flags: "--eval-data <file or Hub name>",
    description: "the rows to evaluate on",
    key: { sft: "eval_data", reward: "eval_data" },
    isText: true,
  },
  {
    flags: "-o, --output-dir <dir>",
    description: "the directory of the run",
    key: "output_dir",
    isText: true,
  },
  { flags: "--runs <M>", description: "how many reward models to train", key: { reward: "runs" } },
  { flags: "--steps <n>", description: "optimizer steps", key: "steps" },
  {
    flags: "--epochs <n>",
    description: "passes over the data",
    key: { sft: "epochs", reward: "epochs" },
  },
  {
    flags: "--batch-size <n>",
    description: "rows of one step",
    key: { sft: "batch_size", reward: "batch_size" },
  },
  { flags: "--learning-rate <rate>", description: "peak learning rate", key: "learning_rate" },
  {
    flags: "--lora-r <rank>",
    description: "train LoRA adapters of this rank instead of all weights",
    key: { sft: "lora.r", reward: "lora.r", align: "policy.lora.r" },
  },
  { flags: "--seed <n>", description: "seed of everything random", key: "seed" },
  { flags: "--device <device>", description: "cpu or webgpu", key: "engine.device", isText: true },
  { flags: "--threads <n>", description: "CPU threads", key: "engine.threads" },
  { flags: "--save-steps <n>", description: "steps between checkpoints", key: "save_steps" },
  {
    flags: "--report-to <tools>",
    description: "where the figures go besides the run's files: tensorboard, mlflow, wandb",
    key: "report_to",
  },
];

interface TrainingFlags extends ContextFlags {
  check?: boolean;
  /** Of `reward`. */
  jobs?: number;
  config?: string;
  set?: string[];
}

export interface TrainingVerbOptions<V extends TrainingVerb, Result extends object> {
  summary: string;
  description: string;
  /** Lines under "Examples:". */
  examples: readonly string[];
  /** Flags that are no keys of the recipe: flag and description. */
  ownFlags?: readonly (readonly [string, string])[];
  /** Loads the loop when it is needed: help must not wait for the engine. `flags` has the verb's own ones. */
  run: (recipe: RecipeOf<V>, context: RunContext, flags: Record<string, unknown>) => Promise<Result>;
  /** The result for a person: what was made, and what to do with it. */
  report: (result: Result, recipe: RecipeOf<V>) => string[];
}

/** `--check`: a line for every finding as it is made, and whether the run would start; exit code 2 where it would not. */
async function checkOnly(
  verb: TrainingVerb,
  file: string | undefined,
  overrides: readonly Override[],
  given: TrainingFlags,
): Promise<void> {
  const { checkRun } = await import("../train/check/check.js");
  const onFinding = (finding: Finding) => given.json || process.stdout.write(`${findingLine(finding)}\n`);
  const findings = await withContext(given, ({ resume, signal }) =>
    checkRun(verb, file, { overrides, resume, signal, onFinding, jobs: given.jobs }),
  );
  const problems = findings.filter(({ status }) => status === "problem").length;
  const end = problems === 0 ? "the run would start" : `the run would not start: ${problems} to mend`;
  printResult({ ready: problems === 0, findings }, [end], given);
  if (problems > 0) process.exitCode = 2;
}

/** `touchstone <verb> [recipe.yaml] [flags]` */
export function trainingCommand<V extends TrainingVerb, Result extends object>(
  verb: V,
  { summary, description, examples, ownFlags = [], run, report }: TrainingVerbOptions<V, Result>,
): Command {
  const command = new Command(verb).summary(summary).description(description);
  command.argument("[recipe]", "recipe file (YAML); see docs/recipes.md");
  command.addOption(new Option("--config <file>", "the recipe, for those who write it as a flag"));
  const flags = RECIPE_FLAGS.flatMap((flag) => {
    const key = typeof flag.key === "string" ? flag.key : flag.key[verb];
    return key === undefined ? [] : [{ ...flag, key, option: new Option(flag.flags, flag.description) }];
  });
  for (const { option } of flags) command.addOption(option);
  for (const [flag, about] of ownFlags) command.option(flag, about);
  const example = verb === "align" ? "policy.lora.alpha=64" : "lora.alpha=64";
  command
    .option("--set <key=value>", `any key of the recipe, for example --set ${example}`, repeated)
    .option("--check", "say whether the run would start, and all that is wrong, without writing anything")
    .option("--resume", "continue the run that output_dir holds")
    .option("--watch", "progress as a panel: curves, the last alarm, a sample; where there is a terminal")
    .option("--quiet", "no progress")
    .option("--json", "the result as one JSON object on stdout; no progress")
    .addHelpText("after", `\nExamples:\n${examples.map((line) => `  $ ${line}`).join("\n")}`);

  command.action(async (file: string | undefined, given: TrainingFlags & Record<string, unknown>) => {
    if (file !== undefined && given.config !== undefined) {
      throw new UserError("the recipe is given twice: as an argument and as --config");
    }
    const [{ loadRecipe }, { parseOverride, parseValue }] = await Promise.all([
      import("../recipe/recipe.js"),
      import("../recipe/file.js"),
    ]);
    const overrides: Override[] = flags.flatMap(({ option, key, isText }) => {
      const value = given[option.attributeName()];
      if (typeof value !== "string") return [];
      const flag = `${option.long} ${value}`;
      return [{ path: key.split("."), value: isText ? value : parseValue(value, flag), flag }];
    });
    overrides.push(...(given.set ?? []).map(parseOverride));
    if (given.check) return checkOnly(verb, file ?? given.config, overrides, given);
    const recipe = await loadRecipe(verb, file ?? given.config, {
      overrides,
      onRemark: (remark) => (given.quiet && !isWarning(remark)) || process.stderr.write(`${remark}\n`),
    });
    const result = await withContext(given, (context) => run(recipe, context, given));
    printResult(result, report(result, recipe), given);
  });
  return command;
}
