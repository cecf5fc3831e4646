// What people do wrong in their first days, as commands in a directory that holds a policy, a reward model, a finished run
// and data. test/fixtures/mistakes.md is this table with what is said to each: read that.

import { chmod, cp, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

export interface Mistake {
  /** What the person did. */
  what: string;
  /** The command, split at spaces; single quotes keep words together. */
  command: string;
  /** Files that the person wrote. */
  files?: Record<string, string | Buffer>;
  /** What is not a file to write. Paths are relative to the directory. */
  prepare?: () => Promise<unknown>;
  /** The part of a recipe that is wrong, where the command does not show it. */
  shows?: string;
  env?: Record<string, string>;
  /** The exit code, where it is not 2. */
  code?: number;
}

export interface Chapter {
  title: string;
  mistakes: readonly Mistake[];
}

const m = (what: string, command: string, more: Omit<Mistake, "what" | "command"> = {}): Mistake => ({
  what,
  command,
  ...more,
});

/** A sound recipe of `align`, except for what is put in the place of `part`. */
const alignRecipe = `output_dir: out
policy: { model: policy }
steps: 2
tasks:
  - name: sums
    prompts: sums.jsonl
    reward: { warm: reward }
    judges: [{ kind: length, max_words: 50 }]
    optimizer: { name: crpg, generations: 2, batch_prompts: 2, max_new_tokens: 5 }
`;

const optimizer = "{ name: crpg, generations: 2, batch_prompts: 2, max_new_tokens: 5 }";
const judges = "judges: [{ kind: length, max_words: 50 }]";
const reward = "reward: { warm: reward }";

let count = 0;

/** `align` with a recipe in which `part` became `wrong`. */
function align(
  what: string,
  part: string,
  wrong: string,
  more: Omit<Mistake, "what" | "command"> = {},
): Mistake {
  if (!alignRecipe.includes(part)) throw new Error(`the recipe has no ${part}`);
  const name = `align-${++count}.yaml`;
  const recipe = alignRecipe.replace(part, () => wrong);
  return m(what, `align ${name}`, { shows: wrong, ...more, files: { [name]: recipe, ...more.files } });
}

/** `align` with a recipe of its own. */
function recipe(
  what: string,
  verb: string,
  text: string,
  more: Omit<Mistake, "what" | "command"> = {},
): Mistake {
  const name = `${verb}-${++count}.yaml`;
  return m(what, `${verb} ${name}`, { shows: text, ...more, files: { [name]: text, ...more.files } });
}

/** `sft` on a data file. */
const sftOn = (what: string, file: string, content: string | Buffer, flags = ""): Mistake =>
  m(what, `sft --model policy --data ${file} -o out --steps 2${flags}`, { files: { [file]: content } });

/** `reward` on a data file. */
const rewardOn = (what: string, file: string, content: string | Buffer): Mistake =>
  m(what, `reward --model policy --data ${file} -o out --set steps=2`, { files: { [file]: content } });

const sftWith = (what: string, model: string, prepare?: () => Promise<unknown>): Mistake =>
  m(what, `sft --model ${model} --data chats.jsonl -o out --steps 2`, prepare ? { prepare } : {});

const copyOf = async (model: string, name: string, change: () => Promise<unknown>): Promise<void> => {
  await cp(model, name, { recursive: true });
  await change();
};

const rows = (...values: object[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join("");

const adapter = (base: string) =>
  JSON.stringify({
    peft_type: "LORA",
    r: 2,
    lora_alpha: 4,
    target_modules: ["q_proj"],
    base_model_name_or_path: base,
  });

const command: Chapter = {
  title: "The command",
  mistakes: [
    m("no such verb", "train --model policy"),
    m("another tool's verb", "finetune policy"),
    m("a verb with a slip", "algin recipe.yaml"),
    m("a flag with a slip", "sft --modle policy --data chats.jsonl -o out"),
    m("TRL's flag", "sft --model_name_or_path policy --data chats.jsonl -o out"),
    m("TRL's flag with hyphens", "sft --model policy --data chats.jsonl -o out --num-train-epochs 2"),
    m("a short name of a flag", "sft --model policy --data chats.jsonl -o out --lr 1e-4"),
    m("no output directory", "sft --model policy --data chats.jsonl"),
    m("no model", "sft --data chats.jsonl -o out"),
    m("no data", "sft --model policy -o out"),
    m("nothing at all", "sft"),
    m("no recipe", "align"),
    m("a flag without its value", "sft --model policy --data chats.jsonl -o --seed 3"),
    m("words where flags are needed", "sft policy chats.jsonl"),
    m("a model where the recipe belongs", "sft policy"),
    m("data where the recipe belongs", "sft chats.jsonl"),
    m("steps that are no number", "sft --model policy --data chats.jsonl -o out --steps many"),
    m("no steps", "sft --model policy --data chats.jsonl -o out --steps 0"),
    m("half a step", "sft --model policy --data chats.jsonl -o out --steps 2.5"),
    m("a learning rate in words", "sft --model policy --data chats.jsonl -o out --learning-rate fast"),
    m("a negative learning rate", "sft --model policy --data chats.jsonl -o out --learning-rate -1e-5"),
    m("--set without a value", "sft --model policy --data chats.jsonl -o out --set batch_size"),
    m("--set of a key that is none", "sft --model policy --data chats.jsonl -o out --set batchsize=4"),
    m("--set of a task that is none", "align align.yaml --set tasks.chat.weight=2"),
    m("CUDA", "sft --model policy --data chats.jsonl -o out --device cuda"),
    m("no thread", "sample --model policy --prompt hi --threads 0"),
    m("a part with a slip", "warm inspct reward reward --data preferences.jsonl"),
    m("help for a slip", "help rewrd"),
    m("a shell that is not served", "completion powershell"),
    m("a paper that is not here", "reproduce ppo"),
    m("nothing to sample from", "sample --model policy"),
    m("a prompt and a file", "sample sums.jsonl --model policy --prompt hi"),
    m("a negative temperature", "sample --model policy --prompt hi --temperature -1"),
    m("best of N without a judge of what is best", "sample sums.jsonl --model policy --best-of 4"),
    m("no task to evaluate on", "eval --model policy"),
    m("a task without its file", "eval --model policy --task gsm8k"),
    m("a task that is none", "eval --model policy --task gsm9k=sums.jsonl"),
    m("a benchmark's rows of another shape", "eval --model policy --task gsm8k=sums.jsonl"),
    m("a tournament of one", "elo --model policy --prompts sums.jsonl"),
    m("judging without a judge", "judge answers.jsonl"),
    m("a judge with a slip", "judge answers.jsonl --judge mth"),
    m("a share in percent", "judge answers.jsonl --judge exact --min-feasible 90"),
    m("labels in a column that is none", "judge answers.jsonl --judge exact --against gold"),
    m("a report on no run", "report data"),
    m("a report on a model", "report run/final"),
    m("a live page of a directory that is none", "ui nowhere"),
    m("a health check of a directory that is none", "doctor nowhere"),
    m("a server of nothing", "serve"),
    m("a port beyond the last", "serve --reward reward --port 99999"),
    m("a split without rules", "split sums.jsonl -o out"),
    m("rules that are not there", "split sums.jsonl --rules nowhere.yaml -o out"),
    m("an export to a format that is none", "export policy out.tflite --to tflite"),
    m("an export onto a file that is there", "export policy answers.jsonl --to gguf"),
    m("a conversion onto a directory that is there", "convert policy run"),
    m("a first recipe over an old one", "init --model policy --data chats.jsonl -o align.yaml --yes"),
    m("a first recipe without data", "init --model policy --yes"),
    m(
      "a first recipe for data that are not there",
      "init --model policy --data nowhere.jsonl --yes -o new.yaml",
    ),
    m("members without an output", "warm reward reward"),
    m("too few weights", "warm reward reward -o out --weights 1"),
    m("weights in words", "warm reward reward -o out --weights half half"),
    m("members that are not there", "warm run/member-1 run/member-2 -o out"),
    m("an inspection without data", "warm inspect reward reward"),
    m("a rubric that is not there", "rubric show nowhere.yaml"),
    m("a conversation with nobody", "chat"),
  ],
};

const recipes: Chapter = {
  title: "Recipes",
  mistakes: [
    m("a file that is not there", "align nowhere.yaml"),
    m("a directory", "align data"),
    m("another file", "align sums.jsonl"),
    recipe("an empty file", "align", ""),
    recipe("only comments", "align", "# to do\n"),
    recipe("a list", "align", "- model: policy\n- steps: 2\n"),
    recipe("tabs", "align", "output_dir: out\npolicy:\n\tmodel: policy\n"),
    recipe(
      "a bracket that is never closed",
      "align",
      "output_dir: out\ntasks: [{ name: a, prompts: sums.jsonl }\n",
    ),
    recipe("no space after the colon", "sft", "output_dir:out\nmodel: policy\n"),
    recipe("a key twice", "sft", "output_dir: out\nmodel: policy\ndata: chats.jsonl\nmodel: reward\n"),
    align("a key with a slip", optimizer, "{ name: crpg, kl_mx: 5 }"),
    align("a key of the optimizer at the task", reward, `${reward}\n    kl_max: 5`),
    align("generations at the task", reward, `${reward}\n    generations: 4`),
    align("judges at the top", "steps: 2", "steps: 2\njudges: [math]"),
    align("a reward at the top", "steps: 2", "steps: 2\nreward: { warm: reward }"),
    align("a model at the top", "policy: { model: policy }", "model: policy"),
    align("data in the place of tasks", "steps: 2", "steps: 2\ndata: sums.jsonl"),
    align("an optimizer that is none", optimizer, "{ name: cgpo }"),
    align("an optimizer with a slip", optimizer, "{ name: grppo }"),
    align("a constrained optimizer's key for another", optimizer, "{ name: grpo, kl_max: 5 }"),
    align("a batch in words", optimizer, "{ name: crpg, batch_prompts: sixteen }"),
    align("a negative bound", optimizer, "{ name: crpg, kl_max: -1 }"),
    align("one generation where a group is needed", optimizer, "{ name: rloo, generations: 1 }"),
    align("a task without a name", "- name: sums\n    prompts", "- prompts"),
    align("a task without prompts", "    prompts: sums.jsonl\n", ""),
    recipe(
      "two tasks of one name",
      "align",
      `${alignRecipe}  - { name: sums, prompts: sums.jsonl, judges: [math], optimizer: ${optimizer} }\n`,
      { shows: "name: sums, twice" },
    ),
    recipe("no task", "align", "output_dir: out\npolicy: { model: policy }\nsteps: 2\ntasks: []\n"),
    recipe("tasks and stages", "align", `${alignRecipe}stages: []\n`, { shows: "tasks: ... and stages: []" }),
    align("a reward without its kind", reward, "reward: reward"),
    align("two rewards at once", reward, "reward: { warm: reward, model: reward }"),
    align("a list of members as their average", reward, "reward: { warm: [reward, reward] }"),
    align("neither reward nor judges", `${reward}\n    ${judges}`, "weight: 1"),
    align("no reward for an optimizer that needs one", `${reward}\n    ${judges}`, "judges: []"),
    align("a weight of zero", reward, `${reward}\n    weight: 0`),
    align("the steps as text", "steps: 2", 'steps: "2"'),
    align("no steps", "steps: 2\n", ""),
    align("a policy that is a list", "policy: { model: policy }", "policy: [policy]"),
    align("LoRA as a number", "policy: { model: policy }", "policy: { model: policy, lora: 16 }"),
    align("LoRA of rank zero", "policy: { model: policy }", "policy: { model: policy, lora: { r: 0 } }"),
    align(
      "modules of another family",
      "policy: { model: policy }",
      "policy: { model: policy, lora: { target_modules: [c_attn] } }",
    ),
    align(
      "PEFT's words",
      "policy: { model: policy }",
      "policy: { model: policy, lora: { r: 8, bias: none } }",
    ),
    align("an engine that is none", "steps: 2", "steps: 2\nengine: cuda"),
    align("a schedule with a slip", "steps: 2", "steps: 2\nlr_scheduler_type: cosin"),
    align("a home directory", "prompts: sums.jsonl", "prompts: ~/sums.jsonl"),
    align("a key without a value", "steps: 2", "steps:"),
    recipe("a recipe of align for sft", "sft", alignRecipe, { shows: "policy: ..., tasks: ..." }),
    recipe(
      "a recipe of sft for align",
      "align",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nepochs: 1\n",
    ),
    recipe(
      "a recipe of sft for reward models",
      "reward",
      "output_dir: out\nmodel: policy\ndata: preferences.jsonl\ncompletion_only_loss: true\n",
    ),
    recipe(
      "a share of more than everything",
      "reward",
      "output_dir: out\nmodel: policy\ndata: preferences.jsonl\neval_split: 20\n",
    ),
    recipe("no run", "reward", "output_dir: out\nmodel: policy\ndata: preferences.jsonl\nruns: 0\n"),
    recipe(
      "a TRL configuration with keys that nothing stands for",
      "sft",
      "model_name_or_path: policy\ndataset_name: chats.jsonl\noutput_dir: out\nmax_steps: 2\nlogging_steps: 1\ngradient_checkpointing: true\nattn_implementation: flash_attention_2\nreport_to: wandb\n",
    ),
    recipe(
      "a tool that is not known",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nreport_to: [tensorboard, mflow]\n",
    ),
    recipe(
      "an MLflow without an address",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nreport_to: mlflow\n",
    ),
    recipe(
      "a folder for MLflow's server",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nreport_to: { kind: mlflow, tracking_uri: ./mlruns }\n",
    ),
    recipe(
      "an MLflow server that is down",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nreport_to: { kind: mlflow, tracking_uri: 'http://127.0.0.1:59999' }\n",
    ),
    recipe(
      "an axolotl configuration",
      "sft",
      "base_model: policy\ndatasets:\n  - path: chats.jsonl\n    type: chat_template\nsequence_len: 512\nsample_packing: true\nadapter: qlora\nload_in_4bit: true\nmicro_batch_size: 2\noutput_dir: out\n",
    ),
    recipe(
      "a LLaMA-Factory configuration",
      "sft",
      "model_name_or_path: policy\nstage: sft\ndo_train: true\nfinetuning_type: lora\ndataset: chats.jsonl\ntemplate: qwen\ncutoff_len: 512\noutput_dir: out\n",
    ),
    recipe(
      "a verl configuration",
      "align",
      "data:\n  train_files: sums.parquet\nactor_rollout_ref:\n  model:\n    path: policy\nalgorithm:\n  adv_estimator: grpo\n",
    ),
    recipe(
      "a TRL configuration of GRPO",
      "align",
      "model_name_or_path: policy\ndataset_name: sums.jsonl\noutput_dir: out\nnum_generations: 8\nmax_completion_length: 64\nbeta: 0.04\n",
    ),
  ],
};

const excel = Buffer.from("504b0304140006000800000021", "hex");
const answered = { prompt: "a", completion: "b" };
const pair = { prompt: "a", chosen: "b", rejected: "c" };

const data: Chapter = {
  title: "Data",
  mistakes: [
    m("a file that is not there", "sft --model policy --data chat.jsonl -o out"),
    m("a directory without data", "sft --model policy --data policy -o out"),
    m("a pattern that nothing fits", "sft --model policy --data 'data/*.csv' -o out"),
    m("a data set of the Hub, without the Hub", "sft --model policy --data trl-lib/tldr -o out", {
      env: { HF_HUB_OFFLINE: "1" },
    }),
    m("a link that leads to itself", "sft --model policy --data loop.jsonl -o out", {
      prepare: () => symlink("loop.jsonl", "loop.jsonl"),
    }),
    sftOn("an empty file", "empty.jsonl", ""),
    sftOn("blank lines", "blank.jsonl", "\n\n\n"),
    sftOn("text", "notes.txt", "Dear diary\n"),
    sftOn("text in a file of rows", "notes.jsonl", "Dear diary\n"),
    sftOn("a list in a file of lines", "list.jsonl", `[${JSON.stringify(answered)}]\n`),
    sftOn("an object with the rows under another name", "object.json", JSON.stringify({ rows: [answered] })),
    sftOn("a row that is cut off", "cut.jsonl", `${rows(answered)}{"prompt":"a","comp`),
    sftOn("single quotes", "python.jsonl", "{'prompt': 'a', 'completion': 'b'}\n"),
    sftOn("no number", "nan.jsonl", '{"prompt":"a","completion":"b","score":NaN}\n'),
    sftOn("a row that is a text", "words.jsonl", '"a"\n'),
    sftOn("a comma at the end of a row", "comma.jsonl", '{"prompt":"a","completion":"b"},\n'),
    sftOn("columns of other names", "columns.jsonl", rows({ input_text: "a", target: "b" })),
    sftOn("a column with a slip", "slip.jsonl", rows({ prompt: "a", complation: "b" })),
    sftOn("an empty answer", "empty-answer.jsonl", rows(answered, { prompt: "a", completion: "" })),
    sftOn("an answer that is a number", "number.jsonl", rows(answered, { prompt: "a", completion: 7 })),
    sftOn("an answer that is missing", "missing.jsonl", rows(answered, { prompt: "a" })),
    sftOn(
      "texts and messages in one file",
      "mixed.jsonl",
      rows(answered, { prompt: [{ role: "user", content: "a" }], completion: "b" }),
    ),
    sftOn(
      "a conversation without an answer",
      "silent.jsonl",
      rows({ messages: [{ role: "user", content: "a" }] }),
    ),
    sftOn(
      "messages without a role",
      "roles.jsonl",
      rows({ messages: [{ content: "a" }, { role: "assistant", content: "b" }] }),
    ),
    sftOn("a message that is a text", "texts.jsonl", rows({ messages: ["a", "b"] })),
    sftOn(
      "a picture in a message",
      "picture.jsonl",
      rows({
        messages: [
          { role: "user", content: [{ type: "image_url", image_url: "x" }] },
          { role: "assistant", content: "b" },
        ],
      }),
    ),
    sftOn(
      "messages as text in CSV",
      "chats.csv",
      'messages\n"[{""role"":""user"",""content"":""a""},{""role"":""assistant"",""content"":""b""}]"\n',
    ),
    sftOn("semicolons", "semicolons.csv", "prompt;completion\na;b\nc;d\n"),
    sftOn("tabs", "tabs.csv", "prompt\tcompletion\na\tb\n"),
    sftOn("tabs, and a name that says so", "tabs.tsv", "prompt\tcompletion\na\tb\n"),
    sftOn("no header", "headless.csv", "What is 2 + 3?,5\nWhat is 3 + 3?,6\n"),
    sftOn("a header and nothing else", "header.csv", "prompt,completion\n"),
    sftOn("a row with too few values", "short.csv", "prompt,completion\na,b\nc\n"),
    sftOn("a comma without quotes", "commas.csv", "prompt,completion\na,b\nWell, c,d\n"),
    sftOn("a quote that never ends", "quote.csv", 'prompt,completion\na,"b\nc,d\n'),
    sftOn("a quote within a value", "inch.csv", 'prompt,completion\na,"5" wide"\n'),
    sftOn("a column twice", "twice.csv", "prompt,completion,completion\na,b,c\n"),
    sftOn("a type that is none", "type.csv", "prompt,completion,score:float\na,b,1\n"),
    sftOn("a number that is none", "score.csv", "prompt,completion,score:number\na,b,high\n"),
    sftOn("Latin-1", "latin.csv", Buffer.from("prompt,completion\nGr\xfc\xdfe,b\n", "latin1")),
    sftOn("UTF-16, as Excel saves it", "utf16.csv", Buffer.from("\ufeffprompt,completion\na,b\n", "utf16le")),
    sftOn("a work book of Excel", "book.xlsx", excel),
    sftOn("a work book with another name", "book.csv", excel),
    sftOn("Parquet that is none", "wrong.parquet", "prompt,completion\na,b\n"),
    sftOn("gzip that is none", "wrong.jsonl.gz", rows(answered)),
    sftOn("gzip that is cut off", "cut.jsonl.gz", gzipSync(rows(answered, answered)).subarray(0, 30)),
    sftOn("a zip", "rows.zip", excel),
    sftOn("a Python pickle", "rows.pkl", Buffer.from("80049500", "hex")),
    sftOn("an Arrow file", "data.arrow", "ARROW1"),
    m("preferences where answers are needed", "sft --model policy --data preferences.jsonl -o out"),
    m("prompts where answers are needed", "sft --model policy --data prompts.jsonl -o out"),
    m("answers where preferences are needed", "reward --model policy --data chats.jsonl -o out"),
    rewardOn("one preference", "one.jsonl", rows(pair)),
    rewardOn(
      "a preference between the same",
      "same.jsonl",
      rows(pair, { prompt: "a", chosen: "b", rejected: "b" }),
    ),
    rewardOn(
      "preferences without a prompt, that share nothing",
      "nothing.jsonl",
      rows({ chosen: "b", rejected: "c" }),
    ),
    rewardOn("preferences with a slip", "choosen.csv", "prompt,choosen,rejected\na,b,c\n"),
    rewardOn("a margin in words", "margin.jsonl", rows({ ...pair, margin: "big" })),
    rewardOn(
      "a winner by name",
      "winner.jsonl",
      rows({ prompt: "a", response_a: "b", response_b: "c", winner: "a" }),
    ),
    m(
      "a column that is not there",
      "sft --model policy --data chats.jsonl -o out --set data.columns.completion=reply",
    ),
    m("a split that is not there", "sft --model policy --data data/prompts -o out --set data.split=test"),
    m("no rows wanted", "sft --model policy --data chats.jsonl -o out --set data.limit=0"),
    m(
      "rows that are all longer than allowed",
      "sft --model policy --data chats.jsonl -o out --set max_length=2",
    ),
    m(
      "preferences that are longer than allowed",
      "reward --model policy --data preferences.jsonl -o out --set max_length=10",
    ),
    align("an empty prompt", "prompts: sums.jsonl", "prompts: empty-prompt.jsonl", {
      files: { "empty-prompt.jsonl": rows({ prompt: "a" }, { prompt: " " }) },
    }),
  ],
};

const models: Chapter = {
  title: "Models",
  mistakes: [
    sftWith("a directory that is not there", "models/llama"),
    sftWith("a directory with a slip", "polcy"),
    sftWith("a file of weights", "policy/model.safetensors"),
    sftWith("a run in the place of its model", "run"),
    sftWith("a checkpoint in the place of its model", "run/checkpoints/step-2"),
    sftWith("a directory of data", "data"),
    sftWith("an empty directory", "hollow", () => mkdir("hollow")),
    sftWith("a model of the Hub, without the Hub", "HuggingFaceTB/SmolLM2-135M"),
    sftWith("no config", "no-config", () => copyOf("policy", "no-config", () => rm("no-config/config.json"))),
    sftWith("no tokenizer", "no-tokenizer", () =>
      copyOf("policy", "no-tokenizer", () => rm("no-tokenizer/tokenizer.json")),
    ),
    sftWith("SentencePiece only", "sentencepiece", () =>
      copyOf("policy", "sentencepiece", async () => {
        await rm("sentencepiece/tokenizer.json");
        await writeFile("sentencepiece/tokenizer.model", "x");
      }),
    ),
    sftWith("no weights", "no-weights", () =>
      copyOf("policy", "no-weights", () => rm("no-weights/model.safetensors")),
    ),
    sftWith("pickled weights", "pickled", () =>
      copyOf("policy", "pickled", async () => {
        await rm("pickled/model.safetensors");
        await writeFile("pickled/pytorch_model.bin", "x");
      }),
    ),
    sftWith("a Python checkpoint", "model.bin", () => writeFile("model.bin", "x")),
    sftWith("a PyTorch checkpoint", "model.pt", () => writeFile("model.pt", "x")),
    sftWith("a GGUF file that is none", "wrong.gguf", () => writeFile("wrong.gguf", "GGML")),
    sftWith("weights that are cut off", "short", () =>
      copyOf("policy", "short", () => truncate("short/model.safetensors", 20_000)),
    ),
    sftWith("weights that Git LFS left behind", "lfs", () =>
      copyOf("policy", "lfs", () =>
        writeFile(
          "lfs/model.safetensors",
          "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n",
        ),
      ),
    ),
    sftWith("a shard that is missing", "shards", () =>
      copyOf("policy", "shards", async () => {
        await rm("shards/model.safetensors");
        await writeFile(
          "shards/model.safetensors.index.json",
          JSON.stringify({ weight_map: { "model.norm.weight": "model-00001-of-00002.safetensors" } }),
        );
      }),
    ),
    sftWith("a config that is no JSON", "broken", () =>
      copyOf("policy", "broken", () => writeFile("broken/config.json", "{ oops")),
    ),
    ...(["gpt2", "bert", "t5", "mixtral", "qwen2_vl"] as const).map((type) =>
      sftWith(`the family ${type}`, `family-${type}`, () =>
        copyOf("policy", `family-${type}`, () =>
          writeFile(`family-${type}/config.json`, JSON.stringify({ model_type: type, vocab_size: 300 })),
        ),
      ),
    ),
    sftWith("a model that is quantised in Python", "bnb", () =>
      copyOf("policy", "bnb", () =>
        writeFile(
          "bnb/config.json",
          JSON.stringify({
            model_type: "llama",
            architectures: ["LlamaForCausalLM"],
            vocab_size: 300,
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 8,
            quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true },
          }),
        ),
      ),
    ),
    sftWith("a reward model", "reward"),
    m("a policy where a reward model is needed", "score answers.jsonl --model policy"),
    align("a policy as the reward", reward, "reward: { warm: policy }"),
    align("a reward model of another vocabulary", reward, "reward: { warm: other }"),
    align("a reward that is not there", reward, "reward: { warm: runs/rm/merged }"),
    m("an average of policies", "warm policy policy -o out"),
    m("an average of a policy and a reward model", "warm reward policy -o out"),
    m("an average across vocabularies", "warm reward other -o out"),
    sftWith("an adapter whose base is not there", "lost", async () => {
      await mkdir("lost");
      await writeFile("lost/adapter_config.json", adapter("nowhere/base"));
      await cp("policy/model.safetensors", "lost/adapter_model.safetensors");
    }),
    sftWith("an adapter that is pickled", "adapter-bin", async () => {
      await mkdir("adapter-bin");
      await writeFile("adapter-bin/adapter_config.json", adapter("policy"));
      await writeFile("adapter-bin/adapter_model.bin", "x");
    }),
    sftWith("an adapter without weights", "adapter-only", async () => {
      await mkdir("adapter-only");
      await writeFile("adapter-only/adapter_config.json", adapter("policy"));
    }),
    sftWith("a GGUF file as an adapter", "adapter.gguf", async () => {
      await cp("adapter-source.gguf", "adapter.gguf");
    }),
    sftWith("an adapter on another base", "adapter-wide", async () => {
      await cp("adapter", "adapter-wide", { recursive: true });
      await writeFile("adapter-wide/adapter_config.json", adapter("wide"));
    }),
    m(
      "conversations for a model without a template",
      "sft --model plain --data talk.jsonl -o out --steps 2",
      {
        files: {
          "talk.jsonl": rows({
            messages: [
              { role: "user", content: "a" },
              { role: "assistant", content: "b" },
            ],
          }),
        },
        prepare: () =>
          copyOf("policy", "plain", () =>
            writeFile(
              "plain/tokenizer_config.json",
              JSON.stringify({
                tokenizer_class: "PreTrainedTokenizerFast",
                eos_token: "<|im_end|>",
                pad_token: "<|pad|>",
              }),
            ),
          ),
      },
    ),
    m(
      "a template that is none",
      "sft --model policy --data chats.jsonl -o out --steps 2 --set chat_template=broken.jinja",
      {
        files: { "broken.jinja": "{% for message in messages %}{{ message.content }}" },
      },
    ),
  ],
};

const outputs: Chapter = {
  title: "Where results go, and going on",
  mistakes: [
    m("a directory with other files", "sft --model policy --data chats.jsonl -o home", {
      prepare: async () => {
        await mkdir("home");
        await writeFile("home/thesis.txt", "x");
      },
    }),
    m("a file", "sft --model policy --data chats.jsonl -o answers.jsonl"),
    m("below a file", "sft --model policy --data chats.jsonl -o answers.jsonl/run"),
    m("where nothing can be made", "sft --model policy --data chats.jsonl -o /proc/run"),
    m("into the model itself", "sft --model policy --data chats.jsonl -o policy"),
    m(
      "the same run again",
      "sft --model policy --data chats.jsonl -o run --steps 2 --set batch_size=2 --seed 1",
    ),
    m(
      "another run in its place",
      "sft --model policy --data chats.jsonl -o run --steps 2 --set batch_size=2 --seed 2",
    ),
    m(
      "going on with another seed",
      "sft --model policy --data chats.jsonl -o run --steps 2 --set batch_size=2 --seed 2 --resume",
    ),
    m(
      "going on with other data",
      "sft --model policy --data sums.jsonl -o run --steps 2 --set batch_size=2 --seed 1 --resume",
    ),
    m(
      "going on with more steps",
      "sft --model policy --data chats.jsonl -o run --steps 9 --set batch_size=2 --seed 1 --resume",
    ),
    m("going on with another verb", "reward --model policy --data preferences.jsonl -o run --resume"),
    m(
      "going on from a checkpoint that changed",
      "sft --model policy --data chats.jsonl -o torn --steps 2 --set batch_size=2 --seed 1 --resume",
      {
        prepare: async () => {
          await cp("run", "torn", { recursive: true });
          const text = await readFile("torn/recipe.yaml", "utf8");
          await writeFile("torn/recipe.yaml", text.replace(/(output_dir: .*)run$/m, "$1torn"));
          await rm("torn/final", { recursive: true });
          await rm("torn/final.manifest.json");
          await truncate("torn/checkpoints/step-2/policy/training_state.safetensors", 100);
        },
      },
    ),
    m("an average onto a model", "warm reward reward -o policy"),
    m("a split onto other files", "split sums.jsonl --rules rules.yaml -o data", {
      files: { "rules.yaml": "- { task: sums, when: { column: answer, present: true } }\n" },
    }),
    m("prompts over their own file", "sample sums.jsonl --model policy --max-new-tokens 2 -o sums.jsonl"),
    m("rows into a directory", "score answers.jsonl --model reward -o data"),
  ],
};

const asked = (options: string) => `judges: [{ kind: yes_no, question: 'Is it fine?', ${options} }]`;

const services: Chapter = {
  title: "Judges, rewards and servers",
  mistakes: [
    align("a judge with a slip", judges, "judges: [refusal_regx]"),
    align("an option with a slip", judges, "judges: [{ kind: length, max_word: 5 }]"),
    align("a judge without its kind", judges, "judges: [{ max_words: 5 }]"),
    align("judges as one text", judges, "judges: math, length"),
    align("a judge that asks nothing", judges, "judges: [length]"),
    align("a range the wrong way round", judges, "judges: [{ kind: length, min_words: 9, max_words: 5 }]"),
    align(
      "two judges of one name",
      judges,
      "judges: [{ kind: regex, must_match: a }, { kind: regex, must_match: b }]",
    ),
    align("a pattern that is none", judges, "judges: [{ kind: regex, must_match: '(' }]"),
    align("a pattern that looks around", judges, "judges: [{ kind: regex, must_match: 'a(?!b)' }]"),
    align(
      "a JSON Schema with a slip",
      judges,
      "judges: [{ kind: format, json_schema: { type: object, propertys: {} } }]",
    ),
    align(
      "a JSON Schema with a type that is none",
      judges,
      "judges: [{ kind: format, json_schema: { type: text } }]",
    ),
    align("a JSON Schema that is a file", judges, "judges: [{ kind: format, json_schema: schema.json }]"),
    align("a judge named by a row, and by no task", "prompts: sums.jsonl", "prompts: named.jsonl", {
      files: { "named.jsonl": rows({ prompt: "a", answer: "1", judges: ["math"] }) },
    }),
    align("a module that is not there", judges, "judges: [{ module: ./mine.js }]"),
    align("a module with a slip in its code", judges, "judges: [{ module: ./syntax.js }]", {
      files: { "syntax.js": "export default ( => 1;\n" },
    }),
    align("a module without a default export", judges, "judges: [{ module: ./named.js }]", {
      files: { "named.js": "export const judge = () => ({ verdict: 'satisfied', reason: '' });\n" },
    }),
    align("a module that throws", judges, "judges: [{ module: ./throws.js }]", {
      files: { "throws.js": "export default () => { throw new Error('no key'); };\n" },
    }),
    align("a module that answers true", judges, "judges: [{ module: ./true.js }]", {
      files: { "true.js": "export default () => true;\n" },
    }),
    align("a reward module that answers one number", reward, "reward: { module: ./one.js }", {
      files: { "one.js": "export default () => 1;\n" },
    }),
    align("a reward module in Python", reward, "reward: { module: ./reward.py }", {
      files: { "reward.py": "def reward(x): return 1\n" },
    }),
    align("a judge model without an address", judges, asked("model: gpt-5-mini")),
    align("a judge model that nobody names", judges, "judges: [{ kind: style }]"),
    align("an address without http", judges, asked("model: m, base_url: '127.0.0.1:11434/v1'")),
    align(
      "a server that is down",
      judges,
      asked("model: m, base_url: 'http://127.0.0.1:1/v1', max_retries: 0"),
    ),
    align("a server that wants a key", judges, asked("model: m, base_url: '{server}/401/v1'")),
    align("an address that is not the interface's", judges, asked("model: m, base_url: '{server}/404'")),
    align("a key that is not set", judges, asked("model: m, base_url: '{server}/v1', api_key_env: MY_KEY")),
    align(
      "the key itself in the recipe",
      judges,
      asked("model: m, base_url: '{server}/v1', api_key: sk-123"),
    ),
    align("a model under llm with a slip", judges, `${asked("model: locl")}`, { files: {} }),
    align(
      "a reward's server that is down",
      reward,
      "reward: { url: 'http://127.0.0.1:1/score', max_retries: 0 }",
    ),
    align("a reward's server that is no reward's", reward, "reward: { url: '{server}/404', max_retries: 0 }"),
    align("a rubric that is not there", reward, "reward: { rubric: rubric.yaml, judge_model: m }"),
    align("a rubric without a model", reward, "reward: { rubric: good.yaml }", {
      files: { "good.yaml": "name: r\ntext: Is it good?\nscale: [1, 5]\n" },
    }),
    align("a rubric that is a recipe", reward, "reward: { rubric: align.yaml, judge_model: m }"),
    m("a server on a taken port", "serve --reward reward --port {port}"),
    m("a server of a recipe that is none", "serve sums.jsonl"),
    m(
      "an evaluation by a judge that is down",
      "eval --model policy --against wide --prompts sums.jsonl --by judge:http://127.0.0.1:1/v1 --judge-model m",
    ),
    m("a benchmark file that is not there", "eval --model policy --task gsm8k=nowhere.jsonl"),
    m(
      "IFEval's rows with an instruction that is none",
      "judge asks.jsonl --judge instructions --max-failed 0",
      {
        code: 3,
        files: {
          "asks.jsonl": rows({
            prompt: "a",
            completion: "b",
            instruction_id_list: ["punctuation:no_coma"],
            kwargs: [{}],
          }),
        },
      },
    ),
  ],
};

/** A directory that its owner may not read either; the superuser may. */
export const unreadable: Mistake = m(
  "a directory that may not be read",
  "sft --model policy --data locked -o out",
  {
    prepare: async () => {
      await mkdir("locked");
      await chmod("locked", 0);
    },
  },
);

const vain: Chapter = {
  title: "What would change nothing, or something else than it says",
  mistakes: [
    m("greedy, and not", "sample prompts.jsonl --model policy --greedy --temperature 0.7"),
    m(
      "several rewards as one, of one",
      "sample prompts.jsonl --model policy --best-of 2 --reward reward --combine min",
    ),
    m("the first rows of a prompt", "sample --prompt Hi --model policy --limit 3"),
    m("a judge model that nobody asks", "eval --model policy --task gsm8k=sums.jsonl --judge-model qwen3"),
    m("examples that are not shown", "eval --model policy --task gsm8k=sums.jsonl --fewshot sums.jsonl"),
    m(
      "a judge of refusals where nobody can refuse",
      "eval --model policy --task gsm8k=g.jsonl --judge {server}/v1 --judge-model j",
      { files: { "g.jsonl": rows({ question: "1+1?", answer: "#### 2" }) } },
    ),
    m(
      "shots of a comparison",
      "eval --model policy --against policy --prompts prompts.jsonl --by reward:reward --shots 3",
    ),
    m("a task of no recipe", "judge answers.jsonl --judge math --task sums"),
    m("a title of no page", "report run --to tensorboard --title Mine"),
    m("a directory of no files", "report run --to mlflow -o out"),
    m("a server of no tool", "report run --tracking-uri http://127.0.0.1:5000"),
    m("the first rows of a conversation", "chat --model policy --limit 3"),
    m(
      "a first recipe of sft with a reward",
      "init --model policy --data chats.jsonl --verb sft --reward reward --yes -o new.yaml",
    ),
    recipe(
      "a split of a file",
      "sft",
      "output_dir: out\nmodel: policy\ndata: { path: chats.jsonl, split: test }\n",
    ),
    recipe(
      "a revision of a file",
      "sft",
      "output_dir: out\nmodel: policy\ndata: { path: chats.jsonl, revision: v2 }\n",
    ),
    recipe(
      "a column for a part with a slip",
      "sft",
      "output_dir: out\nmodel: policy\ndata: { path: chats.jsonl, columns: { promt: question } }\n",
    ),
    recipe(
      "a template for text of nobody",
      "sft",
      "output_dir: out\nmodel: policy\ndata: { path: texts.jsonl, apply_chat_template: true }\n",
      {
        files: { "texts.jsonl": rows({ text: "Ada went home." }) },
      },
    ),
    recipe(
      "a template by its name",
      "sft",
      "output_dir: out\nmodel: policy\ndata: { path: chats.jsonl, apply_chat_template: chatml }\n",
    ),
    recipe(
      "reward models on a service",
      "reward",
      "output_dir: out\nmodel: policy\ndata: preferences.jsonl\nengine: { kind: tinker, base_url: http://127.0.0.1:9 }\n",
    ),
    align(
      "judges that never apply, and nothing else",
      `${reward}\n    ${judges}`,
      "judges: [{ kind: instructions }]",
    ),
    recipe(
      "transformers' word for no limit, in the wrong place",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nmax_steps: -5\n",
    ),
    recipe(
      "accumulation",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nper_device_train_batch_size: 4\ngradient_accumulation_steps: 8\n",
    ),
  ],
};

const more: Chapter = {
  title: "Further slips",
  mistakes: [
    m("a part of a verb and nothing else", "warm"),
    m("a shell that is not said", "completion"),
    m("an experiment that is not said", "reproduce"),
    m("words after a verb that takes none", "doctor run again"),
    m("a recipe and a recipe", "align align.yaml --config align.yaml"),
    m("a flag of another verb", "align align.yaml --epochs 2"),
    m("temperature in words", "sample prompts.jsonl --model policy --temperature hot"),
    m("a top-p in percent", "sample prompts.jsonl --model policy --top-p 90"),
    m("no samples", "sample prompts.jsonl --model policy -n 0"),
    m("a limit of none", "score answers.jsonl --model reward --limit 0"),
    m("a type that is none", "convert policy out --dtype int8"),
    m("weights in a number type that is none", "sample prompts.jsonl --model policy --quantise 3bit"),
    m("a page's port in words", "ui . --port web"),
    m("a token that is too short", "serve --reward reward --token abc --port 0"),
    m("a token of a variable that is not set", "serve --reward reward --token-env NOT_SET_HERE --port 0"),
    m("data where a server's recipe belongs", "serve chats.jsonl --port 0"),
    m("a reward beside a recipe", "serve align.yaml --reward reward --port 0"),
    m("a served recipe that is one of sft", "serve s.yaml --port 0", {
      files: { "s.yaml": "output_dir: out\nmodel: policy\ndata: chats.jsonl\n" },
    }),
    sftOn(
      "a file that ends in the middle of a letter",
      "half.jsonl",
      Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xc3]),
    ),
    sftOn("JSON lines with commas between them", "commas.jsonl", '{"text":"a"},\n{"text":"b"}\n'),
    sftOn("one answer that is a list", "list.jsonl", rows({ prompt: "a", completion: ["b"] })),
    sftOn(
      "a role that is nobody's",
      "role.jsonl",
      rows({
        messages: [
          { role: 7, content: "a" },
          { role: "assistant", content: "b" },
        ],
      }),
    ),
    rewardOn("a winner that is a number", "num.jsonl", rows({ prompt: "a", chosen: 1, rejected: 0 })),
    rewardOn("only winners", "won.jsonl", rows({ prompt: "a", chosen: "b" })),
    sftOn("a CSV file whose header is its first row", "noheader.csv", "What is 1+1?,2\nWhat is 1+2?,3\n"),
    sftOn("a CSV file with a blank column", "blank.csv", "prompt,,completion\na,b,c\n"),
    recipe(
      "a model that is a list for sft",
      "sft",
      "output_dir: out\nmodel: [policy, policy]\ndata: chats.jsonl\n",
    ),
    recipe("data as a list", "sft", "output_dir: out\nmodel: policy\ndata: [chats.jsonl, chats.jsonl]\n"),
    recipe("an output directory as a number", "sft", "output_dir: 5\nmodel: policy\ndata: chats.jsonl\n"),
    recipe(
      "true as a word",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\ncompletion_only_loss: 'yes'\n",
    ),
    recipe(
      "a rate with a comma",
      "sft",
      "output_dir: out\nmodel: policy\ndata: chats.jsonl\nlearning_rate: 1,5e-4\n",
    ),
    recipe(
      "a key of sft for reward models",
      "reward",
      "output_dir: out\nmodel: policy\ndata: preferences.jsonl\ncompletion_only_loss: true\n",
    ),
    recipe(
      "rewards beyond all weights",
      "align",
      alignRecipe.replace(reward, "reward: { sum: [{ warm: reward, weight: big }] }"),
    ),
    align("a sum of nothing", reward, "reward: { sum: [] }"),
    align("a judge gate for CRPG", judges, `${judges}\n    judge_gate: {}`),
    align("a baseline that is none", judges, `${judges}\n    baseline_response: mine`),
    align("an allowance in percent", judges, `${judges}\n    max_failed_rate: 20`),
    align("a penalty without its size", judges, `${judges}\n    length_penalty: {}`),
    align("a reference that is a reward model", "steps: 2", "steps: 2\nreference: reward"),
    align(
      "new tokens beyond the window",
      optimizer,
      optimizer.replace("max_new_tokens: 5", "max_new_tokens: 400"),
    ),
  ],
};

export const chapters: readonly Chapter[] = [command, recipes, data, models, outputs, services, vain, more];
