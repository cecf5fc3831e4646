import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { newClock, sideBySide } from "./clock.js";

test("side by side, the second counts only for what it takes longer than the first", async () => {
  const clock = newClock();
  const order: string[] = [];
  const waits = (name: string, ms: number) => async () => {
    await setTimeout(ms);
    order.push(name);
    return name;
  };
  expect(await sideBySide(waits("engine", 300), waits("judges", 1), clock.judge)).toEqual([
    "engine",
    "judges",
  ]);
  expect(order).toEqual(["judges", "engine"]);
  expect(clock.judge.seconds).toBeLessThan(0.1);
  await sideBySide(waits("engine", 1), waits("judges", 300), clock.judge);
  expect(clock.judge.seconds).toBeGreaterThan(0.2);
});

test("side by side, an error waits until the other has ended", async () => {
  const ended: string[] = [];
  const fails = (name: string) => async (): Promise<void> => {
    await setTimeout(1);
    throw new Error(`${name} broke`);
  };
  const slow = (name: string) => async () => {
    await setTimeout(30);
    ended.push(name);
  };
  await expect(sideBySide(fails("engine"), slow("judges"), newClock().judge)).rejects.toThrow("engine broke");
  await expect(sideBySide(slow("engine"), fails("judges"), newClock().judge)).rejects.toThrow("judges broke");
  expect(ended).toEqual(["judges", "engine"]);
});
