// What an answer says, as a typed tree that keeps everything: signs, relations, accents, brackets, units, words. What the
// grammar does not know is a name of its own, or opaque as a whole, and equals only itself.

import { add, integer, multiply, negate, power, type Rational } from "./rational.js";
import type { Unit } from "./units.js";

export type Constant = "pi" | "e" | "i" | "infinity";

export type Node =
  | { kind: "number"; value: Rational }
  | { kind: "constant"; name: Constant }
  /** A variable, an accented or subscripted symbol, or a command that the grammar does not know. */
  | { kind: "name"; name: string }
  /** An operator or a function; `list`, `set`, `union`, `ratio`, ... have the same shape. Unknown names are opaque functions. */
  | { kind: "call"; name: string; args: readonly Node[] }
  | { kind: "words"; text: string }
  /** Words among expressions, in order. */
  | { kind: "phrase"; items: readonly Node[] }
  | { kind: "quantity"; value: Node; unit: Unit }
  /** Bracketed items in order: a tuple, a point or an interval. */
  | { kind: "tuple"; open: string; close: string; items: readonly Node[] }
  /** Rows of an environment: a matrix (fence ""), cases and others by their names. */
  | { kind: "matrix"; fence: string; rows: readonly (readonly Node[])[] }
  | { kind: "relation"; sides: readonly Node[]; relations: readonly string[]; modulus?: Node }
  /** {element : condition} */
  | { kind: "builder"; element: Node; condition: Node }
  /** A sum, product, integral or limit over `variable`; `scope` is what stands below and above the sign. */
  | { kind: "binder"; name: string; variable: string; scope: readonly Node[]; body: Node }
  /** Could not be read: its tokens. */
  | { kind: "opaque"; text: string };

export type RelationNode = Extract<Node, { kind: "relation" }>;
export type TupleNode = Extract<Node, { kind: "tuple" }>;

export const call = (name: string, ...args: Node[]): Node => ({ kind: "call", name, args });
export const number = (value: number | bigint): Node => ({ kind: "number", value: integer(value) });
export const infinity: Node = { kind: "constant", name: "infinity" };
export const minusInfinity: Node = call("negate", infinity);

export type CallNode = Extract<Node, { kind: "call" }>;

export const isCall = <Name extends string>(node: Node, name: Name): node is CallNode & { name: Name } =>
  node.kind === "call" && node.name === name;

const arithmetic = new Set(["add", "negate", "multiply", "divide", "power"]);

/** Infinity, or a term that it is in. */
const isBoundless = (node: Node): boolean =>
  (node.kind === "constant" && node.name === "infinity") ||
  (node.kind === "call" && arithmetic.has(node.name) && node.args.some(isBoundless));

/** Operators whose arguments may change places. */
const unordered = new Set(["set", "union", "intersection", "max", "min", "gcd", "lcm"]);

const keys = new WeakMap<Node, string>();

/** Text that is the same for trees that are the same up to order of terms, factors and members, and plain arithmetic. */
export function key(node: Node): string {
  let text = keys.get(node);
  if (text === undefined) keys.set(node, (text = keyOf(node)));
  return text;
}

const rationalKey = ({ n, d }: Rational) => (d === 1n ? `${n}` : `${n}/${d}`);

const inOrder = (nodes: readonly Node[]) => nodes.map(key).join(",");

function keyOf(node: Node): string {
  switch (node.kind) {
    case "number":
      return rationalKey(node.value);
    case "constant":
      return `\\${node.name}`;
    case "name":
      return node.name;
    case "words":
      return `"${node.text}"`;
    case "opaque":
      return `?${node.text}`;
    case "phrase":
      return `phrase(${inOrder(node.items)})`;
    case "quantity":
      return `quantity(${key(node.value)};${node.unit.text})`;
    case "tuple":
      return `${node.open}${inOrder(node.items)}${node.close}`;
    case "matrix":
      return `rows${node.fence}(${node.rows.map(inOrder).join(";")})`;
    case "relation":
      return `relation(${inOrder(node.sides)};${node.relations.join("")};${node.modulus ? key(node.modulus) : ""})`;
    case "builder":
      return `builder(${key(node.element)};${key(node.condition)})`;
    case "binder":
      return `${node.name}(${inOrder([...node.scope, node.body].map((part) => renamed(part, node.variable)))})`;
    case "call":
      return callKey(node.name, node.args);
  }
}

/** The bound variable has no name of its own: sums over k and over j are the same. */
function renamed(node: Node, variable: string): Node {
  return variable === ""
    ? node
    : substituted(node, (name) => (name === variable ? { kind: "name", name: "#" } : undefined));
}

/** The tree with names replaced. */
export function substituted(node: Node, replace: (name: string) => Node | undefined): Node {
  const inside = (part: Node) => substituted(part, replace);
  switch (node.kind) {
    case "name":
      return replace(node.name) ?? node;
    case "call":
      return { ...node, args: node.args.map(inside) };
    case "phrase":
    case "tuple":
      return { ...node, items: node.items.map(inside) };
    case "quantity":
      return { ...node, value: inside(node.value) };
    case "matrix":
      return { ...node, rows: node.rows.map((row) => row.map(inside)) };
    case "relation":
      return {
        ...node,
        sides: node.sides.map(inside),
        ...(node.modulus && { modulus: inside(node.modulus) }),
      };
    case "builder":
      return { ...node, element: inside(node.element), condition: inside(node.condition) };
    case "binder":
      return { ...node, scope: node.scope.map(inside), body: inside(node.body) };
    default:
      return node;
  }
}

