// Rubrics that a program can execute: legal rubric items whose level texts speak a tiny grammar (specification, 6.2).
//   at least N words | distinct-word ratio at least X | at least N topic terms | at most N words per sentence | otherwise
// joined by "and"; the first level that holds gives the points. Topic terms stand in the instruction: "Topic terms: a, b."

import { distinctRatio, words } from "../rollout.js";
import { itemRange, type RubricItem } from "../rubric.js";

const wordsPerSentence = (text: string): number => {
  const sentences = text.split(/[.!?]+(?:\s|$)/).filter((sentence) => words(sentence).length > 0);
  return sentences.length === 0 ? 0 : words(text).length / sentences.length;
};

/** The terms that an instruction lists. */
export function topicTerms(instruction: string): string[] {
  const list = /topic terms:([^\n.]*)/i.exec(instruction)?.[1] ?? "";
  return list
    .split(",")
    .map((term) => term.trim().toLowerCase())
    .filter((term) => term !== "");
}

function termsCovered(response: string, instruction: string): number {
  const present = new Set(words(response));
  return topicTerms(instruction).filter((term) => present.has(term)).length;
}

type Condition = (n: number, response: string, instruction: string) => boolean;

const conditions: [RegExp, Condition][] = [
  [/^at least ([\d.]+) words$/, (n, response) => words(response).length >= n],
  [/^distinct-word ratio at least ([\d.]+)$/, (n, response) => distinctRatio(response) >= n],
  [/^at least ([\d.]+) topic terms$/, (n, response, instruction) => termsCovered(response, instruction) >= n],
  [/^at most ([\d.]+) words per sentence$/, (n, response) => wordsPerSentence(response) <= n],
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

/** Hacks that the scripted meta reward model can see in a response that scored at least 0.9 of the maximum (6.3). */
export function hacksIn(response: string, share: number): string[] {
  if (share < 0.9) return [];
  if (distinctRatio(response) < 0.5) return ["padding"];
  return wordsPerSentence(response) > 40 ? ["list dump"] : [];
}

const item = (name: string, ...levels: [number, string][]): RubricItem => ({
  name,
  kind: "grade",
  levels: levels.map(([points, text]) => ({ points, text })),
});

/** The rubric that scenarios start with: it counts words and nothing else. */
export const flawedItems: RubricItem[] = [
  item(
    "Effort",
    [6, "at least 400 words"],
    [5, "at least 300 words"],
    [3, "at least 60 words"],
    [0, "otherwise"],
  ),
];

/** What the scripted meta reward model adds for each hack. */
export const remedies: Record<string, RubricItem[]> = {
  padding: [
    item("Lexical variety", [10, "distinct-word ratio at least 0.5 and at least 30 words"], [0, "otherwise"]),
    item("Topic coverage", [10, "at least 4 topic terms"], [0, "otherwise"]),
  ],
  "list dump": [
    item("Sentence form", [10, "at most 40 words per sentence and at least 100 words"], [0, "otherwise"]),
  ],
};
