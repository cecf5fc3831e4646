// Whether two final answers mean the same. Identity comes first: an answer that is the reference, up to spacing, wrappers
// and synonyms, is right, whatever it is. Then trees are compared by what they are: values, quantities, equations, sets,
// intervals, tuples, matrices, words. What could not be read equals only itself.

import { reals } from "./build.js";
import { maxTokens, type Token, tokenize } from "./lexer.js";
import { matrixOf, sameRows } from "./matrix.js";
import { spelledNumber } from "./numerals.js";
import { optionOf } from "./option.js";
import { Parser } from "./parser.js";
import { sameRelation, statedValue } from "./relation.js";
import { sameValue } from "./same-value.js";
import { intervalsOf, sameIntervals } from "./sets.js";
import { call, isCall, key, type Node, some } from "./tree.js";
import { conversion } from "./units.js";
import { isAllReals, isNoSolution, plainWords } from "./words.js";

/** An answer that is longer equals only itself, character for character. */
export const maxLength = 30_000;

const spelled = (tokens: readonly Token[]) => tokens.map(({ text }) => text).join(" ");

/** Never throws: what the grammar does not know is opaque as a whole. */
function read(tokens: readonly Token[]): Node {
  try {
    return withoutSigns(new Parser(tokens).parse());
  } catch {
    return { kind: "opaque", text: spelled(tokens) };
  }
}

const spokenNode = (text: string): Node =>
  isAllReals(text) ? reals : isNoSolution(text) ? call("set") : { kind: "words", text };

/** The ways to read an answer: letters may be a word or a product, and commas may separate thousands or items. */
function readings(text: string, tokens: readonly Token[]): Node[] {
  const found = [read(tokens)];
  const isSpoken =
    tokens[0]!.type !== "number" &&
    tokens.every(
      ({ type }) => type === "letters" || type === "word" || type === "upright" || type === "number",
    ) &&
    tokens.some(({ type, text }) => type !== "number" && text.length > 1);
  if (isSpoken) {
    const spoken = plainWords(spelled(tokens));
    found.push(spokenNode(spoken));
    const value = spelledNumber(spoken);
    if (value) found.push(value);
  }
  if (/\d,\d{3}(?!\d)/.test(text) && !/,0/.test(text)) {
    const items = read(tokenize(text, { commasSeparate: true }));
    if (isCall(items, "list")) found.push({ ...items, name: "items" });
  }
  return found;
}

/** A text as it was read. */
interface Reading {
  tokens: readonly Token[];
  spelled: string;
  nodes?: readonly Node[];
}

/** References come again with every response to their prompt, and many responses give the same answer. */
const remembered = new Map<string, Reading>();
const [rememberedTexts, rememberedLength] = [1000, 500];

function readingOf(text: string): Reading {
  const known = remembered.get(text);
  if (known) return known;
  const tokens = tokenize(text);
  const reading = { tokens, spelled: spelled(tokens) };
  if (text.length <= rememberedLength) {
    if (remembered.size >= rememberedTexts) remembered.delete(remembered.keys().next().value!);
    remembered.set(text, reading);
  }
  return reading;
}

const nodesOf = (text: string, reading: Reading) => (reading.nodes ??= readings(text, reading.tokens));

/** Both signs of ± are two answers. */
function withoutSigns(node: Node): Node {
  const hasSigns = some(node, (part) => isCall(part, "plusminus") || isCall(part, "minusplus"));
  if (!hasSigns) return node;
  if (isCall(node, "list") || isCall(node, "set")) {
    const items = node.args.map(withoutSigns).flatMap((item) => (isCall(item, "list") ? item.args : [item]));
    return { ...node, args: items };
  }
  return call("list", withSign(node, true), withSign(node, false));
}

