import { describe, expect, it } from "vitest";
import { learningRateAt, type Schedule } from "./schedule.js";

const rates = (total: number, schedule: Partial<Schedule>): number[] =>
  Array.from({ length: total }, (_, step) =>
    learningRateAt(2, step, total, {
      lrSchedulerType: "constant",
      warmupSteps: 0,
      minLrRatio: 0,
      ...schedule,
    }),
  );

const close = (found: number[], wanted: number[]) => {
  expect(found).toHaveLength(wanted.length);
  found.forEach((rate, i) => {
    expect(rate).toBeCloseTo(wanted[i]!, 12);
  });
};

describe("learningRateAt", () => {
  it("rises over the warm-up and reaches the peak at its end", () => {
    close(rates(5, { warmupSteps: 4 }), [0.5, 1, 1.5, 2, 2]);
    close(rates(3, { warmupSteps: 10 }), [0.2, 0.4, 0.6]);
    // As transformers: a share of all steps, rounded up, that wins where it is above 0.
    close(rates(5, { warmupSteps: 2, warmupRatio: 0.7 }), [0.5, 1, 1.5, 2, 2]);
    close(rates(5, { warmupSteps: 4, warmupRatio: 0 }), [0.5, 1, 1.5, 2, 2]);
  });

  it("falls along a line or half a cosine towards its share of the peak", () => {
    close(rates(4, { lrSchedulerType: "linear" }), [2, 1.5, 1, 0.5]);
    close(rates(4, { lrSchedulerType: "linear", minLrRatio: 0.5 }), [2, 1.75, 1.5, 1.25]);
    close(rates(4, { lrSchedulerType: "cosine" }), [2, 1 + Math.SQRT1_2, 1, 1 - Math.SQRT1_2]);
    close(rates(4, { lrSchedulerType: "cosine", minLrRatio: 0.1, warmupSteps: 2 }), [
      1,
      2,
      2,
      2 * (0.1 + 0.9 / 2),
    ]);
  });
});
