// Writes a world, and its tokenizer, as files: JSONL rows in the conversational format, Hugging Face tokenizer files.

import { join } from "node:path";
import { writeDirectoryAtomic, writeFileAtomic } from "../../base/atomic.js";
import { jsonl } from "../../base/jsonl.js";
import { type Bpe, tokenizerJson } from "./bpe.js";
import { chatTemplate, specialTokens } from "./chat.js";
import type { Pair } from "./preferences.js";
import type { PromptRow, World } from "./world.js";

const user = (content: string) => [{ role: "user", content }];
const assistant = (content: string) => [{ role: "assistant", content }];

/** The metadata become columns of the row, which is where judges look for them. */
const promptRow = ({ id, family, prompt, metadata }: PromptRow) => ({
  id,
  family,
  prompt: user(prompt),
  ...metadata,
});

const pairRow = ({ task, chosen, rejected, flipped }: Pair) => ({
  family: task.family,
  prompt: user(task.prompt),
  chosen: assistant(chosen),
  rejected: assistant(rejected),
  flipped,
});

/** The files of a world, by name. Prompts stand in one file for each family, as the tasks of a recipe need them. */
export function worldFiles(world: World): Record<string, string> {
  const byFamily = (name: string, rows: readonly PromptRow[]) =>
    [...new Set(rows.map(({ family }) => family))]
      .sort()
      .map((family) => [
        `${name}/${family}.jsonl`,
        jsonl(rows.filter((r) => r.family === family).map(promptRow)),
      ]);
  return {
    "corpus.jsonl": jsonl(world.corpus.map((text) => ({ text }))),
    "sft.jsonl": jsonl(
      world.sft.map(({ family, prompt, completion }) => ({
        family,
        prompt: user(prompt),
        completion: assistant(completion),
      })),
    ),
    "preferences.jsonl": jsonl(world.preferences.map(pairRow)),
    "validation.jsonl": jsonl(world.validation.map(pairRow)),
    "shifted.jsonl": jsonl(world.shifted.map(pairRow)),
    ...Object.fromEntries([...byFamily("prompts", world.prompts), ...byFamily("heldout", world.heldout)]),
  };
}

/** Writes all files of `world` into `dir`, which appears whole or not at all. */
export async function writeWorld(world: World, dir: string): Promise<void> {
  await writeDirectoryAtomic(dir, async (temporary) => {
    for (const [name, text] of Object.entries(worldFiles(world)))
      await writeFileAtomic(join(temporary, name), text);
  });
}

/** The tokenizer files that a model directory needs, by name. */
export function tokenizerFiles(bpe: Bpe): Record<string, string> {
  const { end, pad, turnStart, turnEnd } = specialTokens;
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  const roles = { eos_token: turnEnd, pad_token: pad };
  return {
    "tokenizer.json": json(tokenizerJson(bpe, Object.values(specialTokens))),
    "tokenizer_config.json": json({
      tokenizer_class: "PreTrainedTokenizerFast",
      ...roles,
      additional_special_tokens: [turnStart, turnEnd, end],
      add_prefix_space: false,
      clean_up_tokenization_spaces: false,
      model_max_length: 256,
      chat_template: chatTemplate,
    }),
    "special_tokens_map.json": json({ ...roles, additional_special_tokens: [turnStart, turnEnd, end] }),
  };
}

export async function writeTokenizer(bpe: Bpe, dir: string): Promise<void> {
  for (const [name, text] of Object.entries(tokenizerFiles(bpe)))
    await writeFileAtomic(join(dir, name), text);
}
