// What a person meant whose path leads nowhere: a file or folder beside it, of nearly that name.

import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { nearest } from "../base/suggest.js";

/** Endings are alike by themselves. */
const stem = (name: string): string => name.replace(/(?<=.)\.[^.]*$/, "");

/** ` Did you mean "x"?`, or nothing. */
export async function nearby(path: string): Promise<string> {
  const given = basename(path);
  const names = await readdir(dirname(path)).catch((): string[] => []);
  const others = names.filter((name) => !name.startsWith(".") && name !== given).sort();
  const meant = nearest(stem(given), others.map(stem));
  const name = others.find((other) => stem(other) === meant);
  return name === undefined ? "" : ` Did you mean "${join(dirname(path), name)}"?`;
}
