// The policies of one seed: each RL arm's run, evaluated on the same prompts with the same random numbers.

import { RandomStream } from "../../base/random.js";
import { mean } from "../../base/statistics.js";
import type { LanguageModel, Sequence } from "../../engine/contract.js";
import { gold } from "./gold.js";
import { exactKl, HiddenStates } from "./hidden-states.js";
import { isFlair, type KeysWorld, type Prompt } from "./keys-world.js";
import { openStandardisedReward, type RewardFunction } from "./rewards.js";
import { runReinforce } from "./rl.js";
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

export interface PolicyOptions {
  world: KeysWorld;
  models: Models;
  sft: string;
  arm: RlArm;
  alpha: number;
  /** Of training and of evaluation. */
  prompts: readonly Prompt[];
  heldOut: readonly Prompt[];
  /** SFT answers that set the scale of the reward. */
  reference: readonly number[][];
  seed: number;
  settings: RlSettings;
  scratch: string;
  signal?: AbortSignal;
}

export async function trainPolicy(options: PolicyOptions): Promise<PolicyRun> {
  const { models, arm, alpha, reference, sft, prompts, seed, settings, scratch, signal } = options;
  const reward = await openStandardisedReward(armModels(arm, models), reference);
  const start = await HiddenStates.load(sft);
  const points: PolicyPoint[] = [];
  let evaluating = 0;
  const began = performance.now();
  try {
    await runReinforce({
      sft,
      reward,
      alpha,
      prompts,
      seed,
      settings,
      scratch,
      signal,
      evaluate: async (step, policy, dir) => {
        const before = performance.now();
        points.push({ step, ...(await evaluatePolicy(policy, dir, { ...options, reward, start })) });
        evaluating += performance.now() - before;
      },
    });
  } finally {
    reward.dispose();
    start.dispose();
  }
  const secondsPerStep = (performance.now() - began - evaluating) / 1000 / settings.steps;
  return { arm, alpha, points, secondsPerStep };
}

interface Evaluation extends Pick<PolicyOptions, "world" | "heldOut" | "seed"> {
  reward: RewardFunction;
  /** The SFT model. */
  start: HiddenStates;
}

async function evaluatePolicy(
  policy: LanguageModel,
  dir: string,
  { world, heldOut, seed, reward, start }: Evaluation,
): Promise<Omit<PolicyPoint, "step">> {
  const answers = await sampleAnswers(policy, heldOut, { random: new RandomStream(seed, "evaluation") });
  const sequences = answers.map(
    (answer, p): Sequence => ({ tokens: sequenceOf(heldOut[p]!, answer), promptLength: heldOut[p]!.length }),
  );
  const current = await HiddenStates.load(dir);
  const states = await current.states(sequences);
  const startStates = await start.states(sequences);
  current.dispose();
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
