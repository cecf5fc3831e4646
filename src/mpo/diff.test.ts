import { describe, expect, it } from "vitest";
import { diffRubrics, renderChange } from "./diff.js";
import { createRubric, type RubricItem } from "./rubric.js";

const item = (name: string, ...levels: [number, string][]): RubricItem => ({
  name,
  kind: "grade",
  levels: levels.map(([points, text]) => ({ points, text })),
});
const before = createRubric([
  item("Clarity", [5, "clear"], [0, "not"]),
  item("Length", [3, "long"], [0, "short"]),
  item("Tone", [2, "kind"], [0, "not"]),
]);

describe("the difference of two rubrics", () => {
  it("is none between a rubric and itself, in any order", () => {
    expect(diffRubrics(before, before)).toEqual([]);
    expect(diffRubrics(before, { items: [...before.items].reverse() })).toEqual([]);
  });

  it("names what is gone, changed and new; case and punctuation of a name do not matter", () => {
    const after = createRubric([
      item("clarity:", [10, "clear"], [0, "not"]),
      item("Tone", [2, "kind"], [0, "not"]),
      item("Facts", [4, "right"], [0, "wrong"]),
    ]);
    const changes = diffRubrics(before, after);
    expect(changes.map(({ change, name }) => [change, name])).toEqual([
      ["removed", "Length"],
      ["changed", "clarity"],
      ["added", "Facts"],
    ]);
    expect(changes.map(renderChange)).toEqual([
      ["- ### Length (grade, 0 to 3 points)", "- - (3): long", "- - (0): short"],
      [
        "- ### Clarity (grade, 0 to 5 points)",
        "- - (5): clear",
        "+ ### clarity (grade, 0 to 10 points)",
        "+ - (10): clear",
      ],
      ["+ ### Facts (grade, 0 to 4 points)", "+ - (4): right", "+ - (0): wrong"],
    ]);
  });

  it("shows the name above a level that changed alone", () => {
    const [change] = diffRubrics(
      before,
      createRubric([item("Clarity", [5, "very clear"], [0, "not"]), ...before.items.slice(1)]),
    );
    expect(renderChange(change!)).toEqual([
      "  ### Clarity (grade, 0 to 5 points)",
      "- - (5): clear",
      "+ - (5): very clear",
    ]);
  });
});
