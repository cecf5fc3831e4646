import { describe, expect, it } from "vitest";
import type { PromptRow } from "../../data/rows.js";
import type { TaskRollouts } from "../align/parts.js";
import type { RewardSource, ScoredResponse } from "./source.js";
import { sumOf } from "./sum.js";

const row: PromptRow = { id: "p", prompt: "?", metadata: {} };
const inputs = (...texts: string[]): ScoredResponse[] =>
  texts.map((text) => ({ row, text, tokens: [], seed: 0 }));

/** Rewards a response with a number of its text; "-" cannot be scored, "!" violates a gate. */
function source(of: (text: string) => number): RewardSource & { version: string } {
  return {
    version: "1",
    versionFor() {
      return this.version;
    },
    score: async (responses) => ({
      rewards: Float64Array.from(responses, ({ text }) => (text === "-" ? Number.NaN : of(text))),
      failed: responses.map(({ text }) => text === "-"),
      violated: responses.map(({ text }) => text.includes("!")),
      notes: responses.map(() => ({})),
    }),
    afterStep: async () => ({ own: 1 }),
    state: () => "state",
    restore: () => {},
  };
}

const length = source((text) => text.length);
const parts = () => [
  { name: "a", weight: 1, source: source((text) => 100 * text.length) },
  { name: "b", weight: 3, source: length },
];

describe("a weighted sum", () => {
  it("counts every part in deviations from the mean of the samples", async () => {
    const sum = sumOf(parts());
    const { rewards, notes } = await sum.score(inputs("x", "xx", "xxx"), "samples");
    // Both parts are -1, 0, 1.
    expect([...rewards]).toEqual([-4, 0, 4]);
    expect(notes[2]).toEqual({ reward_parts: { a: 300, b: 3 } });
    const baselines = await sum.score(inputs("xxxxx"), "baselines");
    expect([...baselines.rewards]).toEqual([12]);
  });

  it("measures by samples alone, over all steps of a version, and starts anew with the next", async () => {
    const [a, b] = parts();
    const changing = source((text) => text.length);
    const sum = sumOf([a!, { ...b!, source: changing }]);
    const first = sum.versionFor(row);
    await sum.score(inputs("x", "xx", "xxx"), "samples");
    const second = sum.versionFor(row);
    expect(second).not.toBe(first);
    await sum.score(inputs("xxxxxxxx"), "baselines");
    expect(sum.versionFor(row)).toBe(second);
    const { rewards } = await sum.score(inputs("xxxx", "xxxxx"), "samples");
    // Lengths 1 to 5: mean 3, deviation sqrt(2.5).
    expect(rewards[0]).toBeCloseTo((4 * (4 - 3)) / Math.sqrt(2.5), 12);
    changing.version = "2";
    const { rewards: fresh } = await sum.score(inputs("x", "xxx"), "samples");
    // Part b: 1 and 3 alone. Part a: 1, 1, 2, 3, 3, 4, 5.
    const deviation = Math.sqrt([1, 1, 2, 3, 3, 4, 5].reduce((s, v) => s + (v - 19 / 7) ** 2, 0) / 6);
    expect(fresh[0]).toBeCloseTo((1 - 19 / 7) / deviation - 3 / Math.sqrt(2), 10);
  });

  it("a part that gives everything the same adds nothing", async () => {
    const flat = { name: "flat", weight: 5, source: source(() => 7) };
    const { rewards } = await sumOf([flat, { ...parts()[1]!, weight: 1 }]).score(
      inputs("x", "xxx"),
      "samples",
    );
    expect(rewards[0]).toBeCloseTo(-Math.SQRT1_2, 12);
  });

  it("a failure of one part is a failure, and enters no mean; a violation of one is a violation", async () => {
    const sum = sumOf(parts());
    const { failed, violated, rewards, notes } = await sum.score(inputs("x", "-", "xx!"), "samples");
    expect(failed).toEqual([false, true, false]);
    expect(violated).toEqual([false, false, true]);
    expect(rewards[0]).toBeCloseTo(-4 * Math.SQRT1_2, 12);
    expect(rewards[1]).toBeNaN();
    expect(notes[1]).toEqual({ reward_parts: { a: null, b: null } });
  });

  it("goes on from its state", async () => {
    const [sum, other] = [sumOf(parts()), sumOf(parts())];
    await sum.score(inputs("x", "xx", "xxxx"), "samples");
    other.restore(JSON.parse(JSON.stringify(sum.state())));
    const next = inputs("xx", "xxx");
    expect((await other.score(next, "samples")).rewards).toEqual((await sum.score(next, "samples")).rewards);
    expect(other.versionFor(row)).toBe(sum.versionFor(row));
  });

  it("gives every part its own scores after a step", async () => {
    const sum = sumOf(parts());
    const scores = await sum.score(inputs("x", "xxx"), "samples");
    const metrics = await sum.afterStep(1, { scores } as unknown as TaskRollouts);
    expect(metrics).toMatchObject({ "rewards/a/mean": 200, "rewards/b/mean": 2, own: 1 });
    expect(metrics["rewards/b/std"]).toBeCloseTo(Math.SQRT2, 12);
  });
});
