// A parser by precedence for mathematical expressions in LaTeX or plain notation. Text is only parsed, never executed.

import type { Complex, Expression, Rational } from "./expression.js";
import { exactValue, rational } from "./value.js";

/** The text is no expression that this parser knows. */
export class NotAnExpression extends Error {}

const maxLength = 1000;
const maxDepth = 60;

const call = (name: string, ...args: Expression[]): Expression => ({ kind: "call", name, args });

/** A decimal literal, exactly. */
function decimal(text: string): Rational {
  const [whole = "", digits = ""] = text.split(".");
  return rational(BigInt(`${whole}${digits}` || "0"), 10n ** BigInt(digits.length))!;
}

const functions = new Set([
  ...["sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"],
  ...["ln", "log", "lg", "exp", "abs", "sqrt", "floor", "ceil", "max", "min", "gcd", "lcm"],
]);

const constants: Record<string, Complex> = {
  pi: { re: Math.PI, im: 0 },
  e: { re: Math.E, im: 0 },
  i: { re: 0, im: 1 },
  infty: { re: Number.POSITIVE_INFINITY, im: 0 },
};

const greek = new Set(
  "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega".split(
    " ",
  ),
);

type Token = { type: "number" | "name" | "symbol"; text: string; spaced: boolean };

/** Numbers, names (of functions, constants, Greek letters; other letters are one variable each) and symbols. */
function tokenize(text: string): Token[] {
  if (text.length > maxLength) throw new NotAnExpression("too long");
  const tokens: Token[] = [];
  const pattern = /(\s*)(?:(\d+(?:\.\d*)?|\.\d+)|\\?([A-Za-z]+)|([-+*/^_!(){}[\]|,%]))/y;
  while (text.slice(pattern.lastIndex).trim() !== "") {
    const match = pattern.exec(text);
    if (!match) throw new NotAnExpression("unknown symbol");
    const [whole, space, number, name, symbol] = match;
    const spaced = space !== "";
    if (number !== undefined) tokens.push({ type: "number", text: number, spaced });
    else if (symbol !== undefined) tokens.push({ type: "symbol", text: symbol, spaced });
    else if (whole.includes("\\")) tokens.push({ type: "name", text: name!, spaced });
    else for (const part of splitLetters(name!)) tokens.push({ type: "name", text: part, spaced });
  }
  return tokens;
}

/** Letters without a backslash: a known word as a whole, otherwise one variable each. */
function splitLetters(letters: string): string[] {
  if (functions.has(letters) || Object.hasOwn(constants, letters) || greek.has(letters)) return [letters];
  if (letters.length > 3) throw new NotAnExpression(`"${letters}" is a word`);
  return [...letters];
}

class Parser {
  private readonly tokens: Token[];
  private at = 0;
  private depth = 0;
  private bars = 0;

  constructor(text: string) {
    this.tokens = tokenize(text);
  }

  parse(): Expression {
    const result = this.sum();
    if (this.at < this.tokens.length) throw new NotAnExpression("something follows the expression");
    return result;
  }

  private peek(text: string): boolean {
    const token = this.tokens[this.at];
    return token?.type === "symbol" && token.text === text;
  }

  private take(text: string): boolean {
    if (!this.peek(text)) return false;
    this.at++;
    return true;
  }

  private expect(text: string): void {
    if (!this.take(text)) throw new NotAnExpression(`"${text}" is missing`);
  }

  private nested<T>(parse: () => T): T {
    if (++this.depth > maxDepth) throw new NotAnExpression("nested too deeply");
    const result = parse();
    this.depth--;
    return result;
  }

  private sum(): Expression {
    return this.nested(() => {
      let left = this.product();
      for (;;) {
        if (this.take("+")) left = call("add", left, this.product());
        else if (this.take("-")) left = call("add", left, call("negate", this.product()));
        else return left;
      }
    });
  }

  private product(): Expression {
    let left = this.signed();
    for (;;) {
      if (this.take("*")) left = call("multiply", left, this.signed());
      else if (this.take("/")) left = call("divide", left, this.signed());
      else if (this.startsFactor()) left = this.juxtaposed(left);
      else return left;
    }
  }

  /** `2x` is a product, `1\frac{1}{2}` and `1 1/2` are mixed numbers. */
  private juxtaposed(left: Expression): Expression {
    const isNegative = left.kind === "call" && left.name === "negate";
    const size = isNegative ? left.args[0]! : left;
    const isWhole = size.kind === "number" && size.value.d === 1n;
    const mixed = (part: Expression) => call("add", left, isNegative ? call("negate", part) : part);
    const token = this.tokens[this.at]!;
    if (isWhole && token.type === "name" && token.text === "frac") {
      const fraction = this.power();
      const value = exactValue(fraction);
      const isPart = value !== undefined && value.n > 0n && value.n < value.d;
      return isPart ? mixed(fraction) : call("multiply", left, fraction);
    }
    const isAfterFactorial = this.tokens[this.at - 1]!.text === "!";
    if (token.type === "number" && !isAfterFactorial) {
      const [slash, below] = [this.tokens[this.at + 1], this.tokens[this.at + 2]];
      if (!isWhole || !token.spaced || slash?.text !== "/" || below?.type !== "number") {
        throw new NotAnExpression("two numbers in a row");
      }
      const above = this.power();
      this.expect("/");
      return mixed(call("divide", above, this.power()));
    }
    return call("multiply", left, this.power());
  }

