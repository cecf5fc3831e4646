// Expressions: sums of products of powers of atoms, in LaTeX or plain text.

import {
  crossed,
  indexNamed,
  isAligned,
  isDegree,
  isOne,
  isProperFraction,
  literalNumber,
  matrixNode,
  raised,
  reals,
  repeatingDecimal,
  suffixed,
  times,
  Unreadable,
} from "./build.js";
import { Cursor } from "./cursor.js";
import type { Token } from "./lexer.js";
import {
  accents,
  bases,
  binders,
  closers,
  constants,
  currencies,
  functionSynonyms,
  functions,
  greek,
  inverses,
  isFunctionName,
  isOperatorCommand,
  isWord,
  orderedAccents,
  prefixes,
} from "./notation.js";
import { integer, rational } from "./rational.js";
import { call, isCall, type Node, number, some } from "./tree.js";
import { isPlainUnit, unitNamed } from "./units.js";

export abstract class Expressions extends Cursor {
  /** Items between commas, semicolons, "and" and "or"; one item is itself. */
  protected abstract list(): Node;
  /** The items inside brackets. */
  protected abstract items(): Node[];
  /** A list, or two with `\over`, `\choose` or `\atop` between. */
  protected abstract stacked(): Node;
  /** Other tokens as one expression. */
  protected abstract expressionOf(tokens: readonly Token[]): Node;

  /** Whether letters are a word here: `\text{}`, a unit behind a number, or long enough to be read aloud. */
  protected atWord(before: Node | undefined): boolean {
    const token = this.token;
    if (!token || this.isConjunction()) return false;
    if (token.type === "word") return true;
    if (token.type === "symbol") return Object.hasOwn(currencies, token.text) && before !== undefined;
    if (token.type === "upright")
      return token.text.length > 1 ? !isFunctionName(token.text) : before !== undefined;
    if (token.type !== "letters") return false;
    return isWord(token.text) || (before !== undefined && this.isUnitHere(token, before));
  }

  protected isUnitHere(token: Token, before: Node): boolean {
    const next = this.tokens[this.at + 1];
    if (/^(?:st|nd|rd|th)$/.test(token.text) && !token.spaced) return before.kind === "number";
    if (!isPlainUnit(token.text) && !(before.kind === "quantity" || before.kind === "words")) return false;
    // The h of \pi r^2 h is no hour, and the m of 3m + 2 no metre.
    const isAlone =
      next === undefined ||
      this.endsAt(this.at + 1) ||
      (next.type === "symbol" && "^/".includes(next.text)) ||
      next.type === "letters" ||
      next.type === "number";
    const isLong = token.text.length > 1 && token.spaced;
    return isAlone && (isLong || !some(before, ({ kind }) => kind === "name"));
  }

  protected sum(): Node {
    return this.nested(() => {
      const terms: Node[] = [];
      let sign = "";
      for (;;) {
        const term = this.product();
        terms.push(
          sign === "" || sign === "+" ? term : sign === "-" ? call("negate", term) : call(sign, term),
        );
        if (this.take("+")) sign = "+";
        else if (this.take("-")) sign = "-";
        else if (this.take("pm", "command") || this.take("±")) sign = "plusminus";
        else if (this.take("mp", "command")) sign = "minusplus";
        else break;
      }
      return terms.length === 1 ? terms[0]! : { kind: "call", name: "add", args: terms };
    });
  }

  protected product(): Node {
    let left = this.signed();
    for (;;) {
      if (this.take("*")) left = times(left, this.signed());
      else if (this.take("times", "command")) left = crossed(left, this.signed());
      else if (this.take("/") || this.take("÷")) left = call("divide", left, this.signed());
      else if (this.is("mod", "command") && this.startsFactorAt(this.at + 1)) {
        this.at++;
        left = call("mod", left, this.signed());
      } else if (this.startsFactor()) left = this.juxtaposed(left);
      else return left;
    }
  }

