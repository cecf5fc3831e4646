// Every kind of silent fault of real checkpoints once through a verb, on tiny models whose right answer is known; two of
// them against PEFT and transformers (test/oracle/kinds.py).

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalLanguageModel, LocalScalarModel } from "../src/engine/local/index.js";
import { loraTargets, readAdapter } from "../src/model/adapter.js";
import { parseDecoderConfig } from "../src/model/config.js";
import { TextCodec } from "../src/train/text.js";
import { run } from "./support/in-process.js";

const fixtures = join(import.meta.dirname, "fixtures");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-kinds-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
beforeAll(async () => {
  expect((await run("convert", join(fixtures, "gguf/llama.gguf"), join(scratch, "plain"))).code).toBe(0);
});

type Json = Record<string, unknown>;
let count = 0;

const template = "{% for m in messages %}{{ m.content }}{% endfor %}";

/**
 * A model whose tokenizer knows the letters, "th" (29), "he" (30), "the" (31), <s> (1) and </s> (2): `a` is 3. `files` are
 * merged into the JSON files there, or written.
 */
function model(files: Record<string, Json | string> = {}, weights = "engine/llama-tied"): string {
  const dir = join(scratch, `model-${count++}`);
  if (weights === "plain") cpSync(join(scratch, "plain"), dir, { recursive: true });
  else {
    cpSync(join(fixtures, weights), dir, { recursive: true });
    for (const file of ["tokenizer.json", "tokenizer_config.json"])
      cpSync(join(scratch, "plain", file), join(dir, file));
  }
  const all = { "tokenizer_config.json": { chat_template: template }, ...files };
  for (const [name, change] of Object.entries(all)) {
    const file = join(dir, name);
    const before = (): Json => {
      try {
        return JSON.parse(readFileSync(file, "utf8"));
      } catch {
        return {};
      }
    };
    writeFileSync(file, typeof change === "string" ? change : JSON.stringify({ ...before(), ...change }));
  }
  return dir;
}

