// Runs the syntax tree of a template: scopes, loops, macros and calls as jinja2 3.1 compiles them, inside bounds on steps,
// on what is made and on the depth of calls.

import { applyFilter, applyTest, type FilterContext, Group, isFilter, isTest } from "./filters.js";
import { formatPercent } from "./format.js";
import { RaisedError, TemplateError } from "./lexer.js";
import { methodOf } from "./methods.js";
import type { Arguments, Expression, For, Parameter, Statement, Target } from "./parser.js";
import {
  add,
  Budget,
  Callable,
  compare,
  contains,
  Dict,
  divide,
  either,
  equal,
  floorDivide,
  isNumber,
  isText,
  isTrue,
  itemAt,
  iterate,
  modulo,
  multiply,
  type NamedArguments,
  Namespace,
  negate,
  numeric,
  onBudget,
  power,
  Range,
  sliceOf,
  subtract,
  Tuple,
  textOf,
  toText,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

export interface Bounds {
  /** Statements, expressions and loop turns. */
  maxSteps: number;
  /** Characters of text and items of lists, made on the way and in the end. */
  maxCharacters: number;
}

export const defaultBounds: Bounds = { maxSteps: 2_000_000, maxCharacters: 64_000_000 };

/** Calls within calls. Python's own limit is met between 200 and 330. */
const maxDepth = 330;

/** The names that a block of the template has set, and what surrounds it. */
class Scope {
  private readonly values = new Map<string, Value>();
  constructor(readonly parent: Scope | null) {}

  get(name: string): Value | undefined {
    for (let scope: Scope | null = this; scope; scope = scope.parent) {
      const value = scope.values.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }
  set(name: string, value: Value): void {
    this.values.set(name, value);
  }
}

/** How a sequence of statements ended. */
type Ending = "break" | "continue" | undefined;

/** Text as it is written. */
class Output {
  private readonly parts: string[] = [];
  constructor(private readonly budget: Budget) {}
  write(text: string): void {
    this.budget.make(text.length);
    this.parts.push(text);
  }
  toString(): string {
    return this.parts.join("");
  }
}

export function run(
  body: readonly Statement[],
  variables: ReadonlyMap<string, Value>,
  globals: ReadonlyMap<string, Value>,
  bounds: Bounds = defaultBounds,
): string {
  const interpreter = new Interpreter(new Budget(bounds.maxSteps, bounds.maxCharacters), globals);
  try {
    return onBudget(interpreter.budget, () => interpreter.render(body, variables));
  } catch (error) {
    if (error instanceof RangeError) throw new TemplateError("its expressions or calls nest too deeply");
    throw error;
  }
}

class Interpreter {
  private depth = 0;
  private root = new Scope(null);
  private readonly context: FilterContext;

  constructor(
    readonly budget: Budget,
    private readonly globals: ReadonlyMap<string, Value>,
  ) {
    this.context = {
      budget,
      attribute: (value, name) => this.attribute(value, name),
      item: (value, index) => this.item(value, index),
      applyFilter: (name, value, args, named) => applyFilter(name, value, args, named, this.context),
      applyTest: (name, value, args, named) => applyTest(name, value, args, named, this.context),
    };
  }

  render(body: readonly Statement[], variables: ReadonlyMap<string, Value>): string {
    for (const [name, value] of variables) this.root.set(name, value);
    const out = new Output(this.budget);
    this.runAll(body, new Scope(this.root), out);
    return out.toString();
  }

  // --------------------------------------------------------------------------------------------------- statements

  private runAll(body: readonly Statement[], scope: Scope, out: Output): Ending {
    for (const statement of body) {
      const ending = this.run(statement, scope, out);
      if (ending) return ending;
    }
    return undefined;
  }

  private run(statement: Statement, scope: Scope, out: Output): Ending {
    this.budget.step();
    if (statement.kind === "data") {
      out.write(statement.text);
      return undefined;
    }
    try {
      return this.runTag(statement, scope, out);
    } catch (error) {
      const isPlaced = error instanceof RaisedError || /^line \d+: /.test((error as Error).message);
      if (error instanceof TemplateError && !isPlaced)
        throw new TemplateError(`line ${statement.line}: ${error.message}`);
      throw error;
    }
  }

  private runTag(statement: Exclude<Statement, { kind: "data" }>, scope: Scope, out: Output): Ending {
    switch (statement.kind) {
      case "output":
        out.write(toText(this.evaluate(statement.value, scope)));
        return undefined;
      case "set":
        this.assign(statement.target, this.evaluate(statement.value, scope), scope);
        return undefined;
      case "setBlock": {
        const text = this.capture(statement.body, new Scope(scope));
        const value = statement.filter ? this.filtered(statement.filter, text, scope) : text;
        this.assign(statement.target, value, scope);
        return undefined;
      }
      case "if":
        for (const { test, body } of statement.branches)
          if (isTrue(this.evaluate(test, scope))) return this.runAll(body, scope, out);
        return this.runAll(statement.otherwise, scope, out);
      case "for":
        this.runFor(statement, this.evaluate(statement.iterable, scope), scope, out);
        return undefined;
      case "break":
      case "continue":
        return statement.kind;
      case "with": {
        const inner = new Scope(scope);
        const values = statement.values.map((value) => this.evaluate(value, scope));
        for (const [i, target] of statement.targets.entries()) this.assign(target, values[i]!, inner);
        return this.runAll(statement.body, inner, out);
      }
      case "macro":
        scope.set(statement.name, this.macro(statement.name, statement.parameters, statement.body, scope));
        return undefined;
      case "call": {
        const caller = this.macro("caller", statement.parameters, statement.body, scope);
        const { call } = statement;
        if (call.kind === "call") out.write(toText(this.call(call, scope, [["caller", caller]])));
        return undefined;
      }
      case "filterBlock":
        out.write(
          toText(this.filtered(statement.filter, this.capture(statement.body, new Scope(scope)), scope)),
        );
        return undefined;
      case "block":
        return this.runAll(statement.body, new Scope(scope), out);
      case "foreign":
        throw new TemplateError(`{% ${statement.tag} %} needs another template, and there is none`);
    }
  }

  private capture(body: readonly Statement[], scope: Scope): string {
    const out = new Output(this.budget);
    this.runAll(body, scope, out);
    return out.toString();
  }

  private assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === "name") scope.set(target.name, value);
    else if (target.kind === "field") {
      const namespace = this.lookup(target.namespace, scope);
      if (!(namespace instanceof Namespace) || namespace.type !== "Namespace")
        throw new TemplateError("cannot assign attribute on non-namespace object");
      namespace.fields.set(publicField(target.field), value);
    } else {
      if (value instanceof Undefined) value.fail();
      const values = iterate(value);
      if (values.length !== target.items.length)
        throw new TemplateError(
          `${values.length < target.items.length ? "not enough" : "too many"} values to unpack (expected ${target.items.length})`,
        );
      for (const [i, part] of target.items.entries()) this.assign(part, values[i]!, scope);
    }
  }

  private runFor(loop: For, iterable: Value, scope: Scope, out: Output, depth0 = 0): void {
    let items = iterate(iterable);
    if (loop.test) {
      items = items.filter((item) => {
        this.budget.step();
        const inner = new Scope(scope);
        this.assign(loop.target, item, inner);
        return isTrue(this.evaluate(loop.test!, inner));
      });
    }
    const state = { index0: 0, last: undefined as Value[] | undefined };
    const self = this.loopObject(loop, items, { state, scope, depth0 });
    for (const [index0, item] of items.entries()) {
      this.budget.step();
      state.index0 = index0;
      const inner = new Scope(scope);
      inner.set("loop", self);
      this.assign(loop.target, item, inner);
      if (this.runAll(loop.body, inner, out) === "break") break;
    }
    if (items.length === 0) this.runAll(loop.otherwise, new Scope(scope), out);
  }

  /** What templates see as `loop`. */
  private loopObject(
    loop: For,
    items: readonly Value[],
    {
      state,
      scope,
      depth0,
    }: { state: { index0: number; last: Value[] | undefined }; scope: Scope; depth0: number },
  ): Namespace {
    const neighbour = (offset: number, word: string): Value =>
      either(items[state.index0 + offset], new Undefined(word, `there is no ${word} item`));
    const fields: Record<string, () => Value> = {
      index: () => BigInt(state.index0 + 1),
      index0: () => BigInt(state.index0),
      revindex: () => BigInt(items.length - state.index0),
      revindex0: () => BigInt(items.length - state.index0 - 1),
      first: () => state.index0 === 0,
      last: () => state.index0 === items.length - 1,
      length: () => BigInt(items.length),
      depth: () => BigInt(depth0 + 1),
      depth0: () => BigInt(depth0),
      previtem: () =>
        state.index0 === 0
          ? new Undefined("previtem", "there is no previous item")
          : neighbour(-1, "previous"),
      nextitem: () => neighbour(1, "next"),
      cycle: () =>
        new Callable("cycle", (args) => {
          if (args.length === 0) throw new TemplateError("no items for cycling given");
          return args[state.index0 % args.length]!;
        }),
      changed: () =>
        new Callable("changed", (args) => {
          const isSame =
            state.last?.length === args.length && args.every((value, i) => equal(value, state.last![i]!));
          state.last = args;
          return !isSame;
        }),
    };
    const again = (args: Value[]): Value => {
      if (!loop.isRecursive)
        throw new TemplateError("'loop' is not callable: the loop lacks the word recursive");
      const inner = new Output(this.budget);
      this.deeper(() => this.runFor(loop, either(args[0], null), scope, inner, depth0 + 1));
      return inner.toString();
    };
    return new Namespace("LoopContext", [], again, (name) =>
      Object.hasOwn(fields, name) ? fields[name]!() : undefined,
    );
  }

  // ------------------------------------------------------------------------------------------------------- macros

  private macro(
    name: string,
    parameters: readonly Parameter[],
    body: readonly Statement[],
    scope: Scope,
  ): Callable {
    const used = namesIn([body, parameters]);
    const isExplicit = parameters.some((parameter) => parameter.name === "caller");
    const takes = {
      caller: used.has("caller"),
      kwargs: used.has("kwargs") && !parameters.some((p) => p.name === "kwargs"),
      varargs: used.has("varargs") && !parameters.some((p) => p.name === "varargs"),
    };
    const call = (args: Value[], named: NamedArguments): Value =>
      this.deeper(() => {
        const rest = new Map(named);
        const inner = new Scope(scope);
        for (const [i, parameter] of parameters.entries()) {
          let value: Value | undefined = args[i];
          if (value === undefined) {
            value = rest.get(parameter.name);
            rest.delete(parameter.name);
          } else if (rest.has(parameter.name)) {
            if (!takes.kwargs)
              throw new TemplateError(`macro '${name}' got two values for '${parameter.name}'`);
          }
          if (value === undefined) {
            value = parameter.default
              ? this.evaluate(parameter.default, inner)
              : new Undefined(parameter.name, `parameter '${parameter.name}' was not provided`);
          }
          inner.set(parameter.name, value);
        }
        if (takes.caller && !isExplicit) {
          inner.set("caller", either(rest.get("caller"), new Undefined("caller", "No caller defined")));
          rest.delete("caller");
        }
        if (takes.kwargs) inner.set("kwargs", new Dict(rest));
        else if (rest.size > 0)
          throw new TemplateError(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]}'`);
        const extra = args.slice(parameters.length);
        if (takes.varargs) inner.set("varargs", Tuple.make(...extra));
        else if (extra.length > 0)
          throw new TemplateError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
        return this.capture(body, inner);
      });
    return new Callable(name, call, {
      name,
      arguments: Tuple.make(...parameters.map((parameter) => parameter.name)),
      catch_kwargs: takes.kwargs,
      catch_varargs: takes.varargs,
      caller: takes.caller,
    });
  }

  private deeper<T>(work: () => T): T {
    if (++this.depth > maxDepth)
      throw new TemplateError(`its macros or loops call themselves more than ${maxDepth} times deep`);
    try {
      return work();
    } finally {
      this.depth--;
    }
  }

  // -------------------------------------------------------------------------------------------------- expressions

  private lookup(name: string, scope: Scope): Value {
    return either(either(scope.get(name), this.globals.get(name)), new Undefined(name));
  }

  private evaluate(node: Expression, scope: Scope): Value {
    this.budget.step();
    switch (node.kind) {
      case "constant":
        return node.value;
      case "name":
        return this.lookup(node.name, scope);
      case "list":
        return node.items.map((item) => this.evaluate(item, scope));
      case "tuple":
        return Tuple.make(...node.items.map((item) => this.evaluate(item, scope)));
      case "dict":
        return new Dict(
          node.pairs.map(([key, value]): [Value, Value] => [
            this.evaluate(key, scope),
            this.evaluate(value, scope),
          ]),
        );
      case "attribute":
        return this.attribute(this.evaluate(node.object, scope), node.name);
      case "item":
        return this.subscript(node, scope);
      case "slice":
        throw new TemplateError("a slice belongs into a subscript");
      case "call":
        return this.call(node, scope);
      case "filter":
        return this.filtered(node, null, scope);
      case "test": {
        const value = this.evaluate(node.operand, scope);
        if (!isTest(node.name)) throw new TemplateError(`No test named '${node.name}'.`);
        const { args, named } = this.arguments(node.args, scope);
        return applyTest(node.name, value, args, named, this.context);
      }
      case "unary":
        return this.unary(node.operator, this.evaluate(node.operand, scope));
      case "binary":
        return this.binary(node.operator, this.evaluate(node.left, scope), this.evaluate(node.right, scope));
      case "logic": {
        const left = this.evaluate(node.left, scope);
        return isTrue(left) === (node.operator === "or") ? left : this.evaluate(node.right, scope);
      }
      case "concat": {
        const text = node.items.map((item) => toText(this.evaluate(item, scope))).join("");
        this.budget.make(text.length);
        return text;
      }
      case "compare":
        return this.comparison(node, scope);
      case "condition":
        if (isTrue(this.evaluate(node.test, scope))) return this.evaluate(node.yes, scope);
        if (node.no) return this.evaluate(node.no, scope);
        return new Undefined(
          "if",
          "the inline if-expression evaluated to false and no else section was defined.",
        );
    }
  }

  private unary(operator: "+" | "-" | "not", value: Value): Value {
    if (operator === "not") return !isTrue(value);
    if (operator === "-") return negate(value);
    if (value instanceof Undefined) value.fail();
    if (!isNumber(value)) throw new TemplateError(`bad operand type for unary +: '${typeName(value)}'`);
    return numeric(value);
  }

  private binary(operator: string, left: Value, right: Value): Value {
    if (operator === "%" && isText(left)) return formatPercent(textOf(left), right, this.budget);
    if (left instanceof Undefined) left.fail();
    if (right instanceof Undefined) right.fail();
    switch (operator) {
      case "+":
        return add(left, right, this.budget);
      case "-":
        return subtract(left, right);
      case "*":
        return multiply(left, right, this.budget);
      case "/":
        return divide(left, right);
      case "//":
        return floorDivide(left, right);
      case "%":
        return modulo(left, right);
      default:
        return power(left, right);
    }
  }

  private comparison({ first, rest }: Extract<Expression, { kind: "compare" }>, scope: Scope): boolean {
    let left = this.evaluate(first, scope);
    for (const { operator, operand } of rest) {
      const right = this.evaluate(operand, scope);
      if (!compares(operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  private subscript({ object, index }: Extract<Expression, { kind: "item" }>, scope: Scope): Value {
    const value = this.evaluate(object, scope);
    if (index.kind !== "slice") return this.item(value, this.evaluate(index, scope));
    const part = (bound: Expression | undefined) => (bound ? this.evaluate(bound, scope) : null);
    const range = { start: part(index.start), stop: part(index.stop), step: part(index.step) };
    if (value instanceof Undefined) value.fail();
    const isText = typeof value === "string";
    this.budget.make(isText ? value.length : Array.isArray(value) ? value.length : 0);
    const slice = sliceOf(value, range);
    if (slice === undefined)
      throw new TemplateError(`'${typeName(value)}' object is not subscriptable by slices`);
    return slice;
  }

  /** `value.name`: a method or field, else the item of that name. */
  private attribute(value: Value, name: string): Value {
    if (value instanceof Undefined) value.fail();
    const field = this.field(value, name);
    if (field !== undefined) return field;
    return either(itemAt(value, name), missing(value, name));
  }

  /** `value[index]`: the item, else the method or field of that name. */
  private item(value: Value, index: Value): Value {
    const item = itemAt(value, index);
    if (item !== undefined) return item;
    if (isText(index)) return either(this.field(value, textOf(index)), missing(value, textOf(index)));
    return missing(value, toTextSafely(index));
  }

  private field(value: Value, name: string): Value | undefined {
    if (name.startsWith("__") && name.endsWith("__") && name.length > 4)
      return new Undefined(name, `access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
    if (value instanceof Namespace) return either(value.fields.get(name), value.lookup?.(name));
    if (value instanceof Callable) return Object.hasOwn(value.fields, name) ? value.fields[name] : undefined;
    if (value instanceof Group && (name === "grouper" || name === "list")) return value[name];
    if (value instanceof Range && ["start", "stop", "step"].includes(name)) return value[name as "start"];
    return methodOf(value, name, { budget: this.budget, access: this.context });
  }

  private call(
    { callee, args: given }: Extract<Expression, { kind: "call" }>,
    scope: Scope,
    extra: readonly [string, Value][] = [],
  ): Value {
    const target = this.evaluate(callee, scope);
    const { args, named } = this.arguments(given, scope);
    for (const [name, value] of extra) {
      if (named.has(name)) throw new TemplateError(`got multiple values for keyword argument '${name}'`);
      named.set(name, value);
    }
    if (target instanceof Undefined) target.fail();
    if (target instanceof Callable) return target.call(args, named);
    if (target instanceof Namespace && target.call) return target.call(args, named);
    throw new TemplateError(`'${typeName(target)}' object is not callable`);
  }

  private arguments(given: Arguments, scope: Scope): { args: Value[]; named: NamedArguments } {
    const args = given.positional.map((value) => this.evaluate(value, scope));
    const named: NamedArguments = new Map();
    const put = (name: string, value: Value) => {
      if (named.has(name)) throw new TemplateError(`keyword argument repeated: ${name}`);
      named.set(name, value);
    };
    for (const { name, value } of given.named) put(name, this.evaluate(value, scope));
    if (given.rest) {
      const rest = iterate(this.evaluate(given.rest, scope));
      this.budget.make(rest.length);
      for (const value of rest) args.push(value);
    }
    if (given.namedRest) {
      const rest = this.evaluate(given.namedRest, scope);
      if (!(rest instanceof Dict))
        throw new TemplateError(`argument after ** must be a mapping, not ${typeName(rest)}`);
      for (const [name, value] of rest.pairs()) put(toText(name), value);
    }
    return { args, named };
  }

  /** A filter on its operand, or on `input` at the place where a block's text goes. */
  private filtered(node: Expression, input: Value, scope: Scope): Value {
    if (node.kind !== "filter") return this.evaluate(node, scope);
    if (!isFilter(node.name)) throw new TemplateError(`No filter named '${node.name}'.`);
    const value = node.operand === null ? input : this.filtered(node.operand, input, scope);
    const { args, named } = this.arguments(node.args, scope);
    return applyFilter(node.name, value, args, named, this.context);
  }
}

function compares(operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return equal(left, right);
    case "!=":
      return !equal(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    case "<":
      return compare(left, right) < 0;
    case "<=":
      return compare(left, right) <= 0;
    case ">":
      return compare(left, right) > 0;
    default:
      return compare(left, right) >= 0;
  }
}

function missing(value: Value, name: string): Undefined {
  if (value instanceof Undefined) value.fail();
  return new Undefined(name, `'${typeName(value)} object' has no attribute '${name}'`);
}

function toTextSafely(value: Value): string {
  return isText(value) || isNumber(value) || value === null ? toText(value) : typeName(value);
}

/** Every name that occurs in a part of the syntax tree. */
function namesIn(node: unknown, names = new Set<string>()): Set<string> {
  if (Array.isArray(node)) for (const child of node) namesIn(child, names);
  else if (typeof node === "object" && node !== null) {
    const { kind, name } = node as { kind?: string; name?: string };
    if (kind === "name" && name !== undefined) names.add(name);
    for (const child of Object.values(node)) namesIn(child, names);
  }
  return names;
}

// --------------------------------------------------------------------------------------------------------- globals

/** The sandbox of jinja2 makes none longer. */
const maxRange = 100_000;

function range(args: Value[]): Range {
  const numbers = args.map((value) => {
    if (value instanceof Undefined) value.fail();
    if (typeof value !== "bigint" && typeof value !== "boolean")
      throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
    return BigInt(value);
  });
  if (numbers.length < 1 || numbers.length > 3) throw new TemplateError("range expected 1 to 3 arguments");
  const [start, stop, step = 1n] =
    numbers.length === 1 ? [0n, numbers[0]!] : (numbers as [bigint, bigint, bigint?]);
  if (step === 0n) throw new TemplateError("range() arg 3 must not be zero");
  const made = new Range(start, stop, step);
  if (made.length > maxRange)
    throw new TemplateError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${maxRange}).`);
  return made;
}

function dictOf(args: Value[], named: NamedArguments): Dict {
  const [first] = args;
  const pairs: [Value, Value][] =
    first === undefined
      ? []
      : first instanceof Dict
        ? first.pairs()
        : iterate(first).map((pair) => {
            const items = iterate(pair);
            if (items.length !== 2) throw new TemplateError("dict() needs pairs");
            return items as [Value, Value];
          });
  return new Dict([...pairs, ...named]);
}

function cycler(items: Value[]): Namespace {
  if (items.length === 0) throw new TemplateError("at least one item has to be provided");
  let at = 0;
  return new Namespace("Cycler", [], undefined, (name) => {
    if (name === "current") return items[at]!;
    if (name === "next")
      return new Callable(name, () => {
        const item = items[at]!;
        at = (at + 1) % items.length;
        return item;
      });
    if (name !== "reset") return undefined;
    return new Callable(name, () => {
      at = 0;
      return null;
    });
  });
}

function joiner(separator: Value): Callable {
  let isUsed = false;
  return new Callable("joiner", () => {
    if (isUsed) return separator;
    isUsed = true;
    return "";
  });
}

/** The names that every template has. */
export const baseGlobals: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["range", new Callable("range", (args) => range(args))],
  [
    "dict",
    new Namespace("TemplateDict", [], dictOf, (name) =>
      name === "fromkeys"
        ? new Callable(
            name,
            ([keys, value]) => new Dict(iterate(keys!).map((key) => [key, either(value, null)])),
          )
        : undefined,
    ),
  ],
  [
    "namespace",
    new Callable("namespace", (args, named) => new Namespace("Namespace", namespaceFields(args, named))),
  ],
  ["cycler", new Callable("cycler", cycler)],
  [
    "joiner",
    new Callable("joiner", (args, named) => joiner(either(either(args[0], named.get("sep")), ", "))),
  ],
]);

const namespaceFields = (args: Value[], named: NamedArguments): [string, Value][] =>
  dictOf(args, named)
    .pairs()
    .map(([name, value]) => [publicField(toText(name)), value]);

/** `transformers` keeps no field whose name begins with an underscore. */
function publicField(name: string): string {
  if (name.startsWith("_"))
    throw new TemplateError(
      `a namespace cannot keep a field whose name begins with an underscore: '${name}'`,
    );
  return name;
}
