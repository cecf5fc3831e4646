// REINFORCE against a reward model with a KL penalty and a learned baseline (WARM, 2401.12187, section 5.2; the penalty's
// form after RLAIF, 2309.00267): every token's return is (1 - alpha) r at the end minus alpha log(pi / pi_sft) on the
// way. No token is masked anywhere: neither in sampling, nor in the loss, the reference or the KL.
// Leaves out: the separate value language model; the baseline is linear in the frozen SFT model's hidden states.

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { RandomStream } from "../../base/random.js";
import type { LanguageModel, Sequence } from "../../engine/contract.js";
import { reinforce } from "../../objectives/reinforce.js";
import { loadLanguageModel } from "../../train/models.js";
import { HiddenStates, tokenLogprobs } from "./hidden-states.js";
import { maxAnswer, type Prompt } from "./keys-world.js";
import { smallModelTokens } from "./language.js";
import type { RewardFunction } from "./rewards.js";
import type { RlSettings } from "./settings.js";
import { LinearValue } from "./value.js";

export interface RlOptions {
  /** Directory of the SFT model: start and reference. */
  sft: string;
  reward: RewardFunction;
  /** alpha. */
  alpha: number;
  prompts: readonly Prompt[];
  seed: number;
  settings: RlSettings;
  /** Called with the policy's directory at step 0 and after every `evaluateEvery` steps. */
  evaluate(step: number, policy: LanguageModel, dir: string): Promise<void>;
  /** Where the policy is written for the evaluations. */
  scratch: string;
  signal?: AbortSignal;
}

export async function runReinforce(options: RlOptions): Promise<void> {
  const { sft, reward, alpha, prompts, seed, settings, evaluate, scratch, signal } = options;
  const policy = await loadLanguageModel(sft, { maxBackwardTokens: smallModelTokens });
  const reference = await HiddenStates.load(sft);
  const value = new LinearValue(reference.width, settings.valueLearningRate);
  // The same prompts and sampling seeds for every arm: differences between arms are not the luck of the draw.
  const random = new RandomStream(seed, "reinforce");
  const dir = await mkdtemp(join(scratch, "policy-"));
  const save = async () => {
    await policy.save(dir);
    return dir;
  };
  try {
    await evaluate(0, policy, await save());
    for (let step = 1; step <= settings.steps; step++) {
      signal?.throwIfAborted();
      const chosen = Array.from({ length: settings.batch }, () => random.choice(prompts));
      const completions = await policy.sample(chosen, {
        maxNewTokens: maxAnswer,
        seeds: chosen.map(() => random.nextSeed()),
      });
      const sequences = completions.map(
        ({ tokens }, i): Sequence => ({
          tokens: [...chosen[i]!, ...tokens],
          promptLength: chosen[i]!.length,
        }),
      );
      const states = await reference.states(sequences);
      const { g, gValues } = reinforce(
        {
          logprobs: completions.map(({ logprobs }) => logprobs),
          referenceLogprobs: sequences.map((s, i) => tokenLogprobs(s, reference.distributions(states[i]!))),
          rewards: await reward.score(sequences.map(({ tokens }) => tokens)),
          values: states.map((rows) => value.at(rows)),
          promptIndex: [...chosen.keys()],
          promptCount: chosen.length,
        },
        { klCoefficient: alpha, klForm: "convex" },
      );
      await policy.backward(sequences, g);
      await policy.step({ learningRate: settings.learningRate, maxGradNorm: 1 });
      value.step(states, gValues);
      if (step % settings.evaluateEvery === 0) await evaluate(step, policy, await save());
    }
  } finally {
    policy.dispose();
    reference.dispose();
    await rm(dir, { recursive: true, force: true });
  }
}
