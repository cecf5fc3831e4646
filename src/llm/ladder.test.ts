import { describe, expect, it } from "vitest";
import { Ladder } from "./ladder.js";

const all = ["logprobs", "json_schema", "flat_schema", "json_object", "text"];
const byText = { by: "text", missed: ["logprobs"], refused: ["json_schema", "flat_schema", "json_object"] };

describe("ways of asking", () => {
  it("a refusal is believed at once, a reply without a label the third time", () => {
    const ladder = new Ladder();
    expect(ladder.open()).toEqual(all);
    ladder.learn(byText);
    ladder.learn(byText);
    expect(ladder.open()).toEqual(["logprobs", "text"]);
    ladder.learn(byText);
    expect(ladder.open()).toEqual(["text"]);
  });

  it("a way that has brought a label is never given up", () => {
    const ladder = new Ladder();
    ladder.learn({ by: "logprobs" });
    for (let i = 0; i < 9; i++) ladder.learn({ by: "json_schema", missed: ["logprobs"] });
    ladder.learn({ by: "json_schema", refused: ["logprobs"] });
    expect(ladder.open()[0]).toBe("logprobs");
  });
});

describe("questions", () => {
  /** Asks `count` questions at once; returns how many were under way together at most. */
  async function peak(ladder: Ladder, count: number, answer: (i: number) => Promise<void>): Promise<number> {
    let [running, most] = [0, 0];
    await Promise.allSettled(
      Array.from({ length: count }, (_, i) =>
        ladder.ask(async () => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setTimeout(resolve, 5));
          running--;
          await answer(i);
        }),
      ),
    );
    return most;
  }

  it("go one by one until a way has brought a label, so that what is learned does not depend on chance", async () => {
    const ladder = new Ladder();
    let learned = 0;
    const most = await peak(ladder, 3, async () => {
      learned++;
      ladder.learn({ by: "json_schema", missed: ["logprobs"] });
    });
    expect([most, learned]).toEqual([1, 3]);
    expect(await peak(ladder, 8, async () => ladder.learn({ by: "json_schema" }))).toBe(8);
  });

  it("all go on as soon as the first has its label", async () => {
    const ladder = new Ladder();
    expect(await peak(ladder, 9, async () => ladder.learn({ by: "logprobs" }))).toBe(8);
  });

  it("do not queue before a server that does not answer", async () => {
    const down = () => Promise.reject(new Error("503"));
    expect(await peak(new Ladder(), 9, down)).toBe(8);
  });
});
