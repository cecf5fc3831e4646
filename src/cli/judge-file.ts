// The judge verb's work: rows of a file through the mixture that the flags describe.

import { dirname, resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { loadResponses } from "../data/index.js";
import type { Text } from "../data/rows.js";
import { judgeBatch } from "../judges/mixture.js";
import { mixtureFrom } from "../judges/registry.js";
import { parseValue } from "../recipe/file.js";
import { type JudgeRecipe, loadRecipe, tasksOf } from "../recipe/recipe.js";

export interface JudgeFileOptions {
  judge?: readonly string[];
  recipe?: string;
  task?: string;
  all?: boolean;
  /** The first rows only. */
  limit?: number;
}

export interface JudgedFile {
  rows: object[];
  metrics: Record<string, number>;
}

interface JudgeList {
  entries: (string | JudgeRecipe)[];
  baseDir: string;
}

async function judgesOf({ judge, recipe, task }: JudgeFileOptions): Promise<JudgeList> {
  if ((judge === undefined) === (recipe === undefined)) {
    throw new UserError("name the judges with --judge, or a recipe that has them with --recipe");
  }
  if (judge) {
    return {
      entries: judge.map((entry) => parseValue(entry, `--judge ${entry}`) as string),
      baseDir: process.cwd(),
    };
  }
  const tasks = tasksOf(await loadRecipe("align", recipe));
  const names = tasks.map(({ name }) => name);
  const chosen = task === undefined ? tasks[0] : tasks.find(({ name }) => name === task);
  if (!chosen) {
    throw new UserError(
      `${recipe} has no task "${task}"${didYouMean(task!, names)}; it has ${names.join(", ")}`,
    );
  }
  return { entries: chosen.judges, baseDir: dirname(resolve(recipe!)) };
}

const plainText = (text: Text) =>
  typeof text === "string" ? text : text.map(({ content }) => content).join("\n");

export async function judgeFile(data: string, options: JudgeFileOptions): Promise<JudgedFile> {
  const { entries, baseDir } = await judgesOf(options);
  const mixture = await mixtureFrom(entries, { baseDir }, { runAll: options.all });
  const { rows } = await loadResponses(data, { limit: options.limit });
  const inputs = rows.map(({ prompt, completion, metadata }) => ({
    prompt,
    response: plainText(completion),
    truncated: metadata.finish_reason === "length",
    metadata,
  }));
  const { results, metrics } = await judgeBatch(mixture, inputs);
  return {
    rows: results.map(({ feasible, verdicts }, i) => ({
      ...rows[i]!.metadata,
      prompt: rows[i]!.prompt,
      response: inputs[i]!.response,
      feasible: feasible ?? null,
      verdicts,
    })),
    metrics,
  };
}
