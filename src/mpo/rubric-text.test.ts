import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import { canonicalItem, createRubric, dedupeItems, type ItemKind, type RubricItem } from "./rubric.js";
import { parseRubric, renderItems, renderRubric } from "./rubric-text.js";

const parsed = (text: string) => parseRubric(text).items;
const shape = (items: readonly RubricItem[]) =>
  items.map(({ name, kind, levels }) => [
    name,
    kind,
    levels.map(({ low, points }) => (low === undefined ? points : [low, points])),
  ]);

describe("round trip", () => {
  const pieces = [
    "clear",
    "5: no",
    "(3)",
    "- bullet",
    "### head",
    "**bold**",
    "Example: x",
    "e.g. this",
    "a < b > c",
    "<item>",
    "</rubric>",
    "<it<item>em>",
    "<EOE>",
    "<|im_end|>",
    "8-10",
    "points",
    "5 points each",
    "\n",
    "\t",
    "1.",
    "ends (grade)",
    "(deduct, -5 to 0 points)",
    "Deductions",
    "Measures:",
    "日本語",
    "٤",
    "−3",
    ":",
    "...",
    "—",
    "C#",
    "2.5",
    "Score 3:",
    "```",
    "---",
    "__init__",
    "otherwise",
  ];
  const random = new RandomStream(11, "rubric round trip");
  const text = (most: number) =>
    Array.from({ length: 1 + random.integer(most) }, () => random.choice(pieces)).join(" ");
  const kinds: ItemKind[] = ["grade", "grade", "deduct", "gate"];

  function randomItem(): RubricItem {
    const kind = random.choice(kinds);
    const levels = Array.from({ length: 2 + random.integer(4) }, (_, i) => {
      const points = (kind === "deduct" ? -1 : 1) * i * random.choice([1, 2, 0.5]);
      const low = random.uniform() < 0.3 ? points - 0.25 : undefined;
      return {
        points,
        ...(low === undefined ? {} : { low }),
        text: text(5),
        ...(random.uniform() < 0.5 ? { example: text(4) } : {}),
      };
    });
    const description = random.uniform() < 0.5 ? { description: text(6) } : {};
    return canonicalItem({ name: `${text(4)} x${random.integer(1000)}`, kind, ...description, levels });
  }

  it("canonical items survive rendering and parsing", () => {
    for (let i = 0; i < 400; i++) {
      const items = dedupeItems(Array.from({ length: 1 + random.integer(4) }, randomItem));
      expect(parsed(renderItems(items))).toEqual(items);
    }
  });

  it("canonical form is a fixed point", () => {
    for (let i = 0; i < 200; i++) {
      const item = randomItem();
      expect(canonicalItem(item)).toEqual(item);
    }
  });

  it("renders as the paper's item shape", () => {
    const rubric = createRubric([
      {
        name: "Clarity",
        kind: "grade",
        levels: [
          { points: 0, text: "muddled" },
          { points: 5, low: 3, text: "clear", example: "Tides rise twice a day." },
        ],
      },
    ]);
    expect(renderRubric(rubric)).toBe(
      "<rubric>\n<item>\n### Clarity (grade, 0 to 5 points)\n- (0): muddled\n" +
        "- (3 to 5): clear Example: Tides rise twice a day.\n</item>\n</rubric>",
    );
  });
});

