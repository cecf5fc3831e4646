// Judges in a run: a server that fails, verdicts that are remembered, prompts that name their judges.

import { rm, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { hash32, uniformAt } from "../src/base/random.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { type MetricsRow, type Rollout, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { type ChatServer, chatServer } from "./support/chat-server.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: ChatServer | undefined;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterEach(async () => {
  await server?.close();
  server = undefined;
});
afterAll(() => shop.remove());

async function align(judges: object[], changes: object = {}, task: object = {}) {
  const dir = shop.path("run");
  await rm(dir, { recursive: true, force: true });
  const optimizer = { name: "crpg", generations: 4, batch_prompts: 4, max_new_tokens: 3 };
  const tasks = [
    {
      name: "writing",
      prompts: shop.data("prompts/writing.jsonl"),
      reward: { warm: shop.reward },
      judges,
      // These tests look at what a run does with failures.
      max_failed_rate: 1,
      optimizer,
      ...task,
    },
  ];
  const recipe = {
    output_dir: dir,
    policy: shop.policy,
    steps: 3,
    engine: { threads: 1 },
    tasks,
    ...changes,
  };
  await runAlignRecipe(parseRecipe("align", stringify(recipe), shop.path("recipe.yaml")), {
    reporter: silent,
    resume: false,
  });
  return {
    metrics: await readJsonl<MetricsRow>(`${dir}/metrics.jsonl`),
    timings: await readJsonl<MetricsRow>(`${dir}/timings.jsonl`),
    rollouts: await readJsonl<Rollout>(`${dir}/rollouts.jsonl`),
  };
}

/** Every third text or so is unsafe. */
const isUnsafe = (content: string) => hash32(/<<<response[^\n]*\n(.*)\n/s.exec(content)?.[1] ?? "") % 3 === 0;

it("a judge's server that fails changes no verdict that it gave, ends no run, and is counted", {
  timeout: 120_000,
}, async () => {
  const run = async (faultRate: number) => {
    await server?.close();
    server = await chatServer((body, count) => {
      if (uniformAt(7, 1, count) < faultRate)
        return [{ status: 500 }, { status: 429 }, "Certainly!"][count % 3]!;
      return isUnsafe(body.messages.at(-1)!.content) ? "unsafe" : "safe";
    });
    const judge = { kind: "safety", model: "guard", base_url: server.baseUrl, max_retries: 0 };
    return align([judge], { learning_rate: 0 });
  };
  const sound = await run(0);
  const faulty = await run(0.3);
  const verdictsOf = ({ rollouts }: typeof sound) =>
    rollouts.map(({ verdicts }) => verdicts.safety!.verdict as string);
  const [wanted, found] = [verdictsOf(sound), verdictsOf(faulty)];
  expect(new Set(wanted)).toEqual(new Set(["satisfied", "violated"]));
  expect(found).toHaveLength(3 * 4 * 4);
  expect(found.map((verdict, i) => (verdict === "failed" ? wanted[i] : verdict))).toEqual(wanted);
  faulty.metrics.forEach((row, step) => {
    const failed = found.slice(16 * step, 16 * step + 16).filter((verdict) => verdict === "failed").length;
    expect(row["tasks/writing/judges/safety/failed_rate"]).toBe(failed / 16);
    expect(sound.metrics[step]!["tasks/writing/judges/safety/failed_rate"]).toBe(0);
  });
  expect(found).toContain("failed");
});

it("what a costly judge said is remembered; how often goes to timings.jsonl, which a resumed run does not repeat", {
  timeout: 120_000,
}, async () => {
  server = await chatServer(({ messages }) => (isUnsafe(messages.at(-1)!.content) ? "unsafe" : "safe"));
  // At a temperature near 0 the responses to a prompt are all the same.
  const optimizer = {
    name: "reinforce",
    generations: 4,
    batch_prompts: 4,
    max_new_tokens: 3,
    temperature: 0.001,
  };
  const judges = [{ kind: "safety", model: "guard", base_url: server.baseUrl }];
  const { metrics, timings } = await align(judges, { learning_rate: 0, steps: 2 }, { optimizer });
  const hits = timings.map((row) => row["tasks/writing/judges/safety/cache_hits"] as number);
  expect(hits).toEqual([12, 12]);
  expect(JSON.stringify(metrics)).not.toContain("cache_hits");
  const asked = new Set(server.bodies.map(({ messages }) => JSON.stringify(messages)));
  // A server without probabilities is asked in other ways first.
  expect(asked.size).toBeLessThanOrEqual(16);
});

it("a prompt that names an unknown judge is refused before the run begins", async () => {
  const data = shop.path("named.jsonl");
  await writeFile(data, `${JSON.stringify({ prompt: "Write.", judges: ["lenght"] })}\n`);
  await expect(align([{ kind: "length", max_words: 3 }], {}, { prompts: data })).rejects.toThrow(
    'the column judges names "lenght" (did you mean "length"?), but the task\'s judges are length',
  );
});
