import { Command } from "commander";
import { percent } from "../../base/percent.js";
import type { Interval } from "../../base/statistics.js";
import type { AnchorReport } from "../../mpo/anchors.js";
import type { WhichHistory } from "../../mpo/named-rubric.js";
import { addEndpointFlags, type EndpointFlags, endpointOf } from "../chat-endpoint.js";
import { type ContextFlags, cameToNothing, printResult, withContext } from "../context.js";
import { limitOf } from "../model-flags.js";
import { realNumber } from "../values.js";

interface RubricFlags extends WhichHistory {
  json?: boolean;
}

const addHistoryFlags = (command: Command): Command =>
  command
    .option("--task <name>", "which task of a run (default: its only one)")
    .option("--cluster <name>", "which cluster of the task, in depth mode (default: its only one)")
    .option("--json", "the result as one JSON object on stdout");

const naming =
  "A rubric is a file, a preset (essay, summary, ethics, mathematics), or the directory of a run: its last version, or runs/bot:2.";

export const rubricCommand = () =>
  new Command("rubric")
    .summary("look at rubrics, compare their versions, test one against labelled responses")
    .description(`Rubrics are what MPO scores by and rewrites. ${naming}`)
    .addCommand(showCommand())
    .addCommand(diffCommand())
    .addCommand(historyCommand())
    .addCommand(testCommand())
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone rubric show essay\n" +
        "  $ touchstone rubric history runs/bot\n" +
        "  $ touchstone rubric diff runs/bot:0 runs/bot\n" +
        "  $ touchstone rubric test rubric.yaml --anchors labelled.jsonl --judge qwen3:8b@http://127.0.0.1:11434/v1",
    );

const showCommand = () =>
  addHistoryFlags(new Command("show"))
    .summary("a rubric as a language model sees it")
    .description(naming)
    .argument("<rubric>", "file, preset or run")
    .action(async (name: string, flags: RubricFlags) => {
      const [{ namedRubric }, { renderItem }] = await Promise.all([
        import("../../mpo/named-rubric.js"),
        import("../../mpo/rubric-text.js"),
      ]);
      const { rubric, task } = await namedRubric(name, flags);
      const { version, parent, maxTotal, hash, items } = rubric;
      const from = parent === null ? "" : `, after ${parent.slice(0, 12)}`;
      const lines = [
        `version ${version} (${hash.slice(0, 12)}${from}), at most ${maxTotal} points`,
        ...items.flatMap((item) => ["", renderItem(item)]),
        ...(task.judges.length > 0 ? ["", `judges that go with it: ${JSON.stringify(task.judges)}`] : []),
      ];
      printResult({ version, parent, hash, max_total: maxTotal, items }, lines, flags);
    });

const diffCommand = () =>
  addHistoryFlags(new Command("diff"))
    .summary("what changed from one rubric to another, item by item")
    .description(naming)
    .argument("<before>", "file, preset or run")
    .argument("<after>", "file, preset or run")
    .action(async (before: string, after: string, flags: RubricFlags) => {
      const [{ namedRubric }, { diffRubrics, renderChange }] = await Promise.all([
        import("../../mpo/named-rubric.js"),
        import("../../mpo/diff.js"),
      ]);
      const [old, now] = [
        (await namedRubric(before, flags)).rubric,
        (await namedRubric(after, flags)).rubric,
      ];
      const changes = diffRubrics(old, now);
      const lines = [
        `at most ${old.maxTotal} points before, ${now.maxTotal} after; ${counted(now.items.length - added(changes) - changed(changes), "item")} unchanged`,
        ...changes.flatMap((change) => ["", `${change.change}: ${change.name}`, ...renderChange(change)]),
      ];
      printResult({ changes, max_total: { before: old.maxTotal, after: now.maxTotal } }, lines, flags);
    });

const counted = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;

const count = (kind: string) => (changes: readonly { change: string }[]) =>
  changes.filter(({ change }) => change === kind).length;
const [added, removed, changed] = [count("added"), count("removed"), count("changed")];

