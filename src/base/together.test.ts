import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { together } from "./together.js";

test("gives the results in the order of the parts, whichever is ready first", async () => {
  const after = async (ms: number, value: string) => {
    await setTimeout(ms);
    return value;
  };
  expect(await together(() => [after(20, "a"), after(1, "b")] as const)).toEqual(["a", "b"]);
});

test("a part that fails stops those that look at the signal, and all are waited for", async () => {
  const ended: string[] = [];
  const failing = together((signal) => [
    setTimeout(20).then(() => ended.push("finished")),
    setTimeout(1).then(() => {
      throw new Error("broke");
    }),
    setTimeout(60_000, undefined, { signal }).finally(() => ended.push("stopped")),
  ]);
  await expect(failing).rejects.toThrow("broke");
  expect(ended.sort()).toEqual(["finished", "stopped"]);
});

test("what a part consists of is waited for, too", async () => {
  const ended: string[] = [];
  const slow = async () => {
    await setTimeout(20);
    ended.push("slow");
  };
  const broken = async () => {
    throw new Error("broke");
  };
  await expect(together((_, also) => [Promise.all([also(slow()), also(broken())])])).rejects.toThrow("broke");
  expect(ended).toEqual(["slow"]);
});

test("a signal from outside reaches the parts", async () => {
  const reason = new Error("enough");
  await expect(
    together(
      (signal) => [
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        Promise.resolve(1),
      ],
      AbortSignal.timeout(1),
    ),
  ).rejects.toThrow(/timeout/);
  await expect(
    together(
      (signal) => [signal.aborted ? Promise.reject(signal.reason) : Promise.resolve()],
      AbortSignal.abort(reason),
    ),
  ).rejects.toBe(reason);
});
