// What `touchstone sft --check` looks at.

import { loadCompletions } from "../../data/index.js";
import { sft } from "../../objectives/sft.js";
import type { SftRecipe } from "../../recipe/recipe.js";
import { epochSteps } from "../../run/schedule.js";
import { memoryOfSft, waysToNeedLess } from "../memory.js";
import { openCodec, openPolicy, windowOf } from "../models.js";
import { encodeRows, longestOf } from "../sft.js";
import type { Findings } from "./findings.js";
import { checkMemory } from "./memory.js";
import { checkDisk, checkPlace } from "./place.js";
import { checkRows, tellFit } from "./rows.js";
import { checkSchedule } from "./schedule.js";
import { openOnService } from "./service.js";

export async function checkSft(
  recipe: SftRecipe,
  findings: Findings,
  { resume }: { resume: boolean },
): Promise<void> {
  const { model } = recipe;
  await checkPlace(findings, recipe.outputDir, recipe, resume);
  const data = await checkRows(findings, "data", recipe.data, loadCompletions);
  const held = recipe.evalData && (await checkRows(findings, "eval_data", recipe.evalData, loadCompletions));
  const read = await findings.attempt("model", async () => ({
    codec: await openCodec(model, recipe),
    window: await windowOf(model, recipe.engine),
  }));
  if (!read) return;
  const { codec, window } = read;
  findings.ok("ends", `completions end at ${codec.describeStops()}`);
  const encode = async (name: string, rows: NonNullable<typeof data>, source: typeof recipe.data) => {
    const encoded = await findings.attempt(name, () => encodeRows(rows, { codec, recipe, source, window }));
    if (encoded) tellFit(findings, name, encoded);
    return encoded?.rows;
  };
  const rows = data && (await encode("lengths", data, recipe.data));
  if (held) await encode("lengths of eval_data", held, recipe.evalData!);
  const steps = recipe.steps ?? epochSteps(recipe, rows?.length ?? 1);
  if (rows) checkSchedule(findings, "steps", steps, recipe);
  if (recipe.engine.kind === "tinker") {
    await openOnService(findings, "model", recipe, codec).then((opened) => opened?.policy.dispose());
    return;
  }
  const trained = [{ head: "language" as const, ...recipe }];
  await checkDisk(findings, recipe.outputDir, { trained, steps, saving: recipe });

  const fits = await checkMemory(findings, "memory", {
    estimate: () => memoryOfSft(recipe, longestOf(rows ?? [])),
    change: waysToNeedLess("sft", recipe),
  });
  // What does not fit is not opened either.
  if (!fits) return;
  await findings.attempt("model", async () => {
    const { policy } = await openPolicy(model, { ...recipe, frozen: true });
    try {
      const [sample] = rows ?? [];
      const opened = `${model}: opens, reads ${window} tokens`;
      if (!sample) return findings.ok("model", opened);
      const logprobs = await policy.logprobs([sample.sequence], { signal: findings.signal });
      findings.ok("model", `${opened}; loss of ${sample.id} is ${sft({ logprobs }).loss.toPrecision(4)}`);
    } finally {
      policy.dispose();
    }
  });
}
