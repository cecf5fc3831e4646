// A run whose judges, rubric and meta reward model are language models on servers of this machine: --replay repeats it
// byte for byte when the servers are gone, and an interrupted run goes on to the same bytes.

import { readFileSync, statSync } from "node:fs";
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { hash32 } from "../src/base/random.js";
import { judgeFile } from "../src/eval/judge-file.js";
import { gradeItem } from "../src/mpo/scripted/dialect.js";
import { type ScriptedServer, startScriptedServer } from "../src/mpo/scripted/server.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { InterruptedError, silent } from "../src/run/context.js";
import { type Rollout, readJsonl } from "../src/run/metrics.js";
import type { AlignOptions } from "../src/train/align/align.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

interface Guard {
  baseUrl: string;
  /** Requests so far. */
  asked(): number;
  onRequest(count: number): void;
  close(): Promise<void>;
}

/**
 * A judge model whose answers depend on the question alone: of five questions one gets a server error and one gets
 * probabilities that name no label, so that it is asked again for JSON.
 */
async function startGuard(): Promise<Guard> {
  let asked = 0;
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    guard.onRequest(++asked);
    const { messages, logprobs } = JSON.parse(text) as {
      messages: { content: string }[];
      logprobs?: boolean;
    };
    const frame = /<<<response [0-9a-f]{16}/.exec(messages.at(-1)!.content)![0];
    const kind = hash32(frame) % 5;
    const label = hash32(frame) % 2 === 0 ? "Yes" : "No";
    const top = kind === 1 ? [{ token: "Well", logprob: -0.01 }] : [{ token: label, logprob: -0.2 }];
    const content = logprobs ? top[0]!.token : JSON.stringify({ reason: "it is so", label });
    response.writeHead(kind === 0 ? 500 : 200, { "content-type": "application/json" });
    response.end(
      JSON.stringify(
        kind === 0
          ? { error: { message: "no" } }
          : {
              choices: [
                {
                  message: { role: "assistant", content },
                  finish_reason: "stop",
                  logprobs: logprobs ? { content: [{ ...top[0], top_logprobs: top }] } : null,
                },
              ],
              usage: { prompt_tokens: 9, completion_tokens: 1 },
            },
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked: () => asked,
    onRequest: () => {},
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

let shop: Workshop;
let scripted: ScriptedServer;
let guard: Guard;
beforeAll(async () => {
  shop = await openWorkshop();
  const effort = gradeItem("Effort", [6, "at least 4 words"], [5, "at least 3 words"], [0, "otherwise"]);
  await shop.recipe("rubric.yaml", { items: [effort] });
});
afterAll(() => shop.remove());
beforeEach(async () => {
  [scripted, guard] = [await startScriptedServer(), await startGuard()];
});
afterEach(async () => {
  await scripted.close();
  await guard.close();
  await rm(shop.path("run"), { recursive: true, force: true });
});

function recipeFields(changes: object = {}) {
  const settings = { max_retries: 0, retry_seconds: 0, concurrency: 1 };
  const meta = { model: "mrm", interval: 2, samples: 6, refinement: "single-shot", sampling: "uniform" };
  return {
    output_dir: shop.path("run"),
    policy: shop.policy,
    steps: 4,
    learning_rate: 0.01,
    save_steps: 1,
    save_total_limit: 9,
    engine: { threads: 1 },
    llm: {
      rm: { model: "rm", base_url: scripted.baseUrl, ...settings },
      mrm: { model: "mrm", base_url: scripted.baseUrl, ...settings },
      guard: { model: "guard-1b", base_url: guard.baseUrl, api_key_env: "GUARD_KEY", ...settings },
    },
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { rubric: shop.path("rubric.yaml"), judge_model: "rm", meta },
        run_all_judges: true,
        // Replies that fail are part of what is repeated.
        max_failed_rate: 1,
        judges: [
          { kind: "style", model: "guard" },
          { kind: "yes_no", question: "Is it polite?", model: "other", base_url: guard.baseUrl, ...settings },
        ],
        optimizer: { name: "crpg", generations: 3, batch_prompts: 2, max_new_tokens: 10 },
      },
    ],
    ...changes,
  };
}

const recipeOf = (changes: object = {}) =>
  parseRecipe("align", stringify(recipeFields(changes)), shop.path("recipe.yaml"));

const key = "sk-guard-0815-abcdef";
const align = async (options: Partial<AlignOptions> = {}, recipe = recipeOf()) => {
  process.env.GUARD_KEY = key;
  try {
    return await runAlignRecipe(recipe, { reporter: silent, resume: false, ...options });
  } finally {
    delete process.env.GUARD_KEY;
  }
};

/** The recorded run under another name, and nobody left to ask. */
async function recorded() {
  const recipe = recipeOf();
  await align({}, recipe);
  await rename(shop.path("run"), shop.path("first"));
  await scripted.close();
  await guard.close();
  return recipe;
}

describe("--replay", () => {
  afterEach(() => rm(shop.path("first"), { recursive: true, force: true }));

  it("gives the same bytes with every server down and no key at hand", async () => {
    const recipe = await recorded();
    const rollouts = await readJsonl<Rollout>(shop.path("first", "rollouts.jsonl"));
    const verdicts = rollouts.flatMap((row) => Object.values(row.verdicts));
    const ways = verdicts.map(({ evidence }) => (evidence as { by?: string } | undefined)?.by ?? "failed");
    expect(new Set(ways)).toEqual(new Set(["logprobs", "json_schema", "failed"]));
    const asked = guard.asked();
    await runAlignRecipe(recipe, { reporter: silent, resume: false, replay: shop.path("first") });
    await expectSameBytes(shop.path("run"), shop.path("first"));
    expect(guard.asked()).toBe(asked);
  });

  it("records each model in a file of its own, for its owner alone, and no key anywhere", async () => {
    await recorded();
    const files = await readdir(shop.path("first", "llm"));
    expect(files.sort()).toEqual([
      "guard.jsonl",
      "mrm.jsonl",
      expect.stringMatching(/^other-[0-9a-f]{8}\.jsonl$/),
      "rm.jsonl",
    ]);
    for (const file of files) {
      expect(statSync(shop.path("first", "llm", file)).mode & 0o777).toBe(0o600);
      expect(readFileSync(shop.path("first", "llm", file), "utf8")).not.toContain(key);
    }
  });

  it("ends where a judge asks what the log does not hold", async () => {
    const recipe = await recorded();
    await writeFile(shop.path("first", "llm", "guard.jsonl"), "");
    await expect(
      runAlignRecipe(recipe, { reporter: silent, resume: false, replay: shop.path("first") }),
    ).rejects.toThrow(/guard\.jsonl holds no reply to a request of this run/);
  });

  it("ends where there is no log", async () => {
    const recipe = await recorded();
    await rm(shop.path("first", "llm", "guard.jsonl"));
    await expect(
      runAlignRecipe(recipe, { reporter: silent, resume: false, replay: shop.path("first") }),
    ).rejects.toThrow(/there is no log .*guard\.jsonl to replay/);
  });
});

it("an interrupted run goes on to the same bytes", async () => {
  const recipe = recipeOf();
  await align({}, recipe);
  await rename(shop.path("run"), shop.path("whole"));
  for (let stop = 1; stop < 4; stop++) {
    const controller = new AbortController();
    const reporter = { ...silent, step: (done: number) => void (done === stop && controller.abort()) };
    const resume = stop > 1;
    await expect(align({ reporter, resume, signal: controller.signal }, recipe)).rejects.toThrow(
      InterruptedError,
    );
  }
  await align({ resume: true }, recipe);
  await expectSameBytes(shop.path("run"), shop.path("whole"));
  await rm(shop.path("whole"), { recursive: true });
});

/** Replies may come in another order; what is in the logs may not differ. */
async function sortLogs(dir: string): Promise<void> {
  for (const file of await readdir(`${dir}/llm`)) {
    const lines = readFileSync(`${dir}/llm/${file}`, "utf8").split("\n");
    await writeFile(`${dir}/llm/${file}`, lines.sort().join("\n"));
  }
}

it.each([3, 20, 33])("so does one that was interrupted while the %ith request was answered", async (at) => {
  const recipe = recipeOf();
  const controller = new AbortController();
  guard.onRequest = (n) => void (n === at && controller.abort());
  await expect(align({ signal: controller.signal }, recipe)).rejects.toThrow(InterruptedError);
  guard.onRequest = () => {};
  await align({ resume: true }, recipe);
  const asked = guard.asked();
  await rename(shop.path("run"), shop.path("resumed"));
  await align({}, recipe);
  for (const name of ["run", "resumed"]) await sortLogs(shop.path(name));
  await expectSameBytes(shop.path("resumed"), shop.path("run"));
  // All that was asked twice is what was under way, and what had failed.
  expect(asked - (guard.asked() - asked)).toBeLessThanOrEqual(12);
  await rm(shop.path("resumed"), { recursive: true });
});

it("touchstone judge asks the models of its recipe, and with --log nothing twice", async () => {
  const { llm } = recipeFields();
  const fields = recipeFields({ llm: { ...llm, guard: { ...llm.guard, api_key_env: undefined } } });
  const recipe = await shop.recipe("judges.yaml", fields);
  const answers = Array.from({ length: 9 }, (_, i) =>
    JSON.stringify({ prompt: "Go.", response: `word ${i}` }),
  );
  await writeFile(shop.path("answers.jsonl"), answers.join("\n"));
  const judge = () =>
    judgeFile(shop.path("answers.jsonl"), { judges: { recipe }, log: shop.path("asked"), all: true });
  const first = await judge();
  expect(first.metrics["judges/style/failed_rate"]).toBeLessThan(1);
  const [asked, failed] = [guard.asked(), first.rows.filter((row) => JSON.stringify(row).includes("500 no"))];
  expect((await judge()).rows).toEqual(first.rows);
  // What failed is asked again, of both judges.
  expect(guard.asked() - asked).toBe(2 * failed.length);
});

it("a used-up budget of a judge's model ends the run", async () => {
  const llm = {
    rm: { model: "rm", base_url: scripted.baseUrl },
    mrm: { model: "mrm", base_url: scripted.baseUrl },
    guard: { model: "guard-1b", base_url: guard.baseUrl, max_retries: 0, budget: { tokens: 50 } },
  };
  await expect(align({}, recipeOf({ llm }))).rejects.toThrow("the budget of 50 tokens is used up");
});
