#!/bin/sh
# SmolLM2-135M-Instruct through every verb, LoRA and whole, with its own chat template: a step or two each, on rows that this
# script writes. Needs `npm run build`, scripts/fetch-smollm2.sh and about 4 GB of disk: sh scripts/smollm2-verbs.sh WORK_DIR
set -e
cd "$(dirname "$0")/.."
work=$1
gguf=$PWD/.models/SmolLM2-135M-Instruct.Q4_1.gguf
touchstone="node bin/touchstone.js"
mkdir -p "$work"

say() { printf '\n$ %s\n' "$*"; "$@"; }
t() { printf '\n$ touchstone %s\n' "$*"; $touchstone "$@"; }

node - "$work" <<'NODE'
const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const dir = process.argv[2];
const write = (name, rows) => writeFileSync(join(dir, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const user = (content) => ({ role: "user", content });
const assistant = (content) => ({ role: "assistant", content });
const facts = [["the ocean", "It is salt water."], ["a violin", "It has four strings."], ["bread", "It is baked."], ["glass", "It is made of sand."]];
write("sft.jsonl", facts.map(([what, is]) => ({ messages: [user(`What is ${what}?`), assistant(is)] })));
write("pairs.jsonl", facts.map(([what, is]) => ({ prompt: [user(`What is ${what}?`)], chosen: [assistant(is)], rejected: [assistant("I do not know.")] })));
write("prompts.jsonl", facts.map(([what]) => ({ prompt: [user(`What is ${what}?`)] })));
write("gsm8k.jsonl", [{ question: "Tom has 3 apples and buys 4. How many has he?", answer: "3 + 4 = 7\n#### 7" }]);
writeFileSync(join(dir, "align.yaml"), `policy: { model: ./base, lora: { r: 8 } }
output_dir: ./align
steps: 2
save_steps: 0
tasks:
  - name: facts
    prompts: ./prompts.jsonl
    reward: { warm: ./warm, quantise: 8bit }
    judges: [{ kind: length, max_words: 40 }]
    optimizer: { name: crpg, batch_prompts: 2, generations: 2, max_new_tokens: 16 }
`);
writeFileSync(join(dir, "align-whole.yaml"), `policy: { model: ./sft-whole/final, save_dtype: bfloat16 }
output_dir: ./align-whole
steps: 1
save_steps: 0
tasks:
  - name: facts
    prompts: ./prompts.jsonl
    reward: { model: ./reward-whole/final }
    optimizer: { name: rloo, batch_prompts: 2, generations: 2, max_new_tokens: 16 }
`);
NODE

t convert "$gguf" "$work/base"
t sft --model "$work/base" --data "$work/sft.jsonl" -o "$work/sft" --lora-r 8 --steps 2 --batch-size 2 --set quantise=8bit --quiet
t sft --model "$work/base" --data "$work/sft.jsonl" -o "$work/sft-whole" --steps 1 --batch-size 2 --save-steps 0 --quiet
t reward --model "$work/base" --data "$work/pairs.jsonl" -o "$work/reward" --lora-r 8 --runs 2 --steps 1 --batch-size 2 --set eval_split=0 --quiet
t reward --model "$work/base" --data "$work/pairs.jsonl" -o "$work/reward-whole" --steps 1 --batch-size 2 --set eval_split=0 --save-steps 0 --quiet
t warm "$work/reward/member-1/final" "$work/reward/member-2/final" -o "$work/warm" --quiet
t align "$work/align.yaml" --quiet
t align "$work/align-whole.yaml" --quiet
t eval --model "$work/align/final" --task "gsm8k=$work/gsm8k.jsonl" --max-new-tokens 32 --quiet
printf 'What is bread? One sentence.\n' | t chat --model "$work/align/final" --temperature 0 --max-new-tokens 24
t sample "$work/prompts.jsonl" --model "$work/align/final" --limit 1 --max-new-tokens 16 --temperature 0 --quiet
t score "$work/sft.jsonl" --model "$work/warm" --limit 1 --quiet
t export "$work/align/final" "$work/align-lora.gguf" --to gguf --adapter-only --quiet
t export "$work/align/final" "$work/align.gguf" --to gguf --dtype float32 --quiet
t export "$work/align/final" "$work/align-onnx" --to onnx --quiet
t export "$work/warm" "$work/warm-onnx" --to onnx --quiet