  /** `2x` is a product, `1\frac{1}{2}` and `1 1/2` are mixed numbers. */
  protected juxtaposed(left: Node): Node {
    const isNegative = isCall(left, "negate");
    const size = isNegative ? left.args[0]! : left;
    const isWhole = size.kind === "number" && size.value.d === 1n;
    const mixed = (part: Node) => call("add", left, isNegative ? call("negate", part) : part);
    const token = this.token!;
    if (isWhole && token.type === "command" && token.text === "frac") {
      const start = this.at;
      const fraction = this.atom();
      if (isProperFraction(fraction)) return this.postfixOf(mixed(fraction));
      this.at = start;
      return times(left, this.power());
    }
    const previous = this.tokens[this.at - 1]!;
    // 5! 3, (2) 3, 2^3 3^2 and 2^n3^n are products.
    const isExponent = this.tokens[this.at - 2]?.text === "^";
    const isBehind =
      ["!", "}", ")"].includes(previous.text) || (isExponent && (token.spaced || previous.type !== "number"));
    if ((token.type === "number" || token.type === "repeating") && !isBehind && !this.wasSplit) {
      const [slash, below] = [this.tokens[this.at + 1], this.tokens[this.at + 2]];
      if (!isWhole || !token.spaced || slash?.text !== "/" || below?.type !== "number")
        throw new Unreadable("two numbers in a row");
      const above = this.power();
      this.expect("/");
      return mixed(call("divide", above, this.power()));
    }
    this.wasSplit = false;
    return times(left, this.power());
  }

  protected startsFactor(): boolean {
    return this.startsFactorAt(this.at);
  }

  protected startsFactorAt(index: number): boolean {
    const token = this.tokens[index];
    if (!token) return false;
    switch (token.type) {
      case "number":
      case "repeating":
      case "begin":
        return true;
      case "upright":
        return (token.text.length === 1 && !this.isUprightUnit(index)) || isFunctionName(token.text);
      case "letters": {
        if (isWord(token.text) || /^(?:and|or|mod)$/i.test(token.text)) return false;
        return index === 0 || !this.isTrailingUnit(index);
      }
      case "word":
      case "end":
        return false;
      case "command":
        return !isOperatorCommand(token.text, this.frame);
      case "symbol":
        return (
          (["(", "{", "[", "{{"].includes(token.text) && this.tokens[index + 1]?.text !== "mod") ||
          (token.text === "|" && this.frame.bars === 0 && !this.frame.isSet)
        );
    }
  }

  /** `5 cm` and `5 cm^2`, where the letters are no variables. */
  protected isTrailingUnit(index: number): boolean {
    const token = this.tokens[index]!;
    const next = this.tokens[index + 1];
    if (/^(?:st|nd|rd|th)$/.test(token.text) && !token.spaced && next === undefined) return true;
    if (!isPlainUnit(token.text)) return false;
    const ends = next === undefined || this.endsAt(index + 1);
    if (token.text.length === 1) return ends && token.spaced && !this.hasVariableBefore(index);
    const isRate =
      next?.text === "/" && ["letters", "word", "upright"].includes(this.tokens[index + 2]?.type ?? "");
    const isBeforeUnit =
      next?.type === "word" || (next?.type === "letters" && (isWord(next.text) || isPlainUnit(next.text)));
    return ends || next?.text === "^" || next?.type === "number" || isRate || isBeforeUnit;
  }

  /** The N of 5\,\mathrm{N}. */
  protected isUprightUnit(index: number): boolean {
    if (this.tokens[index - 1]?.type !== "number") return false;
    if (!/[NJWVACKFHTmgshlL]/.test(this.tokens[index]!.text)) return false;
    // m s^{-1}
    let end = index + 1;
    for (; end < this.tokens.length; end++) {
      const { type, text } = this.tokens[end]!;
      const isPart =
        type === "upright" || (type === "symbol" && /^[{}^*/-]$/.test(text)) || /^[1-9]$/.test(text);
      if (!isPart) break;
    }
    return (
      this.endsAt(index + 1) ||
      (end > index + 1 && this.tokens[index + 1]!.type === "upright" && this.endsAt(end))
    );
  }

