// The rows of a recipe's data sources: every row that is wrong, not the first alone.

import type { UserError } from "../../base/errors.js";
import type { Loaded, LoadOptions } from "../../data/index.js";
import type { Fit } from "../align/parts.js";
import type { Findings } from "./findings.js";

/** Rows whose mistakes are told. */
const TOLD = 5;

type Source = { path: string } & Omit<LoadOptions, "onInvalid">;
type Load<Row> = (path: string, options: LoadOptions) => Promise<Loaded<Row>>;

/** The rows that are right; the others are a problem, or where the recipe skips them said in the description. */
export async function checkRows<Row>(
  findings: Findings,
  name: string,
  source: Source,
  load: Load<Row>,
): Promise<Row[] | undefined> {
  const invalid: UserError[] = [];
  const options = source.skipInvalid
    ? source
    : { ...source, onInvalid: (error: UserError) => void invalid.push(error) };
  const loaded = await findings.attempt(name, async () => {
    try {
      return await load(source.path, options);
    } catch (error) {
      // All rows are wrong: they are told below.
      if (invalid.some((known) => known === error)) return undefined;
      throw error;
    }
  });
  if (loaded && invalid.length === 0) findings.ok(name, `${source.path}: ${loaded.description}`);
  for (const { message } of invalid.slice(0, TOLD)) findings.fail(name, message);
  if (invalid.length > TOLD)
    findings.fail(
      name,
      `${source.path}: ${invalid.length - TOLD} more rows are wrong; skip_invalid: true leaves all of them out`,
    );
  return loaded?.rows;
}

/** How rows fitted. */
export function tellFit(findings: Findings, name: string, { lengths, remarks }: Fit): void {
  const { rows, longest, skipped, truncatedPrompts, truncatedCompletions } = lengths;
  if (skipped + truncatedPrompts + truncatedCompletions === 0)
    findings.ok(
      name,
      `${rows === 1 ? "the only row fits; it" : `all ${rows} rows fit; the longest`} has ${longest} tokens`,
    );
  for (const remark of remarks) findings.warn(name, remark.replace(/^warning: /, ""));
}
