// The recipes of an experiment, as a user would write them: YAML files beside their data, read back like any other.

import { dirname, relative } from "node:path";
import { stringify } from "yaml";
import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";
import { parseRecipe, type RecipeOf, type Verb } from "../../recipe/recipe.js";
import { type RunContext, silent } from "../../run/context.js";

/** Writes the recipe into `file`, from whose directory its paths start, and reads it. */
export async function writeRecipe<V extends Verb>(
  verb: V,
  file: string,
  recipe: object,
): Promise<RecipeOf<V>> {
  const yaml = stringify(recipe);
  await makeDirectory(dirname(file));
  await writeFileAtomic(file, yaml);
  return parseRecipe(verb, yaml, file);
}

/** How an experiment runs a recipe: it says nothing itself, and goes on where an earlier process left off. */
export const quietly = (signal?: AbortSignal): RunContext => ({
  reporter: silent,
  resume: true,
  ...(signal && { signal }),
});

/** A path in a recipe in directory `from`. */
export function pathFrom(from: string, target: string): string {
  const path = relative(from, target);
  return path.startsWith(".") ? path : `./${path}`;
}
