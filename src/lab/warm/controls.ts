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
import { type MemberPlan, planSuites, probeHead, trainMember } from "./members.js";
import { makePreferences } from "./preferences.js";
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
  log: (message: string) => void;
  signal?: AbortSignal;
}

export const controlsFile = (sharedDir: string) => join(sharedDir, "controls.json");

/** Trains and measures the control pairs unless they have been measured. */
export async function makeControls(sharedDir: string, options: ControlOptions): Promise<void> {
  const { world, language, settings, log, signal } = options;
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
  const head = await probeHead(language.sft.at(-1)!, preferences.train, settings.members);
  const [usual] = planSuites(language.sft, settings.members).same;
  const pairs: [name: string, members: [Partial<MemberPlan>, Partial<MemberPlan>]][] = [
    ["SFT, shared probed head", [{}, {}]],
    ["SFT, a random head each", [{ head: "own" }, { head: "own" }]],
    [
      "different random initialisations",
      [
        { init: language.blank, head: "own" },
        { init: language.otherBlank, head: "own" },
      ],
    ],
  ];
  const controls: Controls = [];
  for (const [k, [name, members]] of pairs.entries()) {
    const dirs: string[] = [];
    for (const [i, changes] of members.entries())
      dirs.push(
        await trainMember(
          dir,
          { ...usual!, ...changes, name: `${k}-${i}`, order: 200 + i },
          { pairs: preferences.train, head, seed: controlSeed, settings: settings.members, signal },
        ),
      );
    controls.push({ name, path: await interpolate([dirs[0]!, dirs[1]!], [0, 0.5, 1], index, dir) });
    log(`control: ${name}`);
  }
  await writeFileAtomic(controlsFile(sharedDir), JSON.stringify(controls));
}
