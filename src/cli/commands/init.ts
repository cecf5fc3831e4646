import { existsSync } from "node:fs";
import { dirname, isAbsolute, relative, sep } from "node:path";
import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import { type ContextFlags, printResult } from "../context.js";
import type { Draft, DraftVerb, Seen } from "../draft-recipe.js";

interface InitFlags extends ContextFlags {
  verb?: DraftVerb;
  model?: string;
  data?: string;
  reward?: string;
  out: string;
  outputDir?: string;
  yes?: boolean;
}

/** Rows that are looked at. */
const LOOK = 100;

export const initCommand = () =>
  new Command("init")
    .summary("write a first recipe for the model and the data that you have")
    .description(
      "Asks for a model and a data file (or takes them as flags), looks at the file's columns, and writes a commented recipe: " +
        "chosen and rejected train reward models, completions and conversations an SFT, prompts with something that can be checked (an answer, tests, " +
        "instruction ids) an alignment under the judge that checks it. It never replaces a file.",
    )
    .addOption(
      new Option("--verb <verb>", "what to do (default: what the columns suggest)").choices([
        "sft",
        "reward",
        "align",
      ]),
    )
    .option("--model <dir or Hub name>", "the model to start from")
    .option("--data <file or Hub name>", "rows to train on, or prompts")
    .option("--reward <dir>", "for align: a reward model of `touchstone warm`")
    .option("-o, --out <file>", "where to write the recipe", "recipe.yaml")
    .option("--output-dir <dir>", "the directory of the run (default: runs/<verb>)")
    .option("--yes", "ask nothing; take what the columns suggest")
    .option("--json", "the result as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone init\n  $ touchstone init --model ./smollm2-135m --data gsm8k.parquet --yes\n" +
        "  $ touchstone init --verb reward --model runs/sft/final --data preferences.csv -o reward.yaml --yes",
    )
    .action(init);

async function init(flags: InitFlags): Promise<void> {
  const { out } = flags;
  if (existsSync(out)) throw new UserError(`${out} exists already; name another file with -o`);
  const [
    { loadRows },
    { draftRecipe, suggestVerb, suggestJudges },
    { loadRecipe },
    { writeFileAtomic },
    { prompter },
  ] = await Promise.all([
    import("../../data/index.js"),
    import("../draft-recipe.js"),
    import("../../recipe/recipe.js"),
    import("../../base/atomic.js"),
    import("../prompter.js"),
  ]);
  const ask = prompter({ silent: flags.yes === true || flags.json === true });
  try {
    const path =
      flags.data ?? (await ask("Your data (a JSONL, JSON, CSV or Parquet file, or a Hub name)", "--data"));
    if (path === "-") throw new UserError("a recipe needs rows that it can read again: give --data a file");
    const { rows, format, description } = await loadRows(path, { limit: LOOK });
    const data: Seen = { path: fromRecipe(path, out), rows, format };
    process.stderr.write(`${path}: ${description}\n`);
    const model =
      flags.model ?? (await ask("Your model (a directory, a .gguf file or a Hub name)", "--model"));
    const suggested = suggestVerb(data);
    const verb = flags.verb ?? verbOf(await ask("What to do: sft, reward or align", "--verb", suggested));
    if (flags.reward !== undefined && verb !== "align")
      throw new UserError(`--reward goes with align, and what is written is a recipe of ${verb}`);
    const isPlainForChat = await plainForChat(model, data, verb);
    const draft: Draft = {
      verb,
      isPlainForChat,
      model: fromRecipe(model, out),
      data,
      rewardModel: flags.reward && fromRecipe(flags.reward, out),
      outputDir: fromRecipe(flags.outputDir ?? `runs/${verb}`, out, true),
    };
    const yaml = draftRecipe(draft, out);
    await checked(yaml, verb, out, loadRecipe);
    await writeFileAtomic(out, yaml);
    const judges = verb === "align" ? suggestJudges(data).map(({ judge }) => judge) : [];
    printResult(
      { recipe: out, verb, suggested, judges },
      [`${out} is written; start it: touchstone ${verb} ${out}`],
      flags,
    );
  } finally {
    ask.close();
  }
}

/** Whether plain prompts would reach a model that has a chat template. */
async function plainForChat(model: string, { rows, format }: Seen, verb: DraftVerb): Promise<boolean> {
  const isText = format?.kind === "text" && verb === "sft";
  if (!format || format.conversational || isText) return false;
  // Not fetched for a draft: its name says what it is made for.
  if (!existsSync(model)) return /instruct|chat|\bit\b/i.test(model.split("/").at(-1)!);
  const [{ openCodec }, { plainPromptRemarks }, { toPrompt }] = await Promise.all([
    import("../../train/models.js"),
    import("../../train/plain-prompts.js"),
    import("../../data/convert.js"),
  ]);
  try {
    const codec = await openCodec(model);
    const prompts = rows.slice(0, 16).map((row) => toPrompt(row, format));
    return plainPromptRemarks(prompts, codec, { source: model }).length > 0;
  } catch (error) {
    // What is wrong with the model is for --check to say.
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** Paths in a recipe are relative to it; the name of what is not here is one on the Hub. */
function fromRecipe(path: string, out: string, isPath = existsSync(path)): string {
  const dir = dirname(out);
  return !isPath || isAbsolute(path) || dir === "." ? path : relative(dir, path).split(sep).join("/");
}

function verbOf(answer: string): DraftVerb {
  const verbs: readonly string[] = ["sft", "reward", "align"];
  if (!verbs.includes(answer))
    throw new UserError(`what to do is one of ${verbs.join(", ")}, not "${answer}"`);
  return answer as DraftVerb;
}

/** What is written is a recipe, whatever names were put into it. */
async function checked(
  yaml: string,
  verb: DraftVerb,
  out: string,
  loadRecipe: typeof import("../../recipe/recipe.js").loadRecipe,
): Promise<void> {
  const { mkdtemp, rm, writeFile } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { basename, join } = await import("node:path");
  const dir = await mkdtemp(join(tmpdir(), "touchstone-init-"));
  try {
    const path = join(dir, basename(out));
    await writeFile(path, yaml);
    await loadRecipe(verb, path);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
