// Tokens of a Jinja template, as jinja2 3.1 reads them with the settings of `transformers`: `trim_blocks` (the line end
// after a block tag goes), `lstrip_blocks` (blanks before a block tag at the beginning of a line go), every kind of line
// end is "\n", and one line end at the very end of the source goes.

/** What is wrong with a template, or with what it does; the message is for the person who wrote it. */
export class TemplateError extends Error {}

/** What the template says itself by `raise_exception`. */
export class RaisedError extends TemplateError {}

export type TokenType =
  | "data"
  | "variable_begin"
  | "variable_end"
  | "block_begin"
  | "block_end"
  | "name"
  | "string"
  | "integer"
  | "float"
  | "operator"
  | "eof";

export interface Token {
  type: TokenType;
  /** The text of names, data, strings and operators. */
  value: string;
  /** Of numbers: integers are exact, floats are not integers. */
  number?: bigint | number;
  line: number;
}

/** What Python's `str.isspace` calls a space, as the inside of a character class. */
export const pythonSpaces =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const space = `[${pythonSpaces}]`;

const rules = {
  blockEnd: new RegExp(`\\+%\\}|-%\\}${space}*|%\\}\\n?`, "y"),
  variableEnd: new RegExp(`-\\}\\}${space}*|\\}\\}`, "y"),
  commentEnd: new RegExp(`\\+#\\}|-#\\}${space}*|#\\}\\n?`, "y"),
  rawBegin: new RegExp(`\\{%([-+]?)${space}*raw${space}*(?:-%\\}${space}*|%\\})`, "y"),
  rawEnd: new RegExp(`\\{%([-+]?)${space}*endraw${space}*(?:\\+%\\}|-%\\}${space}*|%\\}\\n?)`, "y"),
  spaces: new RegExp(`${space}+`, "y"),
  float: /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy,
  integer: /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy,
  name: /[\p{L}\p{N}_]+/uy,
  string: /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y,
  operator: /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y,
};
const identifier = /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u;
const blanksOnly = new RegExp(`^${space}+$`);
const trailingSpaces = new RegExp(`${space}`);

const closing: Record<string, string> = { "{": "}", "(": ")", "[": "]" };

export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let [at, line] = [0, 1];
  let lineStarting = true;

  const match = (rule: RegExp): string | null => {
    rule.lastIndex = at;
    return rule.exec(source)?.[0] ?? null;
  };
  const advance = (text: string) => {
    at += text.length;
    line += countLines(text);
    lineStarting = text.endsWith("\n");
  };
  const push = (type: TokenType, value: string, number?: bigint | number) =>
    tokens.push(number === undefined ? { type, value, line } : { type, value, number, line });
  /** Text before a tag, less what the tag strips of it. */
  const pushData = (text: string, sign: string, isVariable: boolean) => {
    let kept = text;
    if (sign === "-") kept = trimEnd(text);
    else if (sign !== "+" && !isVariable) {
      const start = text.lastIndexOf("\n") + 1;
      if ((start > 0 || lineStarting) && blanksOnly.test(text.slice(start))) kept = text.slice(0, start);
    }
    if (kept !== "") push("data", kept);
  };

  while (at < source.length) {
    const begin = nextTag(source, at);
    if (begin < 0) {
      push("data", source.slice(at));
      break;
    }
    const text = source.slice(at, begin);
    rules.rawBegin.lastIndex = begin;
    const raw = rules.rawBegin.exec(source);
    const kind = source[begin + 1]!;
    const sign = raw ? raw[1]! : /[-+]/.test(source[begin + 2] ?? "") ? source[begin + 2]! : "";
    pushData(text, sign, kind === "{");
    advance(text);
    if (raw) {
      advance(raw[0]);
      readRaw();
    } else {
      advance(source.slice(begin, begin + 2) + sign);
      if (kind === "#") readComment();
      else readTag(kind === "{" ? "variable" : "block");
    }
  }
  push("eof", "");
  return tokens;

  function readRaw(): void {
    for (let end = source.indexOf("{%", at); end >= 0; end = source.indexOf("{%", end + 1)) {
      rules.rawEnd.lastIndex = end;
      const found = rules.rawEnd.exec(source);
      if (!found) continue;
      const text = source.slice(at, end);
      pushData(text, found[1]!, false);
      advance(text);
      advance(found[0]);
      return;
    }
    throw new TemplateError(`line ${line}: Missing end of raw directive`);
  }

  function readComment(): void {
    const end = source.indexOf("#}", at);
    if (end < 0) throw new TemplateError(`line ${line}: Missing end of comment tag`);
    const signed = end > at && (source[end - 1] === "-" || source[end - 1] === "+");
    advance(source.slice(at, signed ? end - 1 : end));
    advance(match(rules.commentEnd)!);
  }

  function readTag(kind: "variable" | "block"): void {
    push(`${kind}_begin`, "");
    const open: string[] = [];
    while (at < source.length) {
      const end = open.length === 0 ? match(kind === "block" ? rules.blockEnd : rules.variableEnd) : null;
      if (end !== null) {
        push(`${kind}_end`, "");
        advance(end);
        return;
      }
      readToken(open);
    }
    throw new TemplateError(`line ${line}: Unexpected end of template`);
  }

  function readToken(open: string[]): void {
    let text = match(rules.spaces);
    if (text !== null) {
      advance(text);
      return;
    }
    if ((text = match(rules.float)) !== null) push("float", text, Number(text.replaceAll("_", "")));
    else if ((text = match(rules.integer)) !== null) push("integer", text, BigInt(text.replaceAll("_", "")));
    else if ((text = match(rules.name)) !== null) {
      if (!identifier.test(text))
        throw new TemplateError(`line ${line}: Invalid character in identifier "${text}"`);
      push("name", text);
    } else if ((text = match(rules.string)) !== null) push("string", unescapeText(text.slice(1, -1), line));
    else if ((text = match(rules.operator)) !== null) {
      if (closing[text]) open.push(closing[text]);
      else if (/[})\]]/.test(text) && open.pop() !== text)
        throw new TemplateError(`line ${line}: unexpected "${text}"`);
      push("operator", text);
    } else throw new TemplateError(`line ${line}: unexpected character ${JSON.stringify(source[at])}`);
    advance(text);
  }
}

function nextTag(source: string, from: number): number {
  for (let at = source.indexOf("{", from); at >= 0; at = source.indexOf("{", at + 1)) {
    const next = source[at + 1];
    if (next === "%" || next === "{" || next === "#") return at;
  }
  return -1;
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && trailingSpaces.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const simpleEscapes: Record<string, string> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Python's `unicode-escape`; an escape that it does not know stays as it is. */
function unescapeText(text: string, line: number): string {
  return text.replace(
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g,
    (whole, octal, x, u, wide, other) => {
      if (octal) return String.fromCodePoint(Number.parseInt(octal, 8));
      const hex = x ?? u ?? wide;
      if (hex && Number.parseInt(hex, 16) <= 0x10ffff) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (hex || /^[xuUN]$/.test(other))
        throw new TemplateError(`line ${line}: the string escape ${whole} is not complete`);
      return simpleEscapes[other] ?? whole;
    },
  );
}
