// Keys of other trainers' configurations (TRL's and transformers' arguments, axolotl's YAML): what stands for them here, or
// that nothing does. Those that change nothing are taken with a remark.

/** What to say of a key that is no key here; completes "`key` ...". */
export const FOREIGN_HINTS: Record<string, string> = {
  ...say(
    "is not needed: batch_size is the whole batch of one step (elsewhere: per device x accumulation x devices)",
    ["gradient_accumulation_steps", "micro_batch_size"],
  ),
  ...say("is not needed: batch_size is the whole batch of one step, cut to fit engine.max_batch_tokens", [
    "per_device_eval_batch_size",
    "eval_batch_size",
    "auto_find_batch_size",
    "group_by_length",
    "pad_to_sequence_len",
    "sample_packing",
    "eval_sample_packing",
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataset_num_proc",
    "dataset_processes",
  ]),
  ...say("is no key here: figures go to metrics.jsonl, and to the tools that report_to names", [
    "logging_dir",
    "logging_strategy",
    "logging_first_step",
  ]),
  ...say("is report_to: wandb, or report_to: [{ kind: wandb, project: ..., entity: ..., run_name: ... }]", [
    "use_wandb",
    "wandb_project",
    "wandb_entity",
    "wandb_name",
  ]),
  ...say("has no equivalent: report_to: wandb writes the figures of a run, which wandb sync uploads", [
    "wandb_run_id",
    "wandb_watch",
    "wandb_log_model",
  ]),
  run_name: "belongs to a tool of report_to: report_to: [{ kind: mlflow, run_name: ... }]",
  ...say("has no equivalent: computation is float32, and all of it on one device", [
    "load_in_8bit",
    "load_in_4bit",
    "quantization_config",
    "bnb_4bit_quant_type",
    "bnb_4bit_compute_dtype",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "flash_attention",
    "attn_implementation",
    "sdp_attention",
    "xformers_attention",
    "use_liger_kernel",
    "torch_compile",
    "deepspeed",
    "fsdp",
    "fsdp_config",
    "ddp_find_unused_parameters",
    "local_rank",
    "use_vllm",
    "vllm_mode",
    "vllm_gpu_memory_utilization",
  ]),
  ...say("has no equivalent: nothing is sent to the Hub", [
    "push_to_hub",
    "hub_model_id",
    "hub_token",
    "hub_strategy",
  ]),
  ...say("has no equivalent: the optimizer is AdamW (adam_beta1, adam_beta2, adam_epsilon, weight_decay)", [
    "optim",
    "optimizer",
    "optim_args",
  ]),
  ...say("has no equivalent: the model's own tokenizer and template are used (chat_template: a Jinja file)", [
    "tokenizer_type",
    "tokenizer_name_or_path",
    "model_type",
    "special_tokens",
    "tokens",
    "eos_token",
    "pad_token",
    "trust_remote_code",
    "remove_unused_columns",
  ]),
  ...say("has no equivalent: evaluations report, they choose no checkpoint", [
    "load_best_model_at_end",
    "metric_for_best_model",
    "greater_is_better",
    "early_stopping_patience",
  ]),
  ...say("is eval_steps: a number of steps, 0 for the end only", [
    "eval_strategy",
    "evaluation_strategy",
    "evals_per_epoch",
  ]),
  ...say("is save_steps: a number of steps, 0 for the end only", ["save_strategy", "saves_per_epoch"]),
  ...say("is lora: { r, alpha, target_modules }", [
    "adapter",
    "use_peft",
    "peft_config",
    "lora_target_linear",
  ]),
  ...say("belongs to data: { path, split, config, limit }", [
    "datasets",
    "dataset_config",
    "dataset_train_split",
    "dataset_split",
    "dataset_prepared_path",
  ]),
  ...say("belongs to touchstone align: it has policy and tasks, this verb model and data", [
    "policy",
    "tasks",
    "stages",
    "judges",
    "reward",
    "reference",
  ]),
  ...say("is LLaMA-Factory's: the verb says what is trained, lora: { r: 16 } that it is an adapter", [
    "stage",
    "finetuning_type",
    "do_predict",
  ]),
  template: "is LLaMA-Factory's: the model's own chat template is used (chat_template: a Jinja file)",
  cutoff_len: "is max_length",
  dataset: "is data: a file or Hub name",
  dataset_dir: "is data: a file or Hub name",
  ...say("is eval_data: a file or Hub name", ["dataset_test_split", "test_datasets", "eval_dataset"]),
  ...say("belongs to the optimizer of a task of touchstone align: tasks: [{ optimizer: { ... } }]", [
    "beta",
    "num_generations",
    "max_completion_length",
    "temperature",
    "top_p",
    "top_k",
    "num_iterations",
    "epsilon",
    "loss_type",
    "scale_rewards",
    "kl_coef",
    "cliprange",
    "vf_coef",
    "rl",
    "rl_beta",
  ]),
  ...say("is the reward of a task of touchstone align: tasks: [{ reward: { warm: ... } }]", [
    "reward_funcs",
    "reward_weights",
    "reward_model_path",
  ]),
  truncation_mode: "is overlong: truncate_left (keep_end) or truncate_right (keep_start)",
  max_prompt_length:
    "belongs to the optimizer of a task of touchstone align: tasks: [{ optimizer: { ... } }]",
  val_set_size: "is eval_split of touchstone reward; touchstone sft takes eval_data",
  train_on_inputs: "is completion_only_loss, turned round",
  assistant_only_loss: "is completion_only_loss",
  dataset_text_field: "is data: { columns: { text: <column> } }",
  max_samples: "is data: { limit: n }",
  neftune_noise_alpha: "has no equivalent",
  center_rewards_coefficient: "has no equivalent",
  label_smoothing_factor: "has no equivalent",
  ref_model: "is reference of touchstone align",
  model_revision: "has no equivalent: name the revision with the model, owner/name@revision",
  do_train: "is not needed: the verb says what is done",
  do_eval: "is not needed: eval_data says whether there is an evaluation",
  strict: "is not needed: every unknown key is an error",
};

