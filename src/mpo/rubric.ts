// A rubric as data: what the reward model scores by (MPO, section 2.3). Immutable, numbered, hashed; every version knows
// its parent's hash.

import { createHash } from "node:crypto";
import { UserError } from "../base/errors.js";
import { dropTags } from "./markup.js";

/** `grade` awards points, `deduct` takes points off (its points are negative), `gate` is passed (1) or failed (0). */
export type ItemKind = "grade" | "deduct" | "gate";

export interface Level {
  /** What the level is worth; of a range "8 to 10" its upper end. */
  readonly points: number;
  /** Lower end of a range. */
  readonly low?: number;
  readonly text: string;
  readonly example?: string;
}

export interface RubricItem {
  readonly name: string;
  readonly kind: ItemKind;
  readonly description?: string;
  readonly levels: readonly Level[];
}

export interface Rubric {
  /** 0 for the rubric that a run starts with. */
  readonly version: number;
  /** Hash of the version that this one replaced. */
  readonly parent: string | null;
  readonly items: readonly RubricItem[];
  /** Sum of the highest points of the `grade` items. */
  readonly maxTotal: number;
  /** Of the items alone: equal rubrics have equal hashes whatever their version. */
  readonly hash: string;
}

export interface RubricLimits {
  maxItems: number;
  maxItemWords: number;
  maxWords: number;
  /** Largest absolute points of one level. */
  maxPoints: number;
}

/** Of these MPO (2504.20157) has the 300 words of an item; the others are ours. */
export const defaultLimits: Readonly<RubricLimits> = {
  maxItems: 12,
  maxItemWords: 300,
  maxWords: 2500,
  maxPoints: 1000,
};

export const countWords = (text: string): number => text.match(/\S+/g)?.length ?? 0;

/**
 * One line of plain text. Tags and stop markers of the prompts are dropped, so that no rubric text can open or close a
 * block of a prompt, and so is markdown's emphasis.
 */
function plainLine(text: string): string {
  let line = text.normalize("NFC");
  // Dropping a tag may leave another one behind: "<it<item>em>".
  for (let before = ""; before !== line; ) {
    before = line;
    line = dropTags(line).replaceAll("**", "").replaceAll("__", "");
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  return line.replace(/[\s\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060\ufeff]+/g, " ").trim();
}

const nameNote =
  /\s*[([]\s*(?:(?:grade|deduct|gate)\b[\s,]*)?(?:(?:out of|up to|max(?:imum)?:?)\s+)?[+\-−–\d.\s]*(?:to\s+[+\-−\d.]+\s*)?(?:points?|pts?|marks?)?\s*[)\]]\s*:?$/i;

/** The name without numbering, emphasis and a note of its points: "**2. Clarity** (0-5 points):" is "Clarity". */
export function plainName(text: string): string {
  let name = plainLine(text);
  for (let before = ""; before !== name; ) {
    before = name;
    name = name
      .replace(/^[#*_\s]+|[*_:\s]+$/g, "")
      .replace(/^(?:item|criterion|name)\s*\d*\s*[.:)–-]\s*/i, "")
      .replace(/^\d+\s*[.)]\s+/, "")
      .replace(nameNote, "")
      .trim();
  }
  return name;
}

/** Names that differ in case, punctuation or white space only are the same name. */
export const nameKey = (name: string): string =>
  plainName(name)
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "");

const exampleMark = /\bExamples?\s*:\s*/i;

/** Points to four decimals; never -0. */
const rounded = (points: number): number => Math.round(points * 1e4) / 1e4 + 0;

/** A canonical level: one line of text, the example split off, nothing that its rendering could be misread as. */
function canonicalLevel({ points, low, text, example }: Level): Level {
  const whole = plainLine(example === undefined ? text : `${text} Example: ${example}`);
  const mark = exampleMark.exec(whole);
  const [head, tail] = mark
    ? [whole.slice(0, mark.index).trim(), whole.slice(mark.index + mark[0].length).trim()]
    : [whole, ""];
  return {
    points: rounded(points),
    ...(low !== undefined && low < points ? { low: rounded(low) } : {}),
    text: head.replace(/^[\s:.–—-]+/, ""),
    ...(tail === "" ? {} : { example: tail }),
  };
}

/** A gate has the two levels 0 (failed) and 1 (passed), whatever points it was written with. */
function gateLevels(levels: readonly Level[]): Level[] {
  const sorted = [...levels].sort((a, b) => a.points - b.points);
  const [worst, best] = [sorted[0], sorted.at(-1)];
  if (!worst || !best || worst === best) {
    return [
      { points: 0, text: "it does not hold" },
      { points: 1, text: best?.text || "it holds" },
    ];
  }
  return [worst, best].map(({ low: _, ...level }, points) => ({ ...level, points }));
}

/** Deductions are worth at most 0: a level written "3" or "+3" takes off three. */
function deductLevel({ points, low, ...rest }: Level): Level {
  const ends = low === undefined ? [points] : [points, low];
  const [bottom, top] = [
    Math.min(...ends.map((p) => -Math.abs(p))),
    Math.max(...ends.map((p) => -Math.abs(p))),
  ];
  return { ...rest, points: top + 0, ...(bottom < top ? { low: bottom } : {}) };
}

/** An item that names only what earns its points gives none otherwise. */
function gradeLevels(levels: readonly Level[]): readonly Level[] {
  const [only] = levels;
  if (levels.length !== 1 || only!.low !== undefined || only!.points <= 0) return levels;
  return [only!, { points: 0, text: "otherwise" }];
}

const levelsOf: Record<ItemKind, (levels: readonly Level[]) => readonly Level[]> = {
  grade: gradeLevels,
  deduct: (levels) => levels.map(deductLevel),
  gate: gateLevels,
};

