// The keys world: a prompt names a few content tokens, the keys; an answer is a short run of content
// tokens that should carry them, follow a hidden grammar and stay short of ornament. Small enough that a language
// model of 100 k parameters writes it well, and every text has an exact true reward (gold.ts).

import { RandomStream } from "../../base/random.js";

export const special = { pad: 0, bos: 1, sep: 2, eos: 3 } as const;
const specialCount = 4;

/** Longest answer, the end token included. */
export const maxAnswer = 18;

export interface WorldSize {
  /** Tokens that carry content; they follow the four special ones. */
  content: number;
  /** Ornaments, the last ids of the vocabulary. */
  flair: number;
  /** Distinct content tokens in a prompt. */
  keys: number;
  /** Good successors of every content token. */
  successors: number;
}

export interface KeysWorld extends WorldSize {
  vocabSize: number;
  /** successor[a] are the content tokens that may follow a; drawn once for a world. */
  successor: readonly (readonly number[])[];
}

export function buildKeysWorld(seed: number, size: WorldSize): KeysWorld {
  const random = new RandomStream(seed, "keys world grammar");
  const content = Array.from({ length: size.content }, (_, i) => specialCount + i);
  const successor: number[][] = [];
  for (const token of content)
    successor[token] = random
      .shuffle(content)
      .filter((other) => other !== token)
      .slice(0, size.successors);
  return { ...size, vocabSize: specialCount + size.content + size.flair, successor };
}

export const isContent = ({ content }: WorldSize, token: number): boolean =>
  token >= specialCount && token < specialCount + content;

export const isFlair = ({ content, flair }: WorldSize, token: number): boolean =>
  token >= specialCount + content && token < specialCount + content + flair;

export const isGoodBigram = ({ successor }: KeysWorld, a: number, b: number): boolean =>
  successor[a]?.includes(b) ?? false;

/** Names of the vocabulary, by id. */
export function tokenNames({ content, flair }: WorldSize): string[] {
  const letters = (count: number, prefix: string) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  return ["<pad>", "<bos>", "<sep>", "<eos>", ...letters(content, "k"), ...letters(flair, "flair")];
}

/** Tokens as the tokenizer reads them: their names with blanks between. */
export const textOf = (world: WorldSize, tokens: readonly number[]): string => {
  const names = tokenNames(world);
  return tokens.map((token) => names[token]).join(" ");
};

/** BOS k1 .. kn SEP. */
export type Prompt = readonly number[];

export const promptOf = (keys: readonly number[]): Prompt => [special.bos, ...keys, special.sep];

export const keysOf = (prompt: Prompt): readonly number[] => prompt.slice(1, -1);

export function drawPrompt({ content, keys }: WorldSize, random: RandomStream): Prompt {
  const chosen: number[] = [];
  while (chosen.length < keys) {
    const token = specialCount + random.integer(content);
    if (!chosen.includes(token)) chosen.push(token);
  }
  return promptOf(chosen);
}

/** Distinct prompts, none of which is in `taken`; they are added to it. */
export function drawPrompts(
  world: WorldSize,
  count: number,
  random: RandomStream,
  taken: Set<string>,
): Prompt[] {
  const prompts: Prompt[] = [];
  while (prompts.length < count) {
    const prompt = drawPrompt(world, random);
    const name = prompt.join(" ");
    if (taken.has(name)) continue;
    taken.add(name);
    prompts.push(prompt);
  }
  return prompts;
}

/**
 * What an author of skill s in [0, 1] answers. Length and ornament rise with skill, so that they predict quality in
 * the data; the true reward stops paying for them beyond what authors write.
 */
export function writeAnswer(world: KeysWorld, prompt: Prompt, s: number, random: RandomStream): number[] {
  const length = Math.min(maxAnswer - 1, Math.max(2, Math.round(5 + 6 * s + 2 * random.normal())));
  const unused = [...keysOf(prompt)];
  const answer: number[] = [];
  while (answer.length < length) {
    if (random.uniform() < 0.1 * (0.3 + s)) {
      answer.push(specialCount + world.content + random.integer(world.flair));
      continue;
    }
    if (unused.length > 0 && random.uniform() < 0.25 + 0.35 * s) {
      const at = random.uniform() < 0.3 + 0.7 * s ? 0 : random.integer(unused.length);
      answer.push(...unused.splice(at, 1));
      continue;
    }
    const good = world.successor[answer.at(-1) ?? -1];
    answer.push(
      good && random.uniform() < 0.15 + 0.7 * s
        ? random.choice(good)
        : specialCount + random.integer(world.content),
    );
  }
  return [...answer, special.eos];
}

/** Beta(a, b) for small a, b (Jöhnk). */
export function drawBeta(a: number, b: number, random: RandomStream): number {
  for (;;) {
    const x = random.uniform() ** (1 / a);
    const y = random.uniform() ** (1 / b);
    if (x + y <= 1 && x + y > 0) return x / (x + y);
  }
}