  private startsFactor(): boolean {
    const token = this.tokens[this.at];
    if (!token) return false;
    if (token.type !== "symbol") return true;
    return (
      token.text === "(" ||
      token.text === "{" ||
      token.text === "[" ||
      (token.text === "|" && this.bars === 0)
    );
  }

  private signed(): Expression {
    if (this.take("-")) return this.nested(() => call("negate", this.signed()));
    if (this.take("+")) return this.nested(() => this.signed());
    return this.power();
  }

  private power(): Expression {
    const base = this.postfix();
    if (!this.take("^")) return base;
    return call(
      "power",
      base,
      this.nested(() => this.signed()),
    );
  }

  private postfix(): Expression {
    let value = this.atom();
    for (;;) {
      if (this.take("!")) value = call("factorial", value);
      else if (this.take("%")) value = call("divide", value, { kind: "number", value: { n: 100n, d: 1n } });
      else return value;
    }
  }

  private bracketed(close: string): Expression {
    const value = this.sum();
    this.expect(close);
    return value;
  }

  /** A braced group, or the single digit or name that LaTeX takes as an argument without braces. */
  private argument(): Expression {
    if (this.take("{")) return this.bracketed("}");
    const token = this.tokens[this.at];
    if (token?.type === "number" && token.text.length > 1) {
      this.tokens.splice(
        this.at,
        1,
        { ...token, text: token.text[0]! },
        { ...token, text: token.text.slice(1) },
      );
    }
    return this.atom();
  }

  private atom(): Expression {
    const token = this.tokens[this.at++];
    if (!token) throw new NotAnExpression("the expression ends early");
    if (token.type === "number") return { kind: "number", value: decimal(token.text) };
    if (token.type === "name") return this.named(token.text);
    if (token.text === "(") return this.bracketed(")");
    if (token.text === "{") return this.bracketed("}");
    if (token.text === "[") return this.bracketed("]");
    if (token.text === "|") {
      this.bars++;
      const value = this.bracketed("|");
      this.bars--;
      return call("abs", value);
    }
    throw new NotAnExpression(`"${token.text}" is out of place`);
  }

  private named(name: string): Expression {
    if (name === "frac") return call("divide", this.argument(), this.argument());
    if (name === "binom") return call("binomial", this.argument(), this.argument());
    if (name === "sqrt") return this.root();
    if (functions.has(name)) return this.application(name);
    if (Object.hasOwn(constants, name)) return { kind: "constant", value: constants[name]! };
    if (name.length > 1 && !greek.has(name)) throw new NotAnExpression(`\\${name} is unknown`);
    return this.subscripted(name);
  }

  /** x_1 and x_{12} are variables of their own. */
  private subscripted(name: string): Expression {
    if (!this.take("_")) return { kind: "variable", name };
    const parts: string[] = [];
    if (this.take("{")) while (!this.take("}")) parts.push(this.next().text);
    else parts.push(this.next().text);
    return { kind: "variable", name: `${name}_${parts.join("")}` };
  }

  private next(): Token {
    const token = this.tokens[this.at++];
    if (!token) throw new NotAnExpression("the expression ends early");
    return token;
  }

  private root(): Expression {
    if (!this.take("[")) return call("power", this.argument(), { kind: "number", value: { n: 1n, d: 2n } });
    const degree = this.bracketed("]");
    return call(
      "power",
      this.argument(),
      call("divide", { kind: "number", value: { n: 1n, d: 1n } }, degree),
    );
  }

  /** f(x), f x, f^2 x, log_b x. */
  private application(name: string): Expression {
    const base = this.take("_") ? this.argument() : undefined;
    const exponent = this.take("^") ? this.argument() : undefined;
    const args = this.take("(") ? this.list(")") : [this.openArgument()];
    const isInverse = exponent && exactValue(exponent)?.n === -1n && ["sin", "cos", "tan"].includes(name);
    let value = call(isInverse ? `arc${name}` : name, ...args);
    if (base) value = call("divide", call("ln", ...args), call("ln", base));
    return exponent && !isInverse ? call("power", value, exponent) : value;
  }

  private list(close: string): Expression[] {
    const items = [this.sum()];
    while (this.take(",")) items.push(this.sum());
    this.expect(close);
    return items;
  }

  /** The factors that belong to a function without brackets: `\sin 2x`. */
  private openArgument(): Expression {
    return this.nested(() => {
      let value = this.power();
      while (this.startsFactor() && !functions.has(this.tokens[this.at]!.text)) {
        value = call("multiply", value, this.power());
      }
      return value;
    });
  }
}

/** Parses LaTeX or plain notation; throws NotAnExpression. */
export function parseExpression(text: string): Expression {
  return new Parser(text).parse();
}
