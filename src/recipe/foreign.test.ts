import { expect, test } from "vitest";
import { parseRecipe, type Verb } from "./recipe.js";

function read(verb: Verb, yaml: string) {
  const remarks: string[] = [];
  return {
    recipe: parseRecipe(verb, yaml, "trl.yaml", { onRemark: (remark) => remarks.push(remark) }),
    remarks,
  };
}

const trl = `
model_name_or_path: org/model
dataset_name: org/data
output_dir: out
learning_rate: 2.0e-4
num_train_epochs: 2
per_device_train_batch_size: 8
warmup_ratio: 0.03
logging_steps: 10
packing: true
bf16: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules: all-linear
`;

test("A TRL configuration: what is understood is taken, what changes nothing is said", () => {
  const { recipe, remarks } = read("sft", trl);
  expect(recipe).toMatchObject({
    model: "org/model",
    epochs: 2,
    batchSize: 8,
    warmupRatio: 0.03,
    lora: { r: 32, alpha: 16, targetModules: "all-linear" },
  });
  expect(remarks).toEqual([
    "logging_steps: every step is written to metrics.jsonl",
    expect.stringMatching(/^packing: rows are not joined/),
    expect.stringMatching(/^bf16: computation is float32/),
    "lora_dropout: adapters are trained without dropout",
  ]);
});

test("The same for reward models, whose dropout it is; quiet where nothing was meant", () => {
  const { recipe, remarks } = read(
    "reward",
    trl.replace("lora_alpha: 16", "tf32: true").replace("bf16: true", "bf16: false"),
  );
  expect(recipe).toMatchObject({ dropout: [0.05], lora: { r: 32, alpha: 64 } });
  expect(remarks.some((remark) => /^(bf16|tf32)/.test(remark))).toBe(false);
});

test("In an alignment LoRA belongs to the policy", () => {
  const yaml = `
output_dir: out
steps: 1
policy: org/model
lora_r: 4
tasks: [{ name: a, prompts: p.jsonl, judges: [math], optimizer: crpg }]
`;
  expect(read("align", yaml).recipe).toMatchObject({
    policy: { model: "org/model", lora: { r: 4, alpha: 8 } },
  });
});

test("An axolotl configuration: every unknown key at once, with its line and its equivalent or that it has none", () => {
  const axolotl = `base_model: org/model
output_dir: out
data: rows.jsonl
sequence_len: 512
micro_batch_size: 2
gradient_accumulation_steps: 4
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
load_in_4bit: true
flash_attention: true
val_set_size: 0.05
wandb_project: x
learning_rte: 1.0e-5
frobnicate: 1
`;
  const caught = () => read("sft", axolotl);
  expect(caught).toThrow(/^9 keys are not known:/);
  for (const line of [
    "trl.yaml:5: micro_batch_size is not needed: batch_size is the whole batch",
    "trl.yaml:6: gradient_accumulation_steps is not needed",
    "trl.yaml:7: optimizer has no equivalent: the optimizer is AdamW",
    "trl.yaml:9: load_in_4bit has no equivalent",
    "trl.yaml:10: flash_attention has no equivalent",
    "trl.yaml:11: val_set_size is eval_split of touchstone reward",
    "trl.yaml:12: wandb_project is report_to: wandb, or report_to: [{ kind: wandb, project: ..., entity: ..., run_name: ... }]",
    'trl.yaml:13: learning_rte is not a known key (did you mean "learning_rate"?)',
    "trl.yaml:14: frobnicate is not a known key, and has no equivalent",
  ])
    expect(caught).toThrow(line);
});

test("A key of LoRA in both places is a mistake, not a choice", () => {
  expect(() => read("sft", `${trl}lora: { r: 8 }\n`)).toThrow("lora_r");
});