function data(rows: (Json | string)[], name = "jsonl"): string {
  const file = join(scratch, `rows-${count++}.${name}`);
  writeFileSync(file, rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"));
  return file;
}

const said = (content: string): Json => ({ prompt: [{ role: "user", content }] });

/** The rows that a verb prints. */
async function rowsOf(verb: string, file: string, dir: string, ...flags: string[]) {
  const { code, out, err } = await run(verb, file, "--no-chat", "--model", dir, "--quiet", ...flags);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}
const sampled = (dir: string, rows: (Json | string)[], name?: string) =>
  rowsOf("sample", data(rows, name), dir, "--max-new-tokens", "2", "--greedy");
const promptIds = async (dir: string, row: Json) => (await sampled(dir, [row]))[0].prompt_ids;
const logprobsOf = async (dir: string, row: Json) => (await rowsOf("logprobs", data([row]), dir))[0].logprobs;

const kinds: Record<string, () => Promise<void>> = {
  async "K1: a token across the boundary is the completion's"() {
    const dir = model();
    const joined = await logprobsOf(dir, { prompt: "xt", completion: "hea" });
    // x, the, a and the end.
    const ids = await logprobsOf(dir, { prompt_ids: [26], completion_ids: [31, 3, 2] });
    expect(joined.slice(0, 2)).toEqual(ids.slice(0, 2));
  },
  async "K2: a token of one byte ends no turn"() {
    const dir = model({
      "tokenizer_config.json": {
        chat_template:
          "{% for m in messages %}{{ m.content }}{{ '<end>' if m.role == 'assistant' }}{% endfor %}",
      },
    });
    const tokenizer = JSON.parse(readFileSync(join(dir, "tokenizer.json"), "utf8"));
    tokenizer.model.byte_fallback = true;
    for (let byte = 0; byte < 256; byte++) {
      const content = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
      tokenizer.model.vocab[content] = 32 + byte;
      if (byte < 64) tokenizer.added_tokens.push({ id: 32 + byte, content, special: true });
    }
    writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizer));
    const codec = await TextCodec.open(dir);
    expect(codec.stopIds).toEqual([2]);
  },
  async "K2: every end id of generation_config stops"() {
    const dir = model();
    const [{ completion_ids: free }] = await sampled(dir, [said("abc")]);
    const ends = model({ "generation_config.json": { eos_token_id: [2, free[0]] } });
    const [row] = await sampled(ends, [said("abc")]);
    expect([row.completion_ids, row.finish_reason]).toEqual([[free[0]], "stop"]);
  },
  async "K3: an end that a completion has is not added again"() {
    const dir = model();
    const with_ = await logprobsOf(dir, { prompt: "ab", completion: "cd</s>" });
    expect(with_).toEqual(await logprobsOf(dir, { prompt: "ab", completion: "cd" }));
  },
  async "K4: a stored head beside a tied embedding is used"() {
    const rows = { prompt: "ab", completion: "cd" };
    const tied = model({ "config.json": { tie_word_embeddings: true } }, "plain");
    expect(await logprobsOf(tied, rows)).toEqual(await logprobsOf(model({}, "plain"), rows));
  },
  async "K6: templates see special_tokens_map.json"() {
    const dir = model({
      "special_tokens_map.json": { bos_token: { content: "</s>", lstrip: false } },
      "tokenizer_config.json": { bos_token: null, chat_template: "{{ bos_token }}{{ messages[0].content }}" },
    });
    const [first] = await promptIds(dir, said("a"));
    expect([1, 2]).toContain(first);
  },
  async "K7: a token that only tokenizer_config names is one id"() {
    const dir = model({
      "tokenizer_config.json": { chat_template: template, extra_special_tokens: { image_token: "qu" } },
    });
    expect(await promptIds(dir, said("aqub"))).toEqual([3, 32, 4]);
  },
  async "K8: single_word of an added token"() {
    const added = {
      id: 32,
      content: "qu",
      single_word: true,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: false,
    };
    const dir = model();
    const tokenizer = JSON.parse(readFileSync(join(dir, "tokenizer.json"), "utf8"));
    tokenizer.added_tokens.push(added);
    writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizer));
    expect(await promptIds(dir, said("qu"))).toEqual([32]);
    expect(await promptIds(dir, said("aqub"))).toEqual([3, 19, 23, 4]);
  },
  async "K9: line ends of a template are jinja2's"() {
    const source = `{{ 'x' if "a\r\nb"|length == 3 else 'y' }}`;
    expect(await promptIds(model({ "tokenizer_config.json": { chat_template: source } }), said("a"))).toEqual(
      [26],
    );
  },
  async "K10: values are jinja2's"() {
    const source =
      "{{ 'q' if ('x' ~ true) == 'xTrue' and [1, 2] == [1, 2] and '1' != 1 and '%s' | format('a') == 'a' else 'z' }}";
    expect(await promptIds(model({ "tokenizer_config.json": { chat_template: source } }), said("a"))).toEqual(
      [19],
    );
  },
  async "K11: tools reach the template, as a list and as text"() {
    const dir = model({
      "tokenizer_config.json": { chat_template: "{{ tools[0].function.name if tools else 'z' }}" },
    });
    const tools = [{ type: "function", function: { name: "the" } }];
    expect(await promptIds(dir, { ...said("a"), tools })).toEqual([31]);
    expect(await promptIds(dir, { ...said("a"), tools: JSON.stringify(tools) })).toEqual([31]);
    expect(await promptIds(dir, said("a"))).toEqual([28]);
  },
  async "K11: the numbers of tools are those of their text, as a list and as text"() {
    const source = `{{ 'q' if tools | string == "[{'10': 1.0, '2': 12345678901234567890, 'a': -0.0}]" else 'z' }}`;
    const dir = model({ "tokenizer_config.json": { chat_template: source } });
    const tools = '[{"10": 1.0, "2": 12345678901234567890, "a": -0.0}]';
    const prompt = JSON.stringify(said("a").prompt);
    for (const written of [tools, JSON.stringify(tools)]) {
      const [row] = await sampled(dir, [`{"prompt": ${prompt}, "tools": ${written}}`]);
      expect(row.prompt_ids).toEqual([19]);
    }
    const [none] = await sampled(dir, [{ ...said("a"), tools: "null" }]);
    expect(none.prompt_ids).toEqual([28]);
  },
  async "K11: a template sees parts of a content, and that there is none beside tool calls"() {
    const source =
      "{% for m in messages %}{% if m.content is not defined %}z{% elif m.content is string %}{{ m.content }}" +
      "{% else %}{% for part in m.content %}{{ part.text }}x{% endfor %}{% endif %}{% endfor %}";
    const dir = model({ "tokenizer_config.json": { chat_template: source } });
    const parts = ["a", "b"].map((text) => ({ type: "text", text }));
    const call = {
      role: "assistant",
      content: null,
      tool_calls: [{ function: { name: "f", arguments: {} } }],
    };
    const prompt = [{ role: "user", content: parts }, call, { role: "tool", content: "d" }];
    expect(await promptIds(dir, { prompt })).toEqual([3, 26, 4, 26, 28, 6]);
    // One that knows text only sees the parts as one.
    for (const chat_template of [template, "{% for m in messages %}{{ m.content + '' }}{% endfor %}"]) {
      const plain = model({ "tokenizer_config.json": { chat_template } });
      expect(await promptIds(plain, { prompt: prompt.slice(0, 1) })).toEqual([3, 4]);
    }
  },
  async "K12: rows that max_length empties are left out, and none left is a sentence"() {
    const long = { prompt: "abcdefghij", completion: "k" };
    const train = (rows: Json[], name: string) =>
      run(
        ...["sft", "-o", join(scratch, name), "--model", model(), "--data", data(rows), "--steps", "1"],
        ...["--batch-size", "1", "--set", "max_length=4"],
      );
    const some = await train([long, { prompt: "a", completion: "b" }], "k12");
    expect([some.code, some.err]).toEqual([0, expect.stringContaining("1 of 2 rows left out")]);
    const none = await train([long], "k12-none");
    expect([none.code, none.err]).toEqual([
      2,
      expect.stringMatching(
        /touchstone: \S+: the only row is longer than max_length 4, and overlong: truncate_right leaves nothing of it \(\S+:1 has \d+ tokens\); set overlong: skip or truncate_left, or raise max_length\n$/,
      ),
    ]);
  },
  async "K13: digits survive"() {
    const { out } = await run(
      "sample",
      data([`{"prompt":"ab","id":12345678901234567890}`]),
      "--model",
      model(),
      "--max-new-tokens",
      "1",
      "--greedy",
      "--quiet",
    );
    expect(out).toContain("12345678901234567890");
  },
  async "K14: an error of a template names the row"() {
    const source = "{% if messages[0].content == 'bad' %}{{ raise_exception('no') }}{% endif %}a";
    const file = data([said("ok"), said("bad")]);
    const dir = model({ "tokenizer_config.json": { chat_template: source } });
    const { code, err } = await run("sample", file, "--model", dir, "--quiet");
    expect([code, err]).toEqual([2, expect.stringContaining(`${basename(file)}:2: the chat template`)]);
  },
  async "K15: epochs round up, and no row is left out"() {
    const rows = Array.from({ length: 47 }, (_, i) => ({ prompt: "a", completion: "bcdefghijk"[i % 10]! }));
    const flags = ["--epochs", "1", "--batch-size", "32", "--quiet"];
    const { code } = await run(
      "sft",
      "-o",
      join(scratch, "k15"),
      "--model",
      model(),
      "--data",
      data(rows),
      ...flags,
    );
    expect(code).toBe(0);
    const metrics = readFileSync(join(scratch, "k15/metrics.jsonl"), "utf8").trim().split("\n");
    const steps = metrics.map((line) => JSON.parse(line)).filter((row) => row.step > 0);
    expect(steps).toHaveLength(2);
    // Three tokens a row: one of the prompt, its letter and the end.
    expect(steps.map((row) => row.num_tokens)).toEqual([3 * 32, 3 * 47]);
    expect(steps.map((row) => row.epoch)).toEqual([32 / 47, 1]);
  },
  async "K16: a conversation's reward is read where the template ends"() {
    const ends = "{% for m in messages %}{{ m.content }}</s>x{% endfor %}";
    const dir = model({ "tokenizer_config.json": { chat_template: ends } }, "engine/llama-reward");
    const score = async (row: Json) => (await rowsOf("score", data([row]), dir))[0].reward;
    const conversation = { ...said("ab"), completion: [{ role: "assistant", content: "cd" }] };
    const [prompt_ids, completion_ids] = [
      [3, 4, 2, 26],
      [5, 6, 2, 26],
    ];
    expect(await score(conversation)).toBe(await score({ prompt_ids, completion_ids }));
    expect(await score(conversation)).not.toBe(
      await score({ prompt_ids, completion_ids: completion_ids.slice(0, 3) }),
    );
  },
  async "K17: -1 as an end or a beginning is none"() {
    const none = { eos_token_id: -1, bos_token_id: -1 };
    const dir = model({ "config.json": none, "generation_config.json": none });
    expect((await TextCodec.open(dir)).stopIds).toEqual([2]);
    expect(await promptIds(dir, { prompt: "ab" })).toEqual([3, 4]);
  },
  async "K17: a .json of one row"() {
    const [row] = await sampled(model(), [JSON.stringify({ prompt: "ab" })], "json");
    expect(row.prompt_ids).toEqual([3, 4]);
  },
};

