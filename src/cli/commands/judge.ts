import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import { printResult } from "../context.js";
import { limitOf } from "../model-flags.js";
import { writeRows } from "../rows.js";

interface JudgeFlags {
  judge?: string[];
  recipe?: string;
  task?: string;
  out?: string;
  all?: boolean;
  limit?: string;
  log?: string;
  json?: boolean;
}

export const judgeCommand = () =>
  new Command("judge")
    .summary("ask judges about responses: satisfied, violated or failed, and why")
    .description(
      "Reads rows with a prompt, a response (or completion) and whatever columns the judges need, and writes the same " +
        "rows with `feasible` and `verdicts`. A row is feasible when every judge that applies is satisfied.",
    )
    .argument("<data>", "JSONL, JSON or Parquet file, or Hub name")
    .option("--judge <entry...>", "judges as in a recipe: a kind, or {kind: ..., option: ...}")
    .option("--recipe <file>", "take the judges of a task of this align recipe instead")
    .option("--task <name>", "which task (default: the first)")
    .option("-o, --out <file>", "where to write the rows (default: stdout)")
    .option("--limit <n>", "use the first rows only")
    .option("--log <dir>", "keep requests to language models here; the same command again asks nothing twice")
    .option("--all", "ask every judge even after a violation")
    .option("--json", "with --out: the rates as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone judge answers.jsonl --judge math -o judged.jsonl\n" +
        '  $ touchstone judge answers.jsonl --judge math "{kind: length, max_words: 100}" --all\n' +
        "  $ touchstone judge answers.jsonl --recipe recipe.yaml --task math",
    )
    .action(async (data: string, flags: JudgeFlags) => {
      const { judgeFile } = await import("../judge-file.js");
      if (flags.json && flags.out === undefined)
        throw new UserError("--json needs --out: stdout holds the rows otherwise");
      const { rows, metrics } = await judgeFile(data, { ...flags, limit: limitOf(flags) });
      await writeRows(rows, flags.out);
      const rates = Object.entries(metrics)
        .filter(([key]) => key.endsWith("_rate"))
        .map(([key, value]) => `${key}: ${(100 * value).toFixed(1)} %`);
      if (flags.out === undefined) process.stderr.write(`${rates.join("\n")}\n`);
      else
        printResult(
          { out: flags.out, rows: rows.length, ...metrics },
          [...rates, `rows: ${flags.out}`],
          flags,
        );
    });
