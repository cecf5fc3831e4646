// The place in the tokens of an answer, and what is open around it.

import { Unreadable } from "./build.js";
import { maxTokens, type Token } from "./lexer.js";
import { relations, setOperators } from "./notation.js";

const maxDepth = 60;

/** Where the current bracket is a set, the first bar or colon in it is no absolute value and no ratio. */
export interface Frame {
  isSet: boolean;
  bars: number;
}

export class Cursor {
  protected readonly tokens: Token[];

  protected at = 0;

  protected depth = 0;

  protected frame: Frame = { isSet: false, bars: 0 };

  constructor(tokens: readonly Token[]) {
    if (tokens.length > maxTokens) throw new Unreadable("too long");
    this.tokens = frenchIntervals(tokens);
  }

  protected get token(): Token | undefined {
    return this.tokens[this.at];
  }

  protected is(text: string, type: Token["type"] = "symbol"): boolean {
    const token = this.token;
    return token !== undefined && token.type === type && token.text === text;
  }

  protected take(text: string, type: Token["type"] = "symbol"): boolean {
    if (!this.is(text, type)) return false;
    this.at++;
    return true;
  }

  protected expect(text: string): void {
    if (!this.take(text)) throw new Unreadable(`"${text}" is missing`);
  }

  protected nested<T>(parse: () => T): T {
    if (++this.depth > maxDepth) throw new Unreadable("nested too deeply");
    const result = parse();
    this.depth--;
    return result;
  }

  protected within<T>(isSet: boolean, parse: () => T): T {
    const outer = this.frame;
    this.frame = { isSet, bars: 0 };
    const result = this.nested(parse);
    this.frame = outer;
    return result;
  }

  protected next(): Token {
    const token = this.tokens[this.at++];
    if (!token) throw new Unreadable("the expression ends early");
    return token;
  }

  protected endsItem(): boolean {
    const token = this.token;
    if (!token) return true;
    if (token.type === "end") return true;
    if (token.type === "command")
      return (
        token.text === "rangle" ||
        token.text === "rfloor" ||
        token.text === "rceil" ||
        (token.text === "Vert" && this.frame.bars > 0) ||
        (token.text === "mid" && this.frame.isSet)
      );
    return token.type === "symbol" && [")", "]", "}", "}}", ",", ";", "&", "\\\\"].includes(token.text);
  }

  protected endsAt(index: number): boolean {
    const at = this.at;
    this.at = index;
    const ends = this.endsItem() || this.isConjunction();
    this.at = at;
    return ends;
  }

  protected isConjunction(): boolean {
    const token = this.token;
    if (!token) return false;
    if (token.type === "command") return token.text === "vee" && !this.frame.isSet && false;
    return (
      (token.type === "word" || token.type === "letters" || token.type === "upright") &&
      /^(?:and|or)$/i.test(token.text)
    );
  }
}

/** `]0,1[` with brackets turned outwards is (0,1). */
function frenchIntervals(tokens: readonly Token[]): Token[] {
  const out = [...tokens];
  const open: string[] = [];
  const isOperandBefore = (i: number) => {
    const before = out[i - 1];
    if (!before) return false;
    if (before.type === "command")
      return !Object.hasOwn(relations, before.text) && !Object.hasOwn(setOperators, before.text);
    return before.type !== "symbol" || [")", "]", "}", "}}", "!", "%"].includes(before.text);
  };
  for (let i = 0; i < out.length; i++) {
    const { type, text } = out[i]!;
    if (type !== "symbol") continue;
    if (text === "]" && !isOperandBefore(i)) {
      out[i] = { ...out[i]!, text: "(" };
      open.push("]");
    } else if (text === "[" && open.length > 0 && isOperandBefore(i) && "([]".includes(open.at(-1)!)) {
      const next = out[i + 1];
      const ends =
        !next ||
        next.type === "command" ||
        next.type === "word" ||
        (next.type === "symbol" && [")", ",", ";", "}", "}}", "]"].includes(next.text));
      if (!ends) continue;
      out[i] = { ...out[i]!, text: ")" };
      open.pop();
    } else if ("([".includes(text)) open.push(text);
    else if (")]".includes(text)) open.pop();
  }
  return out;
}
