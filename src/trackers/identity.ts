// What a run is called in other tools, and its recipe as they get it.

import { basename, dirname, join } from "node:path";
import { readText } from "../base/files.js";
import { redact } from "../base/secrets.js";
import { parseYaml } from "../base/yaml.js";
import { isRunDirectory } from "../run/directory.js";

/** The given name, or the directory's; a stage, or one of several reward models, has that of the whole before its own. */
export async function runNameOf(dir: string, given?: string): Promise<{ name: string; group?: string }> {
  const [own, parent] = [basename(dir), dirname(dir)];
  const isPart = /^member-\d+$/.test(own) || (await isRunDirectory(parent));
  if (!isPart) return { name: given ?? own };
  const group = given ?? basename(parent);
  return { name: `${group}/${own}`, group };
}

/** Keys that say where a run goes, not what it is; who knows a webhook's address may post to it. */
const NO_PART = new Set(["output_dir", "report_to", "webhook"]);

/** The recipe of a run as it was resolved, in snake_case, without the keys that say where it goes. */
export async function recipeOf(dir: string): Promise<[key: string, value: unknown][]> {
  const file = join(dir, "recipe.yaml");
  return Object.entries(without(parseYaml(redact(await readText(file)), file) ?? {}) as object);
}

function without(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(without);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([key]) => !NO_PART.has(key));
  return Object.fromEntries(kept.map(([key, entry]) => [key, without(entry)]));
}
