import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { judgeBatch } from "../src/judges/mixture.js";
import { mixtureFrom } from "../src/judges/registry.js";
import { type ChatEngine, checkpointClient } from "../src/llm/checkpoint.js";
import { LlmModels } from "../src/llm/models.js";
import type { ChatClient, ChatRequest } from "../src/llm/types.js";
import { gradeItem } from "../src/mpo/scripted/dialect.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { type MetricsRow, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { type OpenedPolicy, openPolicy } from "../src/train/models.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

const engine = { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 } as const;

let shop: Workshop;
let opened: OpenedPolicy;
/** Prompts of every call to `sample`. */
let calls: number[];
let chat: ChatClient;
beforeAll(async () => {
  shop = await openWorkshop();
  opened = await openPolicy(shop.policy, { engine, frozen: true });
  const { policy, codec } = opened;
  const watched: ChatEngine = {
    policy: {
      limits: policy.limits,
      endIds: policy.endIds,
      logprobs: (sequences) => policy.logprobs(sequences),
      sample: (prompts, options) => {
        calls.push(prompts.length);
        return policy.sample(prompts, options);
      },
    },
    codec,
  };
  calls = [];
  chat = checkpointClient(watched);
});
afterAll(async () => {
  opened.policy.dispose();
  await shop.remove();
});

const ask = (text: string, changes: Partial<ChatRequest> = {}): ChatRequest => ({
  model: "local",
  messages: [{ role: "user", content: text }],
  maxTokens: 8,
  ...changes,
});

const labelled = (text: string, words: readonly string[]) =>
  ask(text, { labels: { words, tokens: 1, minShare: 0 } });

describe("replies", () => {
  it("are the same alone and in a batch, and requests of one moment are one batch", async () => {
    const texts = ["Write about the sea.", "What is 2 + 2?", "Write about the road."];
    const alone = [];
    for (const text of texts) alone.push(await chat.chat(ask(text)));
    calls.length = 0;
    const together = await Promise.all(texts.map((text) => chat.chat(ask(text))));
    expect(calls).toEqual([3]);
    expect(together).toEqual(alone);
    expect(together[0]).toMatchObject({ finishReason: "length", completionTokens: 8 });
    expect(together[0]!.promptTokens).toBe(
      opened.codec.prompt([{ role: "user", content: texts[0]! }]).length,
    );
  });

  it("depend on the seed above temperature 0, and requests with other limits are batches of their own", async () => {
    calls.length = 0;
    const [a, b, again, short] = await Promise.all([
      chat.chat(ask("Go.", { temperature: 1, seed: 1 })),
      chat.chat(ask("Go.", { temperature: 1, seed: 2 })),
      chat.chat(ask("Go.", { temperature: 1, seed: 1 })),
      chat.chat(ask("Go.", { maxTokens: 2 })),
    ]);
    expect(again).toEqual(a);
    expect(b!.content).not.toBe(a!.content);
    expect(short!.completionTokens).toBe(2);
    expect(calls).toEqual([3, 1]);
  });

  it("end before a stop string", async () => {
    const whole = await chat.chat(ask("Write about the sea."));
    const stop = whole.content.slice(3, 5);
    const cut = await chat.chat(ask("Write about the sea.", { stop: [stop] }));
    expect(cut.content).toBe(whole.content.slice(0, whole.content.indexOf(stop)));
  });

  it("a request beyond the window fails by itself", async () => {
    const [good, bad] = await Promise.allSettled([
      chat.chat(ask("Write.")),
      chat.chat(ask("word ".repeat(300))),
    ]);
    expect(good.status).toBe("fulfilled");
    expect(String((bad as PromiseRejectedResult).reason)).toMatch(
      /has \d+ tokens, and the model's window is 256/,
    );
  });
});

/** A judge's prompt within the window of the small model. */
const shortPrompt = {
  version: "1",
  labels: { satisfied: "Yes", violated: "No" },
  messages: [{ role: "user", content: "Good? {{response}}" }],
};

