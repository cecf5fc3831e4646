// The syntax tree of a Jinja template: the grammar of jinja2 3.1 (`jinja2/parser.py`), method by method, with the tags
// that `transformers` adds (`break`, `continue`, `generation`).

import { TemplateError, type Token, type TokenType, tokenize } from "./lexer.js";

export interface Arguments {
  positional: Expression[];
  named: { name: string; value: Expression }[];
  /** `*expression` */
  rest?: Expression;
  /** `**expression` */
  namedRest?: Expression;
}

export type Expression =
  | { kind: "constant"; value: string | bigint | number | boolean | null }
  | { kind: "name"; name: string }
  | { kind: "list"; items: Expression[] }
  | { kind: "tuple"; items: Expression[] }
  | { kind: "dict"; pairs: [Expression, Expression][] }
  | { kind: "attribute"; object: Expression; name: string }
  | { kind: "item"; object: Expression; index: Expression }
  | { kind: "slice"; start?: Expression; stop?: Expression; step?: Expression }
  | { kind: "call"; callee: Expression; args: Arguments }
  | { kind: "filter"; operand: Expression | null; name: string; args: Arguments; line: number }
  | { kind: "test"; operand: Expression; name: string; args: Arguments; line: number }
  | { kind: "unary"; operator: "+" | "-" | "not"; operand: Expression }
  | { kind: "binary"; operator: BinaryOperator; left: Expression; right: Expression }
  | { kind: "logic"; operator: "and" | "or"; left: Expression; right: Expression }
  | { kind: "concat"; items: Expression[] }
  | { kind: "compare"; first: Expression; rest: { operator: CompareOperator; operand: Expression }[] }
  | { kind: "condition"; test: Expression; yes: Expression; no?: Expression };

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

export type Target =
  | { kind: "name"; name: string }
  | { kind: "field"; namespace: string; field: string }
  | { kind: "tuple"; items: Target[] };

export interface Parameter {
  name: string;
  default?: Expression;
}

export type Statement =
  | { kind: "data"; text: string }
  | { kind: "output"; value: Expression; line: number }
  | { kind: "set"; target: Target; value: Expression; line: number }
  | { kind: "setBlock"; target: Target; filter: Expression | null; body: Statement[]; line: number }
  | { kind: "if"; branches: { test: Expression; body: Statement[] }[]; otherwise: Statement[]; line: number }
  | For
  | { kind: "break" | "continue"; line: number }
  | { kind: "with"; targets: Target[]; values: Expression[]; body: Statement[]; line: number }
  | { kind: "macro"; name: string; parameters: Parameter[]; body: Statement[]; line: number }
  | { kind: "call"; parameters: Parameter[]; call: Expression; body: Statement[]; line: number }
  | { kind: "filterBlock"; filter: Expression; body: Statement[]; line: number }
  | { kind: "block"; name: string; body: Statement[]; line: number }
  /** Reads another template, of which there is none. */
  | { kind: "foreign"; tag: string; line: number };

export interface For {
  kind: "for";
  target: Target;
  iterable: Expression;
  test?: Expression;
  isRecursive: boolean;
  body: Statement[];
  otherwise: Statement[];
  line: number;
}

export function parse(source: string): Statement[] {
  return new Parser(tokenize(source)).parseTemplate();
}

const compareOperators = new Set(["==", "!=", "<", "<=", ">", ">="]);
/** The test after `is` may take one argument without parentheses, which can begin with these. */
const argumentTypes: readonly TokenType[] = ["name", "string", "integer", "float"];

class Parser {
  private at = 0;
  /** Loops that `break` and `continue` could belong to. */
  private loops = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  parseTemplate(): Statement[] {
    return this.statements([]);
  }

  // ------------------------------------------------------------------------------------------------------- tokens

  private get current(): Token {
    return this.tokens[this.at]!;
  }

  private next(): Token {
    const token = this.current;
    if (token.type !== "eof") this.at++;
    return token;
  }

  private is(type: TokenType, value?: string): boolean {
    const token = this.current;
    return token.type === type && (value === undefined || token.value === value);
  }

