// Preference data of the keys world: labels are the sign of the true reward's difference, then exactly a quarter of the
// training pairs is flipped, once, for all members (WARM, 2401.12187, section 4.2); everything else is clean.

import { RandomStream } from "../../base/random.js";
import type { LanguageModel } from "../../engine/contract.js";
import { gold } from "./gold.js";
import { drawPrompts, type KeysWorld, type Prompt } from "./keys-world.js";
import { type Answer, sampleAnswers, sampleGroups } from "./sampling.js";
import type { WarmSettings } from "./settings.js";

export interface Pair {
  prompt: Prompt;
  /** As labelled: in a flipped pair it is the worse answer. */
  chosen: Answer;
  rejected: Answer;
  flipped: boolean;
  /** Which pools the two answers came from. */
  sources: readonly [chosen: string, rejected: string];
}

export interface Preferences {
  train: Pair[];
  validation: Pair[];
  select: Pair[];
  ood: Pair[];
  /** Prompts of the evaluation, in none of the pairs. */
  heldOut: Prompt[];
}

/** A pool of answers: draws one for every prompt. */
interface Source {
  name: string;
  draw(prompts: readonly Prompt[], random: RandomStream): Promise<Answer[]>;
}

export interface PreferenceOptions {
  world: KeysWorld;
  settings: Pick<WarmSettings, "preferences" | "rl">;
  seed: number;
  pretrained: LanguageModel;
  sft: LanguageModel;
}

export async function makePreferences(options: PreferenceOptions): Promise<Preferences> {
  const { world, settings, seed } = options;
  const { train, pairsPerPrompt, validation, select, ood, flipShare, goldBestOf } = settings.preferences;
  const random = new RandomStream(seed, "preferences");
  const taken = new Set<string>();
  const prompts = (count: number) => drawPrompts(world, count, random, taken);
  const ordinary = ordinarySources(options);
  const shifted = shiftedSources(options, goldBestOf);
  const pairs = (count: number, sources: readonly Source[]) =>
    labelledPairs(world, prompts(count), sources, random);
  const trainPrompts = prompts(train / pairsPerPrompt).flatMap((prompt) =>
    new Array<Prompt>(pairsPerPrompt).fill(prompt),
  );
  return {
    train: flip(await labelledPairs(world, trainPrompts, ordinary, random), flipShare, random),
    validation: await pairs(validation, ordinary),
    select: await pairs(select, shifted),
    ood: await pairs(ood, shifted),
    heldOut: prompts(settings.rl.evaluationPrompts),
  };
}

const sampled = (name: string, model: LanguageModel, temperature: number): Source => ({
  name,
  draw: (prompts, random) => sampleAnswers(model, prompts, { temperature, random }),
});

function ordinarySources({ pretrained, sft }: PreferenceOptions): Source[] {
  return [
    sampled("pre-trained T=1", pretrained, 1),
    sampled("pre-trained T=1.2", pretrained, 1.2),
    sampled("SFT T=1", sft, 1),
    sampled("SFT T=0.7", sft, 0.7),
  ];
}

function shiftedSources({ world, pretrained, sft }: PreferenceOptions, n: number): Source[] {
  return [
    sampled("pre-trained T=1.3", pretrained, 1.3),
    sampled("SFT T=1.5", sft, 1.5),
    {
      name: `SFT best of ${n}`,
      async draw(prompts, random) {
        const groups = await sampleGroups(sft, prompts, n, random);
        return groups.map((answers, p) => bestBy(answers, (answer) => gold(world, prompts[p]!, answer)));
      },
    },
  ];
}

function bestBy<T>(items: readonly T[], score: (item: T) => number): T {
  const scores = items.map(score);
  return items[scores.indexOf(Math.max(...scores))]!;
}

/** One pair for every prompt, each side from a pool drawn at random; ties of the true reward are drawn again. */
async function labelledPairs(
  world: KeysWorld,
  prompts: readonly Prompt[],
  sources: readonly Source[],
  random: RandomStream,
): Promise<Pair[]> {
  const pairs: Pair[] = new Array(prompts.length);
  let open = prompts.map((_, i) => i);
  while (open.length > 0) {
    const sides = open.flatMap((i) => [0, 1].map(() => ({ i, source: random.choice(sources) })));
    const answers: Answer[] = new Array(sides.length);
    for (const source of sources) {
      const places = [...sides.keys()].filter((k) => sides[k]!.source === source);
      const drawn = await source.draw(
        places.map((k) => prompts[sides[k]!.i]!),
        random,
      );
      for (const [j, k] of places.entries()) answers[k] = drawn[j]!;
    }
    const tied: number[] = [];
    for (const [j, i] of open.entries()) {
      const prompt = prompts[i]!;
      const [a, b] = [answers[2 * j]!, answers[2 * j + 1]!];
      const names = [sides[2 * j]!.source.name, sides[2 * j + 1]!.source.name] as const;
      const difference = gold(world, prompt, a) - gold(world, prompt, b);
      // Sums of tenths in another order differ in the last bits: those are ties too.
      if (Math.abs(difference) < 1e-9) tied.push(i);
      else if (difference > 0) pairs[i] = { prompt, chosen: a, rejected: b, flipped: false, sources: names };
      else pairs[i] = { prompt, chosen: b, rejected: a, flipped: false, sources: [names[1], names[0]] };
    }
    open = tied;
  }
  return pairs;
}

/** Swaps the label of exactly `share` of the pairs. */
export function flip(pairs: readonly Pair[], share: number, random: RandomStream): Pair[] {
  const chosen = new Set(random.shuffle([...pairs.keys()]).slice(0, Math.round(share * pairs.length)));
  return pairs.map((pair, i) =>
    chosen.has(i)
      ? {
          ...pair,
          chosen: pair.rejected,
          rejected: pair.chosen,
          flipped: true,
          sources: [pair.sources[1], pair.sources[0]],
        }
      : pair,
  );
}
