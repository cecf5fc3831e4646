// The data of one seed as files: a prompt file for each task, preferences for each reward model.

import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";
import type { FamilyName } from "../world/family.js";
import { worldFiles } from "../world/files.js";
import { buildWorld, type World } from "../world/world.js";
import { type RewardName, rewardNames, type Settings, taskNames, tasks } from "./protocol.js";

export const promptFile = (data: string, task: string): string => join(data, `prompts-${task}.jsonl`);
export const preferenceFile = (data: string, reward: RewardName): string =>
  join(data, `preferences-${reward}.jsonl`);
export const validationFile = (data: string, reward: RewardName): string =>
  join(data, `validation-${reward}.jsonl`);

export function drawWorld(seed: number, { pairs, prompts, heldout }: Settings): World {
  return buildWorld(seed, {
    sizes: {
      corpus: 0,
      sft: 0,
      prompts,
      heldout: heldout.final,
      preferences: pairs,
      validation: pairs / 5,
      shifted: 0,
    },
  });
}

/** The families whose preferences a reward model is trained on. */
export function familiesOf(reward: RewardName): readonly FamilyName[] {
  return taskNames
    .filter((name) => reward === "unified" || tasks[name].reward === reward)
    .flatMap((name) => tasks[name].families);
}

export async function writeData(world: World, dir: string): Promise<void> {
  await makeDirectory(dir);
  const files = worldFiles(world);
  for (const name of taskNames) {
    const text = tasks[name].families.map((family) => files[`prompts/${family}.jsonl`]!).join("");
    await writeFileAtomic(promptFile(dir, name), text);
  }
  for (const reward of rewardNames) {
    const families = new Set<string>(familiesOf(reward));
    const select = (text: string) =>
      text
        .split("\n")
        .filter((line) => line !== "" && families.has((JSON.parse(line) as { family: string }).family))
        .map((line) => `${line}\n`)
        .join("");
    await writeFileAtomic(preferenceFile(dir, reward), select(files["preferences.jsonl"]!));
    await writeFileAtomic(validationFile(dir, reward), select(files["validation.jsonl"]!));
  }
}
