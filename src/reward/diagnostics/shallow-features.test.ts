import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { pearson } from "../../base/statistics.js";
import {
  featureLeanings,
  pairCorrelation,
  partialPairCorrelation,
  type ShallowFeature,
  shallowFeatureNames,
  shallowFeatures,
} from "./shallow-features.js";

const stream = new RandomStream(9, "features");
const normals = (n: number) => Array.from({ length: n }, () => stream.normal());
const bothWays = (x: readonly number[]) => [...x, ...x.map((value) => -value)];

it("counts length and format", () => {
  const text = "# Title\n\n- One **bold** point!\n- Two: `x = 1`\n\nThe end. Really?";
  expect(shallowFeatures(text, 17)).toEqual({
    tokens: 17,
    characters: text.length,
    words: 14,
    sentences: 3,
    lines: 5,
    "list items": 2,
    markdown: 5,
    punctuation: 11,
    exclamations: 1,
    capitals: 5,
    digits: 1,
  });
});

describe("correlation over pairs", () => {
  it("is Pearson's over both orientations of every pair", () => {
    const [x, y] = [normals(50), normals(50)];
    expect(pairCorrelation(x, y)).toBeCloseTo(pearson(bothWays(x), bothWays(y)), 12);
    // So it does not matter which response is named first.
    const turn = (values: number[]) => values.map((value, i) => (i % 3 ? value : -value));
    expect(pairCorrelation(turn(x), turn(y))).toBeCloseTo(pairCorrelation(x, y), 12);
    expect(
      pairCorrelation(
        x,
        x.map(() => 0),
      ),
    ).toBeNaN();
  });

  it("given a third is that of the residuals", () => {
    const z = normals(200);
    const x = z.map((value) => value + stream.normal());
    const y = z.map((value) => 2 * value + stream.normal());
    const residual = (of: number[]) => {
      const slope = of.reduce((sum, v, i) => sum + v * z[i]!, 0) / z.reduce((sum, v) => sum + v * v, 0);
      return of.map((v, i) => v - slope * z[i]!);
    };
    expect(partialPairCorrelation(x, y, z)).toBeCloseTo(pairCorrelation(residual(x), residual(y)), 12);
    expect(pairCorrelation(x, y)).toBeGreaterThan(0.5);
    expect(Math.abs(partialPairCorrelation(x, y, z))).toBeLessThan(0.2);
  });
});

it("leanings name what varies, and how often more of it wins", () => {
  const differences = Object.fromEntries(
    shallowFeatureNames.map((name) => [name, name === "words" ? [2, -1, 0, 3] : [0, 0, 0, 0]]),
  ) as Record<ShallowFeature, number[]>;
  const [words, ...others] = featureLeanings([1, 1, 5, 1], differences, [1, -2, 1, 0]);
  expect(others).toEqual([]);
  expect(words!.feature).toBe("words");
  expect(words!.correlation).toBeCloseTo(4 / Math.sqrt(28 * 14), 12);
  expect(words!.prefersMore).toBeCloseTo(2 / 3, 12);
  expect(words!.partial).toBeCloseTo(
    partialPairCorrelation([1, 1, 5, 1], differences.words, [1, -2, 1, 0]),
    12,
  );
});
