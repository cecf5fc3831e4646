import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { UserError } from "../base/errors.js";
import { createMixture, type FailedPolicy, JudgeFailureError, judgeBatch } from "./mixture.js";
import { type Judge, type JudgeInput, satisfied, type Verdict, verdictFrom, violated } from "./verdict.js";

const sample = (response: string, metadata = {}): JudgeInput => ({
  prompt: "p",
  response,
  truncated: false,
  metadata,
});

function fake(name: string, judge: Judge["judge"], options: Partial<Judge> = {}): Judge {
  return { name, version: "1", kind: "rule", applies: () => true, judge, ...options };
}

const member = (judge: Judge, onFailed: FailedPolicy = "drop", maxFailedRate = 0.5) => ({
  judge,
  onFailed,
  maxFailedRate,
});

/** Satisfied, violated or thrown, as the response says for this judge. */
const scripted = (name: string, options: Partial<Judge> = {}) =>
  fake(
    name,
    ({ response }) => {
      if (response.includes(`${name}!`)) throw new Error(`${name} broke`);
      return response.includes(`-${name}`) ? violated("no") : satisfied("yes");
    },
    options,
  );

test("a sample is feasible exactly when every applicable judge is satisfied", async () => {
  const mixture = createMixture([
    member(scripted("a")),
    member(scripted("b", { applies: (m) => m.b === true })),
  ]);
  const { results } = await judgeBatch(mixture, [
    sample("fine", { b: true }),
    sample("-a", { b: true }),
    sample("-b", { b: true }),
    sample("-b"),
    sample("-a -b"),
  ]);
  expect(results.map(({ feasible }) => feasible)).toEqual([true, false, false, true, false]);
  expect(results[3]!.verdicts.b).toBe("inapplicable");
  expect(results[1]!.verdicts.b).toBe("skipped");
});

test("no judge, or none that applies, is neutral", async () => {
  const none = await judgeBatch(createMixture([]), [sample("x")]);
  expect(none.results).toEqual([{ feasible: true, verdicts: {} }]);
  const mixture = createMixture([member(scripted("a", { applies: () => false }))]);
  const { results, metrics } = await judgeBatch(mixture, [sample("-a")]);
  expect(results[0]!.feasible).toBe(true);
  expect(metrics).not.toHaveProperty("constraints/a/violation_rate");
});

test("rule judges run before LLM judges and a violation spares the rest, unless all are asked for", async () => {
  const asked: string[] = [];
  const noting = (name: string, kind: Judge["kind"]) => {
    const judge = ({ response }: JudgeInput) => {
      asked.push(name);
      return response === name ? violated("no") : satisfied("yes");
    };
    return fake(name, judge, { kind });
  };
  const members = [member(noting("slow", "llm")), member(noting("quick", "rule"))];
  await judgeBatch(createMixture(members), [sample("quick")]);
  expect(asked).toEqual(["quick"]);
  asked.length = 0;
  const { metrics } = await judgeBatch(createMixture(members, { runAll: true }), [sample("quick")]);
  expect(asked).toEqual(["quick", "slow"]);
  expect(metrics["constraints/slow/violation_rate"]).toBe(0);
});

test("a failed judge drops, violates or leaves a found violation standing", async () => {
  const samples = [sample("a!"), sample("a! -b"), sample("fine")];
  const run = async (onFailed: FailedPolicy) =>
    judgeBatch(createMixture([member(scripted("a"), onFailed), member(scripted("b"))]), samples);
  const dropping = await run("drop");
  expect(dropping.results.map(({ feasible }) => feasible)).toEqual([undefined, false, true]);
  expect(dropping.results[0]!.verdicts.a).toEqual({ verdict: "failed", reason: "a broke" });
  expect(dropping.metrics["constraints/dropped_rate"]).toBeCloseTo(1 / 3);
  expect(dropping.metrics["constraints/satisfied_rate"]).toBe(0.5);
  expect(dropping.metrics["judges/a/failed_rate"]).toBeCloseTo(2 / 3);
  expect(dropping.metrics["constraints/a/violation_rate"]).toBe(0);
  expect((await run("violate")).results.map(({ feasible }) => feasible)).toEqual([false, false, true]);
});

test("`stop` ends the run only above its failure rate", async () => {
  const mixture = createMixture([member(scripted("a"), "stop", 0.5)]);
  await expect(judgeBatch(mixture, [sample("a!"), sample("ok")])).resolves.toBeDefined();
  const tooMany = judgeBatch(mixture, [sample("a!"), sample("a!"), sample("ok")]);
  await expect(tooMany).rejects.toThrow(JudgeFailureError);
  await expect(tooMany).rejects.toThrow("failed on 2 of 3 samples, more than its max_failed_rate 0.5");
});

test("results keep the order of the samples and the concurrency limit holds", async () => {
  let running = 0;
  let most = 0;
  const slow = fake("slow", async ({ response }): Promise<Verdict> => {
    most = Math.max(most, ++running);
    await setTimeout(10 - Number(response));
    running--;
    return satisfied(response);
  });
  const samples = Array.from({ length: 10 }, (_, i) => sample(String(i)));
  const { results } = await judgeBatch(createMixture([member(slow)], { concurrency: 3 }), samples);
  expect(results.map(({ verdicts }) => (verdicts.slow as Verdict).reason)).toEqual(
    samples.map(({ response }) => response),
  );
  expect(most).toBe(3);
});

test("an answer that is no verdict is a failure, an abort is an abort", async () => {
  const wrong = fake("wrong", () => true as unknown as Verdict);
  expect(await verdictFrom(wrong, sample("x"))).toMatchObject({ verdict: "failed" });
  const abort = AbortSignal.abort(new Error("stop here"));
  await expect(verdictFrom(scripted("a"), sample("x"), abort)).rejects.toThrow("stop here");
});

test("two judges of the same name are a mistake", () => {
  expect(() => createMixture([member(scripted("a")), member(scripted("a"))])).toThrow(UserError);
});

test("what a judge's model was asked is counted batch by batch", async () => {
  let calls = 5;
  const usage = () => ({ calls, promptTokens: 10 * calls, completionTokens: calls, cost: calls / 4 });
  const judge = fake("slow", () => (calls++, satisfied("yes")), { kind: "llm", usage });
  const mixture = createMixture([member(judge)]);
  const { metrics } = await judgeBatch(mixture, [sample("a"), sample("b")]);
  expect(metrics).toMatchObject({
    "judges/slow/calls": 2,
    "judges/slow/prompt_tokens": 20,
    "judges/slow/completion_tokens": 2,
    "judges/slow/cost": 0.5,
  });
  expect((await judgeBatch(mixture, [sample("c")])).metrics["judges/slow/calls"]).toBe(1);
});