function callKey(name: string, args: readonly Node[]): string {
  // What dots stand for depends on the order of what is around them.
  const hasDots = args.some((arg) => key(arg).includes("…"));
  // And what infinity does in a sum or a product is not known.
  if (hasDots || (arithmetic.has(name) && args.some(isBoundless))) return `${name}(${inOrder(args)})`;
  if (arithmetic.has(name)) return arithmeticKey({ kind: "call", name, args });
  const parts = args.map(key);
  if (unordered.has(name)) parts.sort();
  return `${name}(${parts.join(",")})`;
}

/** A sum of products with rational coefficients: terms by the key of what they multiply. */
function arithmeticKey(node: Node): string {
  const terms = new Map<string, Rational>();
  collectTerms(node, integer(1), terms);
  const parts = [...terms].filter(([, coefficient]) => coefficient.n !== 0n || coefficient.d !== 1n);
  if (parts.length === 0) return "0";
  const texts = parts.map(([product, coefficient]) => {
    if (product === "") return rationalKey(coefficient);
    return coefficient.n === 1n && coefficient.d === 1n ? product : `${rationalKey(coefficient)}*${product}`;
  });
  return texts.length === 1 ? texts[0]! : `(${texts.sort().join("+")})`;
}

function collectTerms(node: Node, factor: Rational, terms: Map<string, Rational>): void {
  if (isCall(node, "add")) {
    for (const arg of node.args) collectTerms(arg, factor, terms);
    return;
  }
  if (isCall(node, "negate")) {
    collectTerms(node.args[0]!, negate(factor), terms);
    return;
  }
  const factors: string[] = [];
  const coefficient = collectFactors(node, integer(1), factors);
  const product = factors.sort().join("*");
  const scaled = coefficient && multiply(coefficient, factor);
  const sum = scaled && add(scaled, terms.get(product) ?? integer(0));
  // Beyond exact arithmetic a term is only itself.
  if (sum) terms.set(product, sum);
  else terms.set(`!${plainKey(node)}*${rationalKey(factor)}#${terms.size}`, integer(1));
}

const plainKey = (node: Node) => (node.kind === "call" ? `${node.name}(${inOrder(node.args)})` : key(node));

/** The number that a key is. */
function asNumber(text: string): Rational | undefined {
  if (text.length > 1000 || !/^-?\d+(?:\/\d+)?$/.test(text)) return undefined;
  const [n, d = "1"] = text.split("/");
  return { n: BigInt(n!), d: BigInt(d) };
}

/** Multiplies up the rational factors and lists the keys of the others, with exponent -1 where they divide. */
function collectFactors(node: Node, exponent: Rational, into: string[]): Rational | undefined {
  if (node.kind === "number") return power(node.value, exponent);
  const product = (nodes: readonly Node[], exponents: readonly Rational[]) =>
    nodes.reduce<Rational | undefined>((total, part, i) => {
      const value = collectFactors(part, exponents[i]!, into);
      return total && value && multiply(total, value);
    }, integer(1));
  if (isCall(node, "multiply"))
    return product(
      node.args,
      node.args.map(() => exponent),
    );
  if (isCall(node, "divide")) return product(node.args, [exponent, negate(exponent)]);
  if (isCall(node, "negate")) {
    const value = collectFactors(node.args[0]!, exponent, into);
    return value && negate(value);
  }
  if (isCall(node, "power")) {
    const [base, by] = node.args.map(key) as [string, string];
    const [x, y] = [asNumber(base), asNumber(by)];
    const value = x && y && power(x, y);
    if (value) return power(value, exponent);
    into.push(exponent.n < 0n ? `(${base}^${by})^-1` : `${base}^${by}`);
    return integer(1);
  }
  const text = isCall(node, "add") && !isBoundless(node) ? arithmeticKey(node) : key(node);
  const value = isCall(node, "add") ? asNumber(text) : undefined;
  if (value) return power(value, exponent);
  into.push(exponent.n < 0n ? `${text}^-1` : text);
  return integer(1);
}

const limitsOf = (scope: Node) => (scope.kind === "call" ? scope.args : [scope]);

/** Names and opaque parts that stand for an unknown value, by their keys; bound variables are none. */
export function unknowns(
  node: Node,
  isKnown: (name: string) => boolean,
  into = new Set<string>(),
  bound: readonly string[] = [],
): Set<string> {
  switch (node.kind) {
    case "number":
    case "constant":
      break;
    case "call":
      if (!isKnown(node.name)) into.add(key(node));
      else for (const arg of node.args) unknowns(arg, isKnown, into, bound);
      break;
    case "binder":
      if (!isKnown(node.name)) into.add(key(node));
      else
        for (const part of [...node.scope.flatMap(limitsOf), node.body])
          unknowns(part, isKnown, into, [...bound, node.variable]);
      break;
    default:
      if (node.kind !== "name" || !bound.includes(node.name)) into.add(key(node));
  }
  return into;
}

/** Whether some part of the tree satisfies the test. */
export function some(node: Node, test: (part: Node) => boolean): boolean {
  return test(node) || childrenOf(node).some((child) => some(child, test));
}

function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case "call":
      return node.args;
    case "phrase":
    case "tuple":
      return node.items;
    case "quantity":
      return [node.value];
    case "matrix":
      return node.rows.flat();
    case "relation":
      return node.modulus ? [...node.sides, node.modulus] : node.sides;
    case "builder":
      return [node.element, node.condition];
    case "binder":
      return [...node.scope, node.body];
    default:
      return [];
  }
}
