import { describe, expect, it } from "vitest";
import { RandomStream } from "./random.js";
import { repeatedShare } from "./repetition.js";

/** By the texts themselves. */
function plainly(text: string, size: number): number {
  const seen = new Set<string>();
  const count = text.length - size + 1;
  for (let i = 0; i < count; i++) seen.add(text.slice(i, i + size));
  return count < 2 ? 0 : 1 - seen.size / count;
}

describe("repeatedShare", () => {
  it("is the share of stretches that were there before", () => {
    const random = new RandomStream(1, "texts");
    for (let n = 0; n < 300; n++) {
      const words = Array.from({ length: random.integer(200) }, () =>
        "abcdefg".slice(0, 1 + random.integer(7)),
      );
      const text = words.join(" ");
      expect(repeatedShare(text)).toBeCloseTo(plainly(text, 24), 12);
    }
  });

  it("looks at shorter stretches of scripts whose characters are words", () => {
    const text = "我们今天去河边看船，我们今天去河边看船，我们今天去河边看船。";
    expect(repeatedShare(text)).toBeCloseTo(plainly(text, 8), 12);
    expect(repeatedShare(text)).toBeGreaterThan(0.5);
  });

  it("is 0 of short and of different text, and near 1 of one word again and again", () => {
    for (const text of ["", "yes", "x".repeat(24)]) expect(repeatedShare(text)).toBe(0);
    expect(repeatedShare(Array.from({ length: 500 }, (_, i) => i * 7919).join(" "))).toBe(0);
    expect(repeatedShare("no ".repeat(200))).toBeGreaterThan(0.99);
  });
});
