// Holding rows out for validation.

import { UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";

export interface PartitionOptions {
  /** Share of the rows to hold out, in (0, 1). */
  fraction: number;
  seed: number;
}

export interface Partition<Row> {
  train: Row[];
  validation: Row[];
}

/**
 * Holds out `fraction` of the rows, at least one, chosen by `seed` alone. Both parts keep the order of the data set.
 */
export function partition<Row>(rows: readonly Row[], { fraction, seed }: PartitionOptions): Partition<Row> {
  if (!(fraction > 0 && fraction < 1)) {
    throw new UserError(`The validation fraction must lie between 0 and 1, not ${fraction}.`);
  }
  const held = Math.max(1, Math.round(rows.length * fraction));
  if (held >= rows.length) {
    throw new UserError(
      `Holding out ${held} of ${rows.length} rows for validation leaves none to train on; eval_split: 0 holds out none.`,
    );
  }
  const shuffled = new RandomStream(seed, "validation-split").shuffle([...rows.keys()]);
  const heldOut = new Set(shuffled.slice(0, held));
  return {
    train: rows.filter((_, index) => !heldOut.has(index)),
    validation: rows.filter((_, index) => heldOut.has(index)),
  };
}
