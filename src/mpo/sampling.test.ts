import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { kMeans, nearestCentroid } from "./clusters.js";
import type { ScoredRollout } from "./rollout.js";
import { suspiciousSample, tertileSample, uniformSample } from "./sampling.js";

const random = (seed = 1) => new RandomStream(seed, "sampling");

const rollout = (
  i: number,
  points: number,
  response = `answer number ${i}`,
  feasible = true,
): ScoredRollout => ({
  promptId: `p${i}`,
  prompt: "prompt",
  response,
  step: 1,
  feasible,
  score: {
    status: "scored",
    rubricVersion: 0,
    rubricHash: "",
    items: [],
    total: points,
    maxTotal: 10,
    feasible: true,
    reward: points / 10,
    source: "rubric",
  },
});

const plain = Array.from({ length: 30 }, (_, i) => rollout(i, 5, `plain answer number ${i}`));

describe("uniform", () => {
  it("takes min(n, available) without repeats, reproducibly", () => {
    expect(new Set(uniformSample(plain, 16, random())).size).toBe(16);
    expect(uniformSample(plain, 99, random())).toHaveLength(30);
    expect(uniformSample([], 4, random())).toEqual([]);
    expect(uniformSample(plain, 5, random())).toEqual(uniformSample(plain, 5, random()));
    expect(uniformSample(plain, 5, random(1))).not.toEqual(uniformSample(plain, 5, random(2)));
  });
});

describe("suspicious half", () => {
  const hacks = {
    infeasible: rollout(100, 6, "this one broke a rule", false),
    top: rollout(101, 10, "this one scored best of all"),
    short: rollout(102, 5, "short"),
    long: rollout(103, 5, Array.from({ length: 90 }, (_, i) => `w${i}`).join(" ")),
    repeated: rollout(104, 5, "again ".repeat(20)),
  };
  const all = [...plain, ...Object.values(hacks)];

  it("finds one of each kind, and fills up uniformly", () => {
    const picked = suspiciousSample(all, 10, random());
    expect(picked.slice(0, 5)).toEqual(Object.values(hacks));
    expect(new Set(picked).size).toBe(10);
    expect(suspiciousSample(all, 10, random(3)).slice(5)).not.toEqual(picked.slice(5));
  });

  it("takes what there is", () => {
    expect(suspiciousSample(plain.slice(0, 3), 16, random())).toHaveLength(3);
    expect(suspiciousSample([], 16, random())).toEqual([]);
  });
});

describe("tertiles", () => {
  it("draws from the low, the middle and the high third", () => {
    const graded = Array.from({ length: 30 }, (_, i) => rollout(i, i / 3));
    const points = tertileSample(graded, 2, random()).map(({ score }) => score.total * 3);
    expect(points).toHaveLength(6);
    expect(points.map((p) => Math.floor(p / 10))).toEqual([0, 0, 1, 1, 2, 2]);
    expect(tertileSample(graded.slice(0, 2), 2, random())).toHaveLength(2);
    expect(tertileSample(graded.slice(0, 4), 2, random())).toHaveLength(4);
  });
});

describe("k-means", () => {
  const noise = random(5);
  const centres = [
    [0, 0],
    [10, 0],
    [0, 10],
  ];
  const points = Array.from({ length: 60 }, (_, i) => centres[i % 3]!.map((c) => c + 0.5 * noise.normal()));

  it("finds separate clusters, reproducibly", () => {
    const { assignment, centroids } = kMeans(points, 3, random());
    for (let i = 0; i < 60; i++)
      for (let j = 0; j < 60; j++) expect(assignment[i] === assignment[j]).toBe(i % 3 === j % 3);
    expect(nearestCentroid([9, 1], centroids)).toBe(assignment[1]);
    expect(kMeans(points, 3, random())).toEqual(kMeans(points, 3, random()));
  });

  it("equal points make one cluster, no points none", () => {
    expect(kMeans([[1], [1], [1]], 3, random()).centroids).toHaveLength(1);
    expect(kMeans([], 3, random())).toEqual({ centroids: [], assignment: [] });
  });
});

describe("refinement of the scores (MPO, 2504.20157, appendix B)", () => {
  it("an appended item refines the partition, and E[(r - R)^2] does not rise", () => {
    const draw = random(9);
    const states = Array.from({ length: 200 }, () => ({
      r: draw.uniform(),
      items: [draw.integer(2), draw.integer(3), draw.integer(4)],
    }));
    const error = (depth: number): number => {
      const blocks = new Map<string, number[]>();
      for (const { r, items } of states) {
        const key = items.slice(0, depth).join();
        blocks.set(key, [...(blocks.get(key) ?? []), r]);
      }
      const squares = [...blocks.values()].flatMap((rs) => {
        const R = rs.reduce((a, b) => a + b, 0) / rs.length;
        return rs.map((r) => (r - R) ** 2);
      });
      return squares.reduce((a, b) => a + b, 0) / states.length;
    };
    for (let depth = 0; depth < 3; depth++) expect(error(depth + 1)).toBeLessThanOrEqual(error(depth));
  });
});
