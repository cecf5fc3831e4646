// The sampler: draws follow the distribution, top-k and top-p cut where a full sort cuts, and a completion depends on
// its own seed alone.

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { LocalLanguageModel } from "../src/engine/local/index.js";
import { argmax, cutOff, draw } from "../src/engine/local/sampler.js";

const plain = { temperature: 1, topK: 0, topP: 1 };

/** Random distributions of very unequal shapes: flat, peaked, with ties and with zeros. */
function distributions(count: number): Float32Array[] {
  const random = new RandomStream(3, "distributions");
  return Array.from({ length: count }, (_, i) => {
    const size = 2 + random.integer(60);
    const sharpness = [0, 1, 4, 12][i % 4]!;
    const weights = Array.from({ length: size }, () => {
      if (random.uniform() < 0.1) return 0;
      const weight = Math.exp(sharpness * random.normal());
      return random.uniform() < 0.3 ? 2 ** Math.round(Math.log2(weight)) : weight;
    });
    weights[random.integer(size)] = 1;
    const total = weights.reduce((a, b) => a + b);
    return Float32Array.from(weights, (weight) => weight / total);
  });
}

/** Which tokens survive, by sorting everything: top-k first, then top-p over what is left; ties survive together. */
function survivors(p: Float32Array, topK: number, topP: number): Set<number> {
  const order = Array.from(p.keys()).sort((a, b) => p[b]! - p[a]!);
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const mass = topK > 0 ? kept.reduce((sum, i) => sum + p[i]!, 0) : 1;
  let floor = p[kept.at(-1)!]!;
  let cumulative = 0;
  if (topP < 1)
    for (const i of kept) {
      cumulative += p[i]!;
      floor = p[i]!;
      if (cumulative >= topP * mass) break;
    }
  return new Set(order.filter((i) => p[i]! >= floor && p[i]! > 0));
}

describe("draw", () => {
  it("follows the distribution", () => {
    const p = Float32Array.of(0.05, 0, 0.4, 0.3, 0.25);
    const n = 20_000;
    const counts = new Array(p.length).fill(0);
    for (let position = 0; position < n; position++)
      counts[draw(p, 0, p.length, plain, 17, position).token]++;
    expect(counts[1]).toBe(0);
    // Five standard deviations of a binomial count.
    p.forEach((share, i) => {
      expect(Math.abs(counts[i] - n * share)).toBeLessThanOrEqual(5 * Math.sqrt(n * share * (1 - share)));
    });
  });

  it("renormalises what survives, and says with which probability it drew", () => {
    const p = Float32Array.of(0.5, 0.2, 0.2, 0.1);
    const n = 3000;
    const options = { temperature: 1, topK: 1, topP: 1 };
    for (let position = 0; position < 50; position++)
      expect(draw(p, 0, 4, options, 1, position)).toEqual({ token: 0, samplingLogprob: 0 });
    let first = 0;
    for (let position = 0; position < n; position++) {
      const { token, samplingLogprob } = draw(p, 0, 4, { ...options, topK: 0, topP: 0.6 }, 5, position);
      // 0.5 falls short of 0.6, and the two that tie for the next place come in together.
      if (token === 0) first++;
      // Cheaper than an expectation for every draw.
      if (token === 3 || Math.abs(samplingLogprob - Math.log(p[token]! / 0.9)) > 1e-5)
        expect.fail(`drew ${token} with log-probability ${samplingLogprob}`);
    }
    expect(Math.abs(first / n - 5 / 9)).toBeLessThan(5 * Math.sqrt(0.25 / n));
  });

  it("keeps exactly the tokens that a full sort keeps", () => {
    for (const p of distributions(120)) {
      for (const [topK, topP] of [
        [1, 1],
        [5, 1],
        [1000, 1],
        [0, 0.05],
        [0, 0.5],
        [0, 0.97],
        [8, 0.7],
      ] as const) {
        const wanted = survivors(p, topK, topP);
        const floor = cutOff(p, topK, topP);
        const kept = new Set(Array.from(p.keys()).filter((i) => p[i]! >= floor && p[i]! > 0));
        expect([...kept].sort(), `top-k ${topK}, top-p ${topP} of ${p}`).toEqual([...wanted].sort());
        expect(wanted).toContain(draw(p, 0, p.length, { temperature: 1, topK, topP }, 9, 0).token);
      }
    }
  });

  it("reads the row it is asked for, and depends on seed and position only", () => {
    const rows = Float32Array.of(1, 0, 0, 0, 0, 1, 0.25, 0.5, 0.25);
    expect(draw(rows, 0, 3, plain, 4, 0).token).toBe(0);
    expect(draw(rows, 1, 3, plain, 4, 0).token).toBe(2);
    expect(draw(rows, 2, 3, plain, 4, 7)).toEqual(draw(rows.slice(6), 0, 3, plain, 4, 7));
    const sequence = (seed: number) =>
      Array.from({ length: 40 }, (_, position) => draw(rows, 2, 3, plain, seed, position).token).join();
    expect(sequence(1)).toBe(sequence(1));
    expect(sequence(1)).not.toBe(sequence(2));
  });

  it("argmax takes the first of equals", () => {
    expect(argmax(Float32Array.of(9, 9, 1, 3, 3, 2), 1, 3)).toBe(0);
    expect(argmax(Float32Array.of(-2, -1, -3), 0, 3)).toBe(1);
  });
});

