// The vocabulary recipes are written in: fields that say what would be right, and sections whose unknown keys are
// errors that name the nearest known key.

import { z } from "zod";
import { didYouMean, nearest } from "../base/suggest.js";

/** A value as a person would recognise it in a message, cut short. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** A field that accepts what `accept` accepts; `what` completes "must be ...". */
function field<T>(what: string, accept: (value: unknown) => boolean) {
  return z.custom<T>(accept, {
    error: (issue) =>
      issue.input === undefined ? `is missing; give ${what}` : `must be ${what}, not ${show(issue.input)}`,
  });
}

interface Range {
  /** Smallest value allowed. */
  min?: number;
  /** Largest value allowed. */
  max?: number;
  /** Value that everything must exceed. */
  above?: number;
  /** Value that everything must stay below. */
  below?: number;
}

function inRange(value: number, { min, max, above, below }: Range): boolean {
  return (
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above) &&
    (below === undefined || value < below)
  );
}

function describeRange({ min, max, above, below }: Range): string {
  const low = min !== undefined ? `of at least ${min}` : above !== undefined ? `above ${above}` : "";
  const high = max !== undefined ? `at most ${max}` : below !== undefined ? `below ${below}` : "";
  const both = [low, high].filter((part) => part !== "").join(" and ");
  return both === "" ? "" : ` ${both}`;
}

export const number = (range: Range = {}) =>
  field<number>(
    `a number${describeRange(range)}`,
    (value) => typeof value === "number" && Number.isFinite(value) && inRange(value, range),
  );

export const integer = (range: Range = {}) =>
  field<number>(
    `a whole number${describeRange(range)}`,
    (value) => typeof value === "number" && Number.isSafeInteger(value) && inRange(value, range),
  );

export const counting = () => integer({ min: 1 });
/** A number of 0 to 1. */
export const share = () => number({ min: 0, max: 1 });

export const boolean = () => field<boolean>("true or false", (value) => typeof value === "boolean");

/** A non-empty string; `what` says which. */
export const text = (what: string) =>
  field<string>(what, (value) => typeof value === "string" && value !== "");

/** One word of a list. */
export function oneOf<const T extends string>(...words: T[]) {
  return z.custom<T>((value) => (words as unknown[]).includes(value), {
    error: ({ input }) => {
      const list = words.join(", ");
      if (input === undefined) return `is missing; give one of ${list}`;
      const hint = typeof input === "string" ? didYouMean(input, words) : "";
      return `must be one of ${list}, not ${show(input)}${hint}`;
    },
  });
}

/** One item or a list of items, resolved to a list. `item` must be given once at least. */
export const oneOrMore = <T extends z.ZodType>(item: T, what: string) =>
  z.preprocess(
    (value) => (value === undefined || Array.isArray(value) ? value : [value]),
    z.array(item, { error: `is missing; give ${what}` }).nonempty({ error: `must hold ${what}` }),
  );

/** A list with one item at least; `what` says of what. */
export const list = <T extends z.ZodType>(item: T, what: string) =>
  z
    .array(item, {
      error: ({ input }) =>
        input === undefined
          ? `is missing; give a list of ${what}`
          : `must be a list of ${what}, not ${show(input)}`,
    })
    .nonempty({ error: `is empty; give ${what}, one at least` });

export interface SectionOptions {
  /** Other names that people know for a key: alias -> key. */
  aliases?: Record<string, string>;
  /** What is given here, where nothing is. */
  what?: string;
  /** What to say about a key that belongs elsewhere: key -> rest of the sentence "`key` ...". */
  hints?: Record<string, string>;
}

/** Renames the aliases in a section to the keys that they stand for. */
function withAliases(aliases: Record<string, string>) {
  return (value: unknown, context: z.RefinementCtx): unknown => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const renamed: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(value)) {
      const canonical = Object.hasOwn(aliases, key) ? aliases[key]! : key;
      if (canonical !== key && canonical in value) {
        context.addIssue({
          code: "custom",
          path: [key],
          message: `is another name of ${canonical}; give only one`,
        });
      }
      renamed[canonical] = entry;
    }
    return renamed;
  };
}

/** A mapping with exactly the keys of `shape`. */
export function section<S extends z.ZodRawShape>(shape: S, options: SectionOptions = {}) {
  return z.preprocess(withAliases(options.aliases ?? {}), strictSection(shape, options));
}

/** `section` without its aliases, for the options of a choice that renames aliases before it chooses. */
export function strictSection<S extends z.ZodRawShape>(
  shape: S,
  { aliases = {}, hints = {}, what }: SectionOptions = {},
) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code === "invalid_type") {
        return issue.input === undefined
          ? `is missing${what === undefined ? "" : `; give ${what}`}`
          : `must be a mapping (key: value), not ${show(issue.input)}`;
      }
      if (issue.code !== "unrecognized_keys") return undefined;
      const known = Object.keys(shape);
      const about = (key: string): string => {
        if (Object.hasOwn(hints, key)) return hints[key]!;
        const suggestion = nearest(key, [...known, ...Object.keys(aliases)]);
        if (suggestion !== undefined) return `is not a known key (did you mean "${suggestion}"?)`;
        return issue.keys.length === 1
          ? `is not a known key; known here: ${known.join(", ")}`
          : "is not a known key, and has no equivalent";
      };
      // A line for each, in their order: the document says where they stand.
      return issue.keys.map(about).join("\n");
    },
  });
}

/** A mapping whose keys depend on the value of `tag`, one of `options`. `assumed` is the tag when none is given. */
export function choice<
  const Tag extends string,
  const Options extends readonly z.core.$ZodTypeDiscriminable[],
>(
  tag: Tag,
  options: Options,
  { assumed, aliases = {} }: { assumed?: string; aliases?: Record<string, string> } = {},
) {
  const rename = withAliases(aliases);
  return z.preprocess(
    (value, context) => {
      const named = typeof value === "string" ? { [tag]: value } : rename(value, context);
      const untagged = typeof named === "object" && named !== null && !(tag in named);
      return untagged && assumed !== undefined ? { ...named, [tag]: assumed } : named;
    },
    z.discriminatedUnion(tag, options as unknown as readonly [Options[number], ...Options[number][]], {
      error: (issue) => {
        if (issue.code !== "invalid_union") return `must be a mapping (key: value), not ${show(issue.input)}`;
        const words = options.flatMap((option) => [...(option._zod.propValues?.[tag] ?? [])]).map(String);
        const given = (issue.input as Record<string, unknown>)[tag];
        if (given === undefined) return `is missing; give one of ${words.join(", ")}`;
        return `must be one of ${words.join(", ")}, not ${show(given)}${didYouMean(String(given), words)}`;
      },
    }),
  );
}
