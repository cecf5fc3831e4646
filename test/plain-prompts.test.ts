// Plain prompts and a model with a chat template: never in silence, and through the template where that is asked for. Every
// verb does with `apply_chat_template` what it does with the same rows as messages.

import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadCompletions, loadPreferences, loadPrompts } from "../src/data/index.js";
import { openCodec } from "../src/train/models.js";
import { plainPromptRemarks } from "../src/train/plain-prompts.js";
import { chatServer } from "./support/chat-server.js";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

const user = (content: string) => [{ role: "user", content }];
const assistant = (content: string) => [{ role: "assistant", content }];
const questions = ["What is 2 + 3?", "Where is the river?", "Write about Ada.", "What is 4 + 4?"];

const plain = {
  prompts: questions.map((prompt) => ({ prompt })),
  completions: questions.map((prompt, i) => ({ prompt, completion: ` It is ${i}.` })),
  preferences: questions.map((prompt, i) => ({ prompt, chosen: `It is ${i}.`, rejected: `No ${i}!` })),
};
const chat = {
  prompts: questions.map((prompt) => ({ prompt: user(prompt) })),
  completions: questions.map((prompt, i) => ({ prompt: user(prompt), completion: assistant(`It is ${i}.`) })),
  preferences: questions.map((prompt, i) => ({
    prompt: user(prompt),
    chosen: assistant(`It is ${i}.`),
    rejected: assistant(`No ${i}!`),
  })),
};

