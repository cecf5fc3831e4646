// The theory of CGPO on a six-arm softmax bandit, where expectations are exact sums: equation 12's fixed point, its KL
// bound, and how much violation a KL bound leaves.

import { describe, expect, it } from "vitest";
import {
  constraintRegularisedReward,
  crpg,
  klFactor,
  klRegularisedReward,
} from "../../src/objectives/index.js";

const rCalib = [0.9, 0.6, 0.5, 0.3, 0.95, 0.7];
const feasible = [true, true, true, true, false, false];
const reference = normalise([0.12, 0.2, 0.162, 0.1, 0.25, 0.168]);
const feasibleMass = reference.reduce((sum, p, a) => sum + (feasible[a] ? p : 0), 0);
const leastKlMax = -Math.log(feasibleMass);

function normalise(weights: readonly number[]): number[] {
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}

function softmax(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  return normalise(logits.map((x) => Math.exp(x - top)));
}

const kl = (p: readonly number[]) =>
  p.reduce((sum, x, a) => (x === 0 ? sum : sum + x * Math.log(x / reference[a]!)), 0);
const violation = (p: readonly number[]) => p.reduce((sum, x, a) => (feasible[a] ? sum : sum + x), 0);

/** R~_cr of every arm under policy p. */
function rewards(p: readonly number[], klMax: number): number[] {
  return p.map((x, a) =>
    klRegularisedReward(
      constraintRegularisedReward(rCalib[a]!, feasible[a]!),
      klFactor(Math.log(x / reference[a]!), klMax),
    ),
  );
}

/** The exact expectation of equation 12 as a gradient on the logits: pi_a (R~_a - sum_b pi_b R~_b). */
function expectedGradient(p: readonly number[], klMax: number): number[] {
  const r = rewards(p, klMax);
  const baseline = p.reduce((sum, x, a) => sum + x * r[a]!, 0);
  return p.map((x, a) => x * (r[a]! - baseline));
}

function train(klMax: number, steps: number, learningRate = 1) {
  let logits = reference.map(Math.log);
  let highestKl = 0;
  for (let step = 0; step < steps; step++) {
    const gradient = expectedGradient(softmax(logits), klMax);
    logits = logits.map((x, a) => x + learningRate * gradient[a]!);
    highestKl = Math.max(highestKl, kl(softmax(logits)));
  }
  return { policy: softmax(logits), highestKl };
}

/** pi*(a) = pi_ref(a) exp(KLmax (1 - c / R_calib(a))) on the feasible arms, with c >= 0 such that it sums to 1. */
function fixedPoint(klMax: number): number[] {
  const at = (c: number) =>
    reference.map((p, a) => (feasible[a] ? p * Math.exp(klMax * (1 - c / rCalib[a]!)) : 0));
  let [low, high] = [0, 10];
  for (let i = 0; i < 200; i++) {
    const c = (low + high) / 2;
    if (at(c).reduce((x, y) => x + y, 0) > 1) low = c;
    else high = c;
  }
  return at((low + high) / 2);
}

describe("CRPG on a bandit", () => {
  it("has the feasible mass of the paper's worked example", () => {
    expect(feasibleMass).toBeCloseTo(0.582, 12);
    expect(leastKlMax).toBeCloseTo(0.5413, 4);
  });

  it.each([1, 3])("reaches the closed-form fixed point for KLmax %d", (klMax) => {
    const { policy, highestKl } = train(klMax, 40_000);
    const expected = fixedPoint(klMax);
    policy.forEach((p, a) => {
      expect(Math.abs(p - expected[a]!)).toBeLessThan(1e-3);
      if (feasible[a]) expect(p).toBeLessThanOrEqual(Math.exp(klMax) * reference[a]!);
    });
    expect(highestKl).toBeLessThanOrEqual(klMax);
  });

  it.each([0.2, 0.4, 0.5, 0.6, 1, 3])(
    "KLmax %d: KL stays below it; violation vanishes iff it is lenient",
    (klMax) => {
      const { policy, highestKl } = train(klMax, 40_000);
      expect(highestKl).toBeLessThanOrEqual(klMax);
      if (klMax > leastKlMax) {
        expect(violation(policy)).toBeLessThan(1e-3);
      } else {
        // Every feasible arm is at its bound e^KLmax pi_ref(a), and what is left stays violating.
        expect(violation(policy)).toBeCloseTo(1 - Math.exp(klMax) * feasibleMass, 2);
        expect(violation(policy)).toBeGreaterThan(0.03);
      }
    },
  );

  it("the objective's gradient is that expectation, shrunk by (n-1)/n by its own batch mean", () => {
    const klMax = 1;
    const policy = softmax([0.3, -0.2, 0.9, 0, 0.4, -1]);
    for (const n of [2, 4]) {
      const expectation = new Float64Array(6);
      for (let code = 0; code < 6 ** n; code++) {
        const arms = Array.from({ length: n }, (_, k) => Math.floor(code / 6 ** k) % 6);
        const probability = arms.reduce((product, a) => product * policy[a]!, 1);
        const { g } = crpg(
          {
            logprobs: arms.map((a) => [Math.log(policy[a]!)]),
            referenceLogprobs: arms.map((a) => [Math.log(reference[a]!)]),
            rewards: arms.map((a) => Math.log(rCalib[a]! / (1 - rCalib[a]!))),
            baselineRewards: [0],
            promptIndex: arms.map(() => 0),
            promptCount: 1,
            verdicts: arms.map((a) => (feasible[a] ? "satisfied" : "violated")),
          },
          { klMax },
        );
        // Descent along g: d log pi(a) / d logit_b = [a = b] - pi(b).
        arms.forEach((a, k) => {
          for (let b = 0; b < 6; b++)
            expectation[b]! -= probability * g[k]![0]! * (Number(a === b) - policy[b]!);
        });
      }
      expectedGradient(policy, klMax).forEach((exact, b) => {
        expect(expectation[b]).toBeCloseTo(((n - 1) / n) * exact, 6);
      });
    }
  });
});
