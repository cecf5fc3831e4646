import { Command } from "commander";
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

export const logprobsCommand = () =>
  addChatFlags(addModelFlags(new Command("logprobs"), "the language model"))
    .summary("log-probabilities of completions, token by token")
    .description(
      "Reads prompts with completions, conversations or texts (or token ids in `prompt_ids` and `completion_ids`) and " +
        "writes the same rows with `logprobs`, one natural log-probability for each of `completion_ids`, and their sum " +
        "`logprob`.",
    )
    .argument("<data>", DATA)
    .option("--json", ROWS_AS_JSON)
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone logprobs answers.jsonl --model ./policy -o logprobs.jsonl",
    )
    .action(async (data: string, flags: ModelFlags) => {
      const { logprobRows } = await import("../../eval/inference.js");
      checkOut(flags.out, data);
      const request = { ...modelChoice(flags), data, limit: limitOf(flags) };
      await writeRows(await withContext(flags, (context) => logprobRows(request, context)), flags.out, flags);
    });