function say(sentence: string, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.map((key) => [key, sentence]));
}

/** Keys that change nothing here, and why. The value decides whether that is worth a word. */
const REMARKS: Record<string, (value: unknown) => string | undefined> = {
  logging_steps: () => "every step is written to metrics.jsonl",
  packing: (value) =>
    value === true ? "rows are not joined: those of like lengths are computed together instead" : undefined,
  bf16: (value) =>
    value ? "computation is float32, which loses nothing; save_dtype: bfloat16 halves the files" : undefined,
  fp16: (value) =>
    value ? "computation is float32, which loses nothing; save_dtype: float16 halves the files" : undefined,
  tf32: () => undefined,
};

/** Keys of LoRA that stand by themselves elsewhere, and what they are inside `lora`. */
const LORA_KEYS = { lora_r: "r", lora_alpha: "alpha", lora_target_modules: "target_modules" } as const;

/**
 * Takes what other trainers write at the top of a configuration: LoRA's keys move into `lora` (of `policy` in an alignment),
 * keys that change nothing are left out. Returns a remark for each that a person might have meant something by.
 */
export function takeForeign(verb: "sft" | "reward" | "align", given: Record<string, unknown>): string[] {
  const remarks: string[] = [];
  const take = (key: string): unknown => {
    const value = given[key];
    delete given[key];
    return value;
  };
  for (const [key, remark] of Object.entries(REMARKS))
    if (Object.hasOwn(given, key)) {
      const said = remark(take(key));
      if (said !== undefined) remarks.push(`${key}: ${said}`);
    }
  // What transformers writes where epochs count.
  if (given.max_steps === -1 || given.max_steps === 0) take("max_steps");
  if (verb !== "align" && Object.hasOwn(given, "truncation_mode") && !Object.hasOwn(given, "overlong")) {
    const mode = given.truncation_mode;
    const overlong = { keep_end: "truncate_left", keep_start: "truncate_right" }[String(mode)];
    if (overlong) {
      take("truncation_mode");
      given.overlong = overlong;
    }
  }
  if (Object.hasOwn(given, "lora_dropout")) {
    const rate = take("lora_dropout");
    if (verb === "reward" && typeof rate === "number" && !Object.hasOwn(given, "dropout")) {
      given.dropout = rate;
      remarks.push("lora_dropout: taken as dropout, which is on residual branches and the embedding");
    } else if (rate !== 0) remarks.push("lora_dropout: adapters are trained without dropout");
  }
  const moved = Object.entries(LORA_KEYS).filter(([key]) => Object.hasOwn(given, key));
  if (moved.length === 0) return remarks;
  const holder = verb === "align" ? policyOf(given) : given;
  // What is given in both places stays, and is told as a mistake.
  const lora = holder.lora ?? {};
  if (typeof lora !== "object" || Array.isArray(lora)) return remarks;
  holder.lora = { ...lora };
  for (const [key, name] of moved)
    if (!Object.hasOwn(lora, name)) (holder.lora as Record<string, unknown>)[name] = take(key);
  return remarks;
}

function policyOf(given: Record<string, unknown>): Record<string, unknown> {
  const { policy = {} } = given;
  const mapping = typeof policy === "string" ? { model: policy } : { ...(policy as object) };
  given.policy = mapping;
  return mapping as Record<string, unknown>;
}