function withSign(node: Node, isPlus: boolean): Node {
  const inside = (part: Node) => withSign(part, isPlus);
  if (isCall(node, "plusminus"))
    return isPlus ? inside(node.args[0]!) : call("negate", inside(node.args[0]!));
  if (isCall(node, "minusplus"))
    return isPlus ? call("negate", inside(node.args[0]!)) : inside(node.args[0]!);
  switch (node.kind) {
    case "call":
      return { ...node, args: node.args.map(inside) };
    case "tuple":
    case "phrase":
      return { ...node, items: node.items.map(inside) };
    case "quantity":
      return { ...node, value: inside(node.value) };
    case "relation":
      return { ...node, sides: node.sides.map(inside) };
    case "matrix":
      return { ...node, rows: node.rows.map((row) => row.map(inside)) };
    default:
      return node;
  }
}

/** Operators of sets and lists, which have no value. */
const structures = new Set(["list", "items", "set", "union", "intersection", "difference", "ratio"]);

const isValue = (node: Node) =>
  node.kind === "number" ||
  node.kind === "constant" ||
  node.kind === "name" ||
  node.kind === "binder" ||
  (node.kind === "call" && !structures.has(node.name));

/** Answer and reference; the order matters only for equations, whose left side may be missing. */
export function same(a: Node, b: Node): boolean {
  if (isCall(a, "items") || isCall(b, "items")) return sameItems(a, b);
  if (key(a) === key(b)) return true;
  if (a.kind === "quantity" || b.kind === "quantity") return sameQuantity(a, b);
  if (a.kind === "relation" || b.kind === "relation") return sameAsRelation(a, b);
  if (isCall(a, "list") || isCall(a, "set") || isCall(b, "list") || isCall(b, "set"))
    return sameCollection(a, b);
  if (a.kind === "tuple" && b.kind === "tuple") {
    return a.open === b.open && a.close === b.close && sameInOrder(a.items, b.items);
  }
  if (describesSet(a) || describesSet(b)) return sameSet(a, b);
  const matrices = [matrixOf(a), matrixOf(b)];
  if (matrices[0] && matrices[1]) return sameRows(matrices[0], matrices[1]);
  if (a.kind === "matrix" && b.kind === "matrix") {
    return (
      a.fence === b.fence &&
      a.rows.length === b.rows.length &&
      a.rows.every((row, i) => sameInOrder(row, b.rows[i]!))
    );
  }
  if (a.kind === "words" || b.kind === "words") return sameWords(a, b);
  if (a.kind === "phrase" && b.kind === "phrase") return sameInOrder(a.items, b.items);
  if (isCall(a, "ratio") && isCall(b, "ratio")) return sameInOrder(a.args, b.args);
  return isValue(a) && isValue(b) && !matrices[0] && !matrices[1] && sameValue(a, b);
}

const sameInOrder = (a: readonly Node[], b: readonly Node[]) =>
  a.length === b.length && a.every((item, i) => same(item, b[i]!));

/** The second reading of `1,100` counts only against a list. */
function sameItems(a: Node, b: Node): boolean {
  if (!(a.kind === "call" && b.kind === "call")) return false;
  const isList = (node: Node) => isCall(node, "list") || isCall(node, "items") || isCall(node, "set");
  if (isCall(a, "items") === isCall(b, "items") || !isList(a) || !isList(b) || a.args.length < 2)
    return false;
  return a.args.length === b.args.length && sameMembers(a.args, b.args);
}

function sameWords(a: Node, b: Node): boolean {
  const text = (node: Node) => {
    if (node.kind === "words") return plainWords(node.text);
    const isLetter = (node.kind === "name" || node.kind === "constant") && node.name.length === 1;
    return isLetter ? node.name.toLowerCase() : undefined;
  };
  const [x, y] = [text(a), text(b)];
  return x !== undefined && x !== "" && x === y;
}

/** Every member of either side has an equal on the other. */
function sameMembers(a: readonly Node[], b: readonly Node[]): boolean {
  const covers = (x: readonly Node[], y: readonly Node[], isForth: boolean) =>
    x.every((item) => y.some((other) => (isForth ? same(item, other) : same(other, item))));
  return a.length <= 100 && b.length <= 100 && covers(a, b, true) && covers(b, a, false);
}

