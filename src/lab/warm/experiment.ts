// `touchstone reproduce warm`: the experiments of WARM (2401.12187, sections 3 to 5) in miniature.

import { readFileSync } from "node:fs";
import { setThreads } from "../../tensor/runtime.js";
import type { Experiment, SeedContext, SharedContext } from "../reproduce/experiment.js";
import { controlsFile, makeControls } from "./controls.js";
import { type Findings, findingsOf } from "./findings.js";
import { buildKeysWorld, type KeysWorld } from "./keys-world.js";
import { languageModelDirs, makeLanguageModels } from "./language.js";
import { warmReport } from "./report.js";
import { runWarmPart, runWarmSeed, type SeedOptions, type WarmResult, warmParts } from "./seed.js";
import { fullSettings, largeSettings, quickSettings, type WarmSettings } from "./settings.js";

/** The seed of the world and of its language models: one for all seeds, which are seeds of preference data. */
const worldSeed = 1;

const settingsOf = ({ quick, options }: Pick<SharedContext, "quick" | "options">): WarmSettings =>
  quick ? quickSettings : options.world === "large" ? largeSettings : fullSettings;

const worldOf = (settings: WarmSettings): KeysWorld => buildKeysWorld(worldSeed, settings.world);

export const warmExperiment: Experiment<WarmResult> = {
  name: "warm",

  async prepare({ sharedDir, threads, quick, options, log, signal }) {
    setThreads(threads);
    const settings = settingsOf({ quick, options });
    const world = worldOf(settings);
    const common = { world, threads, log, signal };
    const language = await makeLanguageModels(sharedDir, {
      ...common,
      settings: settings.language,
      seed: worldSeed,
    });
    await makeControls(sharedDir, { ...common, language, settings });
  },

  parts: (context) => warmParts(settingsOf(context)),
  runPart: (seed, part, context) => runWarmPart(part, seedOptions(seed, context)),
  runSeed: (seed, context) => runWarmSeed(seedOptions(seed, context)),

  report(results, { sharedDir }) {
    const { settings } = results[0]!.result;
    const controls = JSON.parse(readFileSync(controlsFile(sharedDir), "utf8"));
    const findings = findingsOf(results, controls, settings);
    return { json: findings, report: warmReport(findings, settings), summary: summaryOf(findings) };
  },
};

function seedOptions(seed: number, context: SeedContext): SeedOptions {
  setThreads(context.threads);
  const settings = settingsOf(context);
  const language = languageModelDirs(context.sharedDir, settings.language);
  return { seed, world: worldOf(settings), language, settings, context };
}

function summaryOf({ claims, gates }: Findings): string {
  return [
    ...claims.map(({ id, claim, evidence, verdict }) => `(${id}) ${verdict}: ${claim}\n    ${evidence}`),
    ...gates.map(
      ({ gate, value, target, passed }) =>
        `gate ${passed ? "passed" : "NOT passed"}: ${gate} ${value.toFixed(3)} (needed ${target})`,
    ),
  ].join("\n");
}
