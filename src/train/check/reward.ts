// What `touchstone reward --check` looks at.

import { loadPreferences, partition } from "../../data/index.js";
import type { RewardRecipe } from "../../recipe/recipe.js";
import { memoryOfReward, waysToNeedLess } from "../memory.js";
import { openCodec, openScalarModel, windowOf } from "../models.js";
import { encodePairs, longestPair, type Pair, pairLimits } from "../reward-model/pairs.js";
import { dataOf, heldOutOf, memberDir, type Rows, stepsOf } from "../reward-model/reward-model.js";
import type { Findings } from "./findings.js";
import { checkMemory } from "./memory.js";
import { checkDisk, checkPlace } from "./place.js";
import { checkRows, tellFit } from "./rows.js";
import { checkSchedule } from "./schedule.js";

export async function checkReward(
  recipe: RewardRecipe,
  findings: Findings,
  { resume, jobs = 1 }: { resume: boolean; jobs?: number | undefined },
): Promise<void> {
  for (let index = 0; index < recipe.runs; index++)
    await checkPlace(findings, memberDir(recipe, index), recipe, resume);
  const rows = await readRows(recipe, findings);
  const models = [...new Set(recipe.model)];
  const fittedTo = new Map<string, Pair[] | undefined>();
  for (const model of models)
    fittedTo.set(model, rows && (await checkLengths(model, recipe, rows, findings)));
  const pairs = fittedTo.get(recipe.model.at(-1)!);
  const fits = await checkMemory(findings, "memory", {
    estimate: () => memoryOfReward(recipe, longestPair(pairs ?? []), Math.min(jobs, recipe.runs)),
    change: waysToNeedLess("reward", recipe),
  });
  let width: number | undefined;
  // What does not fit is not opened either.
  for (const model of fits ? models : [])
    await findings.attempt("model", async () => {
      const opened = await openScalarModel(model, { ...recipe, frozen: true });
      try {
        width ??= opened.hiddenSize;
        const said = `${model}: opens, reads ${opened.limits.maxTokens} tokens`;
        if (opened.hiddenSize !== width)
          return findings.fail(
            "model",
            `${model} has hidden size ${opened.hiddenSize}, but ${recipe.model[0]} has ${width}: the runs share one score head`,
          );
        const [pair] = fittedTo.get(model) ?? [];
        if (!pair) return findings.ok("model", said);
        await opened.values([pair.chosen, pair.rejected], "last", { signal: findings.signal });
        findings.ok("model", `${said}; ${pair.id} was scored`);
      } finally {
        opened.dispose();
      }
    });
  const steps = stepsOf(recipe, pairs?.length ?? 1);
  if (pairs) checkSchedule(findings, "steps", steps, recipe);
  const trained = [
    { model: recipe.model[0]!, head: "scalar" as const, lora: recipe.lora, saveDtype: recipe.saveDtype },
  ];
  await checkDisk(findings, recipe.outputDir, { trained, runs: recipe.runs, steps, saving: recipe });
}

async function readRows(recipe: RewardRecipe, findings: Findings): Promise<Rows | undefined> {
  const train = await checkRows(findings, "data", recipe.data, loadPreferences);
  const held = recipe.evalData && (await checkRows(findings, "eval_data", recipe.evalData, loadPreferences));
  if (!train) return undefined;
  if (held || recipe.evalSplit === 0 || recipe.evalData) return { train, validation: held ?? [] };
  const parts = await findings.attempt("eval_split", () =>
    partition(train, { fraction: recipe.evalSplit, seed: recipe.seed }),
  );
  if (parts)
    findings.ok("eval_split", `${parts.train.length} pairs to train on, ${parts.validation.length} held out`);
  return parts;
}

async function checkLengths(
  model: string,
  recipe: RewardRecipe,
  rows: Rows,
  findings: Findings,
): Promise<Pair[] | undefined> {
  const codec = await findings.attempt("model", () => openCodec(model, recipe));
  if (!codec) return undefined;
  findings.ok("ends", `completions end at ${codec.describeStops()}`);
  return findings.attempt("lengths", async () => {
    const limits = pairLimits(recipe, await windowOf(model));
    const train = encodePairs(codec, rows.train, { limits, ...dataOf(recipe) });
    tellFit(findings, "lengths", train);
    if (rows.validation.length > 0)
      tellFit(
        findings,
        "lengths of the held-out pairs",
        encodePairs(codec, rows.validation, { limits, ...heldOutOf(recipe) }),
      );
    return train.pairs;
  });
}