  /** The h of \pi r^2 h is no hour. */
  protected hasVariableBefore(index: number): boolean {
    for (let i = index - 1; i >= 0; i--) {
      const { type, text } = this.tokens[i]!;
      if (type === "symbol" && "=<>,;:".includes(text)) return false;
      if (type === "letters" && !isFunctionName(text)) return true;
    }
    return false;
  }

  protected signed(): Node {
    if (this.take("-")) return this.nested(() => call("negate", this.signed()));
    if (this.take("+")) return this.nested(() => this.signed());
    if (this.take("pm", "command") || this.take("±"))
      return this.nested(() => call("plusminus", this.signed()));
    if (this.take("mp", "command")) return this.nested(() => call("minusplus", this.signed()));
    return this.power();
  }

  /** A number after an exponent that was cut off its digits: 2^33^2 is 2^3 3^2, as LaTeX sets it. */
  protected wasSplit = false;

  protected power(): Node {
    let base = this.postfix();
    // x_1^2 and x^2_1
    while (this.take("^")) {
      if (isDegree(this.tokens, this.at)) {
        this.at += this.is("{") ? 3 : 1;
        const size = base;
        base = call("degree", size);
        const scale = { C: "celsius", F: "fahrenheit" }[this.token?.text ?? ""];
        if (scale !== undefined && this.endsAt(this.at + 1)) {
          this.at++;
          return { kind: "quantity", value: size, unit: unitNamed(scale)! };
        }
        continue;
      }
      const exponent = this.exponent();
      base = typeof exponent === "string" ? suffixed(base, exponent) : raised(base, exponent);
      base = this.postfixOf(base);
      if (this.wasSplit) break;
    }
    return base;
  }

  /** What stands above: an expression, or marks like `*`, `+`, `\prime` that belong to the name. */
  protected exponent(): Node | string {
    const start = this.at;
    const braced = this.take("{");
    const marks: string[] = [];
    while (this.token && ["'", "*", "+", "-", "†"].includes(this.token.text))
      marks.push(this.tokens[this.at++]!.text);
    const isMark = marks.length > 0 && (braced ? this.take("}") : !this.startsFactor());
    if (isMark) return `^${marks.join("")}`;
    this.at = start;
    const token = this.token;
    const isLong = token?.type === "number" && /^\d{2,}$/.test(token.text);
    if (isLong && this.tokens[this.at + 1]?.text === "^") {
      this.tokens.splice(
        this.at,
        1,
        { ...token, text: token.text[0]! },
        { ...token, text: token.text.slice(1), spaced: false },
      );
      this.at++;
      this.wasSplit = true;
      return { kind: "number", value: integer(Number(token.text[0])) };
    }
    if (this.is("{")) return this.nested(() => this.argument());
    return this.nested(() => this.signedPower());
  }

  /** The exponent without braces: x^-2, x^2^3. */
  protected signedPower(): Node {
    if (this.take("-")) return call("negate", this.signedPower());
    if (this.take("+")) return this.signedPower();
    return this.power();
  }

  protected postfix(): Node {
    return this.postfixOf(this.atom());
  }

  protected postfixOf(atom: Node): Node {
    let value = atom;
    for (;;) {
      if (this.is("!") && this.tokens[this.at + 1]?.text === "!" && !this.tokens[this.at + 1]!.spaced) {
        this.at += 2;
        value = call("doublefactorial", value);
      } else if (this.take("!")) value = call("factorial", value);
      else if (this.take("%")) value = call("percent", value);
      else if (this.is("'") && value.kind === "name") {
        this.at++;
        value = this.applied({ kind: "name", name: `${value.name}'` });
      } else if (this.take("degree", "command")) value = call("degree", value);
      else if (this.is("_") && (value.kind === "number" || value.kind === "name"))
        value = this.subscripted(value);
      else return value;
    }
  }

