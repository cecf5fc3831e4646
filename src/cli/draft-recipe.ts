// The first recipe of somebody who has a model and a file: what the columns of the file suggest, as YAML with comments.

import { stringify } from "yaml";
import type { DataFormat, DataRow } from "../data/index.js";

export type DraftVerb = "sft" | "reward" | "align";

/** What was seen in a data file. */
export interface Seen {
  path: string;
  rows: readonly DataRow[];
  format: DataFormat | null;
}

/** A judge as it stands in a recipe, and why it is there. */
interface Suggestion {
  judge: string;
  why: string;
}

const columnsOf = ({ rows }: Seen): Set<string> => new Set(rows.flatMap(({ values }) => Object.keys(values)));

/** Numbers, fractions, formulas, `#### 12`: what the math judge compares by value. */
const MATHEMATICAL = /^\s*\\?[$(\\]|^\s*[-+]?[\d.,]+(\s*[/%:^*+-]\s*[\d.,]+)*\s*\S{0,8}\s*$|####|\\boxed/;

/** Share of the answers that must look so before the math judge is suggested. */
const MOSTLY = 0.8;

const answersAreMathematical = ({ rows }: Seen): boolean => {
  const answers = rows
    .map(({ values }) => values.answer)
    .filter((answer) => answer !== undefined && answer !== null);
  const matching = answers.filter(
    (answer) => typeof answer === "number" || MATHEMATICAL.test(String(answer)),
  );
  return answers.length > 0 && matching.length >= MOSTLY * answers.length;
};

/** Columns that speak for a judge, the more telling first. */
const SIGNS: readonly { columns: readonly string[]; suggest: (seen: Seen, column: string) => Suggestion }[] =
  [
    {
      columns: ["instruction_id_list"],
      suggest: () => ({ judge: "instructions", why: "checks what instruction_id_list asks for" }),
    },
    {
      columns: ["unit_tests"],
      suggest: () => ({ judge: "code", why: "runs the JavaScript of the answer against unit_tests" }),
    },
    {
      columns: ["test_list", "test", "input_output"],
      suggest: (_, column) => ({
        judge: "{ kind: code, language: python }",
        why: `runs the Python of the answer against ${column}`,
      }),
    },
    {
      columns: ["answer"],
      suggest: (seen) =>
        answersAreMathematical(seen)
          ? {
              judge: "math",
              why: 'compares "the final answer is ..." or \\boxed{} with the column answer, by value',
            }
          : {
              judge: "{ kind: exact, match: contains }",
              why: "the column answer must occur in the response; without match: contains it must be the response",
            },
    },
  ];

/** The judges that the columns speak for; none where nothing can be checked. */
export function suggestJudges(seen: Seen): Suggestion[] {
  const columns = columnsOf(seen);
  for (const { columns: signs, suggest } of SIGNS) {
    const column = signs.find((name) => columns.has(name));
    if (column !== undefined) return [suggest(seen, column)];
  }
  return [];
}

/** What a file is usually for. */
export function suggestVerb(seen: Seen): DraftVerb {
  const kind = seen.format?.kind;
  if (kind === "preference" || kind === "ranked") return "reward";
  if (suggestJudges(seen).length > 0) return "align";
  return kind === "completion" || kind === "messages" || kind === "text" || kind === "labelled"
    ? "sft"
    : "align";
}

export interface Draft {
  verb: DraftVerb;
  model: string;
  data: Seen;
  /** The prompts are plain text and the model has a chat template. */
  isPlainForChat?: boolean;
  /** A reward model, for align. */
  rewardModel?: string | undefined;
  outputDir: string;
}

const scalar = (value: string): string => stringify(value).trim();

/** The head of every draft: how it is run, what was seen. */
const head = ({ verb, outputDir }: Draft, file: string, about: string): string[] => [
  `# touchstone ${verb} ${file}            stopped or killed, it goes on with --resume`,
  `# Every key: docs/recipes.md. ${about}`,
  `output_dir: ${scalar(outputDir)}`,
  "seed: 0",
];

const LORA = [
  "# lora: { r: 16 }                # train adapters instead of all weights: a third of the memory, files of a few MB",
];

/** A data source; plain prompts become a user's messages where the model chats. */
const source = ({ data, isPlainForChat }: Draft, key: string, indent = ""): string[] =>
  isPlainForChat
    ? [
        `${indent}${key}:`,
        `${indent}  path: ${scalar(data.path)}`,
        `${indent}  apply_chat_template: true    # each plain prompt as a user's message; false: as it stands, without the template`,
      ]
    : [`${indent}${key}: ${scalar(data.path)}`];

const trained = (draft: Draft): string[] => [
  `model: ${scalar(draft.model)}`,
  ...source(draft, "data"),
  ...LORA,
];

const sft = (draft: Draft, file: string): string[] => [
  ...head(draft, file, "The loss is on completions and assistant turns only (completion_only_loss)."),
  ...trained(draft),
  "epochs: 1",
  "batch_size: 32                   # rows of one step, whatever fits into memory at a time",
  "max_length: 1024                 # tokens; longer rows are cut",
  "learning_rate: 1.0e-5            # with lora: 1.0e-4",
];

const reward = (draft: Draft, file: string): string[] => [
  ...head(
    draft,
    file,
    `Then: touchstone warm ${draft.outputDir}/member-*/final -o ${draft.outputDir}/merged`,
  ),
  ...trained(draft),
  "runs: 4                          # reward models to average; they differ in order of rows, learning rate and dropout",
  "learning_rate: [1.0e-5, 4.0e-5]",
  "dropout: [0.05, 0.1]",
  "eval_split: 0.05                 # held out, for the accuracy",
  "epochs: 1",
  "batch_size: 32",
  "max_length: 1024                 # tokens; longer rows are refused",
];

function align(draft: Draft, file: string): string[] {
  const judges = suggestJudges(draft.data);
  const rewardModel = draft.rewardModel ?? (judges.length === 0 ? "runs/reward/merged" : undefined);
  const reward =
    rewardModel === undefined
      ? [
          "    # reward: { warm: runs/reward/merged }   # a reward model of touchstone reward and warm; without, the judges alone decide",
        ]
      : [
          `    reward: { warm: ${scalar(rewardModel)} }${draft.rewardModel ? "" : "   # make it first: touchstone init --verb reward"}`,
        ];
  const chosen =
    judges.length > 0
      ? judges
      : [{ judge: "{ kind: length, max_words: 300 }", why: "answers do not grow without end" }];
  return [
    ...head(draft, file, "A task for each kind of prompt: copy the one below."),
    "policy:",
    `  model: ${scalar(draft.model)}`,
    "  # lora: { r: 16 }              # train adapters instead of all weights",
    "steps: 100",
    "tasks:",
    `  - name: ${taskName(draft.data.path)}`,
    ...source(draft, "prompts", "    "),
    ...reward,
    "    judges:                      # a response that one of them calls violated earns nothing; docs/judges.md",
    ...chosen.map(({ judge, why }) => `      - ${judge}   # ${why}`),
    "    optimizer:",
    "      name: crpg                 # or crraft, codpo; docs/recipes.md",
    "      kl_max: 5                  # nats from the start policy, at most",
    "      generations: 4             # responses to each prompt",
    "      batch_prompts: 16",
    "      max_new_tokens: 256",
  ];
}

/** A name of letters and digits out of a file's. */
const taskName = (path: string): string =>
  path
    .split(/[\\/]/)
    .at(-1)!
    .replace(/\..*$/, "")
    .replace(/\W+/g, "-")
    .replace(/^-+|-+$/g, "")
    .replace(/^(?=\d)|^$/, "task-");

const drafts = { sft, reward, align };

/** The recipe as YAML, for a file of the name `file`. */
export const draftRecipe = (draft: Draft, file: string): string =>
  `${drafts[draft.verb](draft, file).join("\n")}\n`;
