// Controls of linear mode connectivity (WARM, 2401.12187, section 3.2): two members with heads of their own, and two
// trained from different random initialisations, which must not be averaged. One pair each, shared by all seeds.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../base/atomic.js";
import { makeDirectory } from "../../base/files.js";
import { loadLanguageModel } from "../../train/models.js";
import { type Interpolation, indexSplits, interpolate, splitsOf } from "./accuracy.js";
import type { KeysWorld } from "./keys-world.js";
import type { LanguageModels } from "./language.js";
import { trainSuite, writePairs } from "./members.js";
import { makePreferences } from "./preferences.js";
import { planSuites, type Suite } from "./recipes.js";
import type { WarmSettings } from "./settings.js";

export interface Control {
  name: string;
  /** Ends, midpoint. */
  path: Interpolation[];
}

export type Controls = Control[];

/** Preference data that no seed of the experiment has. */
const controlSeed = 900_001;

export interface ControlOptions {
  world: KeysWorld;
  language: LanguageModels;
  settings: WarmSettings;
  threads: number;
  log: (message: string) => void;
  signal?: AbortSignal;
}

export const controlsFile = (sharedDir: string) => join(sharedDir, "controls.json");

/** Trains and measures the control pairs unless they have been measured. */
export async function makeControls(sharedDir: string, options: ControlOptions): Promise<void> {
  const { world, language, settings, threads, log, signal } = options;
  if (existsSync(controlsFile(sharedDir))) return;
  if (!settings.controls) return writeFileAtomic(controlsFile(sharedDir), "[]");
  const dir = join(sharedDir, "controls");
  await makeDirectory(dir);
  const [pretrained, sft] = [
    await loadLanguageModel(language.pretrained, { frozen: true }),
    await loadLanguageModel(language.sft.at(-1)!, { frozen: true }),
  ];
  const preferences = await makePreferences({ world, settings, seed: controlSeed, pretrained, sft });
  pretrained.dispose();
  sft.dispose();
  const index = indexSplits(splitsOf(preferences));
  const data = await writePairs(join(dir, "preferences.jsonl"), world, preferences.train);
  const usual = planSuites(language.sft, { ...settings.members, same: 2 }).same;
  const alone = (k: number, changes: Partial<Suite> = {}) => ({
    seed: controlSeed + k,
    suite: { ...usual, runs: 1, head: "model" as const, ...changes },
  });
  const pairs: [name: string, ...runs: { seed: number; suite: Suite }[]][] = [
    ["SFT, shared probed head", { seed: controlSeed, suite: usual }],
    ["SFT, a random head each", alone(0), alone(1)],
    [
      "different random initialisations",
      alone(0, { models: [language.blank] }),
      alone(1, { models: [language.otherBlank] }),
    ],
  ];
  const controls: Controls = [];
  for (const [k, [name, ...runs]] of pairs.entries()) {
    const members: string[] = [];
    for (const [i, { seed, suite }] of runs.entries())
      members.push(
        ...(await trainSuite(`${k}-${i}`, suite, {
          ...{ dir, seed, threads, data, signal },
          settings: settings.members,
        })),
      );
    controls.push({ name, path: await interpolate([members[0]!, members[1]!], [0, 0.5, 1], index, dir) });
    log(`control: ${name}`);
  }
  await writeFileAtomic(controlsFile(sharedDir), JSON.stringify(controls));
}