  /** x_1 is a name; 1011_2 is a numeral of its own, which equals no other number here. */
  protected subscripted(value: Node): Node {
    const literal = this.tokens[this.at - 1]!.text;
    this.expect("_");
    const below = this.script();
    if (value.kind === "name") return this.applied({ kind: "name", name: `${value.name}_${below}` });
    const base = Object.hasOwn(bases, below) ? bases[below]! : below;
    return { kind: "name", name: `#${literal.replace(/^0+(?=\d)/, "")}_${base}` };
  }

  /** The text of a subscript, in one spelling. */
  protected script(): string {
    if (!this.take("{")) {
      const token = this.next();
      return token.text;
    }
    const parts: string[] = [];
    for (let depth = 1; ; ) {
      const token = this.next();
      if (token.text === "{" && token.type === "symbol") depth++;
      if (token.text === "}" && token.type === "symbol" && --depth === 0) break;
      parts.push(token.type === "command" ? `\\${token.text}` : token.text);
    }
    return parts.join(parts.every((part) => part.length === 1) ? "" : " ");
  }

  // Atoms

  protected atom(): Node {
    const token = this.next();
    switch (token.type) {
      case "number":
        return literalNumber(token.text);
      case "repeating":
        return { kind: "number", value: repeatingDecimal(token.text) };
      case "letters":
      case "upright":
        return this.fromLetters(token);
      case "command":
        return this.command(token.text);
      case "begin":
        return this.environment(token.text);
      case "symbol":
        return this.symbol(token);
      default:
        throw new Unreadable(`"${token.text}" is out of place`);
    }
  }

  protected symbol({ text }: Token): Node {
    if (Object.hasOwn(currencies, text)) {
      const value = this.signedPower();
      if (value.kind === "tuple") throw new Unreadable("a currency before a bracket");
      return { kind: "quantity", value, unit: unitNamed(currencies[text]!)! };
    }
    if (text === "(" || text === "[" || text === "]") return this.bracketed(text === "]" ? "(" : text);
    if (text === "{") return this.group();
    if (text === "{{") return this.set();
    if (text === "|") {
      const outer = this.frame.bars;
      this.frame.bars = outer + 1;
      const value = this.nested(() => this.list());
      this.frame.bars = outer;
      this.expect("|");
      return value.kind === "matrix" ? call("det", value) : call("abs", value);
    }
    throw new Unreadable(`"${text}" is out of place`);
  }

  /** After the opening bracket: a group, a tuple or an interval. */
  protected bracketed(open: string): Node {
    return this.within(false, () => {
      const items = this.items();
      const close = this.next().text;
      if (close !== ")" && close !== "]") throw new Unreadable("a bracket is not closed");
      if (items.length === 1 && closers[open] === close) return items[0]!;
      if (items.length === 0) throw new Unreadable("brackets around nothing");
      return { kind: "tuple", open, close, items };
    });
  }

  /** After a brace: what it holds, `a \over b` and `n \choose k` included. */
  protected group(): Node {
    return this.within(false, () => {
      if (this.take("}")) throw new Unreadable("braces around nothing");
      const value = this.stacked();
      this.expect("}");
      return value;
    });
  }

  /** After `\{`: members, or an element and its condition. */
  protected set(): Node {
    return this.within(true, () => {
      const items = this.items();
      const isBuilder = this.take(":") || this.take("|") || this.take("mid", "command");
      if (isBuilder) {
        this.frame.isSet = false;
        const element: Node = items.length === 1 ? items[0]! : call("list", ...items);
        const condition = this.list();
        this.expect("}}");
        return { kind: "builder", element, condition };
      }
      this.expect("}}");
      return { kind: "call", name: "set", args: items };
    });
  }

  /** A braced group, or the single digit, letter or command that LaTeX takes as an argument without braces. */
  protected argument(): Node {
    return this.nested(() => {
      if (this.take("{")) return this.group();
      this.splitToken();
      return this.atom();
    });
  }

  protected splitToken(): void {
    const token = this.token;
    if (!token || token.text.length < 2 || (token.type !== "number" && token.type !== "letters")) return;
    if (token.type === "letters" && (isFunctionName(token.text) || Object.hasOwn(constants, token.text)))
      return;
    this.tokens.splice(
      this.at,
      1,
      { ...token, text: token.text[0]! },
      { ...token, text: token.text.slice(1), spaced: false },
    );
  }

