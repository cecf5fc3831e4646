// The policies of one seed: each RL arm's run of `touchstone align`, evaluated along the way on the same prompts with the
// same random numbers.

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { RandomStream } from "../../base/random.js";
import { mean } from "../../base/statistics.js";
import type { LanguageModel, Sequence } from "../../engine/contract.js";
import { type Metrics, type MetricsRow, readJsonl } from "../../run/metrics.js";
import { runAlignRecipe } from "../../train/align/stages.js";
import { kept } from "../reproduce/kept.js";
import { quietly, writeRecipe } from "../reproduce/recipe-file.js";
import { gold } from "./gold.js";
import { exactKl, HiddenStates } from "./hidden-states.js";
import { isFlair, type KeysWorld, type Prompt } from "./keys-world.js";
import { policyRecipe, type RecipeContext } from "./recipes.js";
import { openReward, type RewardFunction, standardised } from "./rewards.js";
import { type Answer, sampleAnswers, sequenceOf } from "./sampling.js";
import type { RlArm, RlSettings } from "./settings.js";
import type { Models } from "./suites.js";

export interface PolicyPoint {
  step: number;
  /** Mean reward of its own arm, in standard deviations over SFT answers. */
  proxy: number;
  /** True reward of the answer to every evaluation prompt. */
  gold: number[];
  /** Nats per answer: the exact sum over the vocabulary at every position, averaged over sampled answers. */
  kl: number;
  length: number;
  flair: number;
  answers: Answer[];
}

export interface PolicyRun {
  arm: RlArm;
  alpha: number;
  points: PolicyPoint[];
  secondsPerStep: number;
}

/** The models whose mean reward an RL arm follows. */
function armModels(arm: RlArm, { diverse, warm }: Models): string[] {
  const [kind, count] = [arm.split("-")[0], Number(arm.split("-")[1])];
  if (kind === "single") return [diverse[count - 1]!];
  return kind === "warm" ? [warm[count]!] : diverse.slice(0, count);
}

export interface PolicyOptions extends RecipeContext {
  world: KeysWorld;
  models: Models;
  sft: string;
  arm: RlArm;
  alpha: number;
  /** File of the training prompts. */
  prompts: string;
  /** Of the evaluation. */
  heldOut: readonly Prompt[];
  /** SFT answers that set the scale of the reward. */
  reference: readonly number[][];
  settings: RlSettings;
  signal?: AbortSignal | undefined;
}

/** Trains the policy `name` in a directory of that name. */
export async function trainPolicy(name: string, options: PolicyOptions): Promise<PolicyRun> {
  const { dir, seed, threads, models, arm, alpha, reference, sft, prompts, settings, signal } = options;
  const out = join(dir, name);
  const pointFile = (step: number) => join(dir, `${name}-points`, `${step}.json`);
  const rewardModels = armModels(arm, models);
  const raw = await openReward(rewardModels);
  const start = await HiddenStates.load(sft);
  try {
    const reward = await standardised(raw, reference);
    const plan = { sft, models: rewardModels, alpha, scale: reward.scale, prompts, out };
    const recipe = policyRecipe(plan, settings, { dir, seed, threads });
    await runAlignRecipe(await writeRecipe("align", `${out}.yaml`, recipe), {
      ...quietly(signal),
      allowNothingLearned: true,
      observe: async (step, { policy }) => {
        if (step % settings.evaluateEvery !== 0) return {};
        const saved = join(dir, "scratch", name);
        const point = () => evaluatePolicy(policy, saved, { ...options, reward, start });
        return metricsOf(await kept(pointFile(step), point));
      },
    });
  } finally {
    raw.dispose();
    start.dispose();
  }
  const points: PolicyPoint[] = [];
  for (let step = 0; step <= settings.steps; step += settings.evaluateEvery)
    points.push({ step, ...JSON.parse(await readFile(pointFile(step), "utf8")) });
  return { arm, alpha, points, secondsPerStep: await secondsPerStep(out) };
}

type Evaluated = Omit<PolicyPoint, "step">;

/** `lab/` marks what training never sees. */
const metricsOf = ({ gold: golds, proxy, kl, length, flair }: Evaluated): Metrics => ({
  "lab/true_reward": mean(golds),
  "lab/proxy": proxy,
  "lab/kl": kl,
  "lab/length": length,
  "lab/flair": flair,
});

/** Of training alone: the phases of every step, without the evaluations between them. */
async function secondsPerStep(run: string): Promise<number> {
  const rows = await readJsonl<MetricsRow>(join(run, "timings.jsonl"));
  const trained = rows.filter(({ step }) => step > 0);
  const phases = trained.flatMap((row) =>
    Object.entries(row).flatMap(([key, value]) => (/^time\/.+_seconds$/.test(key) ? [Number(value)] : [])),
  );
  return phases.reduce((sum, seconds) => sum + seconds, 0) / trained.length;
}

interface Evaluation extends Pick<PolicyOptions, "world" | "heldOut" | "seed"> {
  reward: RewardFunction;
  /** The SFT model. */
  start: HiddenStates;
}

/** `saved` is where the policy is written for the evaluation. */
async function evaluatePolicy(
  policy: LanguageModel,
  saved: string,
  { world, heldOut, seed, reward, start }: Evaluation,
): Promise<Evaluated> {
  const answers = await sampleAnswers(policy, heldOut, { random: new RandomStream(seed, "evaluation") });
  const sequences = answers.map(
    (answer, p): Sequence => ({ tokens: sequenceOf(heldOut[p]!, answer), promptLength: heldOut[p]!.length }),
  );
  await policy.save(saved);
  const current = await HiddenStates.load(saved);
  const states = await current.states(sequences);
  const startStates = await start.states(sequences);
  current.dispose();
  await rm(saved, { recursive: true });
  return {
    answers,
    proxy: mean(await reward.score(sequences.map(({ tokens }) => tokens))),
    // Sums of tenths in another order must not differ in the last bits: equal rewards are ties.
    gold: answers.map((answer, p) => Math.round(gold(world, heldOut[p]!, answer) * 1e6) / 1e6),
    kl: mean(
      states.map((rows, i) => exactKl(current.distributions(rows), start.distributions(startStates[i]!))),
    ),
    length: mean(answers.map((answer) => answer.length)),
    flair: mean(answers.map((answer) => answer.filter((token) => isFlair(world, token)).length)),
  };
}
