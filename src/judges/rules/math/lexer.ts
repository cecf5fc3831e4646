// Tokens of an answer in LaTeX or plain text. What only sets the type (sizes, fonts, colours, spaces) leaves no token.

import { canonicalCharacters, undressed, withoutDollars } from "./spelling.js";

export interface Token {
  /** `word`: letters of a `\text{}`; `upright`: letters of a `\mathrm{}`; `begin`, `end`: of an environment, its name. */
  type: "number" | "letters" | "word" | "upright" | "command" | "symbol" | "begin" | "end" | "repeating";
  text: string;
  /** White space stands before it. */
  spaced: boolean;
}

/** An answer with more tokens is not read: it equals only itself. */
export const maxTokens = 3000;

/** Letters in a row that may be a product; more are a word. */
const maxLetters = 24;

const commandsOf = (text: string) => new Set(text.split(" "));

/** Commands that change nothing but looks and have no argument, or whose argument is what they show. */
const looks = commandsOf(
  "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle scriptstyle " +
    "scriptscriptstyle limits nolimits tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge bf rm it sf tt " +
    "sl bfseries mathstrut strut centering noindent mathbf boldsymbol bm mathit mathsf mathtt mathnormal underline uline boxed fbox " +
    "framebox ensuremath mathord mathbin mathrel mathop mathopen mathclose displaylines textnormal protect relax nobreak unboldmath boldmath",
);
const spaces = commandsOf(
  "quad qquad enspace thinspace medspace thickspace hfill nobreakspace space negthinspace",
);
const texts = commandsOf(
  "text textrm textit textbf textsf texttt textup textmd textsc mbox hbox operatorname mathrm emph",
);
/** Their first argument is no part of the answer. */
const colours = commandsOf("color textcolor colorbox hspace vspace phantom hphantom vphantom label tag");

const synonyms: Record<string, string> = {
  dfrac: "frac",
  tfrac: "frac",
  cfrac: "frac",
  nicefrac: "frac",
  sfrac: "frac",
  xfrac: "frac",
  dbinom: "binom",
  tbinom: "binom",
  leq: "le",
  leqslant: "le",
  leqq: "le",
  geq: "ge",
  geqslant: "ge",
  geqq: "ge",
  neq: "ne",
  lt: "<",
  gt: ">",
  colon: ":",
  cdot: "*",
  times: "times",
  ast: "*",
  bullet: "*",
  div: "÷",
  varnothing: "emptyset",
  dots: "ldots",
  cdots: "ldots",
  dotsc: "ldots",
  dotsb: "ldots",
  vdots: "ldots",
  ddots: "ldots",
  dotso: "ldots",
  lvert: "|",
  rvert: "|",
  vert: "|",
  lVert: "Vert",
  rVert: "Vert",
  lbrace: "{{",
  rbrace: "}}",
  lbrack: "[",
  rbrack: "]",
  lparen: "(",
  rparen: ")",
  tg: "tan",
  ctg: "cot",
  arctg: "arctan",
  asin: "arcsin",
  acos: "arccos",
  atan: "arctan",
  lg: "log",
  widehat: "hat",
  widetilde: "tilde",
  overrightarrow: "vec",
  bar: "overline",
  rightarrow: "to",
  longrightarrow: "to",
  implies: "Rightarrow",
  iff: "Leftrightarrow",
  land: "wedge",
  lor: "vee",
  backslash: "setminus",
  smallsetminus: "setminus",
  hslash: "hbar",
  prime: "'",
  dollar: "$",
  textdollar: "$",
  pounds: "£",
  euro: "€",
  EUR: "€",
  percent: "%",
  lang: "langle",
  rang: "rangle",
  bmod: "mod",
  degree: "degree",
  textdegree: "degree",
  ldotp: ".",
  cdotp: ".",
  measuredangle: "angle",
  R: "reals",
  Reals: "reals",
  reals: "reals",
  infin: "infty",
  isin: "in",
  empty: "emptyset",
  pmb: "relax",
};

