import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { eloOf, eloRatings, fitBradleyTerry, type Match } from "./elo.js";

const repeated = (n: number, match: Match): Match[] => Array.from({ length: n }, () => match);

describe("Bradley-Terry", () => {
  it.each([
    [7, 0, 3],
    [1, 0, 1],
    [3, 4, 2],
  ])(
    "two players with %i wins, %i ties, %i losses: theta difference is the log of the odds",
    (wins, ties, losses) => {
      const matches = [
        ...repeated(wins, { a: 0, b: 1, credit: 1 }),
        ...repeated(ties, { a: 0, b: 1, credit: 0.5 }),
        ...repeated(losses, { a: 0, b: 1, credit: 0 }),
      ];
      const [a, b] = fitBradleyTerry(2, matches);
      expect(a! - b!).toBeCloseTo(Math.log((wins + ties / 2) / (losses + ties / 2)), 8);
      expect(a! + b!).toBeCloseTo(0, 10);
      const [c, d] = fitBradleyTerry(2, matches, { virtualTies: 1 });
      expect(c! - d!).toBeCloseTo(Math.log((wins + ties / 2 + 0.5) / (losses + ties / 2 + 0.5)), 8);
    },
  );

  it("meets the conditions of the maximum: every player's expected wins are the wins", () => {
    const stream = new RandomStream(1, "matches");
    const players = 5;
    const matches = Array.from({ length: 400 }, (): Match => {
      const a = stream.integer(players);
      const b = (a + 1 + stream.integer(players - 1)) % players;
      return { a, b, credit: [0, 0.5, 1][stream.integer(3)]! };
    });
    const theta = fitBradleyTerry(players, matches);
    const gaps = new Float64Array(players);
    for (const { a, b, credit } of matches) {
      const expected = 1 / (1 + Math.exp(theta[b]! - theta[a]!));
      gaps[a]! += credit - expected;
      gaps[b]! -= credit - expected;
    }
    for (const gap of gaps) expect(gap).toBeCloseTo(0, 5);
  });

  it("finds strengths from exact expected credits", () => {
    const truth = [0.9, 0.1, -0.3, -0.7];
    const matches = truth.flatMap((a, i) =>
      truth.slice(i + 1).map((b, k): Match => ({ a: i, b: i + 1 + k, credit: 1 / (1 + Math.exp(b - a)) })),
    );
    fitBradleyTerry(4, matches).forEach((theta, i) => {
      expect(theta).toBeCloseTo(truth[i]!, 6);
    });
  });

  it("400 points are odds of ten to one", () => {
    expect(eloOf(Math.log(10)) - eloOf(0)).toBeCloseTo(400, 10);
  });
});

describe("ratings", () => {
  it("have intervals that narrow with the number of prompts and hold the estimate", () => {
    const stream = new RandomStream(2, "prompts");
    const groups = (n: number) =>
      Array.from({ length: n }, (): Match[] => [{ a: 0, b: 1, credit: stream.uniform() < 0.7 ? 1 : 0 }]);
    const [few] = eloRatings(2, groups(30), { resamples: 300 });
    const [many] = eloRatings(2, groups(600), { resamples: 300 });
    expect(many!.high - many!.low).toBeLessThan((few!.high - few!.low) / 2);
    for (const { estimate, low, high } of [few!, many!]) {
      expect(low).toBeLessThan(estimate);
      expect(high).toBeGreaterThan(estimate);
    }
    // 70 % wins are 147 points apart.
    expect(many!.low).toBeLessThan(1000 + 147 / 2);
    expect(many!.high).toBeGreaterThan(1000 + 147 / 2);
  });

  it("one who never lost is finite", () => {
    const ratings = eloRatings(3, [
      [
        { a: 0, b: 1, credit: 1 },
        { a: 0, b: 2, credit: 1 },
        { a: 1, b: 2, credit: 1 },
      ],
    ]);
    for (const { estimate } of ratings) expect(Number.isFinite(estimate)).toBe(true);
    expect(ratings[0]!.estimate).toBeGreaterThan(ratings[1]!.estimate);
    expect(ratings[1]!.estimate).toBeGreaterThan(ratings[2]!.estimate);
  });
});
