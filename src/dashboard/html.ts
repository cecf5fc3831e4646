// HTML from text that nobody vouches for: everything that is not explicitly markup is escaped.

/** Markup that is already safe. Only `html` and `join` make it. */
export class Html {
  constructor(private readonly markup: string) {}

  toString(): string {
    return this.markup;
  }
}

type Part = Html | string | number | undefined | null | false | readonly Part[];

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Characters that would not show, or would reorder what is around them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to make visible
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function showInvisible(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}

/** Text as HTML text or attribute value; control and direction characters become visible. */
export function escapeHtml(text: string): string {
  return text
    .replace(/\r\n/g, "\n")
    .replace(INVISIBLE, showInvisible)
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

function render(part: Part): string {
  if (part === undefined || part === null || part === false) return "";
  if (part instanceof Html) return part.toString();
  if (typeof part === "object") return part.map(render).join("");
  return escapeHtml(String(part));
}

/** html`<b>${text}</b>`: the template is markup, what is put into it is text unless it is Html itself. */
export function html(template: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(template.map((literal, index) => literal + render(parts[index])).join(""));
}
