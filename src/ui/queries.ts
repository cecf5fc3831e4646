// What the page asks for in the query of an address, checked before use.

import { RE2JS } from "re2js";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { NUMBERS, type RolloutQuery } from "./rollout-index.js";

const number = z.coerce.number().refine(Number.isFinite, "must be a number");
const whole = z.coerce.number().int().min(0);
const verdict = z.enum(["satisfied", "violated", "failed"]);

/** The query of /api/rollouts. Its names are those of the page's own address. */
const rolloutQuery = z.strictObject({
  run: z.string(),
  task: z.string().optional(),
  prompt: z.string().optional(),
  step_from: number.optional(),
  step_to: number.optional(),
  outcome: verdict.optional(),
  finish: z.enum(["stop", "length"]).optional(),
  judge: z.string().optional(),
  verdict: verdict.optional(),
  reward_from: number.optional(),
  reward_to: number.optional(),
  sort: z.enum(NUMBERS).optional(),
  descending: z.enum(["0", "1"]).optional(),
  text: z.string().max(1000).optional(),
  regex: z.enum(["0", "1"]).optional(),
  from: whole.default(0),
  limit: whole.max(500).default(100),
});

export interface RolloutRequest {
  run: string;
  query: RolloutQuery;
  /** undefined: every row. */
  search?: TextSearch;
  from: number;
  limit: number;
}

export interface TextSearch {
  matches: (text: string) => boolean;
  /** Bytes that every line that matches holds. */
  needle?: Buffer;
}

/** Reads the query of an address; a UserError names the key that is wrong. */
export function parseRolloutQuery(given: Record<string, string>): RolloutRequest {
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
  const parsed = rolloutQuery.safeParse(present);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new UserError(`${path.join(".") || "query"}: ${message}`);
  }
  const q = parsed.data;
  return {
    run: q.run,
    from: q.from,
    limit: q.limit,
    search: q.text === undefined ? undefined : textSearch(q.text, q.regex === "1"),
    query: {
      task: q.task,
      promptKey: q.prompt,
      stepFrom: q.step_from,
      stepTo: q.step_to,
      outcome: q.outcome,
      finish: q.finish,
      judge: q.judge,
      verdict: q.verdict,
      rewardFrom: q.reward_from,
      rewardTo: q.reward_to,
      sort: q.sort,
      descending: q.descending === "1",
    },
  };
}

/** Plain text is found as it stands; a regular expression is RE2's, which takes linear time whatever it is. */
function textSearch(text: string, isRegex: boolean): TextSearch {
  if (!isRegex) {
    // As JSON.stringify writes it into the file; other writers may escape more, so only plain letters are sure.
    const needle = /^[\x20-\x7e]+$/.test(text) ? Buffer.from(JSON.stringify(text).slice(1, -1)) : undefined;
    return { matches: (other) => other.includes(text), needle };
  }
  try {
    const pattern = RE2JS.compile(text);
    return { matches: (other) => pattern.matcher(other).find() };
  } catch (error) {
    throw new UserError(`text: not a regular expression (RE2 syntax): ${(error as Error).message}`);
  }
}
