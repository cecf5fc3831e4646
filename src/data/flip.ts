// Wrong labels on purpose: WARM's robustness to label noise (section 4.2 of the paper) is measured with exactly a quarter of
// the training labels flipped, once, the same ones for all members, and the rows say which.

import { jsonl } from "../base/jsonl.js";
import { RandomStream } from "../base/random.js";
import type { PreferenceRow } from "./rows.js";

/** Columns in which data sets keep the true reward of both responses. */
export const goldColumns = [
  ["gold_chosen", "gold_rejected"],
  ["score_chosen", "score_rejected"],
  ["chosen_score", "rejected_score"],
] as const;

export interface FlipOptions {
  /** Of the rows, rounded to whole ones. */
  share: number;
  seed: number;
}

/** The rows in their order, so many of them the wrong way round. `flipped` in the metadata: the label is known to be wrong. */
export function flipLabels(rows: readonly PreferenceRow[], { share, seed }: FlipOptions): PreferenceRow[] {
  const order = new RandomStream(seed, "flip labels").shuffle([...rows.keys()]);
  const turned = new Set(order.slice(0, Math.round(share * rows.length)));
  return rows.map((row, i) => {
    const { metadata, ...rest } = turned.has(i) ? swapped(row) : row;
    return { ...rest, metadata: { ...metadata, flipped: (metadata.flipped === true) !== turned.has(i) } };
  });
}

/** The row the other way round; what it says of the true reward goes with the responses. */
function swapped(row: PreferenceRow): PreferenceRow {
  const metadata = { ...row.metadata };
  for (const [a, b] of goldColumns)
    if (a in metadata && b in metadata) [metadata[a], metadata[b]] = [metadata[b], metadata[a]];
  return { ...row, chosen: row.rejected, rejected: row.chosen, metadata };
}

/** Rows as JSONL, which `loadPreferences` reads back. */
export const preferencesJsonl = (rows: readonly PreferenceRow[]): string =>
  jsonl(rows.map(({ id: _, metadata, ...row }) => ({ ...metadata, ...row })));
