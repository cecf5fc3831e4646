import { Command } from "commander";
import { cameToNothing, printResult, withContext } from "../context.js";
import { DATA, limitOf } from "../model-flags.js";

interface SplitFlags {
  rules: string;
  out: string;
  limit?: string;
  quiet?: boolean;
  json?: boolean;
}

export const splitCommand = () =>
  new Command("split")
    .summary("split a prompt set into one file for each task, by rules or by a language model")
    .description(
      "Sorts the rows of a prompt set into tasks and writes <out>/<task>.jsonl, disjoint, every row as it came. What no " +
        "rule and no model claims goes to unclassified.jsonl, what the model failed on to failed.jsonl; the counts are in " +
        "split.json. The first task in the rules file that claims a prompt gets it. The rules file:\n\n" +
        "  tasks:\n" +
        "    math:\n" +
        "      keywords: [solve, equation]          # whole words\n" +
        '      regex: ["\\\\d+ *[-+*/] *\\\\d+"]         # RE2 syntax\n' +
        "      columns: { data_source: [gsm8k] }    # columns of the row\n" +
        "      not: { keywords: [essay] }           # never these\n" +
        "    chat:\n" +
        "      description: small talk and questions about the world\n" +
        "  llm: { model: qwen3:8b, base_url: http://127.0.0.1:11434/v1 }   # the rest\n" +
        "  default: chat                            # instead of unclassified.jsonl",
    )
    .argument("<data>", DATA)
    .requiredOption("--rules <file>", "the tasks and their rules (YAML)")
    .requiredOption(
      "-o, --out <dir>",
      "where the files go; the same command again continues and asks nothing twice",
    )
    .option("--limit <n>", "use the first rows only")
    .option("--quiet", "no progress")
    .option("--json", "the counts as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone split prompts.jsonl --rules rules.yaml -o prompts/\n" +
        "  $ touchstone split owner/prompts:train --rules rules.yaml -o prompts/ --limit 1000 --json",
    )
    .action(async (data: string, flags: SplitFlags) => {
      const { runSplit } = await import("../../eval/split.js");
      const { rules, out } = flags;
      const result = await withContext(flags, (context) =>
        runSplit({ data, rules, out, limit: limitOf(flags) }, context),
      );
      const { decidedBy, ...counts } = result;
      const { rows, tasks, unclassified, failed, failure } = result;
      const lines = [
        ...Object.entries(tasks).map(([task, count]) => `${task}: ${count}`),
        `unclassified: ${unclassified}`,
        ...(failed > 0 ? [`failed: ${failed} (${failure})`] : []),
        `${rows} rows in ${out}: ${decidedBy.rules} by rules, ${decidedBy.model} by the model, ${decidedBy.default} by default`,
      ];
      printResult({ ...counts, decided_by: decidedBy }, lines, flags);
      // What it was asked about and said nothing of is unclassified, or the default's.
      const hasAnswered = decidedBy.model + decidedBy.default + unclassified > 0;
      cameToNothing(
        failed > 0 && !hasAnswered
          ? [`the model failed on all ${failed} rows that no rule claims: ${failure}`]
          : [],
      );
    });
