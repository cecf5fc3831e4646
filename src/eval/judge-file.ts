// Responses of a file through a mixture of judges: those of a list, or those of a task of a recipe.

import { dirname, resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { loadResponses } from "../data/index.js";
import type { CompletionRow, Text } from "../data/rows.js";
import { type Agreement, agreementWith, labelOf } from "../judges/agreement.js";
import { judgeBatch, type Mixture, type SampleJudgement } from "../judges/mixture.js";
import { mixtureFrom } from "../judges/registry.js";
import { checkpointClient } from "../llm/checkpoint.js";
import { LlmModels, type OpenCheckpoint } from "../llm/models.js";
import { type JudgeRecipe, loadRecipe, tasksOf } from "../recipe/recipe.js";

export interface JudgeFileOptions {
  /** The judges, or the file of a recipe that has them. */
  judges: readonly (string | JudgeRecipe)[] | { recipe: string; task?: string | undefined };
  all?: boolean;
  /** The first rows only. */
  limit?: number;
  /** Directory in which requests to language models and their replies are kept. */
  log?: string;
  /** Column with the right verdicts; every judge is asked then. */
  against?: string;
}

export interface JudgedFile {
  rows: object[];
  /** A rate of no verdicts is undefined. */
  metrics: Record<string, number | undefined>;
  /** Of the rows, satisfied by all judges. */
  feasible: number;
  /** Judges that follow rules of ours: what they could not decide is the rows' fault, not theirs. */
  rules: string[];
  /** By judge, and of all judges together under `feasible`; with `against`. */
  agreement?: Record<string, Agreement>;
}

interface JudgeList {
  entries: readonly (string | JudgeRecipe)[];
  baseDir: string;
  llm: LlmModels;
}

async function judgesOf({ judges, log }: JudgeFileOptions): Promise<JudgeList> {
  if (!("recipe" in judges))
    return { entries: judges, baseDir: process.cwd(), llm: new LlmModels({}, { outputDir: log }) };
  const { recipe, task } = judges;
  const align = await loadRecipe("align", recipe);
  const tasks = tasksOf(align);
  const names = tasks.map(({ name }) => name);
  const chosen = task === undefined ? tasks[0] : tasks.find(({ name }) => name === task);
  if (!chosen) {
    throw new UserError(
      `${recipe} has no task "${task}"${didYouMean(task!, names)}; it has ${names.join(", ")}`,
    );
  }
  const { engine } = align;
  const openCheckpoint: OpenCheckpoint = async (model) => {
    // The engine is loaded only where a judge is a checkpoint.
    const { openPolicy } = await import("../train/models.js");
    return checkpointClient(await openPolicy(model, { engine, frozen: true }));
  };
  const llm = new LlmModels(align.llm, { outputDir: log, openCheckpoint });
  return { entries: chosen.judges, baseDir: dirname(resolve(recipe)), llm };
}

const plainText = (text: Text) =>
  typeof text === "string" ? text : text.map(({ content }) => content).join("\n");

export async function judgeFile(data: string, options: JudgeFileOptions): Promise<JudgedFile> {
  const { entries, llm, ...context } = await judgesOf(options);
  try {
    const mixture = await mixtureFrom(
      entries,
      { ...context, llm },
      {
        runAll: options.all === true || options.against !== undefined,
      },
    );
    const modules = entries.map(
      (entry) => typeof entry === "object" && "module" in entry && (entry.name ?? entry.module),
    );
    const rules = mixture.members
      .filter(({ judge }) => judge.kind === "rule" && !modules.includes(judge.name))
      .map(({ judge }) => judge.name);
    return { ...(await judgeRows(data, mixture, options)), rules };
  } finally {
    llm.dispose();
  }
}

async function judgeRows(
  data: string,
  mixture: Mixture,
  options: JudgeFileOptions,
): Promise<Omit<JudgedFile, "rules">> {
  const { rows } = await loadResponses(data, { limit: options.limit });
  const inputs = rows.map(({ prompt, completion, metadata }) => ({
    prompt,
    response: plainText(completion),
    truncated: metadata.finish_reason === "length",
    metadata,
  }));
  const labels =
    options.against === undefined ? undefined : rows.map((row) => labelIn(row, options.against!));
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
    feasible: results.filter(({ feasible }) => feasible).length,
    ...(labels && { agreement: agreementOf(results, mixture, labels) }),
  };
}

function labelIn({ id, metadata }: CompletionRow, column: string): boolean {
  const label = labelOf(metadata[column]);
  if (label !== undefined) return label;
  const found =
    column in metadata ? `${JSON.stringify(metadata[column])} is no label` : "there is no such column";
  throw new UserError(
    `${id}: --against ${column}: ${found}; it must be true or false, or one of satisfied, violated, pass, fail, yes, no, 1, 0`,
  );
}

function agreementOf(
  results: readonly SampleJudgement[],
  { members }: Mixture,
  labels: readonly boolean[],
): Record<string, Agreement> {
  const byJudge = members.map(({ judge: { name } }) => {
    const verdicts = results.map(({ verdicts: { [name]: verdict } }) =>
      typeof verdict === "object" ? verdict.verdict : undefined,
    );
    return [name, agreementWith(verdicts, labels)] as const;
  });
  const all = results.map(({ feasible }) =>
    feasible === undefined ? "failed" : feasible ? "satisfied" : "violated",
  );
  return { ...Object.fromEntries(byJudge), feasible: agreementWith(all, labels) };
}
