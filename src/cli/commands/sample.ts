import { Command, Option } from "commander";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import type { Combine, Gold } from "../../eval/best-of-rows.js";
import { withContext } from "../context.js";
import {
  addChatFlags,
  addModelFlags,
  DATA,
  limitOf,
  type ModelFlags,
  modelChoice,
  ROWS_AS_JSON,
} from "../model-flags.js";
import { checkOut, writeRows } from "../rows.js";
import { realNumber, repeated, wholeNumber } from "../values.js";

interface SampleFlags extends ModelFlags {
  prompt?: string;
  n?: string;
  maxNewTokens: string;
  temperature: string;
  topP: string;
  topK: string;
  greedy?: boolean;
  stop?: string[];
  seed: string;
  bestOf?: string;
  reward?: string[];
  combine: Combine;
  gold?: string;
  curve?: string;
  report?: string;
}

export const sampleCommand = () =>
  addChatFlags(addModelFlags(new Command("sample"), "the model to sample from"))
    .summary("sample completions of prompts, or the best of N by a reward model")
    .description(
      "Reads prompts (text, messages, or token ids in `prompt_ids`) and writes one JSONL row for each completion, with " +
        "`completion`, `completion_ids`, `logprobs` (untempered), `finish_reason` and the columns that came in.\n\n" +
        "With --best-of N it draws N completions of each prompt, scores them with --reward and writes the best one, with " +
        "`reward` and `best_of`. --curve and --report also tell, from the same samples, what best-of-n gains for every " +
        "power of two up to N: the KL bound log n - (n-1)/n, the expected reward, and how often the chosen answer beats " +
        "one other answer (for which one more completion of each prompt is drawn), by the ranking reward and by --gold.",
    )
    .argument("[data]", DATA)
    .option("--json", ROWS_AS_JSON)
    .option(
      "--prompt <text>",
      "one prompt instead of a file; prints the completion alone, unless --out is given",
    )
    .option("-n, --n <n>", "completions of each prompt (default: 1)")
    .option("--max-new-tokens <n>", "upper bound on new tokens", "256")
    .option("--temperature <t>", "0 is greedy", "1")
    .option("--top-p <p>", "nucleus sampling; 1 is off", "1")
    .option("--top-k <k>", "0 is off", "0")
    .option("--greedy", "the same as --temperature 0")
    .option("--stop <text...>", "strings that end a completion")
    .option("--seed <n>", "the same seed gives the same completions", "0")
    .option("--best-of <N>", "draw N completions of each prompt and write the best by --reward")
    .option(
      "--reward <dir or Hub name>",
      "the reward model that chooses; repeat it for an ensemble",
      repeated,
    )
    .addOption(
      new Option(
        "--combine <how>",
        "how several reward models make one: mean, worst case, or mean less variance",
      )
        .choices(["mean", "min", "uwo"])
        .default("mean"),
    )
    .option(
      "--gold <measure>",
      "with --curve or --report: another reward model, or judge: and a judge as in a recipe (judge:math), measures the same completions",
    )
    .option("--curve <file>", "write best-of-n for n = 1, 2, 4, ... N as JSON")
    .option("--report <file>", "the same as an HTML page")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        '  $ touchstone sample --model ./policy --prompt "Once upon a time" --max-new-tokens 64\n' +
        '  $ touchstone sample --model ./chat-model --prompt "Tell me about touchstones." --chat\n' +
        "  $ touchstone sample prompts.jsonl --model runs/bot/final -n 4 -o answers.jsonl\n" +
        "  $ touchstone sample prompts.jsonl --model ./policy --best-of 16 --reward runs/rm/merged -o best.jsonl\n" +
        "  $ touchstone sample gsm8k.jsonl --model ./policy --best-of 64 --reward runs/rm/merged --gold judge:math \\\n" +
        "      --curve curve.json --report curve.html -o best.jsonl",
    )
    .action(sample);

