import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import { percent } from "../../base/percent.js";
import type { JudgeFileOptions } from "../../eval/judge-file.js";
import type { Agreement, Share } from "../../judges/agreement.js";
import { cameToNothing, printResult } from "../context.js";
import { DATA, limitOf } from "../model-flags.js";
import { checkOut, writeRows } from "../rows.js";
import { realNumber } from "../values.js";

interface JudgeFlags {
  judge?: string[];
  recipe?: string;
  task?: string;
  out?: string;
  all?: boolean;
  limit?: string;
  log?: string;
  json?: boolean;
  against?: string;
  minFeasible?: string;
  maxFailed?: string;
}

/** The rows were judged, and there are fewer feasible ones, or more failures, than the flags allow. */
const OUT_OF_BOUNDS = 3;

export const judgeCommand = () =>
  new Command("judge")
    .summary("ask judges about responses: satisfied, violated or failed, and why")
    .description(
      "Reads rows with a prompt, a response (or completion) and whatever columns the judges need, and writes the same " +
        "rows with `feasible` and `verdicts`. A row is feasible when every judge that applies is satisfied.",
    )
    .argument("<data>", DATA)
    .option("--judge <entry...>", "judges as in a recipe: a kind, or {kind: ..., option: ...}")
    .option("--recipe <file>", "take the judges of a task of this align recipe instead")
    .option("--task <name>", "which task (default: the first)")
    .option("-o, --out <file>", "where to write the rows (default: stdout)")
    .option("--limit <n>", "use the first rows only")
    .option("--log <dir>", "keep requests to language models here; the same command again asks nothing twice")
    .option("--all", "ask every judge even after a violation")
    .option(
      "--against <column>",
      "compare with the labels in this column: agreement, false passes, false failures",
    )
    .option("--min-feasible <share>", "exit code 3 when fewer of the rows are feasible")
    .option("--max-failed <share>", "exit code 3 when a judge fails on more of the rows that it applies to")
    .option("--json", "the rates as one JSON object on stdout, with the rows unless --out takes them")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone judge answers.jsonl --judge math -o judged.jsonl\n" +
        '  $ touchstone judge answers.jsonl --judge math "{kind: length, max_words: 100}" --all\n' +
        "  $ touchstone judge answers.jsonl --recipe recipe.yaml --task math\n" +
        "  $ touchstone judge labelled.jsonl --judge refusal_regex --against label -o judged.jsonl\n" +
        "  $ touchstone judge answers.jsonl --judge math -o judged.jsonl --min-feasible 0.9 --max-failed 0",
    )
    .action(async (data: string, flags: JudgeFlags) => {
      const { judgeFile } = await import("../../eval/judge-file.js");
      checkOut(flags.out, data);
      const bounds = {
        feasible: boundOf(flags.minFeasible, "--min-feasible"),
        failed: boundOf(flags.maxFailed, "--max-failed"),
      };
      const { rows, metrics, feasible, rules, agreement } = await judgeFile(data, {
        ...flags,
        judges: await judgesOf(flags),
        limit: limitOf(flags),
      });
      // One document: with --json the rows are part of it, unless they have a file.
      if (flags.out !== undefined || !flags.json) await writeRows(rows, flags.out);
      const broken = brokenBounds(bounds, { share: feasible / rows.length, metrics });
      const lines = [
        ...Object.entries(metrics)
          .filter(([key]) => key.endsWith("_rate"))
          .map(([key, value]) => `${key}: ${value === undefined ? "no verdicts" : percent(value)}`),
        ...Object.entries(agreement ?? {}).flatMap(([name, found]) => describe(name, found)),
      ];
      if (flags.out === undefined && !flags.json) process.stderr.write(`${lines.join("\n")}\n`);
      else
        printResult(
          {
            ...(flags.out === undefined ? { rows } : { out: flags.out, rows: rows.length }),
            feasible,
            ...metrics,
            ...(agreement && { against: { column: flags.against, judges: mapped(agreement, inSnakeCase) } }),
          },
          [...lines, `rows: ${flags.out}`],
          flags,
        );
      cameToNothing(nothingOf(metrics, rows, rules));
      for (const sentence of broken) process.stderr.write(`touchstone: ${sentence}\n`);
      if (broken.length > 0) process.exitCode = OUT_OF_BOUNDS;
    });

