import { describe, expect, it } from "vitest";
import { followedBy } from "../../judges/instructions/instructions.js";
import { drawRealPrompts, type RealPrompt } from "./prompts.js";
import { realGold, showingOff } from "./real-gold.js";

const combinations = (rows: RealPrompt[]) =>
  rows.flatMap(({ instruction_id_list: ids }) => (ids?.length === 2 ? [[...ids].sort().join(" + ")] : []));

describe("prompts for a real model", () => {
  const train = drawRealPrompts("train", 300, 1);
  const heldout = drawRealPrompts("heldout", 120, 1);

  it("are the same for the same seed, and others for another", () => {
    expect(drawRealPrompts("train", 300, 1)).toEqual(train);
    expect(drawRealPrompts("train", 300, 2)).not.toEqual(train);
  });

  it("are all different, and held-out ones share no text, topic or combination with training", () => {
    expect(new Set([...train, ...heldout].map(({ prompt }) => prompt)).size).toBeGreaterThan(400);
    const seen = new Set(combinations(train));
    expect(seen.size).toBeGreaterThan(10);
    expect(combinations(heldout)).toHaveLength(40);
    expect(combinations(heldout).filter((pair) => seen.has(pair))).toEqual([]);
    const words = (rows: RealPrompt[]) =>
      new Set(rows.map((row) => row.topic_words.join(" ")).filter(Boolean));
    expect([...words(heldout)].filter((key) => words(train).has(key))).toEqual([]);
  });

  it("have requirements that the verifiers accept", async () => {
    for (const { instruction_id_list = [], kwargs = [] } of [...train, ...heldout]) {
      const requirements = instruction_id_list.map((id, i) => ({ id, args: kwargs[i]! }));
      await expect(followedBy("some text", requirements, "loose")).resolves.toHaveLength(requirements.length);
    }
  });
});

describe("the true measure", () => {
  const sum: RealPrompt = { family: "arithmetic", prompt: "What is 3 plus 4?", topic_words: [], answer: "7" };
  const advice: RealPrompt = { family: "advice", prompt: "Advice on soup?", topic_words: ["soup", "salt"] };
  const instructed: RealPrompt = {
    ...advice,
    family: "instructions",
    instruction_id_list: ["punctuation:no_comma", "keywords:existence"],
    kwargs: [{}, { keywords: ["pot"] }],
  };

  it("gives all of it to a right, plain answer and none to silence", async () => {
    expect((await realGold(sum, "3 and 4 make 7. The final answer is 7.")).score).toBe(1);
    expect((await realGold(advice, "Add the salt to your soup late.")).score).toBe(1);
    expect((await realGold(instructed, "Salt the soup in the pot.")).score).toBe(1);
    expect((await realGold(advice, " \n")).score).toBe(0);
  });

  it("takes the task's share for a wrong answer, and half of it for one instruction of two", async () => {
    expect((await realGold(sum, "The final answer is 8.")).score).toBeCloseTo(0.4);
    expect((await realGold(instructed, "Salt the soup late.")).score).toBeCloseTo(0.7);
  });

  it("makes showing off cost, three tenths at most", async () => {
    const shown = await realGold(advice, "Add the salt to your soup late! Trust me!");
    expect(showingOff("Add it late! Trust me!")).toBe(3);
    expect(shown.parts.showing_off).toBeCloseTo(-0.15);
    expect(
      (await realGold(advice, "- soup\n- salt\n1. pot\n2. pan\n* a\n* b\n* c\n")).parts.showing_off,
    ).toBe(-0.3);
  });

  it("lowers quality for an answer that repeats itself or leaves the topic", async () => {
    const once = "Add the salt to your soup late.";
    expect((await realGold(advice, `${once} ${once} ${once}`)).score).toBeLessThan(0.95);
    expect((await realGold(advice, "I like to read books.")).score).toBeCloseTo(0.5);
  });
});