  private peekIs(type: TokenType, value: string): boolean {
    const token = this.tokens[this.at + 1];
    return token?.type === type && token.value === value;
  }

  private skip(type: TokenType, value?: string): boolean {
    if (!this.is(type, value)) return false;
    this.next();
    return true;
  }

  private expect(type: TokenType, value?: string): Token {
    if (!this.is(type, value)) this.fail(`expected ${value === undefined ? words(type) : `"${value}"`}`);
    return this.next();
  }

  private fail(message: string): never {
    const { type, value, line } = this.current;
    throw new TemplateError(`line ${line}: ${message}, found ${value === "" ? words(type) : `"${value}"`}`);
  }

  // --------------------------------------------------------------------------------------------------- statements

  /** Up to one of the end tags, whose name is the current token afterwards; without any, to the end of the template. */
  private statements(ends: readonly string[]): Statement[] {
    const body: Statement[] = [];
    for (;;) {
      const { type, value, line } = this.current;
      if (type === "eof") {
        if (ends.length > 0) this.fail(`expected ${ends.map((end) => `{% ${end} %}`).join(" or ")}`);
        return body;
      }
      this.next();
      if (type === "data") body.push({ kind: "data", text: value });
      else if (type === "variable_begin") {
        body.push({ kind: "output", value: this.tuple(), line });
        this.expect("variable_end");
      } else {
        if (this.is("name") && ends.includes(this.current.value)) return body;
        body.push(...this.statement());
        this.expect("block_end");
      }
    }
  }

  /** The body of a block tag and its end tag's name. */
  private body(...ends: string[]): Statement[] {
    this.skip("operator", ":");
    this.expect("block_end");
    return this.statements(ends);
  }

  private bodyTo(end: string): Statement[] {
    const body = this.body(end);
    this.next();
    return body;
  }

  private statement(): Statement[] {
    const { value: tag, line } = this.expect("name");
    switch (tag) {
      case "set":
        return [this.parseSet(line)];
      case "if":
        return [this.parseIf(line)];
      case "for":
        return [this.parseFor(line)];
      case "break":
      case "continue":
        if (this.loops === 0) throw new TemplateError(`line ${line}: {% ${tag} %} outside of a loop`);
        return [{ kind: tag, line }];
      case "with":
        return [this.parseWith(line)];
      case "generation":
        return [{ kind: "with", targets: [], values: [], body: this.bodyTo("endgeneration"), line }];
      case "macro": {
        const name = this.expect("name").value;
        const parameters = this.parameters();
        return [{ kind: "macro", name, parameters, body: this.functionBody("endmacro"), line }];
      }
      case "call": {
        const parameters = this.is("operator", "(") ? this.parameters() : [];
        const call = this.expression();
        if (call.kind !== "call") this.fail("expected a call");
        return [{ kind: "call", parameters, call, body: this.functionBody("endcall"), line }];
      }
      case "filter":
        return [
          { kind: "filterBlock", filter: this.filters(null, true)!, body: this.bodyTo("endfilter"), line },
        ];
      case "print":
        return this.parsePrint(line);
      case "block":
        return [this.parseBlock(line)];
      case "include":
      case "import":
      case "extends":
      case "from":
        while (!this.is("block_end") && !this.is("eof")) this.next();
        return [{ kind: "foreign", tag, line }];
      default:
        throw new TemplateError(`line ${line}: {% ${tag} %} is not a tag that chat templates have here`);
    }
  }

  /** `break` in a macro cannot end a loop around it. */
  private functionBody(end: string): Statement[] {
    const { loops } = this;
    this.loops = 0;
    const body = this.bodyTo(end);
    this.loops = loops;
    return body;
  }

  private parseSet(line: number): Statement {
    const target = this.target(true);
    if (this.skip("operator", "=")) return { kind: "set", target, value: this.tuple(), line };
    const filter = this.filters(null, false);
    return { kind: "setBlock", target, filter, body: this.bodyTo("endset"), line };
  }

