// Where a run would write: whether it may, and whether there is room for its checkpoints.

import { constants } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { UserError } from "../../base/errors.js";
import { type LoraConfig, loraTargets } from "../../model/adapter.js";
import { type Head, parameterSpecs, readDecoderConfig, withHead } from "../../model/config.js";
import type { LoraRecipe } from "../../recipe/recipe.js";
import { checkOutputDir, isRunDirectory } from "../../run/directory.js";
import { locate } from "../models.js";
import type { Findings } from "./findings.js";

/** The directory itself, or the nearest above it that there is. */
async function nearestExisting(path: string): Promise<string> {
  let at = resolve(path);
  for (;;) {
    const exists = await access(at).then(
      () => true,
      () => false,
    );
    if (exists || dirname(at) === at) return at;
    at = dirname(at);
  }
}

/** Whether a run of `recipe` may begin in `dir`, or continue there. */
export async function checkPlace(
  findings: Findings,
  dir: string,
  recipe: object,
  resume: boolean,
): Promise<void> {
  await findings.attempt("output_dir", async () => {
    await checkOutputDir(dir, recipe, { resume });
    const at = await nearestExisting(dir);
    await access(at, constants.W_OK).catch(() => {
      throw new UserError(`${dir} cannot be made: ${at} cannot be written to`);
    });
    const isRun = resume && (await isRunDirectory(dir));
    findings.ok("output_dir", isRun ? `${dir}: a run that goes on` : `${dir} is free`);
  });
}

/** A model that a run trains, and how it is saved. */
export interface Trained {
  model: string;
  head: Head;
  lora?: LoraRecipe | undefined;
  saveDtype?: "float32" | "float16" | "bfloat16";
}

const valuesOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Bytes of one checkpoint of a model and of its final directory: weights and both moments of what trains, and the model. */
async function savedBytes({ model, head, lora, saveDtype }: Trained) {
  const source = await locate(model);
  const read = await readDecoderConfig(source.base);
  const config = read.head === head ? read : withHead(read, head);
  const whole = sum(parameterSpecs(config).map(({ shape }) => valuesOf(shape)));
  const { r, targetModules } = lora ?? { r: 0, targetModules: "all-linear" as const };
  const adapter = (): number =>
    sum(
      loraTargets(config, { r, targetModules } as unknown as LoraConfig).map(
        ({ shape: [out, width] }) => r * (out! + width!),
      ),
    );
  const trained = lora ? adapter() : whole;
  const final = trained * (saveDtype === "float32" || saveDtype === undefined ? 4 : 2);
  return { checkpoint: 3 * 4 * trained + final, final };
}

interface Saving {
  saveTotalLimit: number;
  saveSteps: number;
}

/** Whether the disk has room for the checkpoints that are kept, the one that is being written, and the final models. */
export async function checkDisk(
  findings: Findings,
  dir: string,
  { trained, runs = 1, steps, saving }: { trained: Trained[]; runs?: number; steps: number; saving: Saving },
): Promise<void> {
  await findings.attempt("disk", async () => {
    const sizes = await Promise.all(trained.map(savedBytes));
    const due = saving.saveSteps > 0 ? Math.ceil(steps / saving.saveSteps) : 1;
    const kept = Math.min(due, saving.saveTotalLimit);
    // A new checkpoint is whole before the oldest goes; of several runs one writes at a time.
    const written = Math.max(0, Math.min(due - kept, 1));
    const checkpoint = sum(sizes.map((size) => size.checkpoint));
    const needed = runs * (kept * checkpoint + sizes[0]!.final) + written * checkpoint;
    const { bavail, bsize } = await statfs(await nearestExisting(dir));
    const free = bavail * bsize;
    const checkpoints = `${kept} checkpoint${kept === 1 ? "" : "s"}`;
    const whose = runs > 1 ? ` of ${runs} runs` : "";
    const said = `about ${sizeText(needed)} for ${checkpoints} and the final model${whose}, of ${sizeText(free)} free`;
    if (needed > free)
      findings.fail(
        "disk",
        `${said}: lower save_total_limit, raise save_steps, or choose an output_dir with more room`,
      );
    else findings.ok("disk", said);
  });
}

const sizeText = (bytes: number): string =>
  bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
