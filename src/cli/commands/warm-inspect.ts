import { join } from "node:path";
import { Command } from "commander";
import { writeFileAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { formatNumber, formatPercent } from "../../dashboard/numbers.js";
import type { SplitSource } from "../../eval/reward-models/pair-scorer.js";
import { connectionSentences } from "../../reward/diagnostics/connectivity.js";
import { type InspectionReport, meanAccuracy, sayAtChance } from "../../reward/diagnostics/inspect.js";
import type { RunContext } from "../../run/context.js";
import { printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { repeated, wholeNumber } from "../values.js";
import {
  addChatFlags,
  addEngineFlags,
  addOutputFlags,
  choiceOf,
  type EngineFlags,
  snakeKeys,
} from "./warm-flags.js";

interface InspectFlags extends EngineFlags {
  data: string;
  split?: string[];
  init?: string[];
  select?: string;
  path?: string[];
  allPaths?: boolean;
  flipped: string;
  seed: string;
  out?: string;
}

export const inspectCommand = () => {
  const command = new Command("inspect")
    .summary("show whether averaging these members helps, and why")
    .description(
      "Scores preference pairs with every member, with averages of them and with their ensembles: accuracy and loss along " +
        "the path between members, averages of 1 to M members in three orders, what each member adds, calibration, " +
        "disagreement, smoothness, weight deltas, and how far the rewards follow length and format. Writes inspect.json and " +
        "inspect.html into --out.",
    )
    .argument("<members...>", "reward model directories or LoRA adapters")
    .requiredOption("--data <file or Hub name>", "held-out preference pairs; they rank the members")
    .option("--split <name=file>", "further pairs under a name, as often as needed", repeated)
    .option(
      "--init <dir>",
      "where all members began, or once for each member: shows the weight deltas",
      repeated,
    )
    .option("--select <name>", "the split that ranks the members (default: the first that is not corrupted)")
    .option(
      "--path <i,j>",
      "members to interpolate between, counted from 1, as often as needed (default: the best two)",
      repeated,
    )
    .option("--all-paths", "interpolate between all pairs of members")
    .option("--flipped <column>", "the column that is true where a label is known to be wrong", "flipped")
    .option("--seed <n>", "of the random order and of the bootstrap", "0")
    .option("-o, --out <dir>", "where to write inspect.json and inspect.html");
  addOutputFlags(addChatFlags(addEngineFlags(command)));
  return command
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm inspect runs/rm/member-*/final --data heldout.jsonl -o runs/rm/inspect\n" +
        "  $ touchstone warm inspect runs/rm/member-*/final --data heldout.jsonl --split train=train.jsonl \\\n" +
        "      --split shifted=shifted.jsonl --init runs/sft/final",
    )
    .action(async (members: string[], flags: InspectFlags) => {
      const report = await withContext(flags, (context) => inspect(members, flags, context));
      const files: string[] = [];
      if (flags.out !== undefined) {
        const { inspectionPage } = await import("../../dashboard/inspection-page.js");
        files.push(join(flags.out, "inspect.json"), join(flags.out, "inspect.html"));
        await writeFileAtomic(files[0]!, `${JSON.stringify(snakeKeys(report), null, 2)}\n`);
        await writeFileAtomic(files[1]!, inspectionPage(report));
      }
      printResult(snakeKeys(report), [...describe(report), ...files], flags);
    });
};

async function inspect(
  members: readonly string[],
  flags: InspectFlags,
  context: RunContext,
): Promise<InspectionReport> {
  if (members.length < 2) throw new UserError("name at least two members to inspect");
  const { init = [], select, flipped } = flags;
  if (init.length > 1 && init.length !== members.length)
    throw new UserError(
      `--init is given ${init.length} times for ${members.length} members; give it once, or once for each`,
    );
  const paths = pathsOf(flags, members.length);
  const { inspectRewardModels } = await import("../../eval/reward-models/inspect.js");
  const { engine, chatTemplate, chat } = choiceOf(members[0]!, flags);
  return inspectRewardModels(
    {
      members,
      sources: sourcesOf(flags),
      flippedColumn: flipped,
      limit: limitOf(flags),
      select,
      paths,
      init,
      seed: wholeNumber(flags.seed, "--seed"),
      engine,
      chatTemplate,
      chat,
    },
    context,
  );
}

/** The pairs of members that the flags name, counted from 0. */
function pathsOf({ path, allPaths }: InspectFlags, count: number): [number, number][] | undefined {
  if (allPaths)
    return Array.from({ length: count }, (_, j) => j).flatMap((j) =>
      Array.from({ length: j }, (_, i): [number, number] => [i, j]),
    );
  return path?.map((text) => {
    const [first, second, ...rest] = text.split(",").map((part) => wholeNumber(part, "--path", 1));
    if (second === undefined || rest.length > 0 || first === second)
      throw new UserError(`--path names two different members, as 1,2 does, not "${text}"`);
    const stranger = [first!, second].find((place) => place > count);
    if (stranger !== undefined)
      throw new UserError(`--path ${text}: there is no member ${stranger}, only ${count}`);
    return [first! - 1, second - 1];
  });
}

function sourcesOf({ data, split = [] }: InspectFlags): SplitSource[] {
  const named = split.map((text) => {
    const [, name, file] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (name === undefined) throw new UserError(`--split ${text}: write it as name=file`);
    return { name, data: file! };
  });
  return [{ name: "held-out", data }, ...named];
}

const percent = formatPercent;
const points = (x: number): string => `${x > 0 ? "+" : ""}${formatNumber(100 * x, 2)}`;

/** The findings in a few sentences. */
function describe(report: InspectionReport): string[] {
  const { splits, members, average, ensemble, selectedOn, ranking, deltas } = report;
  const lines = splits.flatMap(({ split, pairs, corrupted, gain, overEnsemble }, s) => {
    const { estimate, low, high } = average.splits[s]!.accuracy;
    return [
      `${split} (${pairs} pairs${corrupted ? ", wrong labels: lower is better" : ""}): average ${percent(estimate)} (${percent(low)} to ${percent(high)}), members ${percent(meanAccuracy(members, s))}, ensemble ${percent(ensemble.splits[s]!.accuracy.estimate)}`,
      `  points over the members' mean ${points(gain.estimate)} (${points(gain.low)} to ${points(gain.high)}), over the ensemble ${points(overEnsemble.estimate)} (${points(overEnsemble.low)} to ${points(overEnsemble.high)})`,
    ];
  });
  const selected = splits.find(({ split }) => split === selectedOn)!;
  const best = ranking.map((i) => members[i]!.name);
  return [
    ...lines,
    `best first on ${selectedOn}: ${best.join(", ")}`,
    ...(deltas ? [`mean cosine of the weight deltas: ${formatNumber(deltas[0]!.meanCosine)}`] : []),
    `on ${selectedOn} ${connectionSentences[selected.gain.connection]}`,
    ...sayAtChance(report),
  ];
}