let written = 0;
async function file(rows: readonly object[]): Promise<string> {
  const path = shop.path(`rows-${++written}.jsonl`);
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** What a person is told of it. */
const told = /plain text goes to the model as it stands, without the chat template that the model has/g;
const timesTold = (text: string) => (text.match(told) ?? []).length;

const firstStep = async (dir: string) => {
  const [line] = (await readFile(`${dir}/metrics.jsonl`, "utf8")).split("\n");
  const { step, loss, grad_norm: gradNorm, kl } = JSON.parse(line!);
  return { step, loss, gradNorm, kl };
};

describe("the verbs that train", () => {
  /** Trains on rows in three ways; the first step of each, and what was said at the start and at the end. */
  async function trained(
    verb: "sft" | "reward" | "align",
    kind: keyof typeof plain,
    recipe: (data: object) => object,
  ) {
    const results = [];
    for (const data of [
      { path: await file(plain[kind]) },
      { path: await file(plain[kind]), apply_chat_template: true },
      { path: await file(chat[kind]) },
      { path: await file(plain[kind]), apply_chat_template: false },
    ]) {
      const dir = shop.path(`run-${++written}`);
      const path = await shop.recipe(`${verb}-${written}.yaml`, { output_dir: dir, ...recipe(data) });
      const checked = await run(verb, path, "--check");
      const { code, out, err } = await run(verb, path);
      expect([code, err.slice(code === 0 ? err.length : 0)]).toEqual([0, ""]);
      results.push({ step: await firstStep(dir), told: [checked.out, err, out].map(timesTold) });
    }
    return results;
  }

  it.each([
    ["sft", "completions", (data: object) => ({ model: shop.policy, data, steps: 1, batch_size: 4 })],
    [
      "reward",
      "preferences",
      (data: object) => ({ model: shop.policy, data, steps: 1, batch_size: 4, eval_split: 0 }),
    ],
    [
      "align",
      "prompts",
      (prompts: object) => ({
        policy: shop.policy,
        steps: 1,
        tasks: [
          {
            name: "a",
            prompts,
            reward: { model: shop.reward },
            optimizer: { name: "reinforce", generations: 2, batch_prompts: 4, max_new_tokens: 4 },
          },
        ],
      }),
    ],
    [
      "align",
      "preferences",
      (prompts: object) => ({
        policy: shop.policy,
        steps: 1,
        tasks: [{ name: "a", prompts, optimizer: { name: "dpo", batch_prompts: 4 } }],
      }),
    ],
  ] as const)("%s on %s", async (verb, kind, recipe) => {
    const [asItStands, applied, messages, meant] = await trained(verb, kind, recipe);
    // In --check, at the start and at the end.
    expect(asItStands!.told).toEqual([1, 1, 1]);
    for (const result of [applied, messages, meant]) expect(result!.told).toEqual([0, 0, 0]);
    expect(applied!.step).toEqual(messages!.step);
    expect(meant!.step).toEqual(asItStands!.step);
    expect(applied!.step).not.toEqual(asItStands!.step);
  });

  it("a reward model of plain text is told apart where it scores conversations", async () => {
    const train = async (data: object) => {
      const dir = shop.path(`rm-${++written}`);
      const recipe = { output_dir: dir, model: shop.policy, data, steps: 1, batch_size: 4, eval_split: 0 };
      await run("reward", await shop.recipe(`rm-${written}.yaml`, recipe), "--quiet");
      return `${dir}/final`;
    };
    const path = await file(plain.preferences);
    const models = [await train({ path }), await train({ path, apply_chat_template: true })];
    const merged = shop.path("merged-plain");
    await run("warm", models[0]!, models[0]!, "-o", merged, "--quiet");
    const said = /the reward model .* has learned from plain text/;
    for (const [model, isSaid] of [...models, merged].map((model, i) => [model, i !== 1] as const)) {
      const task = {
        name: "a",
        prompts: await file(chat.prompts),
        reward: { model },
        optimizer: { name: "reinforce", generations: 2, batch_prompts: 4, max_new_tokens: 4 },
      };
      const recipe = {
        output_dir: shop.path(`out-${++written}`),
        policy: shop.policy,
        steps: 1,
        tasks: [task],
      };
      const path = await shop.recipe(`align-${written}.yaml`, recipe);
      const checked = await run("align", path, "--check");
      const ran = await run("align", path);
      const scored = await run("score", await file(chat.completions), "--model", model);
      expect([ran.code, scored.code]).toEqual([0, 0]);
      expect([checked.out, ran.err, scored.err].map((text) => said.test(text))).toEqual([
        isSaid,
        isSaid,
        isSaid,
      ]);
    }
  });

  it("refuses it where nothing says who speaks", async () => {
    const data = { path: await file([{ text: "Ada went home." }]), apply_chat_template: true };
    const path = await shop.recipe("text.yaml", { output_dir: shop.path("text"), model: shop.policy, data });
    const { code, err } = await run("sft", path);
    expect([code, err]).toEqual([2, expect.stringMatching(/apply_chat_template needs prompts with replies/)]);
  });
});

describe("the verbs that ask a model", () => {
  const rowsOf = (out: string) =>
    out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));

  it.each([
    ["sample", "prompts", ["--max-new-tokens", "4", "--greedy"]],
    ["logprobs", "completions", []],
    ["score", "completions", []],
  ] as const)("%s", async (verb, kind, flags) => {
    const model = verb === "score" ? shop.reward : shop.policy;
    const ask = (data: string, ...more: string[]) => run(verb, data, "--model", model, ...flags, ...more);
    const values = ({ out }: { out: string }) =>
      rowsOf(out).map(({ prompt_ids, completion_ids, reward, logprob }) => ({
        prompt_ids,
        completion_ids,
        reward,
        logprob,
      }));
    const [path, asMessages] = [await file(plain[kind]), await file(chat[kind])];
    const asItStands = await ask(path);
    const applied = await ask(path, "--chat");
    const messages = await ask(asMessages);
    const meant = await ask(path, "--no-chat");
    const quiet = await ask(path, "--quiet");
    const all = [asItStands, applied, messages, meant, quiet];
    expect(all.map(({ err }) => timesTold(err))).toEqual([1, 0, 0, 0, 1]);
    expect(values(applied)).toEqual(values(messages));
    expect(values(meant)).toEqual(values(asItStands));
    expect(values(applied)).not.toEqual(values(asItStands));
  });

  it("sample --prompt and --best-of", async () => {
    const flags = ["--model", shop.policy, "--max-new-tokens", "4"];
    const one = await run("sample", "--prompt", questions[0]!, ...flags);
    expect([one.code, timesTold(one.err)]).toEqual([0, 1]);
    const said = await run("sample", "--prompt", questions[0]!, "--chat", ...flags);
    expect([said.code, timesTold(said.err)]).toEqual([0, 0]);
    const best = ["--best-of", "2", "--reward", shop.reward];
    const data = await file(plain.prompts);
    expect(timesTold((await run("sample", data, ...flags, ...best)).err)).toBe(1);
    const chosen = await run("sample", data, "--chat", ...flags, ...best);
    expect(rowsOf(chosen.out).map(({ prompt }) => prompt)).toEqual(questions.map(user));
  });

  it("eval --against and elo, for each of the models", async () => {
    const data = await file(plain.prompts);
    const sampling = ["--prompts", data, "--max-new-tokens", "2", "--limit", "2"];
    const against = ["--model", shop.policy, "--against", shop.policy, "--by", `reward:${shop.reward}`];
    const compared = await run("eval", ...against, ...sampling);
    expect([compared.code, timesTold(compared.err)]).toEqual([0, 2]);
    expect(timesTold((await run("eval", ...against, ...sampling, "--chat")).err)).toBe(0);

    const server = await chatServer(() => "A");
    try {
      const judged = ["--judge", `j@${server.baseUrl}`];
      const same = ["--model", `a=${shop.policy}`, "--model", `b=${shop.policy}`];
      const rated = await run("elo", ...same, ...sampling, ...judged, "--temperature", "1");
      expect(timesTold(rated.err)).toBe(2);
      expect(timesTold((await run("elo", ...same, ...sampling, ...judged, "--chat")).err)).toBe(0);
    } finally {
      await server.close();
    }
  });

  it("warm inspect and average, with the pairs that they measure by", async () => {
    const [path, asMessages] = [await file(plain.preferences), await file(chat.preferences)];
    const inspect = (...argv: string[]) => run("warm", "inspect", shop.reward, shop.reward, ...argv);
    const asItStands = await inspect("--data", path);
    expect([asItStands.code, timesTold(asItStands.err)]).toEqual([0, 1]);
    const [applied, messages] = [
      await inspect("--data", path, "--chat"),
      await inspect("--data", asMessages),
    ];
    expect([applied.err, messages.err].map(timesTold)).toEqual([0, 0]);
    expect(applied.out).toBe(messages.out);
    const average = (...more: string[]) =>
      run("warm", shop.reward, shop.reward, "-o", shop.path(`merged-${++written}`), "--eval", path, ...more);
    expect(timesTold((await average()).err)).toBe(1);
    expect(timesTold((await average("--chat")).err)).toBe(0);
  });
});

