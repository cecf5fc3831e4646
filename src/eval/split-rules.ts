// The rules file of `touchstone split`: the tasks in the order in which they claim prompts, each with keywords, regular
// expressions and columns; a language model for what no rule claims; a default for the rest.

import "../base/zod-words.js";
import { readFile } from "node:fs/promises";
import { RE2JS } from "re2js";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { parseYaml } from "../base/yaml.js";
import type { ServerModel } from "../llm/models.js";

const list = z.union([
  z
    .string()
    .min(1)
    .transform((text) => [text]),
  z.array(z.string().min(1)).min(1),
]);

const value = z.union([z.string(), z.number(), z.boolean()]);

const taskRules = z.strictObject({
  description: z.string().min(1).optional(),
  keywords: list.optional(),
  regex: list.optional(),
  columns: z.record(z.string(), z.union([value.transform((one) => [one]), z.array(value).min(1)])).optional(),
  not: z.strictObject({ keywords: list.optional(), regex: list.optional() }).optional(),
});

const rulesFile = z.strictObject({
  tasks: z
    .record(z.string(), taskRules)
    .refine((tasks) => Object.keys(tasks).length > 0, "there is no task in it"),
  case_sensitive: z.boolean().default(false),
  default: z.string().optional(),
  llm: z
    .strictObject({
      model: z.string().min(1),
      base_url: z.url(),
      api_key_env: z.string().min(1).optional(),
      concurrency: z.number().int().positive().optional(),
      timeout_seconds: z.number().positive().optional(),
    })
    .optional(),
});

export interface ClassifierModel extends ServerModel {
  /** What each task is, for the model. */
  descriptions: ReadonlyMap<string, string>;
}

export interface SplitRules {
  /** In the order of the file: the first that claims a prompt gets it. */
  tasks: readonly string[];
  /** The task whose rules claim the prompt. */
  claim(prompt: string, columns: Readonly<Record<string, unknown>>): string | undefined;
  llm: ClassifierModel | undefined;
  /** Task of the prompts that nothing else claims. */
  fallback: string | undefined;
}

/** A task's name is its file's name, and some files have theirs already. */
function checkName(name: string, path: string): void {
  if (!/^[\w-]+$/.test(name))
    throw new UserError(`${path}: task "${name}" becomes a file name: use letters, digits, - and _`);
  if (["unclassified", "failed"].includes(name))
    throw new UserError(`${path}: a task cannot be called "${name}"`);
}

export async function readSplitRules(path: string): Promise<SplitRules> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new UserError(
      `cannot read the rules ${path}: ${error.code === "ENOENT" ? "there is no such file" : error.message}`,
    );
  });
  return parseSplitRules(text, path);
}

export function parseSplitRules(text: string, path: string): SplitRules {
  const content = parseYaml(text, path);
  const result = rulesFile.safeParse(content);
  if (!result.success) throw mistakeIn(result.error, path);
  const { tasks, case_sensitive: isCaseSensitive, default: fallback, llm } = result.data;
  const names = Object.keys(tasks);
  for (const name of names) checkName(name, path);
  if (fallback !== undefined && !names.includes(fallback))
    throw new UserError(`${path}: default names no task "${fallback}"${didYouMean(fallback, names)}`);
  const claims = names.map((name) =>
    claimOf(name, tasks[name]!, { path, isCaseSensitive, llm: Boolean(llm) }),
  );
  return {
    tasks: names,
    claim: (prompt, columns) => names.find((_, i) => claims[i]!(prompt, columns)),
    llm: llm && {
      model: llm.model,
      baseUrl: llm.base_url,
      apiKeyEnv: llm.api_key_env,
      concurrency: llm.concurrency,
      timeoutSeconds: llm.timeout_seconds,
      descriptions: new Map(
        names.flatMap((name) => {
          const { description } = tasks[name]!;
          return description === undefined ? [] : [[name, description] as const];
        }),
      ),
    },
    fallback,
  };
}

function mistakeIn(error: z.ZodError, path: string): UserError {
  const issue = error.issues[0]!;
  const at = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const known =
      issue.path.length === 0
        ? Object.keys(rulesFile.shape)
        : issue.path.length === 2 && issue.path[0] === "tasks"
          ? Object.keys(taskRules.shape)
          : [];
    return new UserError(
      `${path}: ${at === "" ? key : `${at}.${key}`} is not a known key${didYouMean(key, known)}`,
    );
  }
  return new UserError(`${path}: ${at === "" ? "" : `${at}: `}${issue.message}`);
}

type Claim = (prompt: string, columns: Readonly<Record<string, unknown>>) => boolean;

/** The regular expressions and keywords of one list, as one test. */
function matcher(
  { keywords = [], regex = [] }: { keywords?: string[] | undefined; regex?: string[] | undefined },
  isCaseSensitive: boolean,
  path: string,
): (prompt: string) => boolean {
  const flags = isCaseSensitive ? 0 : RE2JS.CASE_INSENSITIVE;
  const patterns = [
    // A keyword is a whole word (or several): its ends do not lie within a longer one.
    ...keywords.map((keyword) => `(?:^|[^\\pL\\pN_])(?:${RE2JS.quote(keyword)})(?:$|[^\\pL\\pN_])`),
    ...regex,
  ].map((source) => {
    try {
      return RE2JS.compile(source, flags);
    } catch (error) {
      throw new UserError(
        `${path}: ${JSON.stringify(source)} is not valid RE2 syntax (no look-around, no back-references): ${(error as Error).message}`,
      );
    }
  });
  return (prompt) => patterns.some((pattern) => pattern.test(prompt));
}

/** A task claims a prompt that any of its keywords, expressions or column values fits, and nothing under `not`. */
function claimOf(
  name: string,
  { keywords, regex, columns, not = {}, description }: z.output<typeof taskRules>,
  { path, isCaseSensitive, llm }: { path: string; isCaseSensitive: boolean; llm: boolean },
): Claim {
  if (!(keywords || regex || columns || (llm && description)))
    throw new UserError(
      `${path}: task "${name}" needs keywords, regex or columns${llm ? ", or a description for the model" : ""}`,
    );
  const fits = matcher({ keywords, regex }, isCaseSensitive, path);
  const excluded = matcher(not, isCaseSensitive, path);
  const wanted = Object.entries(columns ?? {});
  return (prompt, row) =>
    !excluded(prompt) &&
    (fits(prompt) || wanted.some(([column, values]) => values.includes(row[column] as string)));
}
