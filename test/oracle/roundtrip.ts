// Saves models of every kind with Touchstone, each trained a step, and writes what Touchstone computes with what it
// saved: the first half of roundtrip.py.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { LocalLanguageModel, LocalScalarModel } from "../../src/engine/local/index.js";
import { ChatTemplate } from "../../src/model/chat-template.js";
import { loadCheckpoint, saveCheckpoint } from "../../src/model/checkpoint.js";
import type { FloatType } from "../../src/model/config.js";
import { Tokenizer } from "../../src/model/tokenizer.js";
import { averageCheckpoints } from "../../src/reward/average.js";

const [, , root, out] = process.argv as [string, string, string, string];
const fixtures = join(root, "test/fixtures/engine");
const sequences = [
  [5, 6, 7, 8, 9, 10],
  [40, 3, 77, 12],
  Array.from({ length: 24 }, (_, i) => 3 + ((i * 29) % 90)),
];
const adam = { learningRate: 1e-2, weightDecay: 0.1 };

interface Case {
  name: string;
  model: string;
  adapter?: string;
  sequences: number[][];
  /** log pi(token | prefix) of every token but the first. */
  logprobs?: number[][];
  /** The scalar at the last token. */
  scores?: number[];
}
const cases: Case[] = [];

const lists = (rows: Float32Array[]): number[][] => rows.map((row) => Array.from(row));

async function addLanguage(name: string, model: string, adapter?: string): Promise<void> {
  const loaded = await LocalLanguageModel.load(model, { frozen: true, adapter });
  const logprobs = lists(await loaded.logprobs(sequences.map((tokens) => ({ tokens, promptLength: 1 }))));
  cases.push({ name, model, adapter, sequences, logprobs });
}

async function addReward(name: string, model: string, adapter?: string, scored = sequences): Promise<void> {
  const loaded = await LocalScalarModel.load(model, { frozen: true, adapter });
  const scores = lists(await loaded.values(scored, "last")).flat();
  cases.push({ name, model, adapter, sequences: scored, scores });
}

async function trainLanguage(model: LocalLanguageModel): Promise<void> {
  const rows = sequences.map((tokens) => ({ tokens, promptLength: 1 }));
  const g = sequences.map((tokens) => new Float32Array(tokens.length - 1).fill(-1));
  // Two steps: after one, the A of a fresh LoRA pair has not moved.
  for (let step = 0; step < 2; step++) {
    await model.backward(rows, g);
    await model.step(adam);
  }
}

async function trainReward(model: LocalScalarModel): Promise<void> {
  for (let step = 0; step < 2; step++) {
    await model.backward(sequences, [Float32Array.of(1), Float32Array.of(-1), Float32Array.of(0.5)]);
    await model.step(adam);
  }
}

async function copyAs(from: string, to: string, dtype: FloatType, maxShardBytes?: number): Promise<void> {
  const { config, tensors } = await loadCheckpoint(from);
  await saveCheckpoint(to, { config, read: ({ name }) => tensors.get(name)!, dtype, maxShardBytes });
}

const lora = { r: 4, alpha: 8, targetModules: "all-linear" as const };

for (const name of (await readdir(fixtures)).sort()) {
  const from = join(fixtures, name);
  const to = (kind: string) => join(out, name, kind);
  if (name.endsWith("-reward")) {
    const model = await LocalScalarModel.load(from);
    await trainReward(model);
    await model.save(to("f32"));
    await addReward(`${name} f32`, to("f32"));
    await copyAs(to("f32"), to("bf16"), "BF16");
    await addReward(`${name} bf16`, to("bf16"));
    for (const [kind, dtype] of [
      ["average", undefined],
      ["average bf16", "BF16"],
    ] as const) {
      const members = [{ dir: from }, { dir: to("f32"), weight: 2 }];
      await averageCheckpoints({ members, out: to(kind), dtype });
      await addReward(`${name}, warm of two${dtype ? ", bf16" : ""}`, to(kind));
    }
    continue;
  }
  const model = await LocalLanguageModel.load(from);
  await trainLanguage(model);
  await model.save(to("f32"));
  await addLanguage(`${name} f32`, to("f32"));
  await copyAs(to("f32"), to("bf16"), "BF16");
  await addLanguage(`${name} bf16`, to("bf16"));
  await copyAs(to("f32"), to("f16-shards"), "F16", 20_000);
  await addLanguage(`${name} f16, shards`, to("f16-shards"));

  const adapted = await LocalLanguageModel.load(to("f32"), {
    lora: { ...lora, taskType: "CAUSAL_LM", baseModel: to("f32") },
  });
  await trainLanguage(adapted);
  await adapted.save(to("adapter"));
  await addLanguage(`${name} LoRA`, to("f32"), to("adapter"));
  await adapted.saveMerged(to("merged"));
  await addLanguage(`${name} LoRA merged`, to("merged"));

  const rewarded = await LocalScalarModel.load(to("f32"), {
    lora: { ...lora, taskType: "SEQ_CLS", baseModel: to("f32"), modulesToSave: ["score"] },
  });
  await trainReward(rewarded);
  await rewarded.saveMerged(to("reward-merged"));
  await addReward(`${name} reward LoRA merged`, to("reward-merged"));
  await rewarded.save(to("reward-adapter"));
  await addReward(`${name} reward LoRA`, to("f32"), to("reward-adapter"));
}

// Members of TRL's RewardTrainer; their sequences end with the end token, which is the padding token too.
const trl = join(root, "test/fixtures/reward/trl");
const { token_ids } = JSON.parse(await readFile(join(trl, "expected.json"), "utf8")) as {
  token_ids: number[][];
};
const members = ["member-1", "member-2"].map((name) => ({ dir: join(trl, name) }));
await averageCheckpoints({ members, out: join(out, "trl-average") });
for (const { dir } of [...members, { dir: join(out, "trl-average") }])
  await addReward(
    dir.startsWith(out) ? "TRL, warm of two" : `TRL ${basename(dir)}`,
    dir,
    undefined,
    token_ids,
  );

// Tokenizer and chat template travel with a model.
const lab = join(out, "lab");
await (await LocalLanguageModel.load(join(root, "lab/model"), { frozen: true })).save(lab);
const tokenizer = await Tokenizer.load(lab);
const template = (await ChatTemplate.load(lab))!;
const texts = [
  "What is 12 minus 7?",
  "  Grüße, 世界! 👋🏽\n\n\tdef f(x):",
  "<|im_start|>user\nhi<|im_end|>",
  "",
];
const conversations = [
  [{ role: "user", content: "What is 2 plus 2?" }],
  [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Write about the sun." },
    { role: "assistant", content: "The sun shines." },
    { role: "user", content: "More! 世界" },
  ],
];
await writeFile(
  join(out, "cases.json"),
  JSON.stringify({
    cases,
    tokens: {
      model: lab,
      texts,
      ids: texts.map((text) => Array.from(tokenizer.encode(text))),
      decoded: texts.map((text) => tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true })),
      conversations,
      rendered: conversations.map((messages) => template.apply(messages, { addGenerationPrompt: true })),
    },
  }),
);
