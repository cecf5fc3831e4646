// Fenced code blocks of Markdown.

export interface FencedBlock {
  /** First word after the opening fence, lower case; empty when there is none. */
  language: string;
  body: string;
  /** The block with its fences. */
  whole: string;
}

/** The closed blocks fenced by three or more backticks or tildes at a line's start, in order. */
export function fencedBlocks(text: string): FencedBlock[] {
  const blocks: FencedBlock[] = [];
  let open: { fence: string; language: string; lines: string[] } | undefined;
  for (const line of text.split(/\r?\n/)) {
    const fence = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    if (!open) {
      if (!fence || (fence[1]!.startsWith("`") && fence[2]!.includes("`"))) continue;
      const language = /^\s*([^\s{]*)/.exec(fence[2]!)![1]!.toLowerCase();
      open = { fence: fence[1]!, language, lines: [line] };
      continue;
    }
    open.lines.push(line);
    if (fence && fence[2]!.trim() === "" && fence[1]!.startsWith(open.fence)) {
      const { language, lines } = open;
      blocks.push({ language, body: lines.slice(1, -1).join("\n"), whole: lines.join("\n") });
      open = undefined;
    }
  }
  return blocks;
}
