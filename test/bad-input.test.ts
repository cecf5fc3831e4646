// What is wrong with what the user gave is said in one sentence, with exit code 2, and nothing on the disk changes.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { writeRandomModel } from "../src/lab/base.js";
import { trainBpe } from "../src/lab/world/bpe.js";
import { specialTokens } from "../src/lab/world/chat.js";
import { writeTokenizer } from "../src/lab/world/files.js";
import { SafetensorsReader, writeSafetensors } from "../src/model/safetensors.js";
import { runCli } from "./support/cli.js";
import { run } from "./support/in-process.js";
import { contentsOf, openWorkshop, tinyConfig, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let out: string;
beforeAll(async () => {
  shop = await openWorkshop();
  out = shop.path("out");
});
afterEach(() => rm(out, { recursive: true, force: true }));
afterAll(() => shop.remove());

async function digests(dir: string): Promise<Record<string, string>> {
  const contents = Object.entries(await contentsOf(dir));
  return Object.fromEntries(
    contents.map(([name, bytes]) => [name, createHash("sha256").update(bytes).digest("hex")]),
  );
}

/** The command ends with code 2 and one line that matches `sentence`; no file appears, changes or goes. */
async function refuses(argv: readonly string[], sentence: RegExp): Promise<void> {
  const before = await digests(shop.root);
  const { code, out: printed, err } = await run(...argv);
  expect(err).toMatch(/^touchstone: [^\n]+\n$/);
  expect(err).toMatch(sentence);
  expect([code, printed]).toEqual([2, ""]);
  expect(await digests(shop.root)).toEqual(before);
}

/** A copy of a model that the test may break. */
async function copyOf(model: string, name: string): Promise<string> {
  await cp(model, shop.path(name), { recursive: true });
  return shop.path(name);
}

async function edit(file: string, change: (text: string) => string): Promise<void> {
  const text = await readFile(file, "utf8");
  expect(change(text)).not.toBe(text);
  await writeFile(file, change(text));
}

/** Sets elements of one tensor of a model. */
async function setWeights(dir: string, name: string, value: number, at: readonly number[]): Promise<void> {
  const reader = await SafetensorsReader.open(dir);
  const tensors = [];
  for (const info of reader.tensors.values()) {
    const values = await reader.readFloat32(info.name);
    if (info.name === name) for (const i of at) values[i] = value;
    tensors.push({ name: info.name, shape: info.shape, dtype: "F32" as const, values: () => values });
  }
  await reader.close();
  await writeSafetensors(join(dir, "model.safetensors"), tensors);
}

const sft = (model: string, data = shop.data("sft.jsonl"), ...more: string[]): string[] => [
  ...["sft", "--model", model, "--data", data, "-o", out, "--steps", "2", "--batch-size", "2", "--quiet"],
  ...more,
];

/** `align` on one task, with changes to the recipe and to the task. */
async function align(name: string, recipe: object = {}, task: object = {}): Promise<string[]> {
  const path = await shop.recipe(`${name}.yaml`, {
    output_dir: out,
    policy: shop.policy,
    steps: 2,
    tasks: [
      {
        name: "sums",
        prompts: shop.data("prompts/arithmetic.jsonl"),
        reward: { warm: shop.reward },
        judges: [{ kind: "length", max_words: 50 }],
        optimizer: { name: "crpg", generations: 2, batch_prompts: 2, max_new_tokens: 5 },
        ...task,
      },
    ],
    ...recipe,
  });
  return ["align", path, "--quiet"];
}

const lines = async (name: string, ...rows: string[]): Promise<string> => {
  await writeFile(shop.path(name), rows.map((row) => `${row}\n`).join(""));
  return shop.path(name);
};

describe("a model", () => {
  it("whose weights are cut short", async () => {
    const model = await copyOf(shop.policy, "cut");
    await truncate(join(model, "model.safetensors"), 20_000);
    await refuses(
      sft(model),
      /cut\/model\.safetensors is truncated: expected \d+ bytes, the file has 20000\n/,
    );
    await truncate(join(model, "model.safetensors"), 5);
    await refuses(sft(model), /is truncated: 5 bytes cannot hold a safetensors header/);
  });

  it("whose weights have other shapes than its config", async () => {
    const model = await copyOf(shop.policy, "shapes");
    await edit(join(model, "config.json"), (text) =>
      text.replace('"intermediate_size": 24', '"intermediate_size": 32'),
    );
    await refuses(
      sft(model),
      /shapes\/model\.safetensors: tensor "model\.layers\.0\.mlp\.gate_proj\.weight" has shape \[24, 16\], but config\.json calls for \[32, 16\]/,
    );
  });

  it("without a tokenizer, a config, or a directory", async () => {
    const model = await copyOf(shop.policy, "parts");
    await rm(join(model, "tokenizer.json"));
    await refuses(sft(model), /parts\/tokenizer\.json does not exist/);
    await rm(join(model, "config.json"));
    await refuses(sft(model), /parts\/config\.json does not exist/);
    await refuses(sft(shop.path("nowhere")), /There is no folder ".*nowhere"/);
  });

  it("of an unknown architecture, or with a config that is not JSON", async () => {
    const model = await copyOf(shop.policy, "architecture");
    const config = join(model, "config.json");
    await edit(config, (text) => text.replaceAll('"llama"', '"gpt_neox"').replaceAll("Llama", "GPTNeoX"));
    await refuses(
      sft(model),
      /config\.json: model_type "gpt_neox" is not supported \(supported: llama, mistral/,
    );
    await writeFile(config, "{ oops");
    await refuses(sft(model), /architecture\/config\.json is not valid JSON/);
  });

  it("with NaN or infinity in its weights", async () => {
    const model = await copyOf(shop.policy, "nan");
    const tensor = "model.layers.1.mlp.up_proj.weight";
    await setWeights(model, tensor, Number.NaN, [5]);
    const sentence =
      /nan\/model\.safetensors: tensor "model\.layers\.1\.mlp\.up_proj\.weight" holds NaN at element 5/;
    await refuses(sft(model), sentence);
    await refuses(await align("nan-policy", { policy: model }), sentence);
    await refuses(["sample", "--prompt", "hi", "--model", model, "--quiet"], sentence);
    const reward = await copyOf(shop.reward, "infinite");
    await setWeights(reward, "score.weight", Number.POSITIVE_INFINITY, [3]);
    await refuses(
      await align("inf-reward", {}, { reward: { warm: reward } }),
      /"score\.weight" holds Infinity/,
    );
    await refuses(["warm", shop.reward, reward, "-o", out, "--quiet"], /"score\.weight" holds Infinity/);
  });

  it("of the wrong kind: a policy to reward with, a reward model to sample from", async () => {
    const noScore = /policy is a language model \(it has no score head\), where a reward model is needed/;
    const score = /reward is a reward model \(it has a score head\), where a language model is needed/;
    await refuses(await align("policy-as-reward", {}, { reward: { warm: shop.policy } }), noScore);
    await refuses(["score", shop.data("sft.jsonl"), "--model", shop.policy, "--quiet"], noScore);
    await refuses(await align("reward-as-policy", { policy: shop.reward }), score);
    await refuses(sft(shop.reward), score);
    await refuses(["sample", "--prompt", "hi", "--model", shop.reward, "--quiet"], score);
  });

  it("for rewards, of another vocabulary than the policy", async () => {
    const texts = ["abc abd abe cde", "bcd abc"];
    await writeTokenizer(trainBpe(texts, 262, Object.values(specialTokens)), shop.path("tokenizer-2"));
    const other = shop.path("other");
    await writeRandomModel(
      other,
      tinyConfig(262, "LlamaForSequenceClassification"),
      3,
      shop.path("tokenizer-2"),
    );
    await refuses(
      await align("vocabulary", {}, { reward: { warm: other } }),
      /the reward model .*other has another vocabulary than the policy .*policy \(their tokenizer\.json differ\)/,
    );
  });
});

describe("data", () => {
  it("with a row that is not JSON, or of the wrong type: file and row are named", async () => {
    const good = '{"prompt":"a","completion":"b"}';
    const torn = await lines("torn.jsonl", good, '{"prompt":"a","completion":');
    await refuses(sft(shop.policy, torn), /torn\.jsonl, row 2: not valid JSON/);
    const typed = await lines("typed.jsonl", good, good, '{"prompt":"a","completion":7}');
    await refuses(
      sft(shop.policy, typed),
      /typed\.jsonl, row 3: "completion" must be a string or a list of messages/,
    );
  });

  it("with a preference between two equal answers", async () => {
    const pairs = await lines(
      "pairs.jsonl",
      '{"prompt":"a","chosen":"b","rejected":"c"}',
      '{"prompt":"a","chosen":"b","rejected":"b"}',
    );
    await refuses(
      ["reward", "--model", shop.policy, "--data", pairs, "-o", out, "--quiet"],
      /pairs\.jsonl, row 2: "chosen" and "rejected" are the same/,
    );
  });

  it("that is empty, missing, or too long", async () => {
    await refuses(sft(shop.policy, await lines("empty.jsonl")), /empty\.jsonl holds no rows/);
    await refuses(
      sft(shop.policy, shop.path("nowhere.jsonl")),
      /There is no file or folder ".*nowhere\.jsonl"/,
    );
    const preferences = shop.data("preferences.jsonl");
    await refuses(
      [
        "reward",
        "--model",
        shop.policy,
        "--data",
        preferences,
        "-o",
        out,
        "--quiet",
        "--set",
        "max_length=10",
      ],
      /preferences\.jsonl: all 23 rows are longer than max_length 10 \(preferences\.jsonl:\d+ has \d+ tokens\); set overlong: skip or truncate_left, or raise max_length$/m,
    );
  });

  it("with token ids of another model", async () => {
    const ids = await lines("ids.jsonl", '{"prompt_ids":[1,2],"completion_ids":[3,99999]}');
    await refuses(
      ["score", ids, "--model", shop.reward, "--quiet"],
      /ids\.jsonl, row 1: token 99999 in "completion_ids" is not in the model's vocabulary of \d+/,
    );
    const half = await lines("half.jsonl", '{"completion_ids":[3,4]}');
    await refuses(
      ["logprobs", half, "--model", shop.policy, "--quiet"],
      /half\.jsonl, row 1: "prompt_ids" must be a list of token ids/,
    );
  });
});

describe("a recipe", () => {
  it("with an unknown key, whose nearest key is named", async () => {
    await refuses(
      await align("key", { learning_rat: 1 }),
      /key\.yaml:\d+: learning_rat is not a known key \(did you mean "learning_rate"\?\)/,
    );
    await refuses(
      await align("deep-key", {}, { optimizer: { name: "crpg", generation: 3 } }),
      /tasks\[0\]\.optimizer\.generation is not a known key \(did you mean "generations"\?\)/,
    );
  });

  it("with an unknown judge, or an unknown option of a judge", async () => {
    await refuses(
      await align("judge", {}, { judges: ["mth"] }),
      /there is no judge "mth" \(did you mean "math"\?\)/,
    );
    await refuses(
      await align("judge-option", {}, { judges: [{ kind: "length", max_word: 5 }] }),
      /judge "length" has no option "max_word" \(did you mean "max_words"\?\)/,
    );
  });

  it("that adapts modules the model does not have", async () => {
    await refuses(
      sft(shop.policy, undefined, "--set", "lora.target_modules=[q_prj]"),
      /LoRA target_modules \["q_prj"\] match no module of the model/,
    );
  });
});

describe("an output directory", () => {
  it("that holds another run, the same run, other files, or is a file", async () => {
    const run1 = shop.path("taken");
    const into = (dir: string, ...more: string[]) => [...sft(shop.policy), "-o", dir, ...more];
    expect((await run(...into(run1))).code).toBe(0);
    await refuses(
      into(run1),
      /taken already holds a run of this recipe; continue it with --resume or choose/,
    );
    await refuses(
      into(run1, "--seed", "8"),
      /taken already holds another run \(seed differs\); choose another/,
    );
    await refuses(into(run1, "--seed", "8", "--resume"), /taken cannot be resumed: .* \(seed differs\)/);
    await refuses(await align("taken-by-sft", { output_dir: run1 }), /taken already holds another run/);

    await mkdir(shop.path("home"));
    await writeFile(shop.path("home/thesis.txt"), "x");
    await refuses(into(shop.path("home")), /home already holds other files \(thesis\.txt\)/);
    await refuses(
      into(shop.path("home/thesis.txt")),
      /thesis\.txt is a file; output_dir must be a directory/,
    );
    await refuses(into(shop.path("home/thesis.txt/run")), /could not write .*: a part of the path is a file/);
    await refuses(["warm", shop.reward, shop.reward, "-o", shop.path("home")], /home already holds files/);
  });

  it("is refused before a model is loaded", async () => {
    await mkdir(out);
    await writeFile(join(out, "thesis.txt"), "x");
    await refuses(sft(shop.path("no-such-model")), /already holds other files/);
  });
});

describe("numbers that are not finite during training", () => {
  const hot = ["--learning-rate", "1e9", "--set", "warmup_steps=0", "--steps", "9", "--save-steps", "1"];

  /** The run stops with a message that names step, batch and what is not finite; its checkpoints are whole. */
  async function stops(argv: readonly string[], sentence: RegExp, dir = out): Promise<void> {
    const { code, out: printed, err } = await run(...argv);
    expect(err).toMatch(/^touchstone: [^\n]+\n$/);
    expect(err).toMatch(sentence);
    expect([code, printed]).toEqual([2, ""]);
    expect(existsSync(join(dir, "final"))).toBe(false);
    expect(existsSync(join(dir, "lock"))).toBe(false);
    const checkpoints = await readdir(join(dir, "checkpoints")).catch(() => []);
    for (const name of checkpoints.filter((entry) => entry !== "latest")) {
      expect(name).toMatch(/^step-\d+$/);
      const at = join(dir, "checkpoints", name);
      expect(JSON.parse(await readFile(join(at, "state.json"), "utf8")).step).toBe(Number(name.slice(5)));
      const file = existsSync(join(at, "model/model.safetensors")) ? "model" : "adapter_model";
      const reader = await SafetensorsReader.open(join(at, `model/${file}.safetensors`));
      for (const tensor of reader.tensors.keys())
        expect((await reader.readFloat32(tensor)).every(Number.isFinite), `${name} ${tensor}`).toBe(true);
      await reader.close();
    }
  }

  const overflow = /step \d+ \((\w+\.jsonl:\d+, )+\w+\.jsonl:\d+\): the gradient of \S+ is not finite/;

  it("stop sft, which keeps the checkpoint before", async () => {
    await stops([...sft(shop.policy), ...hot], overflow);
    expect(await readFile(join(out, "checkpoints/latest"), "utf8")).toMatch(/^step-[1-8]\n$/);
  });

  it("stop sft with LoRA", async () => {
    const lora = ["--lora-r", "2", "--learning-rate", "1e30"];
    await stops([...sft(shop.policy), ...hot, ...lora], overflow);
  });

  it("stop reward modelling", async () => {
    const data = ["--data", shop.data("preferences.jsonl"), "--batch-size", "2", "-o", out, "--quiet"];
    await stops(["reward", "--model", shop.policy, ...data, ...hot], overflow);
  });

  it("stop align", async () => {
    const recipe = await align("hot", { learning_rate: 1e25, warmup_steps: 0, steps: 9, save_steps: 1 });
    await stops(recipe, /step \d+ \(task sums: \w+\.jsonl:\d+, \w+\.jsonl:\d+\): .* not finite/);
    expect(await readdir(join(out, "checkpoints"))).toContain("latest");
  });

  it("stop align when a reward overflows, before the first step, naming the task", async () => {
    const huge = await copyOf(shop.reward, "huge");
    await setWeights(huge, "score.weight", 3e38, [0, 1, 2, 3, 4, 5, 6, 7]);
    await stops(
      await align("huge-reward", {}, { reward: { warm: huge } }),
      /tried before the first step and failed: task sums: reward: gave -?Infinity, which is no number; nothing was trained/,
    );
  });

  it("never reach a checkpoint", async () => {
    const infinite = ["--learning-rate", "1e39", "--set", "warmup_steps=0", "--save-steps", "1"];
    await stops(
      [...sft(shop.policy), ...infinite],
      /step 1 \(.*\): parameter "\S+" is no longer finite, so .* was not saved/,
    );
    expect(existsSync(join(out, "checkpoints/latest"))).toBe(false);
  });
});

describe("a full disk during a checkpoint", () => {
  const recipeOf = (dir: string) => ({
    output_dir: dir,
    model: shop.policy,
    data: shop.data("sft.jsonl"),
    steps: 4,
    save_steps: 2,
    batch_size: 2,
    learning_rate: 0.01,
  });
  /** Just after the first checkpoint. */
  const afterCheckpoint = { env: { TOUCHSTONE_TEST_KILL: "append metrics.jsonl #3" } };

  async function expectStep2Alone(dir: string): Promise<void> {
    expect((await readdir(join(dir, "checkpoints"))).sort()).toEqual(["latest", "step-2"]);
    expect(await readFile(join(dir, "checkpoints/latest"), "utf8")).toBe("step-2\n");
    expect(existsSync(join(dir, "final"))).toBe(false);
  }

  it("leaves the checkpoint before as it was, and the run resumes once there is room", async () => {
    const dir = shop.path("limited");
    const recipe = await shop.recipe("limited.yaml", recipeOf(dir));
    const argv = ["sft", recipe, "--quiet"];
    expect((await runCli(argv)).code).toBe(0);
    await rename(dir, `${dir}-undisturbed`);
    expect((await runCli(argv, afterCheckpoint)).signal).toBe("SIGKILL");
    const before = await digests(join(dir, "checkpoints"));

    // The optimizer's state is the largest file, and does not fit.
    const full = await runCli([...argv, "--resume"], { fileLimit: 64 * 1024 });
    expect(full).toMatchObject({ code: 2, stdout: "" });
    expect(full.stderr).toMatch(
      /^touchstone: could not write .*step-4.*; what was there before is unchanged\n$/,
    );
    expect(await digests(join(dir, "checkpoints"))).toEqual(before);
    await expectStep2Alone(dir);

    expect((await runCli([...argv, "--resume"])).code).toBe(0);
    const weights = (at: string) => readFile(join(at, "final/model.safetensors"));
    expect(await weights(dir)).toEqual(await weights(`${dir}-undisturbed`));
  }, 120_000);

  it("says that the disk is full, on a file system that is", async ({ skip }) => {
    const dir = shop.path("small-disk");
    await mkdir(dir);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=400k", "tmpfs", dir], { stdio: "ignore" });
    } catch {
      skip("mounting a small file system needs root");
    }
    try {
      const argv = ["sft", await shop.recipe("small-disk.yaml", recipeOf(join(dir, "run"))), "--quiet"];
      expect(await runCli(argv, afterCheckpoint)).toMatchObject({ signal: "SIGKILL", stderr: "" });
      const filler = 4096 * Math.floor((await freeBytes(dir)) / 4096 - 20);
      await writeFile(join(dir, "filler"), Buffer.alloc(filler));
      const full = await runCli([...argv, "--resume"]);
      expect(full).toMatchObject({ code: 2, stdout: "" });
      expect(full.stderr).toMatch(
        /^touchstone: could not write .*step-4.*: the disk is full; .* unchanged\n$/,
      );
      await expectStep2Alone(join(dir, "run"));
    } finally {
      execFileSync("umount", ["-l", dir]);
    }
  }, 120_000);
});

async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}
