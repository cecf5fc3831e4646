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
  const loaded = await findings.attempt(name, () => load(source.path, options));
  if (!loaded) return undefined;
  const { rows, description } = loaded;
  if (invalid.length === 0) findings.ok(name, `${source.path}: ${description}`);
  for (const { message } of invalid.slice(0, TOLD)) findings.fail(name, message);
  if (invalid.length > TOLD)
    findings.fail(
      name,
      `${source.path}: ${invalid.length - TOLD} more rows are wrong; skip_invalid: true leaves all of them out`,
    );
  return rows;
}

/** How rows fitted. */
export function tellFit(findings: Findings, name: string, { lengths, remarks }: Fit): void {
  if (remarks.length === 0)
    findings.ok(name, `all ${lengths.rows} rows fit; the longest has ${lengths.longest} tokens`);
  for (const remark of remarks) findings.warn(name, remark);
}
