import { describe, expect, it } from "vitest";
import { keptOf, type LengthLimits, LengthTally, type Overlong } from "./lengths.js";

const limits = (overlong: Overlong, maxPromptLength?: number): LengthLimits => ({
  maxLength: 10,
  maxLengthIs: "max_length 10",
  maxPromptLength,
  overlong,
  remedy: "raise max_length",
  choices: ["skip", "truncate_left", "truncate_right"],
});

describe("keptOf", () => {
  it("keeps a row that fits as it is", () => {
    for (const overlong of ["stop", "skip", "truncate_left", "truncate_right"] as const)
      expect(keptOf({ promptLength: 6, length: 10 }, limits(overlong, 6))).toEqual({ from: 0, to: 10 });
  });

  it.each([
    // Prompt, length, max_prompt_length: what is kept.
    ["skip", 6, 11, undefined, undefined],
    ["stop", 6, 11, undefined, undefined],
    ["skip", 7, 9, 6, undefined],
    ["truncate_left", 6, 12, undefined, { from: 2, to: 12 }],
    ["truncate_left", 7, 9, 6, { from: 1, to: 9 }],
    ["truncate_left", 7, 12, 6, { from: 2, to: 12 }],
    // The completion does not fit by itself: one token of the prompt stays, and its end is cut.
    ["truncate_left", 3, 20, undefined, { from: 2, to: 12 }],
    ["truncate_right", 6, 12, undefined, { from: 0, to: 10 }],
    ["truncate_right", 10, 12, undefined, undefined],
    ["truncate_right", 7, 9, 6, undefined],
  ] as const)("%s of %d, %d within %d", (overlong, promptLength, length, maxPromptLength, kept) => {
    expect(keptOf({ promptLength, length }, limits(overlong, maxPromptLength))).toEqual(kept);
  });
});

describe("LengthTally", () => {
  const tallied = (overlong: Overlong, rows: [number, number][], maxPromptLength?: number) => {
    const tally = new LengthTally(limits(overlong, maxPromptLength), "chats.jsonl");
    for (const [i, [promptLength, length]] of rows.entries())
      tally.keep(`chats.jsonl:${i + 1}`, { promptLength, length });
    return tally.end();
  };

  it("counts what is cut and left out", () => {
    const rows: [number, number][] = [
      [2, 4],
      [2, 30],
      [11, 14],
      [4, 11],
    ];
    expect(tallied("truncate_right", rows)).toEqual({
      rows: 4,
      longest: 30,
      skipped: 1,
      truncatedPrompts: 0,
      truncatedCompletions: 2,
    });
    expect(tallied("truncate_left", rows)).toMatchObject({
      skipped: 0,
      truncatedPrompts: 3,
      truncatedCompletions: 1,
    });
    expect(tallied("skip", rows)).toMatchObject({ skipped: 3 });
  });

  it("names the longest row where the recipe says stop, and where nothing is left", () => {
    expect(() =>
      tallied("stop", [
        [2, 11],
        [2, 4],
        [2, 30],
      ]),
    ).toThrow(
      "chats.jsonl: 2 of 3 rows are longer than max_length 10 (chats.jsonl:3 has 30 tokens); set overlong: skip or truncate_left or truncate_right, or raise max_length",
    );
    expect(() =>
      tallied(
        "skip",
        [
          [7, 8],
          [8, 9],
        ],
        6,
      ),
    ).toThrow(
      "chats.jsonl: all 2 rows are longer than max_prompt_length 6, and overlong: skip leaves nothing of them (chats.jsonl:2 has a prompt of 8 tokens); set overlong: truncate_left or truncate_right, or raise max_prompt_length",
    );
  });
});