export function canonicalItem({ name, kind, description, levels }: RubricItem): RubricItem {
  const about = description === undefined ? "" : plainLine(description);
  return {
    name: plainName(name),
    kind,
    ...(about === "" ? {} : { description: about }),
    levels: levelsOf[kind](levels).map(canonicalLevel),
  };
}

/** The points that an item can give: the span of its own levels; a deduction may always be 0. */
export function itemRange({ kind, levels }: RubricItem): { min: number; max: number } {
  const points = levels.flatMap(({ points, low = points }) => [low, points]);
  if (kind === "deduct") points.push(0);
  return { min: Math.min(...points), max: Math.max(...points) };
}

export function clampToLevels(item: RubricItem, points: number): number {
  const { min, max } = itemRange(item);
  return Math.min(Math.max(points, min), max);
}

/** The highest total that the `grade` items allow. */
export const maxTotalOf = (items: readonly RubricItem[]): number =>
  items.filter(({ kind }) => kind === "grade").reduce((sum, item) => sum + itemRange(item).max, 0);

/** Sum of the points of grades and deductions, each clamped to its own levels; not below `floor`. Gates do not count. */
export function totalPoints(
  { items }: Pick<Rubric, "items">,
  points: readonly number[],
  { floor = 0 }: { floor?: number } = {},
): number {
  const sum = items.reduce(
    (total, item, i) => (item.kind === "gate" ? total : total + clampToLevels(item, points[i]!)),
    0,
  );
  return Math.max(sum, floor);
}

/** Keeps the first of several items with the same name, in order. */
export function dedupeItems(items: readonly RubricItem[]): RubricItem[] {
  const seen = new Set<string>();
  return items.filter(({ name }) => {
    const key = nameKey(name);
    return !seen.has(key) && seen.add(key);
  });
}

const itemWords = ({ name, description = "", levels }: RubricItem): number =>
  countWords([name, description, ...levels.map(({ text, example = "" }) => `${text} ${example}`)].join(" "));

/** The first reason why these items are no rubric, or undefined. */
export function rubricFault(
  items: readonly RubricItem[],
  limits: Readonly<RubricLimits> = defaultLimits,
): string | undefined {
  const { maxItems, maxItemWords, maxWords, maxPoints } = limits;
  if (items.length === 0) return "it has no items";
  if (items.length > maxItems) return `it has ${items.length} items, more than ${maxItems}`;
  for (const item of items) {
    const { name, kind, levels } = item;
    if (nameKey(name) === "") return "an item has no name";
    if (levels.length === 0) return `item "${name}" has no point levels`;
    const points = levels.flatMap(({ points, low = points }) => [low, points]);
    if (!points.every((p) => Number.isFinite(p) && Math.abs(p) <= maxPoints))
      return `item "${name}" has points beyond ${maxPoints}`;
    const { min, max } = itemRange(item);
    if (kind === "grade" && max <= 0) return `item "${name}" can award no points`;
    if (min === max) return `item "${name}" gives the same points to every response`;
    if (itemWords(item) > maxItemWords) return `item "${name}" is longer than ${maxItemWords} words`;
  }
  const seen = new Set<string>();
  for (const { name } of items) {
    if (seen.has(nameKey(name))) return `it has two items called "${name}"`;
    seen.add(nameKey(name));
  }
  if (maxTotalOf(items) <= 0) return "it has no item that awards points";
  const words = items.reduce((sum, item) => sum + itemWords(item), 0);
  if (words > maxWords) return `it has ${words} words, more than ${maxWords}`;
  return undefined;
}

/** Deep-frozen copy, so that a published version cannot change under the scores that carry its number. */
function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const child of Object.values(value)) frozen(child);
  return Object.freeze(value);
}

/** SHA-256 of the items in canonical form. */
export function itemsHash(items: readonly RubricItem[]): string {
  const canonical = items.map(({ name, kind, description = null, levels }) => [
    name,
    kind,
    description,
    levels.map(({ points, low = null, text, example = null }) => [points, low, text, example]),
  ]);
  return createHash("sha256").update(JSON.stringify(canonical)).digest("hex");
}

export interface RubricOptions {
  version?: number;
  parent?: string | null;
  limits?: Readonly<RubricLimits>;
}

/** A rubric of these items, brought into canonical form. Items that are no rubric are a UserError. */
export function createRubric(
  given: readonly RubricItem[],
  { version = 0, parent = null, limits = defaultLimits }: RubricOptions = {},
): Rubric {
  const items = given.map(canonicalItem);
  const fault = rubricFault(items, limits);
  if (fault !== undefined) throw new UserError(`this is not a usable rubric: ${fault}`);
  return frozen({ version, parent, items, maxTotal: maxTotalOf(items), hash: itemsHash(items) });
}

/** The version after `parent`. */
export const nextVersion = (parent: Rubric, items: readonly RubricItem[], limits?: RubricLimits): Rubric =>
  createRubric(items, { version: parent.version + 1, parent: parent.hash, ...(limits ? { limits } : {}) });

/**
 * The one-way ratchet: the gates of `current` stay, word for word and first; new gates may join them. An item that
 * takes the name of a gate does not replace it.
 */
export function keepGates(current: Rubric, items: readonly RubricItem[]): RubricItem[] {
  const gates = current.items.filter(({ kind }) => kind === "gate");
  return dedupeItems([...gates, ...items]);
}

/** Names of the gates of `current` that `items` drops or rewords. */
export function loosenedGates(current: Rubric, items: readonly RubricItem[]): string[] {
  const kept = new Set(items.map((item) => itemsHash([item])));
  return current.items
    .filter((item) => item.kind === "gate" && !kept.has(itemsHash([item])))
    .map(({ name }) => name);
}
