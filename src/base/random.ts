// Named, seekable random streams. A stream is (seed, name, counter): its state is one number, so a checkpoint
// saves it exactly, and drawing from one stream never disturbs another.

/** 32-bit FNV-1a over the UTF-16 code units of `text`. */
export function hash32(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** Mixes three 32-bit words into one well-distributed 32-bit word (murmur3 rounds and finaliser). */
export function mix32(a: number, b: number, c: number): number {
  let h = 0x9747b28c;
  for (const word of [a, b, c]) {
    let k = Math.imul(word, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Uniform double in [0, 1) with 53 random bits, a pure function of (seed, stream, counter). */
export function uniformAt(seed: number, stream: number, counter: number): number {
  const high = mix32(seed, stream, counter) >>> 5;
  const low = mix32(stream ^ 0x5bd1e995, counter, seed) >>> 6;
  return (high * 67108864 + low) / 9007199254740992;
}

export interface RandomState {
  seed: number;
  name: string;
  counter: number;
}

/** A named random stream. `state()` and `RandomStream.restore` round-trip it exactly. */
export class RandomStream {
  private readonly stream: number;

  constructor(
    readonly seed: number,
    readonly name: string,
    private counter = 0,
  ) {
    this.stream = hash32(name);
  }

  static restore(state: RandomState): RandomStream {
    return new RandomStream(state.seed, state.name, state.counter);
  }

  state(): RandomState {
    return { seed: this.seed, name: this.name, counter: this.counter };
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return uniformAt(this.seed, this.stream, this.counter++);
  }

  /** Uniform integer in [0, n). */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal (Box-Muller, two uniforms a draw). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A fresh 32-bit seed for something downstream. */
  nextSeed(): number {
    return this.integer(2 ** 32);
  }

  choice<T>(items: readonly T[]): T {
    return items[this.integer(items.length)]!;
  }

  /** Fisher-Yates; returns a new array. */
  shuffle<T>(items: readonly T[]): T[] {
    const out = items.slice();
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }
}
