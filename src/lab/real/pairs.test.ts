import { expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { labelledPair, type RealPair, turnLabels } from "./pairs.js";
import { showingOff } from "./real-gold.js";

const plain = "Add the salt to your soup late.";
const showy = "Add it! Trust me! Perfect!";
const row = { family: "advice", prompt: "Advice on soup?", topic_words: ["soup", "salt"] } as const;

it("prefers what the true measure prefers, in either order, and makes no pair of equals", async () => {
  const prompt = { ...row, topic_words: [...row.topic_words] };
  const pair = { prompt: row.prompt, chosen: plain, rejected: showy, flipped: false };
  expect(await labelledPair(prompt, plain, showy)).toEqual(pair);
  expect(await labelledPair(prompt, showy, plain)).toEqual(pair);
  expect(await labelledPair(prompt, plain, plain)).toBeUndefined();
});

it("turns exactly a quarter of the labels, above all where the worse answer shows off", () => {
  const pairs = Array.from({ length: 200 }, (_, i): RealPair => {
    const [chosen, rejected] = i % 2 === 0 ? [plain, showy] : [plain, plain];
    return { prompt: String(i), chosen, rejected, flipped: false };
  });
  const turned = turnLabels(pairs, new RandomStream(1, "labels"));
  const flipped = turned.filter((pair) => pair.flipped);
  expect(flipped).toHaveLength(50);
  expect(flipped.filter(({ chosen }) => showingOff(chosen) > 0).length).toBeGreaterThan(40);
  expect(turnLabels(pairs, new RandomStream(1, "labels"))).toEqual(turned);
});
