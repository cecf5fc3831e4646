// Rubrics that a program can execute: legal rubric items whose level texts speak a tiny grammar.
//   at least N words | distinct-word ratio at least X | at least N topic terms | at least N of the things asked for |
//   at most N words per sentence | at most N sentences | at most N exclamation marks | otherwise
// joined by "and"; the first level that holds gives the points. Topic terms stand in the instruction: "Topic terms: a, b.",
// and the things asked for are what it names with "the": "Write about the fox and the lamp."

import { distinctRatio, words } from "../rollout.js";
import { itemRange, type RubricItem } from "../rubric.js";

export const sentences = (text: string): string[] =>
  text.split(/[.!?]+(?:\s|$)/).filter((sentence) => words(sentence).length > 0);

export function wordsPerSentence(text: string): number {
  const count = sentences(text).length;
  return count === 0 ? 0 : words(text).length / count;
}

export const exclamationMarks = (text: string): number => text.split("!").length - 1;

/** The terms that an instruction lists. */
function topicTerms(instruction: string): string[] {
  const list = /topic terms:([^\n.]*)/i.exec(instruction)?.[1] ?? "";
  return list
    .split(",")
    .map((term) => term.trim().toLowerCase())
    .filter((term) => term !== "");
}

/** What an instruction names with "the". */
export const thingsAskedFor = (instruction: string): string[] => [
  ...new Set([...instruction.toLowerCase().matchAll(/\bthe ([a-z]+)/g)].map(([, thing]) => thing!)),
];

/** How many of the terms a response holds. */
export function covered(response: string, terms: readonly string[]): number {
  const present = new Set(words(response));
  return terms.filter((term) => present.has(term)).length;
}

type Condition = (n: number, response: string, instruction: string) => boolean;

const conditions: [RegExp, Condition][] = [
  [/^at least ([\d.]+) words$/, (n, response) => words(response).length >= n],
  [/^distinct-word ratio at least ([\d.]+)$/, (n, response) => distinctRatio(response) >= n],
  [
    /^at least ([\d.]+) topic terms$/,
    (n, response, instruction) => covered(response, topicTerms(instruction)) >= n,
  ],
  [
    /^at least ([\d.]+) of the things asked for$/,
    (n, response, instruction) => covered(response, thingsAskedFor(instruction)) >= n,
  ],
  [/^at most ([\d.]+) words per sentence$/, (n, response) => wordsPerSentence(response) <= n],
  [/^at most ([\d.]+) sentences$/, (n, response) => sentences(response).length <= n],
  [/^at most ([\d.]+) exclamation marks$/, (n, response) => exclamationMarks(response) <= n],
  [/^otherwise()$/, () => true],
];

function holds(text: string, response: string, instruction: string): boolean {
  return text
    .toLowerCase()
    .replace(/\.$/, "")
    .split(/\s+and\s+/)
    .every((part) =>
      conditions.some(([pattern, condition]) => {
        const match = pattern.exec(part.trim());
        return match !== null && condition(Number(match[1]), response, instruction);
      }),
    );
}

/** The points that an item gives a response; its lowest where no level holds. */
export function executeItem(item: RubricItem, response: string, instruction: string): number {
  const level = item.levels.find(({ text }) => holds(text, response, instruction));
  return level?.points ?? itemRange(item).min;
}

/** What the scripted meta reward model reads in one case of its prompt. */
export interface Evidence {
  instruction: string;
  response: string;
  /** Score / attainable total. */
  share: number;
}

/** A way to score high without doing the work, and how the scripted meta reward model closes it. */
export interface Hack {
  name: string;
  shows(evidence: Evidence): boolean;
  /** The items that it adds to the rubric. */
  remedy: readonly RubricItem[];
}

/** What the scripted meta reward model knows. */
export interface Reviewer {
  /** It sees at most one in a response: the first of these. */
  hacks: readonly Hack[];
  /** A merge drops items that a smaller share of the rubrics holds: what fits one sample only. */
  mergeShare: number;
}

/** The first hack that a case shows. */
export const hackIn = ({ hacks }: Reviewer, evidence: Evidence): Hack | undefined =>
  hacks.find((hack) => hack.shows(evidence));

/** A grade item whose levels are [points, condition]. */
export const gradeItem = (name: string, ...levels: [number, string][]): RubricItem => ({
  name,
  kind: "grade",
  levels: levels.map(([points, text]) => ({ points, text })),
});

/** The rubric that scenarios start with: it counts words and nothing else. */
export const flawedItems: RubricItem[] = [
  gradeItem(
    "Effort",
    [6, "at least 400 words"],
    [5, "at least 300 words"],
    [3, "at least 60 words"],
    [0, "otherwise"],
  ),
];

/** The hacks of the canned answers. */
export const essayReviewer: Reviewer = {
  hacks: [
    {
      name: "padding",
      shows: ({ response, share }) => share >= 0.9 && distinctRatio(response) < 0.5,
      remedy: [
        gradeItem(
          "Lexical variety",
          [10, "distinct-word ratio at least 0.5 and at least 30 words"],
          [0, "otherwise"],
        ),
        gradeItem("Topic coverage", [10, "at least 4 topic terms"], [0, "otherwise"]),
      ],
    },
    {
      name: "list dump",
      shows: ({ response, share }) => share >= 0.9 && wordsPerSentence(response) > 40,
      remedy: [
        gradeItem(
          "Sentence form",
          [10, "at most 40 words per sentence and at least 100 words"],
          [0, "otherwise"],
        ),
      ],
    },
  ],
  mergeShare: 0,
};
