// All the data of the miniature world, as a pure function of one seed.

import { hash32, RandomStream } from "../../base/random.js";
import { drawFact } from "./arithmetic.js";
import { renderDialogue } from "./chat.js";
import { families } from "./families.js";
import { type FamilyName, familyNames, type Task, type TaskMetadata } from "./family.js";
import {
  answerOnce,
  answerShifted,
  drawPairs,
  type FlipOptions,
  flipLabels,
  type Pair,
} from "./preferences.js";
import { tuning } from "./tuning.js";

export interface WorldOptions extends FlipOptions {
  /** Task families to draw. Default: all. Every family has its own random streams, so leaving one out changes no other. */
  families?: readonly FamilyName[];
  sizes?: Partial<WorldSizes>;
}

/** Rows for each family (the corpus adds bare facts). */
export interface WorldSizes {
  corpus: number;
  sft: number;
  prompts: number;
  heldout: number;
  preferences: number;
  validation: number;
  shifted: number;
}

const defaultSizes: WorldSizes = {
  corpus: 10_000,
  sft: 1_000,
  prompts: 500,
  heldout: 128,
  preferences: 1_000,
  validation: 200,
  shifted: 200,
};

export interface PromptRow {
  id: string;
  family: FamilyName;
  prompt: string;
  metadata: TaskMetadata;
}

export interface World {
  seed: number;
  /** Documents for pre-training: rendered dialogues by authors of every skill, and bare facts. */
  corpus: string[];
  sft: { family: FamilyName; prompt: string; completion: string }[];
  prompts: PromptRow[];
  /** Prompts that occur in no other split, whatever the seed. */
  heldout: PromptRow[];
  /** Noisy labels, with the mask. */
  preferences: Pair[];
  /** Clean labels, ordinary answers. */
  validation: Pair[];
  /** Clean labels, answers from beyond the training range. */
  shifted: Pair[];
}

/** One prompt in ten is held out: a property of its text, so no seed and no split can disagree about it. */
export function isHeldout(prompt: string): boolean {
  return hash32(`held out: ${prompt}`) % 10 === 0;
}

function drawUntil(draw: (random: RandomStream) => Task, wanted: (task: Task) => boolean) {
  return (random: RandomStream): Task => {
    for (;;) {
      const task = draw(random);
      if (wanted(task)) return task;
    }
  };
}

/** Beta(a, a) for a < 1 by Johnk's method; the uniform interval otherwise. */
function drawSkill(
  authors: { skill: readonly [number, number]; beta?: number },
  random: RandomStream,
): number {
  const [low, high] = authors.skill;
  if (authors.beta === undefined) return low + (high - low) * random.uniform();
  for (;;) {
    const x = random.uniform() ** (1 / authors.beta);
    const y = random.uniform() ** (1 / authors.beta);
    if (x + y > 0 && x + y <= 1) return low + ((high - low) * x) / (x + y);
  }
}

/** Up to `n` different prompts (all there are, if a family has fewer). */
function drawDistinct(n: number, draw: (random: RandomStream) => Task, random: RandomStream): Task[] {
  const byPrompt = new Map<string, Task>();
  for (let tries = 0; byPrompt.size < n && tries < 50 * n; tries++) {
    const task = draw(random);
    byPrompt.set(task.prompt, task);
  }
  return [...byPrompt.values()];
}

export function buildWorld(
  seed: number,
  { families: chosen = familyNames, sizes, ...flips }: WorldOptions = {},
): World {
  const size = { ...defaultSizes, ...sizes };
  const stream = (name: string) => new RandomStream(seed, `lab/${name}`);
  const perFamily = <T>(
    split: string,
    build: (draw: (random: RandomStream) => Task, random: RandomStream) => T[],
  ) =>
    stream(`${split}/order`).shuffle(
      chosen.flatMap((family) =>
        build(
          drawUntil(families[family], ({ prompt }) => isHeldout(prompt) === (split === "heldout")),
          stream(`${split}/${family}`),
        ),
      ),
    );
  const promptRows = (split: "prompts" | "heldout"): PromptRow[] =>
    perFamily(split, (draw, random) =>
      drawDistinct(size[split], draw, random).map(({ family, prompt, metadata }, i) => ({
        id: `${split}-${family}-${i}`,
        family,
        prompt,
        metadata,
      })),
    );

  const corpus = perFamily("corpus", (draw, random) =>
    Array.from({ length: size.corpus }, () => {
      const task = draw(random);
      const skill = drawSkill(tuning.authors.corpus, random);
      return renderDialogue(task.prompt, task.answer({ skill }, random));
    }),
  );
  const factStream = stream("corpus/facts");
  const facts = Array.from({ length: Math.round(size.corpus / 2) }, () =>
    Array.from({ length: 4 }, () => drawFact(factStream)).join(" "),
  );

  return {
    seed,
    corpus: stream("corpus/mix").shuffle([...corpus, ...facts]),
    sft: perFamily("sft", (draw, random) =>
      Array.from({ length: size.sft }, () => {
        const task = draw(random);
        const skill = drawSkill(tuning.authors.sft, random);
        return { family: task.family, prompt: task.prompt, completion: task.answer({ skill }, random) };
      }),
    ),
    prompts: promptRows("prompts"),
    heldout: promptRows("heldout"),
    preferences: perFamily("preferences", (draw, random) =>
      flipLabels(drawPairs(size.preferences, draw, answerOnce, random), random, flips),
    ),
    validation: perFamily("validation", (draw, random) =>
      drawPairs(size.validation, draw, answerOnce, random),
    ),
    shifted: perFamily("shifted", (draw, random) => drawPairs(size.shifted, draw, answerShifted, random)),
  };
}
