// Rubrics as text: how a rubric is shown to a model, and how one is read out of what a model wrote.

import {
  canonicalItem,
  dedupeItems,
  type ItemKind,
  itemRange,
  type Level,
  nameKey,
  type Rubric,
  type RubricItem,
} from "./rubric.js";

const points = ({ points, low }: Level): string => (low === undefined ? `${points}` : `${low} to ${points}`);

const rangeNote = (item: RubricItem): string => {
  if (item.kind === "gate") return "gate, 0 to 1";
  const { min, max } = itemRange(item);
  return `${item.kind}, ${min} to ${max} points`;
};

/** One item: its name, what it measures, and a line for each level. */
export function renderItem(item: RubricItem): string {
  const lines = [`### ${item.name} (${rangeNote(item)})`];
  if (item.description !== undefined) lines.push(`Measures: ${item.description}`);
  for (const level of item.levels) {
    const example = level.example === undefined ? "" : ` Example: ${level.example}`;
    lines.push(`- (${points(level)}): ${level.text}${example}`);
  }
  return lines.join("\n");
}

export const renderItems = (items: readonly RubricItem[]): string =>
  items.map((item) => `<item>\n${renderItem(item)}\n</item>`).join("\n");

export const renderRubric = ({ items }: Pick<Rubric, "items">): string =>
  `<rubric>\n${renderItems(items)}\n</rubric>`;

export interface ParsedRubric {
  /** Canonical and de-duplicated; not yet checked against any limit. */
  items: RubricItem[];
  /** What was left out, one sentence each. */
  problems: string[];
}

/** Longer replies are not read beyond this many characters. */
const maxCharacters = 400_000;

const number = String.raw`[+\-−–]?\s?\d+(?:\.\d+)?`;
const range = `(?<a>${number})(?:\\s*(?:to|-|–|—|−|\\.\\.+)\\s*(?<b>${number}))?`;
const unit = String.raw`(?:\s*(?:points?|pts?\.?|marks?))`;
const levelPatterns = [
  // (5): text, [8-10 points] text, **(−3)** text
  new RegExp(`^[([]\\s*(?:score|level)?\\s*${range}${unit}?\\s*[)\\]]\\s*[:.–—-]*\\s*(?<text>.*)$`, "i"),
  // 5: text, 8-10 points: text, Score 3: text
  new RegExp(
    `^(?:score|level|points?)?\\s*${range}${unit}?\\s*(?::(?=\\s|$)|\\s[–—-]\\s|=)\\s*(?<text>.*)$`,
    "i",
  ),
  // 5 points text, 0 points (poor): text
  new RegExp(`^${range}${unit}\\s*[.,]?\\s*(?<text>.*)$`, "i"),
];

const toNumber = (text: string): number => Number(text.replace(/\s/g, "").replace(/^[−–]/, "-"));

/** A line such as "- (8-10): text" as a level, or undefined. The line has lost its bullet. */
function parseLevel(line: string): Level | undefined {
  for (const pattern of levelPatterns) {
    const groups = pattern.exec(line)?.groups;
    if (groups) {
      const ends = [groups.a!, ...(groups.b === undefined ? [] : [groups.b])].map(toNumber);
      const [low, high] = [Math.min(...ends), Math.max(...ends)];
      return { points: high, ...(low < high ? { low } : {}), text: groups.text!.trim() };
    }
  }
  return undefined;
}

const emphasis = (text: string): string => text.replaceAll("**", "").replaceAll("__", "").trim();

/** The note that `renderItem` puts after a name. */
const renderedNote = /\((grade|deduct|gate), [^()]*\)$/;

