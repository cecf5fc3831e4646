// Trees from what the parser has read: products, powers, matrices, numerals, and units moved outermost.

import type { Token } from "./lexer.js";
import { constants } from "./notation.js";
import { decimal, type Rational, rational } from "./rational.js";
import { call, isCall, minusInfinity, type Node, number, some } from "./tree.js";
import { unitNamed } from "./units.js";
import { isAllReals, isNoSolution, plainWords } from "./words.js";

/** The text is no answer that this grammar knows. */
export class Unreadable extends Error {}

export const reals: Node = { kind: "tuple", open: "(", close: ")", items: [minusInfinity, constants.infty!] };

/** Environments that only line formulas up. */
export const isAligned = (name: string) =>
  /^(?:align|aligned|gather|gathered|split|equation|eqnarray|alignat|multline)$/.test(name);

/** `\det` of a square of bars; brackets of every kind are one matrix. */
export function matrixNode(name: string, rows: Node[][]): Node {
  if (/^[vV]matrix$/.test(name)) {
    const matrix: Node = { kind: "matrix", fence: "", rows };
    return call(name === "vmatrix" ? "det" : "norm", matrix);
  }
  if (/^(?:[pbB]?(?:small)?matrix|array)$/.test(name)) return { kind: "matrix", fence: "", rows };
  if (isAligned(name) && rows.every((row) => row.length <= 1)) {
    return rows.length === 1 ? rows[0]![0]! : call("list", ...rows.flat());
  }
  return { kind: "matrix", fence: name, rows };
}

export const isOne = (node: Node) => node.kind === "number" && node.value.n === 1n && node.value.d === 1n;

export const isProperFraction = (node: Node) => {
  if (!isCall(node, "divide")) return false;
  const [above, below] = node.args as [Node, Node];
  return (
    above.kind === "number" &&
    below.kind === "number" &&
    above.value.n > 0n &&
    above.value.n < below.value.n &&
    above.value.d === 1n &&
    below.value.d === 1n
  );
};

/** Products of many factors are one node. */
export const times = (left: Node, right: Node): Node =>
  isCall(left, "multiply") ? { ...left, args: [...left.args, right] } : call("multiply", left, right);

const isVector = (node: Node) =>
  some(node, (part) => part.kind === "name" && /^\\(?:vec|hat|mathbf) /.test(part.name));

/** The cross of two vectors is no product of numbers, nor is it the same the other way round. */
export const crossed = (left: Node, right: Node): Node =>
  isVector(left) && isVector(right) ? call("cross", left, right) : times(left, right);

export function raised(base: Node, exponent: Node): Node {
  const isTransposed =
    exponent.kind === "name" &&
    (exponent.name === "T" || exponent.name === "\\top" || exponent.name === "\\intercal");
  if (isTransposed && base.kind === "matrix")
    return { ...base, rows: base.rows[0]!.map((_, j) => base.rows.map((row) => row[j]!)) };
  return call("power", base, exponent);
}

export function suffixed(base: Node, mark: string): Node {
  if (base.kind === "name") return { kind: "name", name: `${base.name}${mark}` };
  return call(`mark${mark}`, base);
}

/** `^\circ` and `^{\circ}`. */
export function isDegree(tokens: readonly Token[], at: number): boolean {
  const isBraced = tokens[at]?.text === "{" && tokens[at + 2]?.text === "}";
  const { type, text } = tokens[isBraced ? at + 1 : at] ?? {};
  return type === "command" && (text === "circ" || text === "degree" || text === "o");
}

/** Signs and factors around a unit or a percent sign go inside, so that the unit is outermost. */
export function lifted(node: Node): Node {
  if (node.kind === "words") {
    const text = plainWords(node.text);
    return isAllReals(text) ? reals : isNoSolution(text) ? call("set") : node;
  }
  if (isCall(node, "degree") && !some(node.args[0]!, (part) => isCall(part, "degree"))) {
    return { kind: "quantity", value: node.args[0]!, unit: unitNamed("degree")! };
  }
  if (isCall(node, "percent")) return { kind: "quantity", value: node.args[0]!, unit: unitNamed("percent")! };
  if (isCall(node, "negate")) {
    const inside = lifted(node.args[0]!);
    return inside.kind === "quantity" ? { ...inside, value: call("negate", inside.value) } : node;
  }
  if (
    isCall(node, "add") &&
    node.args.length === 2 &&
    isCall(node.args[1]!, "percent") &&
    node.args[0]!.kind === "number"
  ) {
    // 33\frac{1}{3}\%
    const [whole, part] = [node.args[0]!, node.args[1].args[0]!];
    if (isProperFraction(part))
      return { kind: "quantity", value: call("add", whole, part), unit: unitNamed("percent")! };
  }
  if (isCall(node, "multiply") && node.args.length === 2) {
    const [value, by] = node.args as [Node, Node];
    if (value.kind === "number" && by.kind === "name" && by.name === "\\Omega")
      return { kind: "quantity", value, unit: unitNamed("ohm")! };
  }
  if (isCall(node, "multiply") && node.args.length > 1) {
    const last = lifted(node.args.at(-1)!);
    if (
      last.kind === "quantity" &&
      node.args.slice(0, -1).every((arg) => !some(arg, ({ kind }) => kind === "quantity"))
    )
      return { ...last, value: { ...node, args: [...node.args.slice(0, -1), last.value] } };
  }
  if (isCall(node, "divide")) {
    const above = lifted(node.args[0]!);
    // 1/2\% is half a percent.
    const below = lifted(node.args[1]!);
    if (above.kind !== "quantity" && below.kind === "quantity" && below.unit.dimension === "percent")
      return { ...below, value: call("divide", above, below.value) };
  }
  return node;
}

/** The index i of a sum is no imaginary unit. */
export function indexNamed(node: Node): Node {
  const inside = (part: Node): Node => indexNamed(part);
  if (node.kind === "constant" && node.name === "i") return { kind: "name", name: "i" };
  if (node.kind === "call") return { ...node, args: node.args.map(inside) };
  return node;
}

export function literalNumber(text: string): Node {
  const [digits, exponent] = text.split("e");
  const value = decimal(digits!);
  if (!value) throw new Unreadable("a number is too long");
  const literal: Node = { kind: "number", value };
  return exponent === undefined
    ? literal
    : call("multiply", literal, call("power", number(10), number(Number(exponent))));
}

/** The decimal whose last digits repeat for ever, as a fraction. */
export function repeatingDecimal(text: string): Rational {
  const [whole = "", once = "", again = ""] = text.split(".");
  if (text.length > 500) throw new Unreadable("a repeating decimal is too long");
  const [longer, cut] = [BigInt(`${whole}${once}${again}`), BigInt(`${whole}${once}` || "0")];
  return rational(longer - cut, (10n ** BigInt(again.length) - 1n) * 10n ** BigInt(once.length))!;
}
