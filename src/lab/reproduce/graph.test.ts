import { describe, expect, it } from "vitest";
import { type Node, runGraph } from "./graph.js";

const node = (name: string, ...after: string[]): Node => ({ name, after });

/** Runs `nodes`, each taking one turn of the timer; the order of beginnings and ends, and the most at a time. */
async function trace(nodes: readonly Node[], lanes: number) {
  const events: string[] = [];
  let now = 0;
  let most = 0;
  await runGraph(nodes, { lanes }, async ({ name }) => {
    events.push(`+${name}`);
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now--;
    events.push(`-${name}`);
  });
  return { events, most };
}

describe("runGraph", () => {
  it("begins nothing before what it comes after has ended, and keeps to the lanes", async () => {
    const nodes = [node("end", "b", "c"), node("a"), node("b", "a"), node("c", "a"), node("d", "a")];
    const { events, most } = await trace(nodes, 2);
    expect(most).toBe(2);
    expect(events.filter((event) => event.startsWith("+"))).toHaveLength(5);
    for (const { name, after } of nodes)
      for (const earlier of after)
        expect(events.indexOf(`-${earlier}`)).toBeLessThan(events.indexOf(`+${name}`));
  });

  it("first runs what most others wait for", async () => {
    const nodes = [node("a1"), node("b1"), node("b2", "b1"), node("b3", "b1")];
    expect((await trace(nodes, 1)).events[0]).toBe("+b1");
  });

  it("stops after a failure, waits for what runs, and throws the first", async () => {
    const begun: string[] = [];
    let slowEnded = false;
    const run = async ({ name }: Node, stop: AbortSignal) => {
      begun.push(name);
      if (name === "bad") throw new Error("first");
      await new Promise<void>((resolve) => stop.addEventListener("abort", () => setTimeout(resolve, 5)));
      slowEnded = true;
    };
    const nodes = [node("slow"), node("bad"), node("never")];
    await expect(runGraph(nodes, { lanes: 2 }, run)).rejects.toThrow("first");
    expect(begun).toEqual(["slow", "bad"]);
    expect(slowEnded).toBe(true);
  });

  it("begins nothing once it is aborted", async () => {
    const controller = new AbortController();
    const begun: string[] = [];
    await runGraph([node("a"), node("b", "a")], { lanes: 1, signal: controller.signal }, async ({ name }) => {
      begun.push(name);
      controller.abort();
    });
    expect(begun).toEqual(["a"]);
  });

  it("says so where nodes wait for each other", async () => {
    await expect(runGraph([node("a", "b"), node("b", "a")], { lanes: 1 }, async () => {})).rejects.toThrow(
      "wait for each other",
    );
  });
});
