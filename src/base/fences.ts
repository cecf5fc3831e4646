// Fenced code blocks of Markdown, as models write them: at any indentation, in list items and quotations.

export interface FencedBlock {
  /** What the opening fence says first, in small letters: a language or the name of a file; empty when it says nothing. */
  language: string;
  /** Without the indentation of its opening fence. */
  body: string;
  /** The block with its fences. */
  whole: string;
  /** Place of the block in the text. */
  start: number;
  end: number;
}

/** Marks of quotations and list items, in which a block may stand. */
const container = String.raw`[ \t]*(?:(?:>|[-*+]|\d{1,9}[.)])[ \t]+)*`;
const opening = new RegExp(`^(${container})(\`{3,}|~{3,})(.*)$`);
const closing = /^([ \t>]*)(`{3,}|~{3,})[ \t]*$/;

interface OpenBlock {
  fence: string;
  /** What stands before the opening fence may stand before every line. */
  indent: number;
  margin: RegExp;
  language: string;
  start: number;
  lines: string[];
}

function opened(line: string, start: number): OpenBlock | undefined {
  const [, before, fence, info] = opening.exec(line) ?? [];
  if (fence === undefined || (fence.startsWith("`") && info!.includes("`"))) return undefined;
  const language = /^\s*\{?\s*\.?([^\s{},;=|]*)/.exec(info!)![1]!.toLowerCase();
  const margin = before!.includes(">") ? /[ \t>]/ : /[ \t]/;
  return { fence, indent: before!.length, margin, language, start, lines: [] };
}

function dedented(line: string, { indent, margin }: OpenBlock): string {
  let at = 0;
  while (at < indent && margin.test(line[at] ?? "")) at++;
  return line.slice(at);
}

/** The closed blocks fenced by three or more backticks or tildes, in order. */
export function fencedBlocks(text: string): FencedBlock[] {
  const blocks: FencedBlock[] = [];
  let open: OpenBlock | undefined;
  for (let start = 0; start <= text.length; ) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, text[end - 1] === "\r" && newline >= 0 ? end - 1 : end);
    const [, before, fence] = (open && closing.exec(line)) ?? [];
    if (!open) open = opened(line, start);
    // A fence that is deeper belongs to the code: to a documentation string, say.
    else if (fence?.startsWith(open.fence) && before!.length <= open.indent + 3) {
      const { language, lines } = open;
      blocks.push({
        language,
        body: lines.join("\n"),
        whole: text.slice(open.start, end),
        start: open.start,
        end,
      });
      open = undefined;
    } else open.lines.push(dedented(line, open));
    start = end + 1;
  }
  return blocks;
}
