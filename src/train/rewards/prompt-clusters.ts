// Which prompts share a rubric in depth mode.

import { UserError } from "../../base/errors.js";
import { RandomStream } from "../../base/random.js";
import type { PromptRow } from "../../data/rows.js";
import { kMeans } from "../../mpo/clusters.js";

export interface ClusterOptions {
  /** Column that names the cluster. */
  column: string | undefined;
  /** Clusters to find, in each value of the column if one is given. */
  k: number | undefined;
  seed: number;
  embed(rows: readonly PromptRow[]): Promise<Float32Array[]>;
}

/**
 * The cluster of every row by its id: what a column says, k-means over the embeddings of the prompts, or both (the paper:
 * 3 clusters in each of 7 subjects).
 */
export async function clustersOf(
  rows: readonly PromptRow[],
  { column, k, seed, embed }: ClusterOptions,
): Promise<ReadonlyMap<string, string>> {
  const groups = new Map<string, PromptRow[]>();
  for (const row of rows) {
    const name = column === undefined ? "prompts" : String(row.metadata[column] ?? "");
    if (name === "") throw new UserError(`${row.id}: the row has no "${column}", which names its cluster`);
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const found = new Map<string, string>();
  for (const [name, members] of groups) {
    const places =
      k === undefined
        ? undefined
        : kMeans(await embed(members), k, new RandomStream(seed, `clusters of ${name}`)).assignment;
    members.forEach(({ id }, i) => {
      found.set(id, places ? `${name} ${places[i]! + 1}` : name);
    });
  }
  return found;
}
