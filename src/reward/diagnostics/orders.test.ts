import { describe, expect, it } from "vitest";
import { bestFirst, greedySoup, uniformOver } from "./orders.js";

describe("orders of members", () => {
  it("best first, equal accuracies by loss", () => {
    const members = [
      { accuracy: 0.6, loss: 0.6 },
      { accuracy: 0.7, loss: 0.9 },
      { accuracy: 0.7, loss: 0.5 },
      { accuracy: 0.9, loss: 2 },
    ];
    expect(bestFirst(members)).toEqual([3, 2, 1, 0]);
  });

  it("uniform weights of a subset", () => {
    expect(uniformOver([3, 0], 4)).toEqual([0.5, 0, 0, 0.5]);
  });
});

describe("greedy soup", () => {
  it("keeps what does not hurt, equal accuracy included, and asks once for each member", async () => {
    const accuracies: Record<string, number> = { "2": 0.7, "2,0": 0.72, "2,0,3": 0.71, "2,0,1": 0.72 };
    const asked: string[] = [];
    const soup = await greedySoup([2, 0, 3, 1], async (subset) => {
      asked.push(subset.join());
      return accuracies[subset.join()]!;
    });
    expect(asked).toEqual(["2", "2,0", "2,0,3", "2,0,1"]);
    expect(soup.members).toEqual([2, 0, 1]);
    expect(soup.steps[2]).toEqual({ member: 3, accuracy: 0.71, kept: false });
  });
});