describe("init", () => {
  it.each([
    ["sft", "completions"],
    ["reward", "preferences"],
    ["align", "prompts"],
  ] as const)("writes %s recipes that do the right thing", async (verb, kind) => {
    const sourceIn = async (model: string, data: string) => {
      const out = shop.path(`init-${++written}.yaml`);
      const argv = [
        "--verb",
        verb,
        "--model",
        model,
        "--data",
        data,
        "-o",
        out,
        "--yes",
        ...(verb === "align" ? ["--reward", shop.reward] : []),
      ];
      const { code, err } = await run("init", ...argv);
      expect([code, err]).toEqual([0, expect.any(String)]);
      const recipe = parse(await readFile(out, "utf8"));
      return recipe.data ?? recipe.tasks[0].prompts;
    };
    const data = await file(plain[kind]);
    expect(await sourceIn(shop.policy, data)).toEqual({ path: data, apply_chat_template: true });
    expect(await sourceIn("org/model-Instruct", data)).toEqual({ path: data, apply_chat_template: true });
    expect(await sourceIn("org/model", data)).toBe(data);
    const messages = await file(chat[kind]);
    expect(await sourceIn(shop.policy, messages)).toBe(messages);
  });
});

describe("rows", () => {
  const options = { applyChatTemplate: true };

  it("become turns: prompt, completion, pairs, transcripts", async () => {
    const { rows, description } = await loadCompletions(await file(plain.completions), options);
    expect(rows[1]).toMatchObject({ prompt: user("Where is the river?"), completion: assistant("It is 1.") });
    expect(description).toMatch(/; prompts as user messages \(apply_chat_template\)/);
    const said = (reply: string) =>
      `\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Where?\n\nAssistant: ${reply}`;
    const pairs = await file([{ chosen: said("Here."), rejected: said("There.") }]);
    const turns = [...user("Hi"), ...assistant("Yes?"), ...user("Where?")];
    const [pair] = (await loadPreferences(pairs, options)).rows;
    expect(pair).toMatchObject({ prompt: turns, chosen: assistant("Here."), rejected: assistant("There.") });
    const [prompt] = (await loadPrompts(pairs, options)).rows;
    expect(prompt!.prompt).toEqual(turns);
    // What a baseline is made of is the answer, without the prompt that it began with.
    expect(prompt!.metadata).toMatchObject({ chosen: " Here.", rejected: " There." });
  });

  it("that the template has written already are no mistake", async () => {
    const codec = await openCodec(shop.policy);
    const rendered = codec.decode(codec.prompt(user("Hi")));
    const { tokenizer } = codec;
    const written = tokenizer.decode(codec.prompt(user("Hi")), { skipSpecialTokens: false });
    const source = "x";
    expect(plainPromptRemarks([{ prompt: written }], codec, { source })).toEqual([]);
    expect(plainPromptRemarks([{ prompt: rendered }], codec, { source })).toHaveLength(1);
    expect(plainPromptRemarks([{ prompt: "" }], codec, { source })).toEqual([]);
  });
});
