// Which judges apply to which prompts, beyond the columns that a judge needs: `applies_to` of a judge's entry, and the
// column `judges` of the prompts themselves.

import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import type { Judge, JudgeInput } from "./verdict.js";

type Metadata = JudgeInput["metadata"];
type Value = string | number | boolean;

/** Values by column: a prompt must have one of them in each. */
export type AppliesTo = Readonly<Record<string, Value | readonly Value[]>>;

const isNames = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((name) => typeof name === "string");

/** Names of the judges that a prompt lists, as a list, its JSON text, or one name alone; undefined: it lists none. */
function namedJudges({ judges }: Metadata): readonly string[] | undefined {
  if (judges === undefined || judges === null) return undefined;
  const isText = typeof judges === "string";
  const names: unknown = isText && judges.startsWith("[") ? JSON.parse(judges) : isText ? [judges] : judges;
  if (!isNames(names)) throw new Error("the column judges must be a list of names");
  return names;
}

const isOneOf = (value: unknown, wanted: Value | readonly Value[]) =>
  (Array.isArray(wanted) ? wanted : [wanted]).includes(value);

/** The same judge, neutral for prompts that its entry or they themselves leave out. */
export function limited(judge: Judge, appliesTo: AppliesTo = {}): Judge {
  const columns = Object.entries(appliesTo);
  return {
    ...judge,
    applies(metadata) {
      if (!columns.every(([column, wanted]) => isOneOf(metadata[column], wanted))) return false;
      const named = namedJudges(metadata);
      if (named && !named.includes(judge.name)) return false;
      if (judge.applies(metadata)) return true;
      if (named) throw new Error("the prompt names this judge, but lacks the column that it needs");
      return false;
    },
  };
}

/** Whether a judge may have something to say of a prompt; one that throws when it is asked shall be asked. */
export function mayApply(judge: Pick<Judge, "applies">, metadata: Metadata): boolean {
  try {
    return judge.applies(metadata);
  } catch {
    return true;
  }
}

/** Every judge that a prompt names must be one of its task's, unless the task does without any. */
export function checkNamedJudges(
  prompts: readonly { id: string; metadata: Metadata }[],
  judges: readonly Judge[],
): void {
  if (judges.length === 0) return;
  const known = judges.map(({ name }) => name);
  for (const { id, metadata } of prompts) {
    let named: readonly string[] = [];
    try {
      named = namedJudges(metadata) ?? [];
    } catch {
      throw new UserError(`${id}: the column judges must be a list of names`);
    }
    const unknown = named.find((name) => !known.includes(name));
    if (unknown !== undefined)
      throw new UserError(
        `${id}: the column judges names "${unknown}"${didYouMean(unknown, known)}, ` +
          `but the task's judges are ${known.join(", ")}`,
      );
  }
}