describe("sample", () => {
  const dir = join(import.meta.dirname, "fixtures/engine/llama-tied");
  const prompts = [[5, 6, 7], [9], [5, 6, 7, 8, 10, 11], [40, 41]];
  const seeds = [11, 12, 13, 14];
  const options = { maxNewTokens: 20, temperature: 0.9, topP: 0.95, topK: 40, stopIds: [2, 3, 4] };
  const plainRows = (completions: { tokens: Int32Array; finishReason: string }[]) =>
    completions.map(({ tokens, finishReason }) => [Array.from(tokens), finishReason]);

  it("gives a prompt the same completion alone, in any batch and in any order", async () => {
    const model = await LocalLanguageModel.load(dir, { frozen: true });
    const together = plainRows(await model.sample(prompts, { ...options, seeds }));
    const reversed = plainRows(
      await model.sample([...prompts].reverse(), { ...options, seeds: [...seeds].reverse() }),
    );
    expect(reversed.reverse()).toEqual(together);
    const alone = [];
    for (const [i, prompt] of prompts.entries())
      alone.push(...plainRows(await model.sample([prompt], { ...options, seeds: [seeds[i]!] })));
    expect(alone).toEqual(together);
    const narrow = await LocalLanguageModel.load(dir, { frozen: true, generation: { maxRows: 2 } });
    expect(plainRows(await narrow.sample(prompts, { ...options, seeds }))).toEqual(together);
    expect(new Set(together.map(([, reason]) => reason))).toContain("length");
  });

  it("computes the same bits whether equal prompts are one array or several", async () => {
    const model = await LocalLanguageModel.load(join(import.meta.dirname, "../lab/model"), { frozen: true });
    const lengths = [3, 9, 5];
    const distinct = lengths.map((length, i) => Array.from({ length }, (_, t) => 20 + 31 * t + i));
    const sample = (copy: (prompt: number[]) => number[]) => {
      const given = Array.from({ length: 24 }, (_, i) => copy(distinct[i % distinct.length]!));
      return model.sample(given, { ...options, seeds: [...given.keys()] });
    };
    expect(await sample((prompt) => [...prompt])).toEqual(await sample((prompt) => prompt));
  });

  it("draws every completion of a prompt from a stream of its own", async () => {
    const model = await LocalLanguageModel.load(dir, { frozen: true });
    const completions = await model.sample([prompts[0]!], { ...options, n: 6, seeds: [1] });
    expect(completions.map(({ promptIndex }) => promptIndex)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(new Set(completions.map(({ tokens }) => tokens.join())).size).toBe(6);
    // One seed a completion instead of one a prompt.
    const given = await model.sample([prompts[0]!], { ...options, n: 2, seeds: [7, 7] });
    expect(given[0]!.tokens).toEqual(given[1]!.tokens);
  });

  it("ends at a stop token, which it keeps, or at the limit", async () => {
    const model = await LocalLanguageModel.load(dir, { frozen: true });
    const stopIds = Array.from({ length: 48 }, (_, i) => 2 * i);
    const completions = await model.sample(prompts, { ...options, n: 8, stopIds, maxNewTokens: 3, seeds });
    for (const { tokens, finishReason, logprobs, samplingLogprobs } of completions) {
      const body = tokens.slice(0, -1);
      expect([...body].every((token) => token % 2 === 1)).toBe(true);
      expect(finishReason).toBe(tokens.at(-1)! % 2 === 0 ? "stop" : "length");
      expect(tokens.length).toBeLessThanOrEqual(3);
      expect([logprobs.length, samplingLogprobs.length]).toEqual([tokens.length, tokens.length]);
    }
    expect(new Set(completions.map(({ finishReason }) => finishReason)).size).toBe(2);
  });

  it("reports the untempered log-probability that scoring finds, and the one it drew with", async () => {
    const model = await LocalLanguageModel.load(dir, { frozen: true });
    const completions = await model.sample(prompts, { ...options, n: 2, seeds });
    const scored = await model.logprobs(
      completions.map(({ promptIndex, tokens }) => ({
        tokens: [...prompts[promptIndex]!, ...tokens],
        promptLength: prompts[promptIndex]!.length,
      })),
    );
    completions.forEach(({ logprobs, samplingLogprobs }, i) => {
      logprobs.forEach((value, t) => {
        expect(Math.abs(value - scored[i]![t]!)).toBeLessThan(2e-5);
        expect(samplingLogprobs[t]).toBeLessThanOrEqual(1e-6);
      });
      expect(Array.from(samplingLogprobs)).not.toEqual(Array.from(logprobs));
    });
  });
});