  /** Letters without a backslash: a function, a constant, a Greek letter, or one variable each. */
  protected fromLetters(token: Token): Node {
    const { text } = token;
    if (functions.has(text)) return this.application(text);
    if (Object.hasOwn(constants, text) && (text.length > 1 || token.type === "letters" || text !== "i"))
      return constants[text]!;
    if (greek.has(text)) return this.applied({ kind: "name", name: `\\${text}` });
    if (text.length === 1) return this.applied({ kind: "name", name: text });
    if (/^[A-Z]{3,}$/.test(text)) return { kind: "name", name: text };
    const prefix = /^(?:sin|cos|tan|ln|log|sqrt|exp|pi)(?=[a-z]{1,2}$)/.exec(text)?.[0];
    const first = prefix ?? text[0]!;
    this.tokens.splice(this.at, 0, { type: "letters", text: text.slice(first.length), spaced: false });
    return this.fromLetters({ ...token, text: first });
  }

  /** f(x) is an application, n(n + 1) a product. */
  protected applied(name: Extract<Node, { kind: "name" }>): Node {
    if (!/^(?:[fgh]|\\phi|\\varphi|\\psi|\\Gamma)(?:['_]|$)/.test(name.name) || !this.is("(")) return name;
    this.at++;
    const args = this.within(false, () => this.items());
    this.expect(")");
    return { kind: "call", name: name.name, args };
  }

  protected command(name: string): Node {
    if (functions.has(name)) return this.application(name);
    if (Object.hasOwn(constants, name) && name.length > 1) return constants[name]!;
    if (Object.hasOwn(binders, name)) return this.binder(name);
    if (accents.has(name)) return this.accent(name);
    if (prefixes.has(name)) return this.prefixed(name);
    switch (name) {
      case "frac":
        return call("divide", this.argument(), this.argument());
      case "binom":
        return call("binomial", this.argument(), this.argument());
      case "wholesqrt":
        return this.root(() => this.postfix());
      case "emptyset":
        return call("set");
      case "reals":
        return reals;
      case "degree":
        return { kind: "name", name: "\\degree" };
      case "ldots":
        return { kind: "name", name: "…" };
      case "lfloor":
      case "lceil":
      case "langle":
      case "Vert":
        return this.fenced(name);
      case "partial":
      case "nabla":
      case "neg":
        return call(name, this.power());
    }
    if (isOperatorCommand(name, { bars: 0 })) throw new Unreadable(`\\${name} is out of place`);
    const symbol: Node = { kind: "name", name: `\\${name}` };
    if (greek.has(name) || !this.is("{")) return this.applied(symbol);
    const args: Node[] = [];
    while (this.is("{")) args.push(this.argument());
    return { kind: "call", name: `\\${name}`, args };
  }

  protected fenced(name: string): Node {
    return this.within(false, () => {
      if (name === "Vert") this.frame.bars = 1;
      const items = this.items();
      const close = { lfloor: "rfloor", lceil: "rceil", langle: "rangle", Vert: "Vert" }[name]!;
      if (!this.take(close, "command")) throw new Unreadable(`\\${name} is not closed`);
      if (name === "langle") return { kind: "tuple", open: "(", close: ")", items };
      return { kind: "call", name: { lfloor: "floor", lceil: "ceil", Vert: "norm" }[name]!, args: items };
    });
  }

  /** `\mathbb R` and ``\hat\imath`` are symbols of their own; over more than a letter an accent is an opaque function. */
  protected accent(name: string): Node {
    const ordered = orderedAccents.has(name) ? this.lettersInBraces() : undefined;
    if (ordered !== undefined) return { kind: "name", name: `\\${name} ${ordered}` };
    const inside = this.argument();
    if (name === "underbrace" || name === "overbrace") {
      // What stands under or over the brace explains it.
      if (this.take("_") || this.take("^")) this.script();
      return inside;
    }
    const letter =
      inside.kind === "name" ? inside.name : inside.kind === "constant" ? inside.name : undefined;
    if (name === "mathbb" && letter === "R") {
      const isSigned = this.is("^") && ["+", "-"].includes(this.tokens[this.at + 1]?.text ?? "");
      return isSigned ? { kind: "name", name: "\\mathbb R" } : reals;
    }
    // Under an accent i and j lose their dots.
    const plain = letter?.replace(/^\\?([ij])math$/, "$1");
    if (plain !== undefined) return { kind: "name", name: `\\${name} ${plain}` };
    return call(`\\${name}`, inside);
  }

  /** The points that an arrow leads from and to: `\vec{AB}` is not `\vec{BA}`. */
  protected lettersInBraces(): string | undefined {
    const [open, letters, close] = this.tokens.slice(this.at, this.at + 3);
    const isPair = open?.text === "{" && close?.text === "}" && /^[A-Z]{2}$/.test(letters?.text ?? "");
    if (!isPair) return undefined;
    this.at += 3;
    return letters!.text;
  }

  /** `\angle ABC`: the letters name the thing, in their order. */
  protected prefixed(name: string): Node {
    const token = this.token;
    if (token?.type === "letters" || token?.type === "upright") {
      this.at++;
      return { kind: "name", name: `\\${name} ${token.text}` };
    }
    if (this.is("{")) return call(`\\${name}`, this.argument());
    return { kind: "name", name: `\\${name}` };
  }

  protected root(argument: () => Node): Node {
    if (!this.take("[")) return call("power", argument(), { kind: "number", value: rational(1n, 2n)! });
    const degree = this.within(false, () => this.list());
    this.expect("]");
    return call("power", argument(), call("divide", number(1), degree));
  }

  /** f(x), f x, f^2 x, log_b x. */
  protected application(spelled: string): Node {
    const name = Object.hasOwn(functionSynonyms, spelled) ? functionSynonyms[spelled]! : spelled;
    if (name === "sqrt" || name === "cbrt") {
      const argument = () => (this.take("(") ? this.bracketed("(") : this.argument());
      if (name === "cbrt") return call("power", argument(), { kind: "number", value: rational(1n, 3n)! });
      return this.root(argument);
    }
    const base = this.take("_") ? this.argument() : undefined;
    const exponent = this.take("^") ? this.argument() : undefined;
    const args = this.arguments();
    const isInverse =
      exponent && Object.hasOwn(inverses, name) && isCall(exponent, "negate") && isOne(exponent.args[0]!);
    const function_ = isInverse ? inverses[name]! : name;
    const isLogarithm = name === "log" && base !== undefined;
    let value: Node = isLogarithm
      ? call("divide", call("ln", ...args), call("ln", base))
      : { kind: "call", name: base ? `${function_}_` : function_, args: base ? [base, ...args] : args };
    if (this.is("!")) value = this.postfixOf(value);
    return exponent && !isInverse ? call("power", value, exponent) : value;
  }

  protected arguments(): Node[] {
    if (this.is("(") || this.is("{{") || this.is("[")) {
      const open = this.next().text;
      const items = this.within(false, () => this.items());
      this.expect(closers[open]!);
      return items;
    }
    if (this.is("{")) {
      const value = this.argument();
      const items = isCall(value, "list") ? [...value.args] : [value];
      if (items.length > 1 || this.tokens[this.at]?.text !== "^") return items;
      this.at++;
      const exponent = this.exponent();
      if (typeof exponent === "string") throw new Unreadable("a mark on an argument");
      return [call("power", items[0]!, exponent)];
    }
    return [this.openArgument()];
  }

  /** The factors that belong to a function without brackets: `\sin 2x`. */
  protected openArgument(): Node {
    return this.nested(() => {
      let value = this.is("-") ? this.signed() : this.power();
      while (this.startsFactor() && !this.startsFunction()) value = times(value, this.power());
      while (this.is("/") && value.kind !== "matrix" && !this.startsFunctionAt(this.at + 1)) {
        this.at++;
        value = call("divide", value, this.power());
      }
      return value;
    });
  }

  protected startsFunction(): boolean {
    return this.startsFunctionAt(this.at);
  }

  protected startsFunctionAt(index: number): boolean {
    const token = this.tokens[index];
    if (!token) return false;
    if (token.type === "number" && this.tokens[index - 1]?.text !== "}") return true;
    return token.type !== "symbol" && functions.has(token.text) && token.text !== "sqrt";
  }

  /** Sums, products, limits and integrals with what stands below and above them. */
  protected binder(name: string): Node {
    const scope: Node[] = [];
    let variable = "";
    for (let i = 0; i < 2; i++) {
      if (this.take("_")) {
        const below = this.is("{") ? this.argument() : this.argument();
        const start =
          below.kind === "relation" &&
          ["=", "→", "∈"].includes(below.relations[0]!) &&
          below.relations.length === 1;
        if (start && below.sides[0]!.kind === "name") {
          variable = below.sides[0]!.name;
          scope.push(call(below.relations[0]!, below.sides[1]!));
        } else if (start && below.sides[0]!.kind === "constant" && below.sides[0]!.name === "i") {
          variable = "i";
          scope.push(call(below.relations[0]!, below.sides[1]!));
        } else scope.push(call("below", below));
      } else if (this.take("^")) scope.push(call("above", this.argument()));
    }
    const body = name.includes("int") ? this.integrand() : this.nested(() => this.product());
    if (name.includes("int")) {
      const [of, by] = body.kind === "call" ? body.args : [];
      const byName = by?.kind === "name" ? by.name : "";
      return { kind: "binder", name: binders[name]!, variable: byName, scope, body: of ?? body };
    }
    const isIndex = variable === "i";
    return { kind: "binder", name: binders[name]!, variable, scope, body: isIndex ? indexNamed(body) : body };
  }

  /** The integrand up to `dx`, and the name behind the d. */
  protected integrand(): Node {
    let depth = 0;
    for (let i = this.at; i < this.tokens.length; i++) {
      const { type, text } = this.tokens[i]!;
      if (type === "symbol" && ["(", "[", "{", "{{"].includes(text)) depth++;
      else if (type === "symbol" && [")", "]", "}", "}}"].includes(text) && --depth < 0) break;
      if (depth !== 0 || (type !== "letters" && type !== "upright")) continue;
      const glued = /^(.*)d([a-z])$/.exec(text);
      const next = this.tokens[i + 1];
      const isApart = text === "d" && (next?.type === "letters" || next?.type === "command");
      if (!isApart && !(glued && !isWord(text) && !functions.has(text))) continue;
      const inside = this.tokens.slice(this.at, i);
      if (!isApart && glued![1] !== "") inside.push({ ...this.tokens[i]!, text: glued![1]! });
      const by: Node = { kind: "name", name: isApart ? next!.text : glued![2]! };
      this.at = i + (isApart ? 2 : 1);
      const body = inside.length === 0 ? number(1) : this.nested(() => this.expressionOf(inside));
      return call("integrand", body, by);
    }
    return call("integrand", this.product());
  }

  /** Where formulas are only lined up, the marks between cells mean nothing. */
  protected dropMarks(): void {
    const end = this.tokens.findIndex(({ type }, i) => i >= this.at && type === "end");
    const inside = this.tokens.slice(this.at, end < 0 ? undefined : end).filter(({ text }) => text !== "&");
    this.tokens.splice(this.at, (end < 0 ? this.tokens.length : end) - this.at, ...inside);
  }

  /** After `\begin{name}`: rows of cells. */
  protected environment(name: string): Node {
    if (isAligned(name)) this.dropMarks();
    return this.within(false, () => {
      const rows: Node[][] = [];
      let row: Node[] = [];
      for (;;) {
        if (this.take("\\\\")) {
          rows.push(row);
          row = [];
        } else if (this.take("&")) continue;
        else if (this.token?.type === "end") break;
        else row.push(this.list());
      }
      this.at++;
      if (row.length > 0 || rows.length === 0) rows.push(row);
      return matrixNode(name, rows);
    });
  }
}
