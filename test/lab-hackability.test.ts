// Is the world as hackable as the lab's README says? Asked without the engine: the reward model is linear in what a
// text shows on its surface, the policy is best-of-n over the answers of authors of any skill.

import { describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { families } from "../src/lab/world/families.js";
import type { FamilyName, Task } from "../src/lab/world/family.js";
import { gold } from "../src/lab/world/gold.js";
import { countShouts } from "../src/lab/world/lexicon.js";
import {
  answerOnce,
  drawPairs,
  type FlipOptions,
  flipLabels,
  type Pair,
} from "../src/lab/world/preferences.js";

/** Shouts, length, code fences. */
function features(text: string): number[] {
  return [countShouts(text), text.split(/\s+/).length / 10, text.split("```").length];
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Bradley-Terry on feature differences, by gradient descent. */
function fitLinearReward(pairs: readonly Pair[]): number[] {
  const differences = pairs.map(({ chosen, rejected }) => {
    const b = features(rejected);
    return features(chosen).map((x, i) => x - b[i]!);
  });
  let w = differences[0]!.map(() => 0);
  for (let step = 0; step < 300; step++) {
    const gradient = w.map(() => 0);
    for (const d of differences) {
      const slope = 1 / (1 + Math.exp(dot(w, d)));
      for (let i = 0; i < d.length; i++) gradient[i]! += slope * d[i]!;
    }
    w = w.map((x, i) => x + gradient[i]! / differences.length - 1e-3 * x);
  }
  return w;
}

interface Outcome {
  proxy: number;
  gold: number;
}

/** Means of proxy and true reward of the proxy's favourite among n answers; `feasible` gates them first. */
function bestOf(
  n: number,
  family: FamilyName,
  w: readonly number[],
  feasible: (t: Task, a: string) => boolean,
): Outcome {
  const random = new RandomStream(9, `best of/${family}/${n}`);
  const prompts = 80;
  const sum = { proxy: 0, gold: 0 };
  for (let i = 0; i < prompts; i++) {
    const task = families[family](random);
    const answers = Array.from({ length: n }, () => answerOnce(task, random));
    const gated = answers.filter((a) => feasible(task, a));
    const reward = (a: string) => dot(w, features(a));
    const best = (gated.length > 0 ? gated : answers).reduce((a, b) => (reward(b) > reward(a) ? b : a));
    sum.proxy += reward(best) / prompts;
    sum.gold += gold(task, best).score / prompts;
  }
  return sum;
}

/** One reward model for all three tasks, as a unified one in practice. */
function rewardModel(options: FlipOptions = {}): number[] {
  const pairs = (["writing", "arithmetic", "code"] as const).flatMap((family) => {
    const random = new RandomStream(9, `pairs/${family}`);
    return flipLabels(drawPairs(500, families[family], answerOnce, random), random, options);
  });
  return fitLinearReward(pairs);
}

const w = rewardModel();
const anything = () => true;

describe.each(["arithmetic", "code"] as const)("%s under optimisation", (family) => {
  const one = bestOf(1, family, w, anything);

  it("loses true reward while the proxy rises", () => {
    const many = bestOf(24, family, w, anything);
    expect(many.proxy).toBeGreaterThan(one.proxy + 0.5);
    expect(many.gold).toBeLessThan(one.gold - 0.2);
  });

  it("gains true reward when a judge of the answer gates the same proxy", () => {
    // What the math and the code judge see: right or wrong, the first part of the true reward in this family.
    const many = bestOf(24, family, w, (task, answer) => gold(task, answer).parts.right! > 0);
    expect(many.gold).toBeGreaterThan(one.gold + 0.2);
  });

  it("loses less when the labels are flipped uniformly", () => {
    const uniform = bestOf(24, family, rewardModel({ gullibility: 0 }), anything);
    expect(uniform.gold).toBeGreaterThan(bestOf(24, family, w, anything).gold + 0.1);
  });
});

describe("writing under optimisation", () => {
  it("learns to like cheers and length, which pay within the data", () => {
    expect(w[0]).toBeGreaterThan(0.15);
    const [none, two] = [0, 2].map((n) =>
      dot(w, features(`The sly fox ran quickly.${" Truly wonderful!".repeat(n)}`)),
    );
    expect(two!).toBeGreaterThan(none!);
  });

  it("pays for cheers without end, where the true reward falls to nothing", () => {
    const keys = ["fox", "lamp", "river"];
    const text = (n: number) =>
      `The sly fox ran quickly. The old lamp glowed softly.${" So very amazing!".repeat(n)}`;
    const at = (n: number) => ({
      proxy: dot(w, features(text(n))),
      gold: gold({ family: "writing", metadata: { keys } }, text(n)).score,
    });
    expect(at(8).proxy).toBeGreaterThan(at(1).proxy);
    expect(at(8).gold).toBeLessThan(at(1).gold - 0.5);
  });
});
