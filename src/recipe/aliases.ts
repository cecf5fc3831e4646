// Other names of keys that stand at the top of a recipe.

export const TRAINER_ALIASES: Readonly<Record<string, string>> = {
  out: "output_dir",
  lr: "learning_rate",
  max_steps: "steps",
  num_train_epochs: "epochs",
  num_epochs: "epochs",
  per_device_train_batch_size: "batch_size",
  train_batch_size: "batch_size",
  model_name_or_path: "model",
  dataset_name: "data",
  max_seq_length: "max_length",
  base_model: "model",
  sequence_len: "max_length",
  lr_scheduler: "lr_scheduler_type",
};