/** One step of an alignment on these prompts; its rollouts, and what was printed. */
async function aligned(dir: string, prompts: (Json | string)[], reward = "i") {
  const out = join(scratch, `align-${count++}`);
  const module = join(scratch, `reward-${count++}.mjs`);
  writeFileSync(module, `export default (samples) => samples.map((sample, i) => ${reward});\n`);
  const recipe = {
    policy: { model: dir, lora: { r: 2 } },
    output_dir: out,
    steps: 1,
    tasks: [
      {
        name: "t",
        prompts: data(prompts),
        reward: { module },
        judges: [{ kind: "length", max_words: 1000 }],
        optimizer: { name: "crpg", batch_prompts: prompts.length, generations: 2, max_new_tokens: 4 },
      },
    ],
  };
  const { code, err } = await run("align", data([JSON.stringify(recipe)], "yaml"));
  const rollouts = (): Json[] =>
    readFileSync(join(out, "rollouts.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  return { code, err, rollouts };
}

const alignKinds: Record<string, () => Promise<void>> = {
  async "K2: every end id of generation_config stops, and is printed"() {
    // Every token but one ends a response, so each has one token, or begins with that one.
    const ends = Array.from({ length: 95 }, (_, i) => i + 1);
    const { code, err, rollouts } = await aligned(
      model({ "generation_config.json": { eos_token_id: ends } }),
      [said("abc")],
    );
    expect([code, err]).toEqual([0, expect.stringMatching(/responses end at .*\(2\), .*\(95\)/)]);
    for (const { tokens, finish_reason } of rollouts())
      expect(tokens === 1 || tokens === 2 || finish_reason === "length").toBe(true);
  },
  async "K6, K11: special tokens and tools reach the template"() {
    const source =
      "{{ tools[0].function.name if tools else 'z' }}{{ messages[0].content }}{{ raise_exception('no bos') if not bos_token }}";
    const tools = [{ type: "function", function: { name: "the" } }];
    const dir = model({
      "special_tokens_map.json": { bos_token: "</s>" },
      "tokenizer_config.json": { chat_template: source },
    });
    const { code, err, rollouts } = await aligned(dir, [{ ...said("a"), tools }]);
    expect([code, err]).toEqual([0, expect.anything()]);
    expect(rollouts()).toHaveLength(2);
  },
  async "K13: the digits of a row reach a reward of one's own"() {
    const row = '{"prompt":"ab","answer":12345678901234567890}';
    const { code, err, rollouts } = await aligned(
      model(),
      [row],
      "i + String(sample.metadata.answer).length",
    );
    expect([code, err]).toEqual([0, expect.anything()]);
    expect(rollouts().map(({ reward }) => reward)).toEqual([20, 21]);
  },
  async "K14: an error of a template names file and row, before the first step"() {
    const source = "{% if messages[0].content == 'bad' %}{{ raise_exception('no') }}{% endif %}a";
    const dir = model({ "tokenizer_config.json": { chat_template: source } });
    const { code, err } = await aligned(dir, [said("ok"), said("bad")]);
    expect([code, err]).toEqual([2, expect.stringMatching(/rows-\d+\.jsonl:2: the chat template/)]);
    expect(err).not.toContain("step 1");
  },
};

describe("a silent fault, through a verb", () => {
  it.each(Object.entries(kinds))("%s", async (_, check) => check());
});

describe("a silent fault, through align", () => {
  it.each(Object.entries(alignKinds))("%s", async (_, check) => check());
});

describe("a silent fault, through eval", () => {
  const asked = (dir: string, question: Json) =>
    run(
      ...["eval", "--model", dir, "--task", `gsm8k=${data([question])}`, "--max-new-tokens", "4"],
      ...["--json", "-o", join(scratch, `eval-${count++}`)],
    );
  const question = { question: "ab", answer: "#### 7" };

  it("K2: every end id stops", async () => {
    const ends = Array.from({ length: 95 }, (_, i) => i + 1);
    const dir = model({ "generation_config.json": { eos_token_id: ends } });
    const { code, out } = await asked(dir, question);
    expect(code).toBe(0);
    expect(JSON.stringify(JSON.parse(out))).not.toContain("cut off");
  });

  it("keeps the weights small where that is asked for, and does not go on with other weights", async () => {
    const [dir, out] = [model(), join(scratch, `eval-${count++}`)];
    const task = data([question]);
    const on = (...flags: string[]) =>
      run("eval", "--model", dir, "--task", `gsm8k=${task}`, "--max-new-tokens", "1", "-o", out, ...flags);
    expect((await on("--quantise", "8bit")).code).toBe(0);
    expect((await on("--quantise", "8bit")).code).toBe(0);
    const { code, err } = await on();
    expect([code, err]).toEqual([2, expect.stringContaining("quantise")]);
  });

  it("K14: a template that refuses names file and row", async () => {
    const dir = model({ "tokenizer_config.json": { chat_template: "{{ raise_exception('no') }}" } });
    const { code, err } = await asked(dir, question);
    expect([code, err]).toEqual([2, expect.stringMatching(/rows-\d+\.jsonl:1: the chat template/)]);
  });
});

describe("against PEFT and transformers", () => {
  const want = JSON.parse(readFileSync(join(fixtures, "kinds/expected.json"), "utf8")) as {
    tokens: number[];
    logits: number[][];
    sequences: number[][];
    scores: number[];
    adapters: Record<string, number[][]>;
  };

  it("K5: an adapter's input embedding leaves a tied head as it was", async () => {
    const policy = await LocalLanguageModel.load(join(fixtures, "engine/llama-tied"), {
      adapter: join(fixtures, "kinds/tied-embedding"),
      frozen: true,
    });
    for (let t = 1; t <= want.tokens.length; t++) {
      const row = want.logits[t - 1]!;
      const top = Math.max(...row);
      const normaliser = top + Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0));
      const sequences = row.map((_, token) => ({
        tokens: [...want.tokens.slice(0, t), token],
        promptLength: t,
      }));
      const found = await policy.logprobs(sequences);
      row.forEach((logit, token) => {
        expect(Math.abs(found[token]![0]! - (logit - normaliser))).toBeLessThan(1e-4);
      });
    }
  });

  it.each(Object.entries(want.adapters))("K5: %s", async (name, rows) => {
    const policy = await LocalLanguageModel.load(join(fixtures, "engine/llama-tied"), {
      adapter: join(fixtures, "kinds", name),
      frozen: true,
    });
    for (const [t, row] of rows.entries()) {
      const context = want.tokens.slice(0, t + 1);
      const sequences = row.map((_, token) => ({ tokens: [...context, token], promptLength: t + 1 }));
      const found = await policy.logprobs(sequences);
      row.forEach((logprob, token) => {
        expect(Math.abs(found[token]![0]! - logprob)).toBeLessThan(1e-4);
      });
    }
  });

  it("K5: an adapter that is trained further and saved keeps what it replaces", async () => {
    const adapter = join(fixtures, "kinds/tied-both");
    const { lora, saved } = await readAdapter(adapter);
    const policy = await LocalLanguageModel.load(join(fixtures, "engine/llama-tied"), { adapter, lora });
    const dir = join(scratch, "further");
    await policy.save(dir);
    const again = await readAdapter(dir);
    expect([again.saved, again.lora.modulesToSave]).toEqual([saved, lora.modulesToSave]);
  });

  it.each([
    "(?s:.*)q_proj",
    "(?x) .* q_proj # the queries",
    ".*\\.(?P<part>q)_proj",
    "(?i).*Q_PROJ\\Z",
    "(?a)(?:\\w+\\.)*?q_proj",
  ])("K17: target_modules %s", (targetModules) => {
    const lora = { r: 2, alpha: 2, targetModules, taskType: "CAUSAL_LM", baseModel: null } as const;
    const config = parseDecoderConfig(
      JSON.parse(readFileSync(join(fixtures, "engine/llama-tied/config.json"), "utf8")),
    );
    const names = loraTargets(config, lora).map(({ name }) => name);
    expect(names).toEqual([0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj.weight`));
  });

  it("K17: pad_token_id -1 is no padding", async () => {
    const dir = model({ "config.json": { pad_token_id: -1 } }, "engine/llama-reward");
    const reward = await LocalScalarModel.load(dir, { frozen: true });
    const found = await reward.values(want.sequences, "last");
    found.forEach(([score], i) => {
      expect(Math.abs(score! - want.scores[i]!)).toBeLessThan(1e-5);
    });
  });
});