/** The kind that a name or a note in it states. */
function kindOf(title: string): ItemKind | undefined {
  const stated =
    renderedNote.exec(title)?.[1] ?? /[([]\s*(grade|deduct|gate)/i.exec(title)?.[1]?.toLowerCase();
  if (stated) return stated as ItemKind;
  return /\b(?:deductions?|penalt(?:y|ies))\b/i.test(title) ? "deduct" : undefined;
}

/** What a heading such as "## Deductions" says of the items below it; undefined for a name. */
function sectionKind(title: string): ItemKind | "mixed" | undefined {
  if (/^\W*(?:deductions?|deducting|penalt(?:y|ies))\b/i.test(title)) return "deduct";
  if (/^\W*gates?\W*$/i.test(title)) return "gate";
  return /^\W*(?:awards?|awarding|grad(?:e|es|ing)|positive)\b/i.test(title) ? "mixed" : undefined;
}

interface Draft {
  /** The name, with whatever note stands beside it. */
  title: string;
  kind: ItemKind | undefined;
  depth: number;
  description: string[];
  levels: DraftLevel[];
}

interface DraftLevel {
  level: Level;
  /** The lines below, over which its text runs on. */
  more: string[];
}

/** Where the last line of prose belongs: a level's text runs on over the lines below it. */
function appendProse(draft: Draft, line: string): void {
  const last = draft.levels.at(-1);
  if (last) last.more.push(line);
  else draft.description.push(line.replace(/^(?:Measures|Description)\s*:\s*/i, ""));
}

const heading = /^(#{1,6})\s*(?=[^\s])(.+)$/;

/** A heading's text may end in hashes of its own. */
function headingOf(line: string): { depth: number; title: string } | undefined {
  const found = heading.exec(line);
  if (!found) return undefined;
  let end = line.length;
  while (line[end - 1] === "#") end--;
  const title = line.slice(found[1]!.length, end).trim();
  return { depth: found[1]!.length, title: title === "" ? found[2]! : title };
}

/** Longer lines are no names. */
const maxBoldLine = 2000;
const boldPattern = /^(?:\d+[.)]\s*)?(?:\*\*|__)(.+?)(?:\*\*|__)\s*(\([^)]*\))?\s*:?$/;
const boldLine = (line: string) => (line.length > maxBoldLine ? null : boldPattern.exec(line));

/** Names without hashes are deeper than any heading. */
const boldDepth = 7;
const bullet = /^(?:•|[*+-](?=\s))\s*/;

/** Reads the lines of a reply in order: headings open items, level lines fill them, other lines continue them. */
function readDrafts(text: string): Draft[] {
  const drafts: Draft[] = [];
  let open: Draft | undefined;
  let section: { kind: ItemKind | "mixed"; depth: number } | undefined;
  const start = (title: string, depth: number): void => {
    // A heading that got no levels of its own may have been the title of a section.
    const kind = open && open.levels.length === 0 ? sectionKind(open.title) : undefined;
    if (open && kind) section = { kind, depth: open.depth };
    if (section && depth < section.depth) section = undefined;
    const inherited = section && section.kind !== "mixed" ? section.kind : undefined;
    open = { title, kind: kindOf(title) ?? inherited, depth, description: [], levels: [] };
    drafts.push(open);
  };
  for (const [index, block] of text.split(/<\s{0,9}\/?\s{0,9}item\b[^<>]*>/i).entries()) {
    let isFirst = index > 0;
    // Levels without a name do not belong to the item before.
    if (isFirst && open && open.levels.length > 0) open = undefined;
    for (const raw of block.replace(/<\s{0,9}\/?\s{0,9}rubric\b[^<>]*>|<EOE>/gi, "\n").split("\n")) {
      const line = raw.trim();
      if (line === "" || /^(?:```\w*|-{3,}|={3,})$/.test(line)) continue;
      const marked = headingOf(line);
      const bold = boldLine(line);
      const plain = emphasis(marked ? marked.title : line.replace(bullet, ""));
      const level = marked && renderedNote.test(plain) ? undefined : parseLevel(plain);
      if (level) open?.levels.push({ level, more: [] });
      else if (marked) start(plain, marked.depth);
      else if (bold) start(`${bold[1]} ${bold[2] ?? ""}`.trim(), boldDepth);
      else if (isFirst) start(plain, boldDepth);
      else if (open) appendProse(open, plain);
      isFirst = false;
    }
  }
  return drafts;
}

function toItem({ title, kind, description, levels: drafts }: Draft): RubricItem {
  const levels = drafts.map(({ level, more }) => ({
    ...level,
    text: [level.text, ...more].join(" ").trim(),
  }));
  const highest = Math.max(...levels.map(({ points }) => points));
  const lowest = Math.min(...levels.map(({ points, low = points }) => low));
  return canonicalItem({
    name: title,
    kind: kind ?? (highest <= 0 && lowest < 0 ? "deduct" : "grade"),
    ...(description.length > 0 ? { description: description.join(" ") } : {}),
    levels,
  });
}

/**
 * Reads the items out of what a model wrote: `<item>` blocks, closed or not, nested or missing; markdown headings of any
 * depth or bold lines as names; levels "(5): ...", "8-10 points: ...", "-3: ...", "2.5: ...". Headings that own no levels
 * are no items. Items of one name are merged into the first.
 */
export function parseRubric(reply: string): ParsedRubric {
  const problems: string[] = [];
  if (reply.length > maxCharacters) problems.push(`only the first ${maxCharacters} characters were read`);
  const opened = reply.slice(0, maxCharacters).replace(/\r\n?/g, "\n");
  // Prose around a rubric is no part of it.
  const start = /<\s*rubric\b[^<>]*>/i.exec(opened);
  const text = start ? opened.slice(start.index).replace(/<\s*\/\s*rubric\s*>[\s\S]*$/i, "") : opened;
  const items = readDrafts(text)
    .filter(({ levels }) => levels.length > 0)
    .map(toItem)
    .filter(({ name }) => {
      if (nameKey(name) === "") problems.push("an item without a name was left out");
      return nameKey(name) !== "";
    });
  const unique = dedupeItems(items);
  if (unique.length < items.length) {
    problems.push(
      `${items.length - unique.length} items repeated the name of an earlier one and were left out`,
    );
  }
  return { items: unique, problems };
}