  private parseIf(line: number): Statement {
    const branches: { test: Expression; body: Statement[] }[] = [];
    for (;;) {
      const test = this.tuple({ condition: false });
      branches.push({ test, body: this.body("elif", "else", "endif") });
      const { value } = this.next();
      if (value === "elif") continue;
      return { kind: "if", branches, otherwise: value === "else" ? this.bodyTo("endif") : [], line };
    }
  }

  private parseFor(line: number): For {
    const target = this.target(false, "in");
    this.expect("name", "in");
    const iterable = this.tuple({ condition: false, end: "recursive" });
    const test = this.skip("name", "if") ? this.expression() : undefined;
    const isRecursive = this.skip("name", "recursive");
    this.loops++;
    const body = this.body("endfor", "else");
    this.loops--;
    const otherwise = this.next().value === "else" ? this.bodyTo("endfor") : [];
    return { kind: "for", target, iterable, ...(test && { test }), isRecursive, body, otherwise, line };
  }

  private parseWith(line: number): Statement {
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (!this.is("block_end")) {
      if (targets.length > 0) this.expect("operator", ",");
      targets.push(this.target(false));
      this.expect("operator", "=");
      values.push(this.expression());
    }
    return { kind: "with", targets, values, body: this.bodyTo("endwith"), line };
  }

  private parsePrint(line: number): Statement[] {
    const printed: Statement[] = [];
    while (!this.is("block_end")) {
      if (printed.length > 0) this.expect("operator", ",");
      printed.push({ kind: "output", value: this.expression(), line });
    }
    return printed;
  }

  private parseBlock(line: number): Statement {
    const name = this.expect("name").value;
    this.skip("name", "scoped");
    if (this.is("name", "required")) this.fail("a required block needs another template");
    const body = this.bodyTo("endblock");
    this.skip("name", name);
    return { kind: "block", name, body, line };
  }

  private parameters(): Parameter[] {
    const parameters: Parameter[] = [];
    this.expect("operator", "(");
    while (!this.is("operator", ")")) {
      if (parameters.length > 0) this.expect("operator", ",");
      const { value: name } = this.expect("name");
      if (this.skip("operator", "=")) parameters.push({ name, default: this.expression() });
      else if (parameters.at(-1)?.default)
        this.fail("a parameter without a default follows one with a default");
      else parameters.push({ name });
    }
    this.next();
    return parameters;
  }