const historyCommand = () =>
  addHistoryFlags(new Command("history"))
    .summary("the versions of a run's rubric, and the rounds that brought none")
    .argument("<run>", "the directory of a run")
    .action(async (run: string, flags: RubricFlags) => {
      const [{ openHistory }, { diffRubrics }] = await Promise.all([
        import("../../mpo/named-rubric.js"),
        import("../../mpo/diff.js"),
      ]);
      const { task, cluster, versions, rounds } = await openHistory(run, flags);
      const lines = versions.map(({ rubric, reason }, i) => {
        const changes = i === 0 ? [] : diffRubrics(versions[i - 1]!.rubric, rubric);
        const what =
          i === 0 ? "" : `, ${added(changes)} new, ${changed(changes)} changed, ${removed(changes)} gone`;
        const size = `${counted(rubric.items.length, "item")}, at most ${rubric.maxTotal} points`;
        return `version ${rubric.version}: ${size}${what}${reason === undefined ? "" : `; ${reason}`}`;
      });
      const kept = rounds.filter(({ outcome }) => outcome === "kept");
      const quiet = kept.map(({ step, trigger, reason }) => `  update ${step} (${trigger}): ${reason}`);
      printResult(
        {
          task,
          cluster,
          versions: versions.map(({ rubric: { maxTotal, ...rubric }, reason }) => ({
            ...rubric,
            max_total: maxTotal,
            reason,
          })),
          rounds,
        },
        [
          ...lines,
          ...(kept.length > 0 ? [`${counted(kept.length, "round")} kept the version:`, ...quiet] : []),
        ],
        flags,
      );
    });

interface TestFlags extends EndpointFlags, RubricFlags, ContextFlags {
  anchors: string;
  scoring: "one-reply" | "item-reply" | "dialogue";
  threshold: string;
  limit?: string;
  log?: string;
}

const testCommand = () =>
  addEndpointFlags(addHistoryFlags(new Command("test")), "the model that scores")
    .summary("how far a rubric agrees with people on labelled responses")
    .description(
      "Scores responses whose quality is known by a rubric and reports, with 95 % intervals: agreement, how many bad ones " +
        "pass, how many good ones do not, and how often a good one scores above a bad one; with scores instead of labels, " +
        `Spearman's correlation. Responses that could not be scored are counted apart. ${naming}`,
    )
    .argument("<rubric>", "file, preset or run")
    .requiredOption("--anchors <file>", "rows with prompt, response, and label (good, bad) or score")
    .option("--scoring <mode>", "one-reply, item-reply or dialogue", "one-reply")
    .option("--threshold <share>", "share of the maximum from which a response passes", "0.5")
    .option("--limit <n>", "use the first rows only")
    .option("--log <file>", "keep requests and replies here; the same command again asks nothing twice")
    .option("--quiet", "no progress")
    .action(async (name: string, flags: TestFlags) => {
      const [{ namedRubric }, { testRubric }] = await Promise.all([
        import("../../mpo/named-rubric.js"),
        import("../../eval/rubric-anchors.js"),
      ]);
      const { rubric, task } = await namedRubric(name, flags);
      const { anchors, scoring, log } = flags;
      const report = await withContext(flags, (context) =>
        testRubric(
          {
            rubric,
            task,
            anchors,
            scoring,
            log,
            endpoint: endpointOf(flags),
            threshold: realNumber(flags.threshold, "--threshold", { max: 1 }),
            limit: limitOf(flags),
          },
          context,
        ),
      );
      printResult(asJson(report), asLines(report), flags);
      if (report.scored === 0)
        cameToNothing([`none of the ${report.failed} responses could be scored: ${report.failure}`]);
    });

const share = ({ estimate, low, high }: Interval) =>
  Number.isNaN(estimate) ? "there are none" : `${percent(estimate)} (${percent(low)} to ${percent(high)})`;

const asJson = ({ falsePass, falseFail, ...report }: AnchorReport) => ({
  ...report,
  ...(falsePass && { false_pass: falsePass }),
  ...(falseFail && { false_fail: falseFail }),
});

function asLines(report: AnchorReport): string[] {
  const { scored, failed, failure, threshold, agreement, falsePass, falseFail, ranking, correlation } =
    report;
  const figures: [string, string | undefined][] = [
    [`agreement at ${percent(threshold)} of the points`, agreement && share(agreement)],
    ["bad responses that pass", falsePass && share(falsePass)],
    ["good responses that do not", falseFail && share(falseFail)],
    ["a good one scores above a bad one", ranking && share(ranking)],
    [
      "rank correlation with the scores",
      correlation &&
        [correlation.estimate, correlation.low, correlation.high].map((r) => r.toFixed(2)).join(", "),
    ],
  ];
  return [
    `${counted(scored, "response")} scored${failed > 0 ? `, ${failed} could not be, for example: ${failure}` : ""}`,
    ...figures.flatMap(([what, value]) => (value === undefined ? [] : [`${what}: ${value}`])),
  ];
}
