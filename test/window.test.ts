// Rows beyond what a model reads are computed, and said: on stderr and in the row.

import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let data: string;
beforeAll(async () => {
  shop = await openWorkshop();
  data = shop.path("rows.jsonl");
  const rows = [
    { prompt: "I am", completion: " glad" },
    { prompt: "I am", completion: " very glad".repeat(300) },
  ];
  await writeFile(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
});
afterAll(() => shop.remove());

it.each(["score", "logprobs"] as const)("%s", async (verb) => {
  const model = verb === "score" ? shop.reward : shop.policy;
  const { code, out, err } = await run(verb, data, "--model", model);
  expect(code).toBe(0);
  expect(err).toMatch(
    /warning: 1 of 2 rows have more than the 256 tokens that .* reads \(max_position_embeddings\), the longest \d+/,
  );
  const [first, second] = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(first).not.toHaveProperty("beyond_window");
  const longest = Number(/the longest (\d+)/.exec(err)![1]);
  expect(second.beyond_window).toBe(longest - 256);
});
