// JSON with what JavaScript's own parser changes: integers above 2^53 keep their digits (as bigint), a float that is a whole
// number (`1.0`) can be told from an integer where a reader asks for it, and so can the order of keys that are numbers ("10").

/** A float that is a whole number, which JSON has and JavaScript's numbers have not: `1.0`, not `1`. */
export class WholeFloat extends Number {
  toJSON(): number {
    return this.valueOf();
  }
}

export interface ParseOptions {
  /** Gives `1.0` and `1e3` as WholeFloat. Default false: as a number. */
  wholeFloats?: boolean;
}

/** What `JSON.parse` may change; a text without any (strings included) is left to it. */
const changed = /\d{16}|\d\.0*(?!\d)|\d[eE]|"\d+"\s*:/;

/** The keys of objects that JavaScript lists in another order than their text, which is to put numbers first. */
const keyOrder = new WeakMap<object, readonly string[]>();

/** `Object.entries` in the order of the text that `parseJson` read. */
export function entriesInOrder(object: Readonly<Record<string, unknown>>): [string, unknown][] {
  const keys = keyOrder.get(object);
  return keys ? keys.map((key) => [key, object[key]]) : Object.entries(object);
}

const isNumeral = (key: string): boolean => /^\d+$/.test(key);
const maxDepth = 1000;

/** `JSON.parse` that keeps every digit of integers. Throws SyntaxError. */
export function parseJson(text: string, { wholeFloats = false }: ParseOptions = {}): unknown {
  // Also checks the text, so that what follows need not.
  const plain: unknown = JSON.parse(text);
  return changed.test(text) ? new Parser(text, wholeFloats).parse() : plain;
}

/** What a text says as JSON; undefined for what is none. */
export function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads text that is known to be JSON. */
class Parser {
  private at = 0;
  private depth = 0;

  constructor(
    private readonly text: string,
    private readonly wholeFloats: boolean,
  ) {}

  parse(): unknown {
    this.skip();
    return this.value();
  }

  private skip(): void {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at++;
  }

  private value(): unknown {
    switch (this.text[this.at]) {
      case "{": {
        const keys = new Set<string>();
        const object = this.nested("}", {}, (object) => {
          const key = this.string();
          keys.add(key);
          this.skip();
          this.at++;
          this.skip();
          // An own property even where it is called __proto__, as JSON.parse makes it.
          Object.defineProperty(object, key, {
            value: this.value(),
            writable: true,
            enumerable: true,
            configurable: true,
          });
        });
        if ([...keys].some(isNumeral)) keyOrder.set(object, [...keys]);
        return object;
      }
      case "[":
        return this.nested("]", [] as unknown[], (list) => {
          list.push(this.value());
        });
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private nested<T>(close: string, into: T, item: (into: T) => void): T {
    if (++this.depth > maxDepth) throw new SyntaxError(`it nests more than ${maxDepth} levels deep`);
    this.at++;
    for (this.skip(); this.text[this.at] !== close; this.skip()) {
      if (this.text[this.at] === ",") {
        this.at++;
        this.skip();
      }
      item(into);
    }
    this.at++;
    this.depth--;
    return into;
  }

  private string(): string {
    const start = this.at++;
    while (this.text[this.at] !== '"') this.at += this.text[this.at] === "\\" ? 2 : 1;
    this.at++;
    return JSON.parse(this.text.slice(start, this.at)) as string;
  }

  private word<T>(word: string, value: T): T {
    this.at += word.length;
    return value;
  }

  private number(): unknown {
    const pattern = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;
    pattern.lastIndex = this.at;
    const [source, fraction, exponent] = pattern.exec(this.text)!;
    this.at += source.length;
    const number = Number(source);
    if (fraction === undefined && exponent === undefined)
      return Number.isSafeInteger(number) ? number : BigInt(source);
    return this.wholeFloats && Number.isInteger(number) ? new WholeFloat(number) : number;
  }
}

/** `JSON.stringify` that writes bigints as integers. */
export function formatJson(value: unknown, indent?: number): string {
  if (!hasBigint(value)) return JSON.stringify(value, null, indent);
  // A private-use mark that no text can hold in this place: strings that begin with it are marked twice.
  const mark = "\ue000";
  const text = JSON.stringify(
    value,
    (_, item: unknown) => {
      if (typeof item === "bigint") return `${mark}${item}`;
      return typeof item === "string" && item.startsWith(mark) ? mark + item : item;
    },
    indent,
  );
  return text.replace(/"\ue000(-?\d+|\ue000(?:[^"\\]|\\.)*)"/g, (_, body: string) =>
    body.startsWith(mark) ? `"${body}"` : body,
  );
}

function hasBigint(value: unknown): boolean {
  if (typeof value === "bigint") return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(hasBigint);
}

/** In a text with JSON in it: index after the brace that closes the one at `start`; braces in strings do not count. */
export function endOfObject(text: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let i = start; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === "\\") i++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === "{") depth++;
    else if (c === "}" && --depth === 0) return i + 1;
  }
  return undefined;
}
