import { describe, expect, it } from "vitest";
import { type CursorState, PromptCursor } from "./cursor.js";

const rows = Array.from({ length: 7 }, (_, i) => i);

describe("PromptCursor", () => {
  it("gives every row once an epoch, in another order each epoch", () => {
    const cursor = PromptCursor.start(rows, { seed: 1 });
    const epochs = [cursor.next(7), cursor.next(7), cursor.next(7)];
    for (const epoch of epochs) expect(epoch.toSorted()).toEqual(rows);
    expect(new Set(epochs.map(String)).size).toBe(3);
  });

  it("does not depend on how the stream is cut into batches", () => {
    const whole = PromptCursor.start(rows, { seed: 2 }).next(30);
    const cursor = PromptCursor.start(rows, { seed: 2 });
    expect([1, 6, 7, 10, 0, 2, 4].flatMap((count) => cursor.next(count))).toEqual(whole);
  });

  it("continues identically from a state saved anywhere and sent through JSON", () => {
    const whole = PromptCursor.start(rows, { seed: 3, name: "math" }).next(40);
    for (let cut = 0; cut <= 22; cut++) {
      const first = PromptCursor.start(rows, { seed: 3, name: "math" });
      first.next(cut);
      const state = JSON.parse(JSON.stringify(first.state())) as CursorState;
      first.next(5);
      const second = PromptCursor.restore(rows, state);
      second.next(4);
      const third = PromptCursor.restore(rows, second.state());
      expect(third.next(36 - cut)).toEqual(whole.slice(cut + 4));
    }
  });

  it("counts completed epochs, and stands at the next one's start when one ends", () => {
    const cursor = PromptCursor.start(rows, { seed: 4 });
    cursor.next(14);
    expect(cursor.state()).toMatchObject({ epoch: 2, position: 0, size: 7 });
  });

  it("orders differently by seed and by name", () => {
    const orders = [
      PromptCursor.start(rows, { seed: 5 }),
      PromptCursor.start(rows, { seed: 6 }),
      PromptCursor.start(rows, { seed: 5, name: "chat" }),
    ].map((cursor) => String(cursor.next(14)));
    expect(new Set(orders).size).toBe(3);
  });

  it("refuses no rows, and a data set of another size than the state's", () => {
    expect(() => PromptCursor.start([], { seed: 1, name: "chat" })).toThrow('"chat" holds no rows');
    const state = PromptCursor.start(rows, { seed: 1, name: "chat" }).state();
    expect(() => PromptCursor.restore(rows.slice(1), state)).toThrow(/"chat" holds 6 rows but held 7/);
  });
});