async function sample(data: string | undefined, flags: SampleFlags, command: Command): Promise<void> {
  const { prompt, out, bestOf } = flags;
  const isTyped = (flag: string) => command.getOptionValueSource(flag) === "cli";
  if (flags.greedy && isTyped("temperature") && Number(flags.temperature) !== 0)
    throw new UserError("--greedy is --temperature 0, and --temperature says another; give one of them");
  if (isTyped("combine") && (flags.reward?.length ?? 0) < 2)
    throw new UserError("--combine goes with several reward models: give --reward more than once");
  if (flags.limit !== undefined && prompt !== undefined)
    throw new UserError("--limit goes with a file of prompts, and --prompt is one");
  if ((data === undefined) === (prompt === undefined)) {
    throw new UserError("give either a file of prompts or --prompt");
  }
  checkBestOf(flags);
  checkOut(out, data);
  const request = {
    ...modelChoice(flags),
    source:
      prompt === undefined
        ? { data: data!, limit: limitOf(flags) }
        : { prompt: flags.chat ? [{ role: "user", content: prompt }] : prompt },
    maxNewTokens: wholeNumber(flags.maxNewTokens, "--max-new-tokens", 1),
    temperature: flags.greedy ? 0 : realNumber(flags.temperature, "--temperature"),
    topP: realNumber(flags.topP, "--top-p", { max: 1 }),
    topK: wholeNumber(flags.topK, "--top-k"),
    stopStrings: flags.stop ?? [],
    seed: wholeNumber(flags.seed, "--seed"),
  };
  let rows: Record<string, unknown>[];
  if (bestOf === undefined) {
    const { sampleRows } = await import("../../eval/inference.js");
    const n = wholeNumber(flags.n ?? "1", "--n", 1);
    rows = await withContext(flags, (context) => sampleRows({ ...request, n }, context));
  } else {
    const { bestOfRows } = await import("../../eval/best-of-rows.js");
    const { rewards, combine, gold, withCurve } = {
      rewards: flags.reward!,
      combine: flags.combine,
      gold: flags.gold === undefined ? undefined : await goldOf(flags.gold),
      withCurve: flags.curve !== undefined || flags.report !== undefined,
    };
    const best = { bestOf: wholeNumber(bestOf, "--best-of", 1), rewards, combine, gold, withCurve };
    const result = await withContext(flags, (context) => bestOfRows({ ...request, ...best }, context));
    rows = result.rows;
    if (result.report) {
      const { curveJson, curvePage } = await import("../../eval/best-of-report.js");
      const json = `${JSON.stringify(curveJson(result.report), null, 2)}\n`;
      if (flags.curve !== undefined) await writeFileAtomic(flags.curve, json);
      if (flags.report !== undefined) await writeFileAtomic(flags.report, curvePage(result.report));
    }
  }
  if (prompt !== undefined && out === undefined && !flags.json) {
    process.stdout.write(rows.map(({ completion }) => `${completion}\n`).join(""));
  } else await writeRows(rows, out, flags);
}

/** A reward model, or `judge:` and a judge as in a recipe. */
async function goldOf(name: string): Promise<Gold> {
  if (!name.startsWith("judge:")) return { name, model: name };
  const { parseValue } = await import("../../recipe/file.js");
  const judge = parseValue(name.slice("judge:".length), `--gold ${name}`) as string;
  return { name, judge, baseDir: process.cwd() };
}

function checkBestOf({ bestOf, reward, gold, curve, report, n }: SampleFlags): void {
  if (bestOf === undefined) {
    const stray = Object.entries({ reward, gold, curve, report }).find(([, value]) => value !== undefined);
    if (stray) throw new UserError(`--${stray[0]} goes with --best-of`);
    return;
  }
  if (reward === undefined) throw new UserError("--best-of needs a reward model that chooses: --reward");
  if (n !== undefined) throw new UserError("--best-of N draws N completions of each prompt; leave out --n");
  if (gold !== undefined && curve === undefined && report === undefined)
    throw new UserError("--gold measures for --curve or --report; give one of them");
}