async function judgesOf({ judge, recipe, task }: JudgeFlags): Promise<JudgeFileOptions["judges"]> {
  if ((judge === undefined) === (recipe === undefined))
    throw new UserError("name the judges with --judge, or a recipe that has them with --recipe");
  if (recipe !== undefined) return { recipe, task };
  if (task !== undefined) throw new UserError("--task goes with --recipe: which of its tasks");
  const { parseValue } = await import("../../recipe/file.js");
  return judge!.map((entry) => parseValue(entry, `--judge ${entry}`) as string);
}

/**
 * Judges that have failed on everything, or have had nothing to say of any row: then nobody was judged by them. A rule that
 * could decide none has said why of each, which is what it was asked for.
 */
function nothingOf(
  metrics: Record<string, number | undefined>,
  rows: readonly object[],
  rules: readonly string[],
): string[] {
  const verdicts = rows.map((row) => (row as { verdicts: Record<string, unknown> }).verdicts);
  const judges = [...new Set(verdicts.flatMap((said) => Object.keys(said)))];
  const idle = judges.filter((judge) => verdicts.every((said) => said[judge] === "inapplicable"));
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter(
    (column) => !["prompt", "response", "feasible", "verdicts"].includes(column),
  );
  const have = columns.length === 0 ? "no columns of their own" : `the columns ${columns.join(", ")}`;
  if (idle.length === judges.length && judges.length > 0)
    return [
      `${idle.join(", ")} applied to none of the ${rows.length} rows, which have ${have}: nothing was judged`,
    ];
  for (const judge of idle)
    process.stderr.write(`warning: judge ${judge} applied to none of the ${rows.length} rows\n`);
  const failed = judges.filter((judge) => metrics[`judges/${judge}/failed_rate`] === 1);
  const sentenceOf = (judge: string) =>
    `judge ${judge} failed wherever it applied: ${reasonOf(verdicts, judge)}`;
  for (const judge of failed.filter((name) => rules.includes(name)))
    process.stderr.write(`warning: ${sentenceOf(judge)}\n`);
  return failed.filter((judge) => !rules.includes(judge)).map(sentenceOf);
}

function reasonOf(verdicts: readonly Record<string, unknown>[], judge: string): string {
  for (const { [judge]: said } of verdicts)
    if (typeof said === "object" && said !== null && "reason" in said) return String(said.reason);
  return "it gave no reason";
}

const boundOf = (text: string | undefined, flag: string): number | undefined =>
  text === undefined ? undefined : realNumber(text, flag, { max: 1 });

function brokenBounds(
  bounds: { feasible: number | undefined; failed: number | undefined },
  { share, metrics }: { share: number; metrics: Record<string, number | undefined> },
): string[] {
  const sentences: string[] = [];
  if (bounds.feasible !== undefined && share < bounds.feasible)
    sentences.push(
      `${percent(share)} of the rows are feasible, fewer than --min-feasible ${bounds.feasible}`,
    );
  for (const [key, rate] of Object.entries(metrics)) {
    const [, judge] = /^judges\/(.*)\/failed_rate$/.exec(key) ?? [];
    if (judge !== undefined && rate !== undefined && bounds.failed !== undefined && rate > bounds.failed)
      sentences.push(`judge "${judge}" failed on ${percent(rate)}, more than --max-failed ${bounds.failed}`);
  }
  return sentences;
}

const withInterval = ({ count, of, estimate, low, high }: Share): string =>
  of === 0
    ? "none to count"
    : `${percent(estimate)} (${percent(low)} to ${percent(high)}), ${count} of ${of}`;

const describe = (name: string, { agreement, falsePasses, falseFailures, failed }: Agreement): string[] => [
  `${name}: agreement ${withInterval(agreement)}`,
  `${name}: false passes ${withInterval(falsePasses)}`,
  `${name}: false failures ${withInterval(falseFailures)}`,
  ...(failed > 0 ? [`${name}: ${failed} failed, counted in none of these`] : []),
];

const mapped = <T, R>(record: Record<string, T>, change: (value: T) => R): Record<string, R> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

/** A share of nothing has no estimate. */
const asJson = ({ estimate, ...rest }: Share) => ({
  estimate: Number.isNaN(estimate) ? null : estimate,
  ...rest,
});

const inSnakeCase = ({ rows, failed, agreement, falsePasses, falseFailures }: Agreement) => ({
  rows,
  failed,
  agreement: asJson(agreement),
  false_passes: asJson(falsePasses),
  false_failures: asJson(falseFailures),
});
