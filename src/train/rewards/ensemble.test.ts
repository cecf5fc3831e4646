import { describe, expect, it } from "vitest";
import type { TokenIds } from "../../engine/contract.js";
import { EnsembleSource } from "./ensemble.js";

/** A member that gives `scale` times the first token. */
const member = (scale: number) => async (sequences: readonly TokenIds[]) =>
  Float64Array.from(sequences, ([first]) => scale * first!);

const responses = (...firstTokens: number[]) =>
  firstTokens.map((token, i) => ({
    row: { id: `row ${Math.floor(i / 2)}`, prompt: "", metadata: {} },
    text: "",
    tokens: [token],
    seed: 0,
  }));

const options = { combine: "mean", uwoLambda: 0.5, normalise: false } as const;

const rewards = async (source: EnsembleSource, ...firstTokens: number[]) =>
  Array.from((await source.score(responses(...firstTokens), "samples")).rewards);

describe("an ensemble of reward models", () => {
  const members = [member(1), member(-3)];

  it("combines its members' rewards", async () => {
    expect(await rewards(new EnsembleSource(members, options), 1, 2)).toEqual([-1, -2]);
    expect(await rewards(new EnsembleSource(members, { ...options, combine: "min" }), 1, 2)).toEqual([
      -3, -6,
    ]);
    // Mean -1, population variance 4.
    expect(await rewards(new EnsembleSource(members, { ...options, combine: "uwo" }), 1)).toEqual([-3]);
  });

  it("votes among the responses to one prompt", async () => {
    const agreeing = [member(1), member(2), member(-1)];
    const source = new EnsembleSource(agreeing, { ...options, combine: "vote" });
    expect(await rewards(source, 1, 5, 9, 8)).toEqual([1, 2, 2, 1].map((votes) => votes / 3));
  });

  it("puts members on the scale of the first samples, and keeps it over a checkpoint", async () => {
    const source = new EnsembleSource(members, { ...options, combine: "min", normalise: true });
    // Mean 2 and deviation 1 of the first member, mean -6 and deviation 3 of the second.
    expect(await rewards(source, 1, 3)).toEqual([-1, -1]);
    const resumed = new EnsembleSource(members, { ...options, combine: "min", normalise: true });
    resumed.restore(JSON.parse(JSON.stringify(source.state())));
    for (const one of [source, resumed]) {
      const { rewards: later } = await one.score(responses(2, 7), "baselines");
      expect(Array.from(later)).toEqual([0, -5]);
    }
  });
});