const doubleSymbols: Record<string, string> = {
  "**": "^",
  "<=": "le",
  ">=": "ge",
  "!=": "ne",
  "=>": "Rightarrow",
  "->": "to",
  ":=": "=",
  "==": "=",
};

const accentsOfDecimals = /(\d*)\.(\d*)\s*\\(?:overline|bar|overset\{\\?\.\})\s*(?:\{\s*(\d+)\s*\}|(\d))/y;
const dottedDecimal = /(\d*)\.(\d*)\s*\\dot\s*(?:\{(\d)\}|(\d))(?:(\d*)\\dot\s*(?:\{(\d)\}|(\d)))?/y;
const continuedDecimal =
  /(\d{0,20})\.(\d{0,8}?)(?:(\d)\3{2,20}|(\d{2,6})\4{1,20})\s*(?:\\[lc]?dots[bco]?(?![A-Za-z])|\.\.\.)/y;
/** Groups of three digits with a space, an apostrophe, a protected or thin-spaced comma between them. */
const grouped = /\d{1,3}(?:(?:\{,\}|,\s*\\!|,\s*\\,|\\,|\\;|\\:|\\ |~|'| )(?:\\!)?\s?\d{3})+/y;
const commas = /\d{1,3}(?:,\d{3})+/y;
const literal = /\d+(?:\.\d*)?|\.\d+/y;
const scientific = /(\d+(?:\.\d+)?)[eE]([+-]?\d{1,4})(?![\dA-Za-z.])/y;

export interface LexerOptions {
  /** Commas inside bare groups of digits separate items: the second way to read `1,100`. */
  commasSeparate?: boolean;
}

class Lexer {
  readonly tokens: Token[] = [];
  private at = 0;
  private spaced = false;
  private depth = 0;
  private readonly refused = new Map<RegExp, number>();
  /** Where the texts that are being read end, innermost last, and of which kind they are. */
  private readonly texts: { end: number; type: "word" | "upright" }[] = [];
  private readonly text: string;
  private readonly options: LexerOptions;

  constructor(text: string, options: LexerOptions) {
    this.text = text;
    this.options = options;
  }

  run(): Token[] {
    while (this.at < this.text.length && this.tokens.length <= maxTokens) {
      if (this.texts.length > 0 && this.at >= this.texts.at(-1)!.end) this.leaveText();
      else this.step();
    }
    return this.tokens;
  }

  private leaveText(): void {
    this.texts.pop();
    if (this.text[this.at] === "}") this.at++;
  }

  private push(type: Token["type"], text: string): true {
    this.tokens.push({ type, text, spaced: this.spaced });
    this.spaced = false;
    return true;
  }

  private match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text) ?? undefined;
    const end = this.texts.at(-1)?.end ?? this.text.length;
    if (!match || this.at + match[0].length > end) return undefined;
    this.at += match[0].length;
    return match;
  }

  private step(): void {
    const char = this.text[this.at]!;
    if (/\s/.test(char) || char === "~") {
      if (this.texts.length > 0 || char === "~" || /\s/.test(char)) this.spaced = true;
      this.at++;
    } else if (/[\d.]/.test(char)) this.number(char);
    else if (/[A-Za-z]/.test(char)) this.letters();
    else if (char === "\\") this.command();
    else if (/\p{L}/u.test(char)) this.push("word", this.match(/\p{L}+/uy)![0].toLowerCase());
    else this.symbol(char);
  }

  private number(char: string): void {
    const text = this.repeating() ?? this.continued() ?? this.grouped();
    if (text !== undefined) return;
    const power = this.match(scientific);
    const digits = power ? `${power[1]}e${Number(power[2])}` : this.match(literal)?.[0];
    if (digits === undefined) this.at++;
    this.push(digits === undefined ? "symbol" : "number", digits ?? char);
  }

  /** `0.1\overline{6}` and `0.\dot{1}4\dot{2}`. */
  private repeating(): true | undefined {
    const bars = this.match(accentsOfDecimals);
    if (bars) return this.push("repeating", `${bars[1]}.${bars[2]}.${bars[3] ?? bars[4]}`);
    const dots = this.match(dottedDecimal);
    if (!dots) return undefined;
    const [, whole, once, first, second, between = "", last, other = ""] = dots;
    return this.push("repeating", `${whole}.${once}.${first ?? second}${between}${last ?? other}`);
  }

  /** `0.333\ldots` and `0.1212...`, whose last digits go on. */
  private continued(): true | undefined {
    const match = this.match(continuedDecimal);
    return match && this.push("repeating", `${match[1]}.${match[2]}.${match[3] ?? match[4]}`);
  }

  private grouped(): true | undefined {
    const spaced = this.group(grouped, ({ 0: digits }) => {
      // 1 125/1000 is a mixed number, and (1,\,100) a pair.
      const isMixed = /^\s*(?:\/|\\over)/.test(this.text.slice(this.at, this.at + 8));
      return !isMixed && !(this.depth > 0 && /,\s*\\,/.test(digits));
    });
    const separate = this.options.commasSeparate;
    const digits =
      spaced ?? this.group(commas, ({ 0: list }) => !separate && (this.depth === 0 || /,0/.test(list)));
    if (digits === undefined) return undefined;
    const fraction = this.match(/\.\d+/y)?.[0] ?? "";
    return this.push("number", digits.replace(/\D/g, "") + fraction);
  }

  /** Groups of digits that make one number. What was refused once is not tried again from its middle. */
  private group(pattern: RegExp, isNumber: (match: RegExpExecArray) => boolean): string | undefined {
    const start = this.at;
    if (start < (this.refused.get(pattern) ?? 0)) return undefined;
    const match = this.match(pattern);
    if (!match) return undefined;
    // After commas that are protected a bare one begins the next item.
    const goesOn = pattern === grouped && match[0].includes(",") ? /^\d/ : /^,?\d/;
    if (!goesOn.test(this.text.slice(this.at, this.at + 2)) && isNumber(match)) return match[0];
    this.refused.set(pattern, this.at);
    this.at = start;
    return undefined;
  }

  private letters(): void {
    const within = this.texts.at(-1);
    const run =
      this.match(/[A-Za-z]+(?:-[A-Za-z]{2,}(?![A-Za-z]))*/y)?.[0] ?? this.text.slice(this.at++, this.at);
    if (!within) this.plainLetters(run);
    else if (within.type === "upright") this.push("upright", run);
    else this.word(run);
  }

  /** "p.m." and "sq." lose their full stops, which end no sentence. */
  private word(run: string): void {
    const dotted =
      run.length <= 4 ? (this.match(/(?:\.[A-Za-z])+\.?(?![A-Za-z\d.])|\.(?!\d)/y)?.[0] ?? "") : "";
    this.push("word", run + dotted.replaceAll(".", ""));
  }

  /** Hyphens are minus signs between single letters, and part of words. */
  private plainLetters(run: string): void {
    if (run.length > maxLetters) {
      this.push("word", run);
      return;
    }
    const [first, ...rest] = run.split("-");
    if (rest.length > 0 && !(first!.length > 3 && rest.every((part) => part.length > 2))) {
      this.at -= run.length - first!.length;
      run = first!;
    }
    const dotted = this.match(/(?:\.[A-Za-z])+\.?(?![A-Za-z\d.])|\.(?=\s+[A-Za-z\d]|$)/y)?.[0] ?? "";
    this.push("letters", run + dotted.replaceAll(".", ""));
  }

  private symbol(char: string): void {
    this.at++;
    if ("([".includes(char)) this.depth++;
    else if (")]".includes(char)) this.depth--;
    const pair = `${char}${this.text[this.at] ?? ""}`;
    // 5!=120 is a factorial.
    const isFactorial =
      pair === "!=" && (this.texts.length > 0 || /[\d)]/.test(this.text[this.at - 2] ?? ""));
    const double = Object.hasOwn(doubleSymbols, pair) && !isFactorial ? doubleSymbols[pair]! : undefined;
    if (double !== undefined) this.at++;
    this.token(double ?? char);
  }

  /** A command by its name, or a symbol. */
  private token(text: string): void {
    this.push(/^[A-Za-z]+$/.test(text) ? "command" : "symbol", text);
  }

  private command(): void {
    const name = this.match(/\\([A-Za-z]+)\*?/y)?.[1];
    if (name === undefined) this.escaped();
    else if (name === "begin" || name === "end") this.environment(name);
    else if (spaces.has(name)) this.spaced = true;
    else if (colours.has(name)) this.match(/\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}/y);
    else if (texts.has(name)) this.enterText(name);
    else this.named(Object.hasOwn(synonyms, name) ? synonyms[name]! : name);
  }

  private named(name: string): void {
    if (name === "left" || name === "right") {
      // `\left.` is a bracket that is not there.
      this.match(/\s*\./y);
    } else if (!looks.has(name)) {
      if (name === "langle" || name === "{{") this.depth++;
      else if (name === "rangle" || name === "}}") this.depth--;
      this.token(name);
    }
  }

  private escaped(): void {
    const char = this.text[this.at + 1] ?? "\\";
    this.at += 2;
    if (char === "!") return;
    if (",;:> \n".includes(char)) this.spaced = true;
    else if (char === "{" || char === "}") this.named(char + char);
    else if (char === "|") this.push("command", "Vert");
    else if (char === "\\") {
      this.match(/\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\]/y);
      this.push("symbol", "\\\\");
    } else this.push("symbol", char);
  }

  private environment(name: "begin" | "end"): void {
    const argument = this.match(/\s*\{([A-Za-z]+)\*?\}/y)?.[1] ?? "";
    if (name === "begin" && argument === "array") this.match(/\s*\{[^{}]*\}/y);
    this.push(name, argument);
  }

  /** The argument of `\text{}` and its kin, read as words; without braces it changes nothing. */
  private enterText(name: string): void {
    const open = this.texts.length < 20 && this.match(/\s*\{/y);
    if (!open) return;
    let depth = 1;
    let end = this.at;
    for (; end < this.text.length; end++) {
      if (this.text[end] === "\\") end++;
      else if (this.text[end] === "{") depth++;
      else if (this.text[end] === "}" && --depth === 0) break;
    }
    this.texts.push({
      end: Math.min(end, this.text.length),
      type: name === "mathrm" || name === "operatorname" ? "upright" : "word",
    });
    // Text stands apart from what is before it, as a word does.
    if (/\s/.test(this.text[this.at] ?? "")) this.spaced = true;
  }
}

/** Braces around everything mean nothing. */
function withoutOuterBraces(tokens: Token[]): Token[] {
  let [start, end] = [0, tokens.length];
  for (;;) {
    if (tokens[start]?.text !== "{" || tokens[end - 1]?.text !== "}" || end - start < 3)
      return tokens.slice(start, end);
    let depth = 0;
    for (let i = start; i < end - 1; i++) {
      if (tokens[i]!.type !== "symbol") continue;
      if (tokens[i]!.text === "{") depth++;
      else if (tokens[i]!.text === "}" && --depth === 0) return tokens.slice(start, end);
    }
    start++;
    end--;
  }
}

/** The tokens of an answer, whatever it is. */
export function tokenize(text: string, options: LexerOptions = {}): Token[] {
  const spelled = undressed(canonicalCharacters(withoutDollars(undressed(text))));
  return withoutOuterBraces(new Lexer(spelled, options).run());
}