// Quantities

/** A unit that is missing is any; 50 % is 50 as well as one half. */
function sameQuantity(a: Node, b: Node): boolean {
  if (a.kind === "quantity" && b.kind === "quantity") {
    const factor = conversion(a.unit, b.unit);
    if (factor) return same(scaled(a.value, { kind: "number", value: factor }), b.value);
    const isAngle = [a, b].every(({ unit }) => unit.dimension === "angle" || unit.dimension === "radian");
    if (!isAngle)
      return a.unit.dimension === "" ? same(a.value, b) : b.unit.dimension === "" && same(a, b.value);
    return sameValue(inRadians(a), inRadians(b));
  }
  const [quantity, other] = (a.kind === "quantity" ? [a, b] : [b, a]) as [
    Extract<Node, { kind: "quantity" }>,
    Node,
  ];
  const compare = (value: Node) => (a.kind === "quantity" ? same(value, b) : same(a, value));
  if (other.kind === "relation") {
    const isReference = other === b;
    const value = statedValue(other, isReference);
    return value !== undefined && (isReference ? same(a, value) : same(value, b));
  }
  if (other.kind === "words" || other.kind === "opaque") return false;
  if (compare(quantity.value)) return true;
  return (
    quantity.unit.dimension === "percent" && compare(scaled(quantity.value, call("divide", one, hundred)))
  );
}

const one: Node = { kind: "number", value: { n: 1n, d: 1n } };
const hundred: Node = { kind: "number", value: { n: 100n, d: 1n } };

const inRadians = ({ value, unit }: Extract<Node, { kind: "quantity" }>) =>
  unit.dimension === "angle" ? call("degree", value) : value;

function scaled(node: Node, factor: Node): Node {
  if (factor.kind === "number" && factor.value.n === 1n && factor.value.d === 1n) return node;
  if (node.kind === "tuple") return { ...node, items: node.items.map((item) => scaled(item, factor)) };
  if (isCall(node, "list") || isCall(node, "set"))
    return { ...node, args: node.args.map((item) => scaled(item, factor)) };
  return call("multiply", factor, node);
}

// Relations

function sameAsRelation(a: Node, b: Node): boolean {
  if (a.kind === "relation" && b.kind === "relation") {
    if (sameRelation(a, b)) return true;
    const [x, y] = [statedValue(a, false), statedValue(b, true)];
    const isConstant = (node: Node) => !some(node, ({ kind }) => kind === "name");
    if (x && y && isConstant(x) && isConstant(y)) return same(x, y);
    return sameSet(a, b);
  }
  const relation = (a.kind === "relation" ? a : b) as Extract<Node, { kind: "relation" }>;
  const value = statedValue(relation, relation === b);
  if (value !== undefined) return relation === b ? same(a, value) : same(value, b);
  if (isCall(a, "list") && a.args.length === 1) return same(a.args[0]!, b);
  if (isCall(b, "list") && b.args.length === 1) return same(a, b.args[0]!);
  return sameSet(a, b);
}

const describesSet = (node: Node) =>
  node.kind === "builder" ||
  (node.kind === "call" && ["union", "intersection", "difference"].includes(node.name));

/** The same set of real numbers, or the same operation on the same sets. */
function sameSet(a: Node, b: Node): boolean {
  const isConvertible = (node: Node) =>
    node.kind === "tuple" ||
    node.kind === "relation" ||
    describesSet(node) ||
    isCall(node, "set") ||
    isRelations(node);
  if (isConvertible(a) && isConvertible(b)) {
    const [x, y] = [intervalsOf(a), intervalsOf(b)];
    if (x && y) return sameIntervals(x, y);
  }
  if (a.kind === "builder" && b.kind === "builder")
    return same(a.element, b.element) && same(a.condition, b.condition);
  if (a.kind !== "call" || b.kind !== "call") return false;
  const isAlternatives = (node: Node) => isCall(node, "union") || isRelations(node);
  if (a.name !== b.name && !(isAlternatives(a) && isAlternatives(b))) return false;
  return a.name === "difference"
    ? sameInOrder(a.args, b.args)
    : (describesSet(a) || describesSet(b)) && a.args.length === b.args.length && sameMembers(a.args, b.args);
}

