// What changed from one rubric to another, item by item and level by level.

import { itemsHash, nameKey, type Rubric, type RubricItem } from "./rubric.js";
import { renderItem } from "./rubric-text.js";

export type ItemChange =
  | { change: "added"; name: string; after: RubricItem }
  | { change: "removed"; name: string; before: RubricItem }
  | { change: "changed"; name: string; before: RubricItem; after: RubricItem };

/** Items are the same item when their names agree but for case and punctuation. Unchanged ones are left out. */
export function diffRubrics(before: Pick<Rubric, "items">, after: Pick<Rubric, "items">): ItemChange[] {
  const old = new Map(before.items.map((item) => [nameKey(item.name), item]));
  const kept = new Set(after.items.map(({ name }) => nameKey(name)));
  const removed = before.items.filter(({ name }) => !kept.has(nameKey(name)));
  return [
    ...removed.map((item): ItemChange => ({ change: "removed", name: item.name, before: item })),
    ...after.items.flatMap((item): ItemChange[] => {
      const was = old.get(nameKey(item.name));
      if (!was) return [{ change: "added", name: item.name, after: item }];
      if (itemsHash([was]) === itemsHash([item])) return [];
      return [{ change: "changed", name: item.name, before: was, after: item }];
    }),
  ];
}

const marked = (mark: string, lines: readonly string[]): string[] => lines.map((line) => `${mark} ${line}`);

/** Lines for a person: `+` new, `-` gone, and of a changed item the lines that differ. */
export function renderChange(change: ItemChange): string[] {
  const before = change.change === "added" ? [] : renderItem(change.before).split("\n");
  const after = change.change === "removed" ? [] : renderItem(change.after).split("\n");
  const [gone, fresh] = [new Set(before), new Set(after)];
  const same = after.filter((line) => gone.has(line));
  const head = change.change === "changed" && !same.includes(after[0]!) ? [] : same.slice(0, 1);
  return [
    ...marked(" ", head),
    ...marked(
      "-",
      before.filter((line) => !fresh.has(line)),
    ),
    ...marked(
      "+",
      after.filter((line) => !gone.has(line)),
    ),
  ];
}
