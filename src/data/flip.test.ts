import { expect, it } from "vitest";
import { flipLabels, preferencesJsonl } from "./flip.js";
import type { PreferenceRow } from "./rows.js";

const rows = Array.from(
  { length: 42 },
  (_, i): PreferenceRow => ({
    id: `pairs.jsonl:${i + 1}`,
    prompt: `question ${i}`,
    chosen: `good ${i}`,
    rejected: `bad ${i}`,
    margin: i,
    metadata: { gold_chosen: 1, gold_rejected: -1, source: "human" },
  }),
);

it("flips exactly the share, marks it, and takes the true rewards along", () => {
  const noisy = flipLabels(rows, { share: 0.25, seed: 3 });
  expect(noisy.map(({ id, prompt, margin }) => [id, prompt, margin])).toEqual(
    rows.map(({ id, prompt, margin }) => [id, prompt, margin]),
  );
  // 10.5 rows round up.
  expect(noisy.filter(({ metadata }) => metadata.flipped)).toHaveLength(11);
  for (const [i, { chosen, rejected, metadata }] of noisy.entries()) {
    const [right, wrong] = [`good ${i}`, `bad ${i}`];
    expect([chosen, rejected]).toEqual(metadata.flipped ? [wrong, right] : [right, wrong]);
    expect(metadata.gold_chosen).toBe(metadata.flipped ? -1 : 1);
    expect(metadata.gold_rejected).toBe(metadata.flipped ? 1 : -1);
    expect(metadata.source).toBe("human");
  }
});

it("the same seed flips the same rows, another seed others", () => {
  const which = (seed: number) =>
    flipLabels(rows, { share: 0.5, seed }).map(({ metadata }) => metadata.flipped);
  expect(which(1)).toEqual(which(1));
  expect(which(2)).not.toEqual(which(1));
});

it("a label that was wrong is right once it is flipped", () => {
  const wrong = rows.map((row) => ({ ...row, metadata: { flipped: true } }));
  const all = flipLabels(wrong, { share: 1, seed: 1 });
  expect(all.every(({ metadata }) => metadata.flipped === false)).toBe(true);
  expect(all[0]!.chosen).toBe("bad 0");
});

it("writes the row's own fields where another column has the name of one", () => {
  const mapped = { ...rows[0]!, metadata: { chosen: "a column that was mapped elsewhere", source: "human" } };
  expect(JSON.parse(preferencesJsonl([mapped]))).toEqual({
    prompt: "question 0",
    chosen: "good 0",
    rejected: "bad 0",
    margin: 0,
    source: "human",
  });
});
