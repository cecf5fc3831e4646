import { afterEach, expect, test, vi } from "vitest";
import { newClock, timed } from "./clock.js";

afterEach(() => void vi.restoreAllMocks());

test("what is under way at the same time counts once, for the first in line, and all phases add up", async () => {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  const clock = newClock();
  const ends: (() => void)[] = [];
  const waits = () => new Promise<void>((resolve) => ends.push(resolve));
  const judge = timed(clock.judge, 0, waits);
  now = 1000;
  const sample = timed(clock.sample, 7, waits);
  const second = timed(clock.sample, 5, waits);
  now = 3000;
  ends[1]!();
  await sample;
  now = 4000;
  ends[2]!();
  await second;
  now = 4500;
  ends[0]!();
  await judge;
  now = 9000;
  const failing = timed(clock.reward, 3, async () => {
    now = 9250;
    throw new Error("no reward");
  });
  await expect(failing).rejects.toThrow("no reward");
  now = 20_000;
  await timed(clock.judge, 0, async () => {});
  expect(clock.sample).toMatchObject({ seconds: 3, tokens: 12 });
  expect(clock.judge.seconds).toBe(1.5);
  expect(clock.reward).toMatchObject({ seconds: 0.25, tokens: 0 });
});