const isRelations = (node: Node) =>
  isCall(node, "list") && node.args.every(({ kind }) => kind === "relation");

// Lists and sets

function sameCollection(a: Node, b: Node): boolean {
  const items = (node: Node) => (isCall(node, "list") || isCall(node, "set") ? node.args : undefined);
  const [x, y] = [items(a), items(b)];
  // {1} and 1
  if (!x || !y) {
    if (x?.length === 1) return same(x[0]!, b);
    if (y?.length === 1) return same(a, y[0]!);
    const [p, q] = [assignments(a), assignments(b)];
    if (p && b.kind === "tuple") return same(p, b);
    if (q && a.kind === "tuple") return same(a, q);
    return (isRelations(a) || isRelations(b) || describesSet(a) || describesSet(b)) && sameSet(a, b);
  }
  const isOrdered = [...x, ...y].some((item) =>
    some(item, (part) => part.kind === "name" && part.name === "…"),
  );
  if (isOrdered) return sameInOrder(x, y);
  const [p, q] = [assignments(a), assignments(b)];
  if (p && q) return same(p, q);
  if (sameMembers(x, y)) return true;
  return isRelations(a) && isRelations(b) && sameSet(a, b);
}

/** `x = 1, y = 2`: values of several unknowns, in the order of their names. */
function assignments(node: Node): Node | undefined {
  if (!isCall(node, "list")) return undefined;
  const pairs: [string, Node][] = [];
  for (const item of node.args) {
    if (item.kind !== "relation" || item.sides[0]!.kind !== "name" || item.relations.join("") !== "=")
      return undefined;
    pairs.push([item.sides[0]!.name, item.sides[1]!]);
  }
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) return undefined;
  const values = pairs.toSorted(([x], [y]) => (x < y ? -1 : 1)).map(([, value]) => value);
  return { kind: "tuple", open: "(", close: ")", items: values };
}

// Options of a question with several answers

/** The letter of an option is enough; where both name its text as well, that must agree too. */
function sameOption(answer: string, reference: string): boolean | undefined {
  const [a, b] = [optionOf(answer), optionOf(reference)];
  if (a?.letter !== undefined && b?.letter !== undefined) {
    if (a.text === undefined && b.text === undefined) return a.letter === b.letter;
    if (a.letter !== b.letter) return false;
    return a.text === undefined || b.text === undefined || equivalent(a.text, b.text);
  }
  if (a?.text !== undefined && equivalent(a.text, reference)) return true;
  return b?.text !== undefined && equivalent(answer, b.text) ? true : undefined;
}

/** Whether two final answers mean the same. */
export function equivalent(answer: string, reference: string): boolean {
  const [a, b] = [answer.trim(), reference.trim()];
  if (a === "" || b === "") return false;
  if (a === b) return tokenizes(a);
  if (a.length > maxLength || b.length > maxLength) return false;
  const [left, right] = [readingOf(a), readingOf(b)];
  // The tokens of what is too long have been cut off.
  if ([left, right].some(({ tokens }) => tokens.length > maxTokens || tokens.length === 0)) return false;
  if (left.spelled === right.spelled) return true;
  const option = sameOption(a, b);
  if (option !== undefined) return option;
  try {
    return nodesOf(a, left).some((x) => nodesOf(b, right).some((y) => same(x, y)));
  } catch {
    // Too deep or too large for the comparison: equality has not been shown.
    return false;
  }
}

/** Something stands there besides marks that mean nothing. */
const tokenizes = (text: string) => text.length > maxLength || tokenize(text).length > 0;
