import { describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { standardDeviation } from "../../base/statistics.js";
import { inspectMembers, meanAccuracy, type SplitFacts } from "./inspect.js";
import type { PairScores } from "./pair-scores.js";
import { shallowFeatures } from "./shallow-features.js";

const pairs = 400;
const splits: SplitFacts[] = ["clean", "wrong"].map((name) => ({
  name,
  corrupted: name === "wrong",
  features: Array.from({ length: pairs }, (_, i) => ({
    chosen: shallowFeatures("a ".repeat(1 + (i % 5)), 1 + (i % 5)),
    rejected: shallowFeatures("a a", 2),
  })),
}));

/** Models that are linear in their weights: member i says the truth plus its own noise, more of it the higher i is. */
function linearWorld(count: number) {
  const stream = new RandomStream(1, "world");
  const margins = splits.map((split) =>
    Array.from({ length: count }, (_, i) =>
      Array.from({ length: pairs }, () => (split.corrupted ? -1 : 1) + (2 + i) * stream.normal()),
    ),
  );
  const asked: string[] = [];
  const score = async (weights: readonly number[]): Promise<PairScores[]> => {
    asked.push(weights.join());
    return margins.map((members) => ({
      chosen: Float64Array.from({ length: pairs }, (_, p) =>
        members.reduce((sum, member, i) => sum + weights[i]! * member[p]!, 0),
      ),
      rejected: new Float64Array(pairs),
    }));
  };
  /** An edit adds 1 to every chosen response of member 0, 2 to those of member 1 and so on. */
  const scoreEdited = async (weights: readonly number[]): Promise<PairScores[]> => {
    const shift = weights.reduce((sum, w, i) => sum + w * (i + 1), 0);
    asked.push(`edited ${weights.join()}`);
    return margins.map((members) => ({
      chosen: Float64Array.from({ length: pairs }, (_, p) =>
        members.reduce((sum, member, i) => sum + weights[i]! * member[p]!, shift),
      ),
      rejected: new Float64Array(pairs),
    }));
  };
  return { score, scoreEdited, asked };
}

describe("inspecting members", () => {
  it("scores every average once and finds that linear models average like their ensemble", async () => {
    const { score, scoreEdited, asked } = linearWorld(4);
    const progress: [number, number][] = [];
    const members = ["a", "b", "c", "d"];
    const onProgress = (done: number, total: number) => progress.push([done, total]);
    const result = await inspectMembers({ members, splits, score, scoreEdited, onProgress });
    expect(new Set(asked).size).toBe(asked.length);
    expect(progress.at(-1)).toEqual([asked.length, asked.length]);

    expect(result.selectedOn).toBe("clean");
    expect(result.atChance).toEqual([{ member: 3, chance: "guesses" }]);
    expect(result.ranking).toEqual([0, 1, 2, 3]);
    expect(result.members.map(({ name }) => name)).toEqual(members);
    const [clean, wrong] = result.splits;
    expect(clean!.overEnsemble.estimate).toBe(0);
    expect(clean!.firstOrderGap).toBeCloseTo(0, 6);
    expect(clean!.gain.estimate).toBeCloseTo(
      result.average.splits[0]!.accuracy.estimate - meanAccuracy(result.members, 0),
      12,
    );
    expect(clean!.gain.low).toBeGreaterThan(0);
    expect(clean!.gain.connection).toBe("connected");
    // Against wrong labels a better model is less accurate.
    expect(wrong!.gain.high).toBeLessThan(0);

    expect(result.paths.map(({ first, second }) => [first, second])).toEqual([[0, 1]]);
    const curve = (order: string) => result.curves.find((one) => one.order === order)!;
    expect(curve("best first").ranking).toEqual([0, 1, 2, 3]);
    expect(curve("worst first").ranking).toEqual([3, 2, 1, 0]);
    const whole = result.average.splits[0]!.accuracy.estimate;
    for (const {
      splits: [first],
    } of result.curves) {
      expect(first!.points.map((point) => point.members)).toEqual([1, 2, 3, 4]);
      expect(first!.points.at(-1)!.average).toBe(whole);
      for (const { average, ensemble } of first!.points) expect(average).toBeCloseTo(ensemble, 12);
    }
    // Worst first begins with the noisiest member and ends where all orders end.
    expect(curve("worst first").splits[0]!.points[0]!.average).toBe(
      result.members[3]!.splits[0]!.accuracy.estimate,
    );
    // Half of the responses move by the member's own step.
    const deviationOf = async (i: number) => {
      const weights = members.map((_, j) => +(i === j));
      const [{ chosen }] = (await score(weights)) as [PairScores];
      return standardDeviation([...chosen, ...new Array<number>(pairs).fill(0)], 0);
    };
    const moved = result.members.map(({ splits: [first] }) => first!.editSensitivity);
    for (const i of [0, 3]) expect(moved[i]).toBeCloseTo((i + 1) / 2 / (await deviationOf(i)), 12);
    expect(result.average.splits[0]!.editSensitivity).toBeCloseTo(
      result.ensemble.splits[0]!.editSensitivity,
      12,
    );
    expect(result.leaveOneOut).toHaveLength(4);
    const added = result.leaveOneOut.map((one) => one.splits[0]!.estimate);
    expect(added[0]).toBeGreaterThan(added[3]!);
  });

  it("ranks on the split that is asked for, and takes the paths that are named", async () => {
    const { score, scoreEdited } = linearWorld(3);
    const result = await inspectMembers({
      members: ["a", "b", "c"],
      splits,
      score,
      scoreEdited,
      select: 1,
      paths: [
        [0, 2],
        [1, 2],
      ],
    });
    expect(result.selectedOn).toBe("wrong");
    // On wrong labels the least noisy member is the worst.
    expect(result.ranking.at(-1)).toBe(0);
    expect(result.paths.map(({ first, second }) => [first, second])).toEqual([
      [0, 2],
      [1, 2],
    ]);
    expect(result.paths[0]!.splits.map(({ split }) => split)).toEqual(["clean", "wrong"]);
  });

  it("the same seed, the same figures", async () => {
    const run = async (seed: number) => {
      const { score, scoreEdited } = linearWorld(3);
      return inspectMembers({ members: ["a", "b", "c"], splits, score, scoreEdited, seed });
    };
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    expect(again).toEqual(first);
    expect(other.splits[0]!.gain.low).not.toBe(first.splits[0]!.gain.low);
  });
});
