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

export const scoreCommand = () =>
  addChatFlags(addModelFlags(new Command("score"), "the reward model"))
    .summary("score completions with a reward model")
    .description(
      "Reads prompts with completions (text, messages, or token ids in `prompt_ids` and `completion_ids`) and writes " +
        "the same rows with `reward`.",
    )
    .argument("<data>", DATA)
    .option("--json", ROWS_AS_JSON)
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone score answers.jsonl --model runs/rm/merged -o scored.jsonl",
    )
    .action(async (data: string, flags: ModelFlags) => {
      const { scoreRows } = await import("../../eval/inference.js");
      checkOut(flags.out, data);
      const request = { ...modelChoice(flags), data, limit: limitOf(flags) };
      await writeRows(await withContext(flags, (context) => scoreRows(request, context)), flags.out, flags);
    });
