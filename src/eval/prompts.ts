// From an item and its worked examples to what the model reads: one text in the manner of lm-eval, or a conversation in
// which every example is a turn.

import { UserError } from "../base/errors.js";
import type { Text } from "../data/rows.js";
import type { Benchmark, Item } from "./benchmark.js";

/** Between the worked examples of a text. */
const delimiter = "\n\n";

export function promptFor(benchmark: Benchmark, item: Item, shots: readonly Item[], isChat: boolean): Text {
  const worked = shots.map(({ row }) => ({
    row,
    answer: benchmark.worked!(row),
  }));
  if (isChat) {
    return [
      ...worked.flatMap(({ row, answer }) => [
        { role: "user", content: benchmark.chat(row) },
        { role: "assistant", content: answer.chat },
      ]),
      { role: "user", content: benchmark.chat(item.row) },
    ];
  }
  const examples = worked.map(({ row, answer }) => `${benchmark.plain(row)}${answer.plain}`);
  return [...examples, benchmark.plain(item.row)].join(delimiter);
}

/** The first `count` of the worked examples that do not ask the item's own question. */
export function shotsFor(benchmark: Benchmark, item: Item, pool: readonly Item[], count: number): Item[] {
  if (count === 0) return [];
  const question = benchmark.plain(item.row);
  const shots = pool.filter(({ row }) => benchmark.plain(row) !== question).slice(0, count);
  if (shots.length === count) return shots;
  throw new UserError(
    `--shots ${count}: there are only ${shots.length} worked examples for ${benchmark.name}; give more with --fewshot`,
  );
}

/** The text up to the first of the stop strings. */
export function cutAtStop(text: string, stops: readonly string[]): string {
  const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return ends.length > 0 ? text.slice(0, Math.min(...ends)) : text;
}

export { withoutThoughts } from "../base/thoughts.js";
