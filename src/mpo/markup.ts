// Blocks of a prompt. Whatever the policy, a data set or a model wrote stands between tags, with every tag of ours and
// every control token of a chat template in it made harmless, so that it cannot close its block or open another.

/** Names of the blocks in prompts and replies. */
const blockNames = [
  "task",
  "instruction",
  "response",
  "reference",
  "rubric",
  "item",
  "plan",
  "feedback",
  "case",
  "result",
  "analysis",
  "refinement",
  "reason",
  "score",
] as const;

export type BlockName = (typeof blockNames)[number];

/** Where a model was asked to stop (the paper's marker). */
export const stopMarker = "<EOE>";

const names = [
  ...blockNames,
  "rubrics",
  "items",
  "EOE",
  "s",
  "bos",
  "eos",
  "start_of_turn",
  "end_of_turn",
].join("|");
const space = "[\\s\\u200b-\\u200f\\u2060\\ufeff]{0,8}";
const controlTag = `<${space}[/|]?${space}(?:${names})\\b`;

/** `<item>` becomes `&lt;item>`; `<|im_end|>` and `[/INST]` likewise. */
export function escapeText(text: string): string {
  return text
    .replace(new RegExp(controlTag, "gi"), (tag) => `&lt;${tag.slice(1)}`)
    .replaceAll("<|", "&lt;|")
    .replace(/\[(?=\/?(?:INST|SYS)\])/gi, "&#91;");
}

/** The text without those tags. */
export function dropTags(text: string): string {
  return text.replace(new RegExp(`${controlTag}[^<>]{0,200}>?|<\\|[^<>|]{0,200}\\|>`, "gi"), " ");
}

/** A block of untrusted text. */
export const block = (name: BlockName, text: string): string =>
  `<${name}>\n${escapeText(text).trim()}\n</${name}>`;

/** The escaped text of the last block of that name; undefined without one. */
export function readBlock(text: string, name: BlockName): string | undefined {
  const end = text.lastIndexOf(`\n</${name}>`);
  const start = end < 0 ? -1 : text.lastIndexOf(`<${name}>\n`, end);
  if (start < 0) return undefined;
  return text.slice(start + name.length + 3, Math.max(end, start + name.length + 3));
}
