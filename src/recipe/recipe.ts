// Recipes: what a run is to do, as a person writes it (YAML, snake_case) and as the code reads it (typed, camelCase,
// every default filled in).

import type { z } from "zod";
import { alignSchema, type JudgeRecipe, served, stagedSchema } from "./align.js";
import {
  type CamelKeys,
  camelKeys,
  type Override,
  parseDocument,
  readDocument,
  withoutMistakes,
  writeDocument,
} from "./file.js";
import { takeForeign } from "./foreign.js";
import type { OptimizerRecipe } from "./optimizers.js";
import { vainSettings } from "./remarks.js";
import { rewardSchema } from "./reward.js";
import { REWARD_SOURCES } from "./reward-source.js";
import { sftSchema } from "./sft.js";
import { type TrainerSettings, trainerDefaults } from "./trainer.js";

const SCHEMAS = { align: alignSchema, sft: sftSchema, reward: rewardSchema };

type Resolved<S extends z.ZodType> = CamelKeys<z.output<S>>;

export type Verb = keyof typeof SCHEMAS;
/** An alignment of one stage. */
export type AlignRecipe = Resolved<typeof alignSchema>;
export type StagedRecipe = Resolved<typeof stagedSchema>;
export type RecipeOf<V extends Verb> = V extends "align"
  ? AlignRecipe | StagedRecipe
  : Resolved<(typeof SCHEMAS)[V]>;
export type SftRecipe = RecipeOf<"sft">;
export type RewardRecipe = RecipeOf<"reward">;
export type Recipe = RecipeOf<Verb>;
export type TaskRecipe = AlignRecipe["tasks"][number];
export type { JudgeRecipe, OptimizerRecipe, TrainerSettings };
export { REWARD_SOURCES, trainerDefaults };
export type RewardSourceRecipe = NonNullable<TaskRecipe["reward"]>;
export type SingleRewardRecipe = Exclude<RewardSourceRecipe, { sum: unknown }>;
export type ModuleRewardRecipe = Extract<SingleRewardRecipe, { module: string }>;
export type UrlRewardRecipe = Extract<SingleRewardRecipe, { url: string }>;
export type EnsembleRecipe = Extract<SingleRewardRecipe, { models: string[] }>;
export type RubricRewardRecipe = Extract<SingleRewardRecipe, { rubric: string }>;
export type MetaRewardRecipe = NonNullable<RubricRewardRecipe["meta"]>;
export type EngineRecipe = AlignRecipe["engine"];
export type PolicyRecipe = AlignRecipe["policy"];
export type LoraRecipe = NonNullable<PolicyRecipe["lora"]>;

export interface LoadOptions {
  /** Values that win over the file's. */
  overrides?: readonly Override[];
  /** Told of keys of other trainers that are taken but change nothing, or something else than their names say. */
  onRemark?: (remark: string) => void;
}

/**
 * Reads the recipe of a verb from a YAML file (or from overrides alone) and fills in every default. Paths in the file
 * are relative to the file, paths in overrides to the working directory. Mistakes are UserErrors that name the file,
 * line and key.
 */
export async function loadRecipe<V extends Verb>(
  verb: V,
  file: string | undefined,
  { overrides = [], onRemark }: LoadOptions = {},
): Promise<RecipeOf<V>> {
  return resolveDocument(verb, await readDocument(file, overrides), onRemark);
}

/** The recipe in a YAML text; `file` names it in messages and is what its paths are relative to. */
export function parseRecipe<V extends Verb>(
  verb: V,
  yaml: string,
  file: string,
  { overrides = [], onRemark }: LoadOptions = {},
): RecipeOf<V> {
  return resolveDocument(verb, parseDocument(yaml, file, overrides), onRemark);
}

/** What is in a recipe, mistakes included. */
export interface InspectedRecipe<V extends Verb> {
  /** Each with its place. */
  mistakes: string[];
  remarks: string[];
  /** As it would be without its mistakes; absent where that cannot be said. */
  recipe?: RecipeOf<V>;
}

/** Reads a recipe as `loadRecipe` does, and says all that is wrong with it. A file that is no YAML is a UserError. */
export async function inspectRecipe<V extends Verb>(
  verb: V,
  file: string | undefined,
  { overrides = [] }: LoadOptions = {},
): Promise<InspectedRecipe<V>> {
  const document = await readDocument(file, overrides);
  const given = document.value as Record<string, unknown>;
  const remarks = [...takeForeign(verb, given), ...vainSettings(verb, given)];
  const mistakes: string[] = [];
  /** Paths: what was taken away for being wrong is not missing. */
  const wrong = new Set<string>();
  // What is only found once the rest is right comes in a later round.
  for (let round = 0; round < 10; round++) {
    const parsed = schemaFor(verb, document.value).safeParse(document.value);
    if (parsed.success) return { mistakes, remarks, recipe: camelKeys(parsed.data) as RecipeOf<V> };
    const { issues } = parsed.error;
    const told = issues.filter(({ path }) => !wrong.has(JSON.stringify(path)));
    mistakes.push(...document.sentences(told));
    for (const { path } of issues) wrong.add(JSON.stringify(path));
    if (!withoutMistakes(document.value, issues)) break;
  }
  return { mistakes, remarks };
}

const schemaFor = (verb: Verb, value: unknown): z.ZodType =>
  verb === "align" && Object.hasOwn(value as object, "stages") ? stagedSchema : SCHEMAS[verb];

function resolveDocument<V extends Verb>(
  verb: V,
  document: ReturnType<typeof parseDocument>,
  onRemark: (remark: string) => void = () => {},
): RecipeOf<V> {
  const given = document.value as Record<string, unknown>;
  for (const remark of [...takeForeign(verb, given), ...vainSettings(verb, given)]) onRemark(remark);
  const parsed = schemaFor(verb, document.value).safeParse(document.value);
  if (!parsed.success) throw document.explain(parsed.error.issues);
  return camelKeys(parsed.data) as RecipeOf<V>;
}

/** A tool of `report_to`. */
export type TrackerRecipe = NonNullable<SftRecipe["reportTo"]>[number];
export type MonitorRecipe = NonNullable<AlignRecipe["monitor"]>;
export type MeasureRecipe = NonNullable<TaskRecipe["measures"]>[number];
export type ServeRecipe = NonNullable<AlignRecipe["serve"]>;

/** What a recipe without a `serve:` section has. */
export const serveDefaults = camelKeys(served.parse({})) as ServeRecipe;

/** The tasks of an alignment, of all its stages. */
export const tasksOf = (recipe: AlignRecipe | StagedRecipe): TaskRecipe[] =>
  "stages" in recipe ? recipe.stages.flatMap(({ tasks }) => tasks) : recipe.tasks;

/** The resolved recipe as YAML that `parseRecipe` reads back to the same recipe. */
export function toYaml(recipe: object): string {
  return writeDocument(recipe);
}