describe("labels", () => {
  it("have the probability of their tokens after the prompt", async () => {
    const { policy, codec } = opened;
    const messages = [{ role: "user" as const, content: "Is the sea blue?" }];
    const { answer } = await chat.chat(labelled("Is the sea blue?", ["Yes", "No"]));
    const prompt = codec.prompt(messages);
    const logprobs: number[] = [];
    for (const label of ["Yes", "No"]) {
      const tokens = [...prompt, ...codec.tokenizer.encode(label, { addSpecialTokens: false })];
      const [row] = await policy.logprobs([{ tokens, promptLength: prompt.length }]);
      logprobs.push(row!.reduce((sum, logprob) => sum + logprob, 0));
    }
    const yes = 1 / (1 + Math.exp(logprobs[1]! - logprobs[0]!));
    expect(answer!.probabilities![0]).toBeCloseTo(yes, 5);
    expect(answer!.label).toBe(yes >= 0.5 ? "Yes" : "No");
    const [other] = await Promise.all([
      chat.chat(labelled("Is the sea blue?", ["No", "Yes"])),
      chat.chat(labelled("Is the sea blue?", ["No", "Maybe"])),
    ]);
    expect(other.answer!.probabilities![1]).toBeCloseTo(yes, 5);
  });

  it("a question beyond the window fails by itself", async () => {
    const [good, bad] = await Promise.allSettled([
      chat.chat(labelled("Good?", ["Yes", "No"])),
      chat.chat(labelled("word ".repeat(300), ["Yes", "No"])),
    ]);
    expect(good.status).toBe("fulfilled");
    expect(String((bad as PromiseRejectedResult).reason)).toMatch(
      /has \d+ tokens, and the model's window is 256/,
    );
  });

  it("decide for a judge", async () => {
    const prompt = await shop.recipe("short.yaml", shortPrompt);
    const llm = new LlmModels({ guard: { model: "here" } }, { openCheckpoint: async () => chat });
    const context = { baseDir: ".", llm };
    const mixture = await mixtureFrom(
      [{ kind: "style", model: "guard", min_label_share: 0, prompt }],
      context,
    );
    const { results } = await judgeBatch(mixture, [
      { prompt: "Hi.", response: "Hello.", truncated: false, metadata: {} },
    ]);
    const verdict = results[0]!.verdicts.style;
    expect(verdict).toMatchObject({
      verdict: expect.stringMatching(/^(satisfied|violated)$/),
      evidence: { by: "logprobs", probability: expect.any(Number) },
    });
    const { probability } = (verdict as { evidence: { probability: number } }).evidence;
    expect(probability).toBeGreaterThanOrEqual(0.5);
    expect(probability).toBeLessThanOrEqual(1);
  });
});

describe("in align", () => {
  const align = async (model: string, dir = shop.path("run")) => {
    await shop.recipe("short.yaml", shortPrompt);
    await shop.recipe("rubric.yaml", { items: [gradeItem("Effort", [6, "long"], [0, "short"])] });
    const recipe = {
      output_dir: dir,
      policy: shop.policy,
      steps: 1,
      engine: { threads: 1 },
      llm: { local: { model } },
      tasks: [
        {
          name: "writing",
          prompts: shop.data("prompts/writing.jsonl"),
          reward: { rubric: shop.path("rubric.yaml"), judge_model: "local", max_tokens: 8, attempts: 1 },
          judges: [{ kind: "style", model: "local", min_label_share: 0, prompt: shop.path("short.yaml") }],
          optimizer: { name: "rloo", generations: 2, batch_prompts: 2, max_new_tokens: 4 },
          max_failed_rate: 1,
        },
      ],
    };
    const parsed = parseRecipe("align", stringify(recipe), shop.path("recipe.yaml"));
    await runAlignRecipe(parsed, { reporter: silent, resume: false, allowNothingLearned: true });
    return await readJsonl<MetricsRow>(`${dir}/metrics.jsonl`);
  };

  it("a checkpoint judges and scores; one that cannot follow a rubric fails every sample", async () => {
    const [row] = await align(shop.policy);
    expect(row).toMatchObject({
      "tasks/writing/rubric/failed_rate": 1,
      "tasks/writing/rubric/calls": 4,
      "tasks/writing/judges/style/failed_rate": 0,
      "tasks/writing/constraints/style/violation_rate": expect.any(Number),
      grad_norm: 0,
    });
  });

  it("a reward model is no model to talk to", async () => {
    await expect(align(shop.reward, shop.path("other"))).rejects.toThrow(/is a reward model/);
  });
});
