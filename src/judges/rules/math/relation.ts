// Equations, inequalities and congruences: when two of them say the same, and when one only names a value.

import { isArithmetic } from "./evaluate.js";
import { exactValue } from "./exact.js";
import { order, sameValue } from "./same-value.js";
import {
  type CallNode,
  call,
  isCall,
  key,
  type Node,
  number,
  type RelationNode,
  substituted,
  unknowns,
} from "./tree.js";

const mirrored: Record<string, string> = {
  "<": ">",
  "≤": "≥",
  ">": "<",
  "≥": "≤",
  "⊂": "⊃",
  "⊆": "⊇",
  "⊃": "⊂",
  "⊇": "⊆",
};
const symmetric = new Set(["=", "≠", "≡", "∼", "≈", "≅", "∥", "⊥", "⇔"]);

const unknownsOf = (node: Node) => unknowns(node, isArithmetic);

/** The same read from right to left. */
function mirror(relation: RelationNode): RelationNode | undefined {
  const relations = relation.relations
    .toReversed()
    .map((sign) => (symmetric.has(sign) ? sign : mirrored[sign]));
  if (!relations.every((sign) => sign !== undefined)) return undefined;
  return { ...relation, sides: relation.sides.toReversed(), relations };
}

function sameDirectly(a: RelationNode, b: RelationNode): boolean {
  return (
    a.sides.length === b.sides.length &&
    a.relations.every((sign, i) => sign === b.relations[i]) &&
    a.sides.every((side, i) => sameSide(side, b.sides[i]!))
  );
}

const isNumeric = (node: Node) =>
  ["number", "constant", "name", "binder"].includes(node.kind) ||
  (node.kind === "call" &&
    !["set", "list", "union", "intersection", "difference", "ratio"].includes(node.name));

function sameSide(a: Node, b: Node): boolean {
  if (key(a) === key(b)) return true;
  if (isNumeric(a) && isNumeric(b)) return sameValue(a, b);
  if (a.kind !== "tuple" || b.kind !== "tuple" || a.open !== b.open || a.close !== b.close) return false;
  return a.items.length === b.items.length && a.items.every((item, i) => sameSide(item, b.items[i]!));
}

export function sameRelation(a: RelationNode, b: RelationNode): boolean {
  if (a.modulus || b.modulus) return sameCongruence(a, b);
  const turned = mirror(b);
  if (sameDirectly(a, b) || (turned && sameDirectly(a, turned))) return true;
  if (a.relations.length !== 1 || b.relations.length !== 1) return false;
  return sameDifference(a, b) || (turned !== undefined && sameDifference(a, turned));
}

/** Residues that differ by a multiple of the modulus are the same. */
function sameCongruence(a: RelationNode, b: RelationNode): boolean {
  if (!a.modulus || !b.modulus || !sameValue(a.modulus, b.modulus)) return false;
  const [x, y] = [a.sides.at(-1)!, b.sides.at(-1)!];
  // "3 (mod 7)" leaves out the left side.
  const isShort = a.sides.length === 1 || b.sides.length === 1;
  const hasSameLeft =
    a.sides.length === b.sides.length && a.sides.slice(0, -1).every((side, i) => sameSide(side, b.sides[i]!));
  if (!isShort && !hasSameLeft) return false;
  if (
    a.relations.some((sign) => sign !== "≡" && sign !== "=") ||
    b.relations.some((sign) => sign !== "≡" && sign !== "=")
  )
    return false;
  if (sameSide(x, y)) return true;
  const [p, q, modulus] = [exactValue(x), exactValue(y), exactValue(a.modulus)];
  if (!p || !q || !modulus || p.d !== 1n || q.d !== 1n || modulus.d !== 1n || modulus.n === 0n) return false;
  return (p.n - q.n) % modulus.n === 0n;
}

const difference = ({ sides }: RelationNode) => call("add", sides[0]!, call("negate", sides[1]!));

/** Both sides of one are those of the other, moved across and multiplied by a number (by a positive one for < and >). */
function sameDifference(a: RelationNode, b: RelationNode): boolean {
  if (a.relations[0] !== b.relations[0] || !"=≠<≤>≥".includes(a.relations[0]!)) return false;
  if (![...a.sides, ...b.sides].every(isNumeric)) return false;
  const [f, g] = [difference(a), difference(b)];
  const names = [...unknownsOf(f)].sort();
  if (names.length === 0 || names.join() !== [...unknownsOf(g)].sort().join()) return false;
  for (const shift of [0, 5]) {
    const at = (node: Node) =>
      substituted(node, (name) =>
        names.includes(name)
          ? { kind: "number", value: { n: BigInt(names.indexOf(name) * 7 + 3 + shift), d: 4n } }
          : undefined,
      );
    const [p, q] = [at(f), at(g)];
    const signs = [order(p, number(0)), order(q, number(0))];
    if (signs[0] === undefined || signs[1] === undefined) continue;
    if (signs[0] === 0 || signs[1] === 0) continue;
    if (!"=≠".includes(a.relations[0]!) && signs[0] !== signs[1]) return false;
    return sameValue(call("multiply", q, f), call("multiply", p, g));
  }
  return false;
}

