// A grammar for final answers in LaTeX or plain text: lists of relations of sets of sums of products, with words between.
// Text is only parsed, never executed. What does not fit is `Unreadable`, and the answer is then opaque as a whole.

import { lifted, Unreadable } from "./build.js";
import { Expressions } from "./expressions.js";
import type { Token } from "./lexer.js";
import { currencies, isWord, relations, setOperators } from "./notation.js";
import { combined, wordsNode } from "./phrase.js";
import { call, isCall, type Node } from "./tree.js";

const isInequality = (node: Node) =>
  node.kind === "relation" && !node.modulus && node.relations.every((sign) => "<≤>≥".includes(sign));

export class Parser extends Expressions {
  parse(): Node {
    const result = this.stacked();
    if (this.at < this.tokens.length) throw new Unreadable("something follows the answer");
    return result;
  }

  // Lists and words

  /** Items between commas, semicolons, "and" and "or"; one item is itself. */
  protected list(): Node {
    const items = [this.item()];
    let isChoice = false;
    while (this.separator()) {
      if (!this.startsItem()) break;
      isChoice = /^or$/i.test(this.tokens[this.at - 1]!.text);
      items.push(this.item());
    }
    if (items.length === 1) return items[0]!;
    // Inequalities between which "or" stands are no conditions that hold together.
    return { kind: "call", name: isChoice && items.every(isInequality) ? "union" : "list", args: items };
  }

  protected separator(): boolean {
    const start = this.at;
    if (this.take(",") || this.take(";")) {
      if (this.isConjunction()) this.at++;
    } else if (this.isConjunction() || (this.is("&") && this.frame.bars < 0)) this.at++;
    return this.at > start;
  }

  protected startsItem(): boolean {
    return this.token !== undefined && !this.endsItem();
  }

  /** A chain of relations, or one side alone. */
  protected item(): Node {
    return this.nested(() => {
      const sides = [this.side()];
      const found: string[] = [];
      for (let relation = this.relation(); relation !== undefined; relation = this.relation()) {
        found.push(relation);
        sides.push(this.side());
      }
      const modulus = this.modulus();
      if (found.length === 0 && !modulus) return sides[0]!;
      return { kind: "relation", sides, relations: found, ...(modulus && { modulus }) };
    });
  }

  protected relation(): string | undefined {
    const token = this.token;
    if (!token || (token.type !== "symbol" && token.type !== "command")) return undefined;
    const isNegated = token.text === "not" && token.type === "command";
    const next = isNegated ? this.tokens[this.at + 1] : token;
    if (!next || !Object.hasOwn(relations, next.text)) return undefined;
    if ((next.type === "symbol") !== "=<>".includes(next.text)) return undefined;
    this.at += isNegated ? 2 : 1;
    const relation = relations[next.text]!;
    if (!isNegated) return relation;
    return { "=": "≠", "∈": "∉" }[relation] ?? `not${relation}`;
  }

  /** `\pmod 7`, `(\mod 7)`, `mod 7`. */
  protected modulus(): Node | undefined {
    if (this.take("pmod", "command") || this.take("pod", "command")) return this.argument();
    const start = this.at;
    const open = this.take("(");
    if (
      this.take("mod", "command") ||
      this.take("mod", "letters") ||
      this.take("mod", "upright") ||
      this.take("mod", "word")
    ) {
      const modulus = this.power();
      if (open) this.expect(")");
      return modulus;
    }
    this.at = start;
    return undefined;
  }

  /** Expressions and words in turn. */
  protected side(): Node {
    const parts: Node[] = [];
    for (;;) {
      if (this.atWord(parts.at(-1))) parts.push(this.words(parts.at(-1)));
      else if (this.startsExpression()) parts.push(this.ratio());
      else break;
    }
    if (parts.length === 0) throw new Unreadable("an expression is missing");
    return parts.length === 1 ? lifted(parts[0]!) : combined(parts.map(lifted));
  }

  /** A run of words, with what belongs to the name of a unit: `cm^2`, `m/s`, `kg*m`. */
  protected words(before: Node | undefined): Node {
    const words: string[] = [];
    const start = this.at;
    while (this.at < this.tokens.length) {
      const token = this.token!;
      const isLetters =
        token.type === "letters" && (this.at > start || this.atWord(before) || isWord(token.text));
      if (this.isConjunction()) break;
      if (token.type === "word" || token.type === "upright" || isLetters) words.push(token.text);
      else if (token.type === "symbol" && Object.hasOwn(currencies, token.text) && before !== undefined)
        words.push(currencies[token.text]!);
      else if (words.length > 0 && this.takesUnitSymbol(words)) continue;
      else break;
      this.at++;
    }
    return wordsNode(words, before);
  }

  protected takesUnitSymbol(words: string[]): boolean {
    const token = this.token!;
    const next = this.tokens[this.at + 1];
    if (token.type === "symbol" && token.text === "^") {
      const start = this.at++;
      const braced = this.take("{");
      const sign = this.take("-") ? "-" : "";
      const digit = this.token;
      if (digit?.type === "number" && digit.text.length === 1) {
        this.at++;
        if (!braced || this.take("}")) {
          words.push(`^${sign}${digit.text}`);
          return true;
        }
      }
      this.at = start;
      return false;
    }
    const isOperator = token.type === "symbol" && "/*".includes(token.text);
    if (!isOperator || !next || !["word", "upright", "letters"].includes(next.type)) return false;
    words.push(token.text);
    this.at++;
    return true;
  }

  // Expressions

  protected ratio(): Node {
    const items = [this.sets()];
    while (this.is(":") && !this.frame.isSet) {
      this.at++;
      items.push(this.sets());
    }
    return items.length === 1 ? items[0]! : call("ratio", ...items);
  }

  protected sets(): Node {
    let left = this.sum();
    for (;;) {
      const token = this.token;
      const name =
        token?.type === "command" && Object.hasOwn(setOperators, token.text) ? setOperators[token.text]! : "";
      if (name === "") return left;
      this.at++;
      const right = this.atWord(undefined) ? this.words(undefined) : this.sum();
      left =
        isCall(left, name) && name !== "difference"
          ? call(name, ...left.args, right)
          : call(name, left, right);
    }
  }

  protected startsExpression(): boolean {
    const token = this.token;
    if (!token || this.isConjunction()) return false;
    if (
      token.type === "symbol" &&
      (["+", "-", "±", "|"].includes(token.text) || Object.hasOwn(currencies, token.text))
    )
      return !(token.text === "|" && this.frame.bars > 0);
    if (token.type === "command" && ["pm", "mp"].includes(token.text)) return true;
    if (token.type === "letters") return !isWord(token.text);
    return this.startsFactor();
  }

  /** A list, or two with `\over`, `\choose` or `\atop` between. */
  protected stacked(): Node {
    const above = this.list();
    for (const [command, name] of Object.entries({ over: "divide", choose: "binomial", atop: "atop" })) {
      if (this.take(command, "command")) return call(name, above, this.list());
    }
    return above;
  }

  protected items(): Node[] {
    if (this.endsItem() && !this.is(",")) return [];
    const inside = this.list();
    return isCall(inside, "list") ? [...inside.args] : [inside];
  }

  protected expressionOf(tokens: readonly Token[]): Node {
    const other = new Parser(tokens);
    const value = other.sum();
    if (other.token) throw new Unreadable("something follows the expression");
    return value;
  }
}