  private target(withFields: boolean, end?: string): Target {
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (this.is("block_end") || this.is("operator", ")") || (end && this.is("name", end))) break;
      items.push(this.oneTarget(withFields));
      if (!this.is("operator", ",")) break;
      // `with a = 1, b = 2`: the comma after a value is not reached here.
      this.next();
      isTuple = true;
    }
    if (isTuple) return { kind: "tuple", items };
    return items[0] ?? this.fail("expected a name to assign to");
  }

  private oneTarget(withFields: boolean): Target {
    if (this.skip("operator", "(")) {
      const inner = this.target(withFields);
      this.expect("operator", ")");
      return inner;
    }
    const { value: name } = this.expect("name");
    if (["true", "false", "none", "True", "False", "None"].includes(name))
      this.fail(`cannot assign to ${name}`);
    if (!withFields || !this.skip("operator", ".")) return { kind: "name", name };
    return { kind: "field", namespace: name, field: this.expect("name").value };
  }

  // -------------------------------------------------------------------------------------------------- expressions

  private tuple({
    condition = true,
    end,
    parenthesised = false,
  }: {
    condition?: boolean;
    end?: string;
    parenthesised?: boolean;
  } = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (this.is("variable_end") || this.is("block_end") || this.is("operator", ")")) break;
      if (end && this.is("name", end)) break;
      items.push(condition ? this.expression() : this.or());
      if (!this.is("operator", ",")) break;
      this.next();
      isTuple = true;
    }
    if (isTuple || (items.length === 0 && parenthesised)) return { kind: "tuple", items };
    return items[0] ?? this.fail("expected an expression");
  }

  private expression(): Expression {
    let value = this.or();
    while (this.skip("name", "if")) {
      const test = this.or();
      const no = this.skip("name", "else") ? this.expression() : undefined;
      value = { kind: "condition", test, yes: value, ...(no && { no }) };
    }
    return value;
  }

  private or(): Expression {
    let left = this.and();
    while (this.skip("name", "or")) left = { kind: "logic", operator: "or", left, right: this.and() };
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.skip("name", "and")) left = { kind: "logic", operator: "and", left, right: this.not() };
    return left;
  }

  private not(): Expression {
    if (this.skip("name", "not")) return { kind: "unary", operator: "not", operand: this.not() };
    return this.compare();
  }

  private compare(): Expression {
    const first = this.sum();
    const rest: { operator: CompareOperator; operand: Expression }[] = [];
    for (;;) {
      let operator: CompareOperator;
      if (this.is("operator") && compareOperators.has(this.current.value))
        operator = this.next().value as CompareOperator;
      else if (this.skip("name", "in")) operator = "in";
      else if (this.is("name", "not") && this.peekIs("name", "in")) {
        this.at += 2;
        operator = "not in";
      } else break;
      rest.push({ operator, operand: this.sum() });
    }
    return rest.length > 0 ? { kind: "compare", first, rest } : first;
  }

  private sum(): Expression {
    let left = this.concat();
    while (this.is("operator", "+") || this.is("operator", "-")) {
      const operator = this.next().value as "+" | "-";
      left = { kind: "binary", operator, left, right: this.concat() };
    }
    return left;
  }

  private concat(): Expression {
    const items = [this.product()];
    while (this.skip("operator", "~")) items.push(this.product());
    return items.length > 1 ? { kind: "concat", items } : items[0]!;
  }

  private product(): Expression {
    let left = this.power();
    while (this.is("operator") && ["*", "/", "//", "%"].includes(this.current.value)) {
      const operator = this.next().value as BinaryOperator;
      left = { kind: "binary", operator, left, right: this.power() };
    }
    return left;
  }

  /** To the left, as in jinja2 (Python's goes to the right). */
  private power(): Expression {
    let left = this.unary();
    while (this.skip("operator", "**")) left = { kind: "binary", operator: "**", left, right: this.unary() };
    return left;
  }

  private unary(withFilters = true): Expression {
    let node: Expression;
    if (this.is("operator", "-") || this.is("operator", "+")) {
      const operator = this.next().value as "-" | "+";
      node = { kind: "unary", operator, operand: this.unary(false) };
    } else node = this.primary();
    node = this.postfix(node);
    return withFilters ? this.filtersAndTests(node) : node;
  }

  private primary(): Expression {
    const token = this.current;
    if (token.type === "name") {
      this.next();
      const { value } = token;
      if (/^[tT]rue$|^[fF]alse$/.test(value)) return { kind: "constant", value: /^[tT]/.test(value) };
      if (value === "none" || value === "None") return { kind: "constant", value: null };
      return { kind: "name", name: value };
    }
    if (token.type === "string") {
      let value = "";
      while (this.is("string")) value += this.next().value;
      return { kind: "constant", value };
    }
    if (token.type === "integer" || token.type === "float") {
      this.next();
      return { kind: "constant", value: token.number! };
    }
    if (this.skip("operator", "(")) {
      const node = this.tuple({ parenthesised: true });
      this.expect("operator", ")");
      return node;
    }
    if (this.skip("operator", "[")) {
      return { kind: "list", items: this.separated("]", () => this.expression()) };
    }
    if (this.skip("operator", "{")) {
      const pair = (): [Expression, Expression] => {
        const key = this.expression();
        this.expect("operator", ":");
        return [key, this.expression()];
      };
      return { kind: "dict", pairs: this.separated("}", pair) };
    }
    return this.fail("expected an expression");
  }

  /** Items between commas up to `close`; a last comma may stand before it. */
  private separated<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.is("operator", close)) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.is("operator", close)) break;
      items.push(item());
    }
    this.next();
    return items;
  }

  private postfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.skip("operator", ".")) {
        const token = this.next();
        if (token.type === "name") node = { kind: "attribute", object: node, name: token.value };
        else if (token.type === "integer")
          node = { kind: "item", object: node, index: { kind: "constant", value: token.number! } };
        else this.fail("expected a name or a number after the dot");
      } else if (this.skip("operator", "[")) {
        const indices = this.subscripts();
        const index: Expression = indices.length === 1 ? indices[0]! : { kind: "tuple", items: indices };
        node = { kind: "item", object: node, index };
      } else if (this.is("operator", "(")) node = { kind: "call", callee: node, args: this.arguments() };
      else return node;
    }
  }

  private subscripts(): Expression[] {
    const indices: Expression[] = [];
    while (!this.is("operator", "]")) {
      if (indices.length > 0) this.expect("operator", ",");
      indices.push(this.subscript());
    }
    this.next();
    if (indices.length === 0) this.fail("expected a subscript");
    return indices;
  }

  private subscript(): Expression {
    const parts: (Expression | undefined)[] = [];
    const ends = () => this.is("operator", "]") || this.is("operator", ",") || this.is("operator", ":");
    parts.push(ends() ? undefined : this.expression());
    while (parts.length < 3 && this.skip("operator", ":")) parts.push(ends() ? undefined : this.expression());
    const [start, stop, step] = parts;
    if (parts.length === 1) return start ?? this.fail("expected a subscript");
    return { kind: "slice", ...(start && { start }), ...(stop && { stop }), ...(step && { step }) };
  }

  private arguments(): Arguments {
    const args: Arguments = { positional: [], named: [] };
    this.expect("operator", "(");
    for (let isFirst = true; !this.is("operator", ")"); isFirst = false) {
      if (!isFirst) {
        this.expect("operator", ",");
        if (this.is("operator", ")")) break;
      }
      const wrong = () => this.fail("the arguments of a call are out of order");
      if (this.is("operator", "*")) {
        if (args.rest || args.namedRest) wrong();
        this.next();
        args.rest = this.expression();
      } else if (this.is("operator", "**")) {
        if (args.namedRest) wrong();
        this.next();
        args.namedRest = this.expression();
      } else if (this.is("name") && this.peekIs("operator", "=")) {
        if (args.namedRest) wrong();
        const name = this.next().value;
        this.next();
        args.named.push({ name, value: this.expression() });
      } else {
        if (args.rest || args.namedRest || args.named.length > 0) wrong();
        args.positional.push(this.expression());
      }
    }
    this.next();
    return args;
  }

  private filtersAndTests(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.is("operator", "|")) node = this.filters(node, false)!;
      else if (this.is("name", "is")) node = this.test(node);
      else if (this.is("operator", "(")) node = { kind: "call", callee: node, args: this.arguments() };
      else return node;
    }
  }

  /** Filters on `operand`, the first of them without a bar where `inline`; null stands for the block it is put to. */
  private filters(operand: Expression | null, inline: boolean): Expression | null {
    let node = operand;
    for (let isFirst = inline; isFirst || this.is("operator", "|"); isFirst = false) {
      if (!isFirst) this.next();
      const { value: name, line } = this.dottedName();
      const args = this.is("operator", "(") ? this.arguments() : { positional: [], named: [] };
      node = { kind: "filter", operand: node, name, args, line };
    }
    return node;
  }

  private test(operand: Expression): Expression {
    this.next();
    const isNegated = this.skip("name", "not");
    const { value: name, line } = this.dottedName();
    let args: Arguments = { positional: [], named: [] };
    if (this.is("operator", "(")) args = this.arguments();
    else if (this.startsArgument()) {
      if (this.is("name", "is")) this.fail("tests cannot be chained with is");
      args.positional.push(this.postfix(this.primary()));
    }
    const node: Expression = { kind: "test", operand, name, args, line };
    return isNegated ? { kind: "unary", operator: "not", operand: node } : node;
  }

  private startsArgument(): boolean {
    const { type, value } = this.current;
    if (type === "operator") return value === "[" || value === "{";
    return argumentTypes.includes(type) && !(type === "name" && ["else", "or", "and"].includes(value));
  }

  private dottedName(): Token {
    const token = { ...this.expect("name") };
    while (this.skip("operator", ".")) token.value += `.${this.expect("name").value}`;
    return token;
  }
}

const words = (type: TokenType): string =>
  type === "eof"
    ? "the end of the template"
    : type.replace("block_", "{% %} ").replace("variable_", "{{ }} ");
