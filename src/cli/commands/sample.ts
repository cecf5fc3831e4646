import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import { withContext } from "../context.js";
import { addModelFlags, limitOf, type ModelFlags, modelChoice } from "../model-flags.js";
import { writeRows } from "../rows.js";
import { realNumber, wholeNumber } from "../values.js";

interface SampleFlags extends ModelFlags {
  prompt?: string;
  chat?: boolean;
  n: string;
  maxNewTokens: string;
  temperature: string;
  topP: string;
  topK: string;
  greedy?: boolean;
  stop?: string[];
  seed: string;
}

export const sampleCommand = () =>
  addModelFlags(new Command("sample"), "the model to sample from")
    .summary("sample completions of prompts")
    .description(
      "Reads prompts (text, messages, or token ids in `prompt_ids`) and writes one JSONL row for each completion, with " +
        "`completion`, `completion_ids`, `logprobs` (untempered), `finish_reason` and the columns that came in.",
    )
    .argument("[data]", "JSONL, JSON or Parquet file, or Hub name")
    .option(
      "--prompt <text>",
      "one prompt instead of a file; prints the completion alone, unless --out is given",
    )
    .option("--chat", "give --prompt to the model as a user's message, through its chat template")
    .option("-n, --n <n>", "completions of each prompt", "1")
    .option("--max-new-tokens <n>", "upper bound on new tokens", "256")
    .option("--temperature <t>", "0 is greedy", "1")
    .option("--top-p <p>", "nucleus sampling; 1 is off", "1")
    .option("--top-k <k>", "0 is off", "0")
    .option("--greedy", "the same as --temperature 0")
    .option("--stop <text...>", "strings that end a completion")
    .option("--seed <n>", "the same seed gives the same completions", "0")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        '  $ touchstone sample --model ./policy --prompt "Once upon a time" --max-new-tokens 64\n' +
        '  $ touchstone sample --model ./chat-model --prompt "Tell me about touchstones." --chat\n' +
        "  $ touchstone sample prompts.jsonl --model runs/bot/final -n 4 -o answers.jsonl",
    )
    .action(async (data: string | undefined, flags: SampleFlags) => {
      const { prompt, out } = flags;
      if ((data === undefined) === (prompt === undefined)) {
        throw new UserError("give either a file of prompts or --prompt");
      }
      if (flags.chat && prompt === undefined)
        throw new UserError(
          "--chat goes with --prompt; rows of a file say by `messages` that they are conversations",
        );
      const { sampleRows } = await import("../inference.js");
      const rows = await withContext(flags, (context) =>
        sampleRows(
          {
            ...modelChoice(flags),
            source:
              prompt === undefined
                ? { data: data!, limit: limitOf(flags) }
                : { prompt: flags.chat ? [{ role: "user", content: prompt }] : prompt },
            n: wholeNumber(flags.n, "--n", 1),
            maxNewTokens: wholeNumber(flags.maxNewTokens, "--max-new-tokens", 1),
            temperature: flags.greedy ? 0 : realNumber(flags.temperature, "--temperature"),
            topP: realNumber(flags.topP, "--top-p", { max: 1 }),
            topK: wholeNumber(flags.topK, "--top-k"),
            stopStrings: flags.stop ?? [],
            seed: wholeNumber(flags.seed, "--seed"),
          },
          context,
        ),
      );
      if (prompt !== undefined && out === undefined) {
        process.stdout.write(rows.map(({ completion }) => `${completion}\n`).join(""));
      } else await writeRows(rows, out);
    });
