import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import type { Interval } from "../../base/statistics.js";
import { formatPercent } from "../../dashboard/numbers.js";
import type { Message, PreferenceRow, Text } from "../../data/rows.js";
import type { RewardBenchResult } from "../../reward/reward-bench.js";
import type { RunContext } from "../../run/context.js";
import { printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { addEngineFlags, addOutputFlags, choiceOf, type EngineFlags } from "./warm-flags.js";

interface CheckFlags extends EngineFlags {
  data: string;
  plain?: boolean;
}

export const checkCommand = () => {
  const command = new Command("check")
    .summary("score a file in RewardBench's format, subset by subset")
    .description(
      "Reads pairs (prompt, chosen, rejected, subset; strings or messages) and tells how often the reward model prefers " +
        "the chosen response: by subset with Wilson's 95 % interval, and RewardBench's sections (Chat, Chat Hard, Safety, " +
        "Reasoning) weighted as on its leaderboard. Ties count one half.",
    )
    .argument("<model>", "the reward model")
    .requiredOption("--data <file or Hub name>", "the pairs")
    .option("--plain", "strings stand as they are, even where the model has a chat template");
  addOutputFlags(addEngineFlags(command));
  return command
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone warm check runs/rm/merged --data rewardbench.jsonl\n" +
        "  $ touchstone warm check runs/rm/merged --data allenai/reward-bench:filtered --json",
    )
    .action(async (model: string, flags: CheckFlags) => {
      const result = await withContext(flags, (context) => check(model, flags, context));
      printResult(result, describe(result), flags);
    });
};

async function check(model: string, flags: CheckFlags, context: RunContext): Promise<RewardBenchResult> {
  const [{ loadPreferences }, { openCodec, openRewardModel }, scoring, { correctness }, { rewardBench }] =
    await Promise.all([
      import("../../data/index.js"),
      import("../../train/models.js"),
      import("./warm-scoring.js"),
      import("../../reward/diagnostics/pair-scores.js"),
      import("../../reward/reward-bench.js"),
    ]);
  const choice = choiceOf(model, flags);
  const codec = await openCodec(choice.model, choice);
  const { rows, description } = await loadPreferences(flags.data, { limit: limitOf(flags) });
  context.reporter.note(`${flags.data}: ${description}`);
  const subsets = rows.map(subsetOf);
  const isChat = !flags.plain && codec.hasTemplate;
  const pairs = rows.map((row) => scoring.encodePair(codec, isChat ? asConversation(row) : row));
  const scorer = new scoring.PairScorer(
    await openRewardModel(choice.model, { engine: choice.engine, frozen: true }),
    [pairs],
    context,
  );
  try {
    context.reporter.begin("scoring, sequences", scorer.sequences);
    const [scores] = await scorer.score((sequences) => context.reporter.step(sequences));
    context.reporter.end();
    return rewardBench(correctness(scores!), subsets);
  } finally {
    scorer.dispose();
  }
}

function subsetOf({ id, metadata }: PreferenceRow): string {
  const { subset } = metadata;
  if (typeof subset === "string") return subset;
  throw new UserError(
    `${id}: "subset" must name the subset of the pair; check reads RewardBench's columns prompt, chosen, rejected, subset`,
  );
}

/** A string is one turn, as RewardBench has it. */
const turn = (text: Text, role: string): Message[] =>
  typeof text === "string" ? [{ role, content: text }] : text;

const asConversation = (row: PreferenceRow): PreferenceRow => ({
  ...row,
  prompt: turn(row.prompt, "user"),
  chosen: turn(row.chosen, "assistant"),
  rejected: turn(row.rejected, "assistant"),
});

const withInterval = ({ estimate, low, high }: Interval): string =>
  `${formatPercent(estimate)} (${formatPercent(low)} to ${formatPercent(high)})`;

function describe({ subsets, sections, score, overall }: RewardBenchResult): string[] {
  return [
    ...subsets.map((result) => `${result.subset}: ${withInterval(result)}, ${result.pairs} pairs`),
    `all pairs: ${withInterval(overall)}`,
    ...sections.map(
      ({ section, accuracy, missing }) =>
        `${section}: ${formatPercent(accuracy)}${missing.length > 0 ? ` (without ${missing.join(", ")})` : ""}`,
    ),
    ...(score === undefined ? [] : [`score, mean of the sections: ${formatPercent(score)}`]),
  ];
}