/** What the left side of an equation may be if it only says what the value is of. */
function isLabel(node: Node, isReference: boolean): boolean {
  switch (node.kind) {
    case "name":
    case "words":
    case "phrase":
      return true;
    case "quantity":
      return false;
    case "tuple":
      return node.items.every((item) => item.kind === "name");
    case "binder":
      return true;
    case "call": {
      if (isFigure(node)) return true;
      if (!isArithmetic(node.name))
        return !["list", "set", "union", "intersection", "difference", "ratio"].includes(node.name);
      const names = lettersOf(node);
      // x + y = 5 may be the line itself, where it is the reference.
      const isLine = isReference && node.name === "add" && names?.some((name) => /^[xyz]$/.test(name));
      return names !== undefined && names.length > 1 && !isLine;
    }
    default:
      return false;
  }
}

const figures = new Set(
  "sin cos tan cot sec csc det abs norm tr arg deg dim rank max min gcd lcm floor ceil Var Cov Pr".split(" "),
);
const isName = (node: Node) => node.kind === "name";

/** `\sin\theta`, `|z|`, `\frac{dy}{dx}`, `\frac{a}{b}`: what is asked for, and no equation for a letter in it. */
function isFigure(node: CallNode): boolean {
  const [first, second] = node.args;
  if (figures.has(node.name))
    return !(node.name === "abs" && first!.kind === "name" && /^[xy]$/.test(first!.name));
  if (node.name !== "divide") return false;
  const isDifferential = (part: Node) =>
    isCall(part, "partial") ||
    (isCall(part, "multiply") && part.args[0]!.kind === "name" && part.args[0]!.name === "d");
  if (isDifferential(first!) && isDifferential(second!)) return true;
  return isName(first!) && isName(second!) && key(first!) !== key(second!);
}

/** Different names that are added, subtracted or multiplied and nothing else: m + n, AB, a + b - c, P(A), |AB|. */
function lettersOf(node: Node): string[] | undefined {
  if (node.kind === "name") return [node.name];
  const isInverse = isCall(node, "power") && node.args[0]!.kind === "name" && key(node.args[1]!) === "-1";
  if (isInverse) return [key(node)];
  if (node.kind === "call" && !isArithmetic(node.name)) return [key(node)];
  if (node.kind !== "call" || !["add", "multiply", "negate", "abs"].includes(node.name)) return undefined;
  const found = node.args.map(lettersOf);
  if (!found.every((names) => names !== undefined)) return undefined;
  const names = found.flat();
  return new Set(names).size === names.length ? names : undefined;
}

/** `x = \sqrt 2 \approx 1.41` states the root; `x \approx 1.41` states no value. Undefined where the two are not near. */
function approximated(
  { sides, relations }: Pick<RelationNode, "sides" | "relations">,
  isReference: boolean,
): Node | undefined {
  if (!relations.every((sign) => sign === "=" || sign === "≈")) return undefined;
  const at = relations.indexOf("≈");
  const exact = sides.slice(0, at + 1);
  const isKnown = (node: Node) => isNumeric(node) && unknownsOf(node).size === 0;
  if (!isKnown(exact.at(-1)!)) return undefined;
  const near = sides.slice(at + 1).every((side) => isKnown(side) && isNear(exact.at(-1)!, side));
  if (!near) return undefined;
  if (exact.length === 1) return exact[0];
  return statedValue({ kind: "relation", sides: exact, relations: relations.slice(0, at) }, isReference);
}

/** Within a hundredth. */
function isNear(a: Node, b: Node): boolean {
  const gap = call("abs", call("add", a, call("negate", b)));
  const share = call("multiply", { kind: "number", value: { n: 1n, d: 100n } }, call("abs", a));
  return order(gap, share) === -1;
}

/**
 * The value that `x = 5`, `f(3) = 7`, `m + n = 256 + 37 = 293` or `x \in S` states; undefined for any other relation, and
 * where the sides contradict each other.
 */
export function statedValue(
  { sides, relations, modulus }: RelationNode,
  isReference: boolean,
): Node | undefined {
  const [left] = sides;
  const last = sides.at(-1)!;
  if (modulus || relations.length === 0) return undefined;
  if (relations.length === 1 && relations[0] === "∈") return left!.kind === "name" ? last : undefined;
  if (relations.includes("≈")) return approximated({ sides, relations }, isReference);
  if (!relations.every((sign) => sign === "=")) return undefined;
  if (isCall(left!, "ratio") && isCall(last, "ratio") && sides.length === 2)
    return left.args.every((part) => lettersOf(part) !== undefined) ? last : undefined;
  const bare = (node: Node) => (node.kind === "quantity" ? node.value : node);
  const isKnown = (node: Node) => isNumeric(node) && unknownsOf(node).size === 0;
  const isMirrored = sides.length === 2 && isKnown(bare(left!)) && isLabel(last, isReference);
  if (isMirrored) return left;
  const known = sides.slice(0, -1).map(bare).filter(isKnown);
  if (isKnown(bare(last)) && !known.every((side) => sameValue(side, bare(last)))) return undefined;
  if (isKnown(left!)) return isKnown(bare(last)) ? last : undefined;
  if (!isLabel(left!, isReference)) return undefined;
  // In y = y + 1 nothing is named.
  const isCircular = left!.kind === "name" && unknownsOf(bare(last)).has(left!.name);
  return isCircular || isCall(last, "list") ? undefined : last;
}
