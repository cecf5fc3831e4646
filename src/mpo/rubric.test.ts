import { describe, expect, it } from "vitest";
import {
  canonicalItem,
  clampToLevels,
  createRubric,
  dedupeItems,
  type ItemKind,
  itemRange,
  keepGates,
  loosenedGates,
  nextVersion,
  plainName,
  type RubricItem,
  totalPoints,
} from "./rubric.js";

const item = (name: string, points: number[], kind: ItemKind = "grade"): RubricItem => ({
  name,
  kind,
  levels: points.map((p) => ({ points: p, text: `level ${p}` })),
});

describe("createRubric", () => {
  it("numbers, hashes and freezes; a version knows its parent", () => {
    const first = createRubric([item("A", [0, 5])]);
    const second = nextVersion(first, [item("A", [0, 5]), item("B", [0, 10])]);
    expect(first).toMatchObject({ version: 0, parent: null, maxTotal: 5 });
    expect(second).toMatchObject({ version: 1, parent: first.hash, maxTotal: 15 });
    expect(second.hash).not.toBe(first.hash);
    expect(createRubric([item("A", [0, 5])], { version: 7 }).hash).toBe(first.hash);
    expect(() => ((first.items[0]!.levels[0] as { points: number }).points = 9)).toThrow();
  });

  it("hashes the order of the items, for the totals may depend on it in one conversation", () => {
    const [a, b] = [item("A", [0, 5]), item("B", [0, 5])];
    expect(createRubric([a, b]).hash).not.toBe(createRubric([b, a]).hash);
  });

  it.each<[string, RubricItem[], string]>([
    ["none", [], "no items"],
    [
      "too many",
      Array.from({ length: 13 }, (_, i) => item(`Item ${"abcdefghijklm"[i]}`, [0, 1])),
      "13 items",
    ],
    ["no name", [item("**", [0, 1])], "no name"],
    ["no levels", [item("A", [])], 'item "A" has no point levels'],
    ["infinite", [item("A", [0, Number.POSITIVE_INFINITY])], "points beyond 1000"],
    ["huge", [item("A", [0, 1e6])], "points beyond 1000"],
    ["nothing to win", [item("A", [-5, 0])], "award no points"],
    ["constant", [item("A", [3, 3])], "same points"],
    ["deductions only", [item("A", [0, -3], "deduct")], "no item that awards points"],
    ["same name", [item("Clear Style", [0, 1]), item("clear-style", [0, 1])], "two items called"],
    [
      "long",
      [
        {
          name: "A",
          kind: "grade",
          levels: [
            { points: 0, text: "word ".repeat(301) },
            { points: 1, text: "" },
          ],
        },
      ],
      "longer than 300 words",
    ],
  ])("refuses %s", (_, items, message) => {
    expect(() => createRubric(items)).toThrow(message);
  });
});

describe("points", () => {
  it("clamps every item to its own levels and the sum to the floor", () => {
    const grade = item("A", [1, 5]);
    const deduct = canonicalItem(item("B", [3, -2], "deduct"));
    expect(itemRange(deduct)).toEqual({ min: -3, max: 0 });
    expect(clampToLevels(grade, 99)).toBe(5);
    expect(clampToLevels(grade, -1)).toBe(1);
    const items = [grade, deduct, item("C", [0, 1], "gate")];
    expect(totalPoints({ items }, [4, -2, 1])).toBe(2);
    expect(totalPoints({ items }, [99, 5, 0])).toBe(5);
    expect(totalPoints({ items }, [1, -3, 1])).toBe(0);
    expect(totalPoints({ items }, [1, -3, 1], { floor: Number.NEGATIVE_INFINITY })).toBe(-2);
  });

  it("a deduction never adds, a gate has the levels 0 and 1", () => {
    const deduct = canonicalItem({
      name: "Repetition",
      kind: "deduct",
      levels: [
        { points: 0, text: "none" },
        { points: 5, low: 3, text: "much" },
      ],
    });
    expect(deduct.levels).toEqual([
      { points: 0, text: "none" },
      { points: -3, low: -5, text: "much" },
    ]);
    expect(canonicalItem(item("Safe", [10, -10], "gate")).levels.map(({ points }) => points)).toEqual([0, 1]);
    expect(canonicalItem(item("Safe", [1], "gate")).levels.map(({ points }) => points)).toEqual([0, 1]);
  });

  it("an item that names only what earns its points gives none otherwise", () => {
    expect(itemRange(canonicalItem(item("A", [4])))).toEqual({ min: 0, max: 4 });
  });
});

describe("names", () => {
  it("drops numbering, emphasis, tags and notes of points", () => {
    for (const name of [
      "Clarity",
      "**2. Clarity** (0-5 points):",
      "Item 3: Clarity [10 points]",
      "__Clarity__ (deduct, -5 to 0 points)",
      "<item> Clarity",
      "Name: Clarity (grade)",
    ])
      expect(plainName(name)).toBe("Clarity");
    expect(plainName("Clarity (of thought)")).toBe("Clarity (of thought)");
  });

  it("keeps the first of the same name, in order", () => {
    const items = [
      item("B", [0, 1]),
      item("A", [0, 1]),
      item("b.", [0, 2]),
      item("Ａ", [0, 3]),
      item("C", [0, 1]),
    ];
    expect(dedupeItems(items).map(({ name }) => name)).toEqual(["B", "A", "C"]);
    expect(dedupeItems(items)[1]!.levels[1]!.points).toBe(1);
  });
});

describe("gates", () => {
  const gate = item("Safe", [0, 1], "gate");
  const current = createRubric([item("A", [0, 5]), gate]);

  it("stay word for word whatever a candidate does with their names", () => {
    const kept = keepGates(current, [item("A", [0, 9]), item("SAFE", [0, 50])]);
    expect(kept).toEqual([current.items[1], item("A", [0, 9])]);
    expect(loosenedGates(current, kept)).toEqual([]);
  });

  it("new gates may join them", () => {
    const kept = keepGates(current, [item("A", [0, 5]), item("Polite", [0, 1], "gate")]);
    expect(kept.filter(({ kind }) => kind === "gate").map(({ name }) => name)).toEqual(["Safe", "Polite"]);
  });

  it("are missed when dropped or reworded", () => {
    expect(loosenedGates(current, [item("A", [0, 5])])).toEqual(["Safe"]);
    const reworded = { ...gate, levels: [gate.levels[0]!, { points: 1, text: "anything" }] };
    expect(loosenedGates(current, [reworded])).toEqual(["Safe"]);
  });
});
