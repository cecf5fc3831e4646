// Hostile programs by family: an attack and the form of the tests that it meets are drawn at random, by a seed. Every
// program is wrong, so that each pass is a forged one.

import { RandomStream } from "../../src/base/random.js";

export interface HostileCase<T> {
  family: string;
  source: string;
  /** The tests, in some form; all of them are broken by a program that does not do what it should. */
  form: T;
}

/** Draws one item of a list, or one whole number below a bound. */
export interface Draw {
  of<T>(items: readonly T[]): T;
  below(bound: number): number;
}

/** What hostile programs achieved. */
export interface HostileReport {
  programs: number;
  /** Programs that passed. */
  forged: string[];
  /** Programs that made the tests look broken. */
  broken: string[];
  /** What was other than before. */
  lasting: string[];
  /** Resident memory after the warm-up, and after the last, MB. */
  mb: [number, number];
}

/** Programs after which the host's memory is what it stays: compilers are loaded, code is compiled. */
export const WARM_UP = 300;

/** Resident memory of this process once its garbage is collected (with --expose-gc), MB. */
export function residentMb(): number {
  // Twice: what finalisers let go is freed by the next one.
  globalThis.gc?.();
  globalThis.gc?.();
  return Math.round(process.memoryUsage().rss / 2 ** 20);
}

/** An attack is the source of a program. */
export type Family = (draw: Draw) => string;

function drawer(seed: number): Draw {
  const stream = new RandomStream(seed, "hostile");
  const below = (bound: number) => Math.floor(stream.uniform() * bound);
  return { below, of: (items) => items[below(items.length)]! };
}

/** `count` cases, the families in turn. */
export function hostileCases<T>(
  families: Record<string, Family>,
  forms: readonly T[],
  count: number,
  seed: number,
): HostileCase<T>[] {
  const draw = drawer(seed);
  const names = Object.keys(families);
  return Array.from({ length: count }, (_, i) => {
    const family = names[i % names.length]!;
    return { family, source: families[family]!(draw), form: draw.of(forms) };
  });
}