describe("what models write", () => {
  it("unclosed and nested tags, prose around the rubric", () => {
    const text = `Sure! Here is the rubric: 1: not a level
<rubric><item>
### A
- (0): no
- (5): yes
<item><item>
### B
- (0): no
- (2): yes
</item></rubric>
### C
- (0): prose after the rubric
- (9): is no item`;
    expect(shape(parsed(text))).toEqual([
      ["A", "grade", [0, 5]],
      ["B", "grade", [0, 2]],
    ]);
  });

  it.each(["#", "##", "####", "######"])("names as markdown headings %s", (hashes) => {
    expect(shape(parsed(`${hashes} 1. **Focus** (0-5)\n* 0: off\n* 5: on`))).toEqual([
      ["Focus", "grade", [0, 5]],
    ]);
  });

  it("names as bold lines, and levels as headings, bold numbers and tables of dashes", () => {
    const text = `**1. Focus**
#### 0 points: off
---
**5 points:** on

2. **Order** (10 points)
- **(0)** none
- **(8-10)**: all of it`;
    expect(shape(parsed(text))).toEqual([
      ["Focus", "grade", [0, 5]],
      ["Order", "grade", [0, [8, 10]]],
    ]);
  });

  it("the first line of an <item> is its name", () => {
    expect(shape(parsed("<item>\nFocus\n- (0): off\n- (1): on\n</item>"))).toEqual([
      ["Focus", "grade", [0, 1]],
    ]);
  });

  it("decimals, ranges, signs and units", () => {
    const text = `### A
- (2.5): half
- 8-10: much
- 5 to 7 points: some
- (3–4) a little
- 0 points (poor): none
- Score 1: hardly
- +2: extra`;
    expect(shape(parsed(text))).toEqual([["A", "grade", [2.5, [8, 10], [5, 7], [3, 4], 0, 1, 2]]]);
  });

  it("deductions: by sign, by heading, by section, by note", () => {
    const text = `## Award section
### A
- (0): no
- (5): yes
## Deductions
### B
- (0): none
- (3): much
### C
- -2: bad
- (−4): worse
# Other
### D
- (-1): slips
- (0): none
### E (deduct)
- 2: often`;
    expect(shape(parsed(text))).toEqual([
      ["A", "grade", [0, 5]],
      ["B", "deduct", [0, -3]],
      ["C", "deduct", [-2, -4]],
      ["D", "deduct", [-1, 0]],
      ["E", "deduct", [-2]],
    ]);
  });

  it("gates", () => {
    expect(shape(parsed("### Safe (gate)\n- (0): harmful\n- (1): harmless"))).toEqual([
      ["Safe", "gate", [0, 1]],
    ]);
  });

  it("levels that run over several lines, with their examples", () => {
    const [item] = parsed("### A\n- (0): no\n  nothing at all\n  Example: a title\n- (5): yes");
    expect(item!.levels[0]).toEqual({ points: 0, text: "no nothing at all", example: "a title" });
  });

  it("numbered lists and ratios are not levels", () => {
    expect(parsed("1. First, read it.\n2) Then score.\n16:9 is a ratio")).toEqual([]);
  });

  it("non-ASCII digits are not points", () => {
    expect(parsed("### A\n- (٤): four")).toEqual([]);
  });

  it("keeps order, merges equal names and says so", () => {
    const { items, problems } = parseRubric(
      "### B\n- (0): x\n- (1): y\n### a\n- (0): x\n- (1): y\n### b:\n- (0): z\n- (9): w",
    );
    expect(shape(items)).toEqual([
      ["B", "grade", [0, 1]],
      ["a", "grade", [0, 1]],
    ]);
    expect(problems).toEqual(["1 items repeated the name of an earlier one and were left out"]);
  });

  it("levels without a name belong to no item", () => {
    expect(shape(parsed("<item>\n### A\n- (0): x\n- (1): y\n</item><item>\n- (9): z\n</item>"))).toEqual([
      ["A", "grade", [0, 1]],
    ]);
  });

  it.each([
    "",
    "no rubric at all",
    "<rubric></rubric>",
    "<item></item>",
    "<item><item><item>",
    "### A\n### B",
  ])("%j holds no items", (text) => expect(parsed(text)).toEqual([]));

  it("is quick on hostile text", () => {
    for (const text of [
      "<".repeat(200_000),
      "(".repeat(200_000),
      "- (1".repeat(50_000),
      " ".repeat(300_000),
      "# ".repeat(100_000),
      "**".repeat(100_000),
      "<item".repeat(50_000),
      `### ${"a ".repeat(100_000)}`,
    ])
      expect(parsed(text).length).toBeLessThan(2);
  });
});
