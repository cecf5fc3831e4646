import { describe, expect, test } from "vitest";
import { VerdictCache } from "./cache.js";
import { createMixture, judgeBatch } from "./mixture.js";
import { failed, type Judge, type JudgeInput, satisfied, type Verdict, violated } from "./verdict.js";

const input = (response: string, changes: Partial<JudgeInput> = {}): JudgeInput => ({
  prompt: "p",
  response,
  truncated: false,
  metadata: {},
  ...changes,
});

/** A judge of the length, which counts its questions; "fail" fails. */
function counting(changes: Partial<Judge> = {}) {
  const asked: string[] = [];
  const judge: Judge = {
    name: "short",
    version: "1",
    kind: "llm",
    isCostly: true,
    applies: ({ skip }) => skip !== true,
    async judge({ response }): Promise<Verdict> {
      asked.push(response);
      await Promise.resolve();
      if (response === "fail") return failed("no idea");
      return response.length < 4 ? satisfied("short") : violated("long");
    },
    ...changes,
  };
  return { judge, asked };
}

const member = (judge: Judge) => ({ judge, onFailed: "drop" as const, maxFailedRate: 1 });

/** Samples as a policy draws them: the same responses again and again. */
const batches = Array.from({ length: 6 }, (_, step) =>
  Array.from({ length: 20 }, (_, i) =>
    input(["a", "bbbbb", "ccc", "fail", `own ${step} ${i}`][(i + step) % 5]!, {
      prompt: `p${i % 2}`,
      metadata: { skip: i % 7 === 0 },
    }),
  ),
);

describe("a costly judge", () => {
  test("gives the results that it gives without a cache, for fewer questions", async () => {
    const plain = counting({ isCostly: false });
    const cached = counting();
    const mixtures = [plain, cached].map(({ judge }) => createMixture([member(judge)]));
    let hits = 0;
    for (const batch of batches) {
      const [a, b] = [await judgeBatch(mixtures[0]!, batch), await judgeBatch(mixtures[1]!, batch)];
      expect(b.results).toEqual(a.results);
      const { "judges/short/cache_hits": found, "judges/short/latency": _, ...rest } = b.metrics;
      expect(a.metrics).toMatchObject(rest);
      expect(a.metrics).not.toHaveProperty("judges/short/cache_hits");
      hits += found!;
    }
    expect(hits).toBeGreaterThan(20);
    expect(cached.asked.length + hits).toBe(plain.asked.length);
  });

  test("counts the same hits however many samples are judged at a time", async () => {
    const hits = async (concurrency: number) => {
      const mixture = createMixture([member(counting().judge)], { concurrency });
      const found: (number | undefined)[] = [];
      // Whether a failed question is asked again depends on when: leave it out.
      for (const batch of batches)
        found.push(
          (
            await judgeBatch(
              mixture,
              batch.filter(({ response }) => response !== "fail"),
            )
          ).metrics["judges/short/cache_hits"],
        );
      return found;
    };
    expect(await hits(1)).toEqual(await hits(16));
  });

  test("is asked again when anything that it sees is different", async () => {
    const cache = new VerdictCache();
    const { judge, asked } = counting();
    const others: JudgeInput[] = [
      input("a", { prompt: "q" }),
      input("a", { prompt: [{ role: "user", content: "p" }] }),
      input("a", { truncated: true }),
      input("a", { metadata: { answer: 1 } }),
      input("a", { metadata: { answer: 1n } }),
      input("b"),
    ];
    for (const other of [input("a"), ...others, ...others]) await cache.verdictFrom(judge, other);
    expect(asked).toHaveLength(1 + others.length);
    await cache.verdictFrom({ ...judge, version: "2" }, input("a"));
    await cache.verdictFrom({ ...judge, name: "another" }, input("a"));
    expect(asked).toHaveLength(3 + others.length);
  });

  test("that failed is asked again", async () => {
    const cache = new VerdictCache();
    const { judge, asked } = counting();
    const answers = [
      await cache.verdictFrom(judge, input("fail")),
      await cache.verdictFrom(judge, input("fail")),
    ];
    expect(answers.map(({ isHit }) => isHit)).toEqual([false, false]);
    expect(asked).toHaveLength(2);
  });

  test("that was interrupted is asked again", async () => {
    const cache = new VerdictCache();
    const { judge, asked } = counting();
    const abort = AbortSignal.abort(new Error("stop"));
    await expect(cache.verdictFrom(judge, input("a"), abort)).rejects.toThrow("stop");
    expect(await cache.verdictFrom(judge, input("a"))).toMatchObject({
      isHit: false,
      verdict: { verdict: "satisfied" },
    });
    expect(asked).toHaveLength(1);
  });

  test("is forgotten from the oldest verdict on when there are too many", async () => {
    const cache = new VerdictCache(10);
    const { judge } = counting();
    for (let i = 0; i < 15; i++) await cache.verdictFrom(judge, input(`${i}`));
    const isHit = async (response: string) => (await cache.verdictFrom(judge, input(response))).isHit;
    expect([await isHit("14"), await isHit("5"), await isHit("4")]).toEqual([true, true, false]);
  });
});

test("a cheap judge is asked every time", async () => {
  const { judge, asked } = counting({ isCostly: false });
  const { metrics } = await judgeBatch(createMixture([member(judge)]), [input("a"), input("a")]);
  expect(asked).toHaveLength(2);
  expect(metrics).not.toHaveProperty("judges/short/cache_hits");
});
