// Whether two final answers mean the same. Two expressions are the same when their exact values are, or, if they have
// variables or irrational parts, when they agree at a set of fixed points: an accidental agreement at all of them has
// probability zero for the functions that occur in answers.

import { hash32, uniformAt } from "../../../base/random.js";
import { type Answer, isPercentage, type Relation, readings } from "./answer.js";
import { type Complex, type Expression, variablesOf } from "./expression.js";
import { conversion } from "./units.js";
import { exactValue, valueAt } from "./value.js";

const relativeTolerance = 1e-9;

function isClose(a: Complex, b: Complex): boolean {
  if (a.re === b.re && a.im === b.im) return true;
  if (![a.re, a.im, b.re, b.im].every(Number.isFinite)) return false;
  const size = Math.max(Math.hypot(a.re, a.im), Math.hypot(b.re, b.im));
  return Math.hypot(a.re - b.re, a.im - b.im) <= relativeTolerance * Math.max(size, 1e-6);
}

/** Fixed points to compare functions at: a value for each variable, of either sign, none of them special. */
const points = Array.from({ length: 8 }, (_, k) => (variable: string) => {
  const value = 0.3 + 2.6 * uniformAt(20240930, hash32(variable), k);
  return k % 2 === 0 ? value : -value;
});

const isNumber = ({ re, im }: Complex) => !Number.isNaN(re) && !Number.isNaN(im);

/**
 * Both have a value at the same points, at least two of them, and the values agree. A point where one of them alone is
 * real is outside its domain: ln(xy) is ln x + ln y where both logarithms are.
 */
function agreeAtPoints(a: Expression, b: Expression): boolean {
  let compared = 0;
  for (const point of points) {
    const [x, y] = [valueAt(a, point), valueAt(b, point)];
    if (isNumber(x) !== isNumber(y)) return false;
    if (!isNumber(x)) continue;
    if (isClose(x, y)) compared++;
    else if ((x.im === 0) === (y.im === 0)) return false;
  }
  return compared >= 2;
}

function sameExpression(a: Expression, b: Expression): boolean {
  const [x, y] = [exactValue(a), exactValue(b)];
  return x && y ? x.n === y.n && x.d === y.d : agreeAtPoints(a, b);
}

const difference = (left: Expression, right: Expression): Expression => ({
  kind: "call",
  name: "add",
  args: [left, { kind: "call", name: "negate", args: [right] }],
});

/** Both equations hold for the same values: their differences are a constant multiple of each other. */
function sameEquation(a: readonly Expression[], b: readonly Expression[]): boolean {
  const [f, g] = [difference(a[0]!, a[1]!), difference(b[0]!, b[1]!)];
  const ratios: number[] = [];
  for (const point of points) {
    const [x, y] = [valueAt(f, point), valueAt(g, point)];
    if (!isNumber(x) || !isNumber(y) || x.im !== 0 || y.im !== 0) continue;
    if (Math.abs(y.re) > 1e-9) ratios.push(x.re / y.re);
  }
  const [first] = ratios;
  if (first === undefined || ratios.length < 2 || Math.abs(first) < 1e-9) return false;
  return ratios.every((ratio) => Math.abs(ratio - first) <= 1e-7 * Math.abs(first));
}

const mirrored: Record<Relation, Relation> = { "=": "=", "<": ">", "≤": "≥", ">": "<", "≥": "≤", "≠": "≠" };

type RelationAnswer = Extract<Answer, { kind: "relation" }>;
type ValueAnswer = Extract<Answer, { kind: "value" }>;

/** `y`, or f(x), which the parser takes for a product of variables; not a variable of the other side. */
function isName(name: Expression, definition: Expression): boolean {
  if (name.kind === "variable") return !variablesOf(definition).has(name.name);
  const isCall = name.kind === "call" && name.name === "multiply";
  const [f] = isCall ? name.args : [];
  return (
    isCall && name.args.every(({ kind }) => kind === "variable") && f!.kind === "variable" && f!.name === "f"
  );
}

const mirror = ({ sides, relations }: RelationAnswer): RelationAnswer => ({
  kind: "relation",
  sides: sides.toReversed(),
  relations: relations.toReversed().map((relation) => mirrored[relation]),
});

function sameRelation(a: RelationAnswer, b: RelationAnswer): boolean {
  const direct = (x: RelationAnswer, y: RelationAnswer) =>
    x.sides.length === y.sides.length &&
    x.relations.every((relation, i) => relation === y.relations[i]) &&
    x.sides.every((side, i) => sameExpression(side, y.sides[i]!));
  if (direct(a, b) || direct(a, mirror(b))) return true;
  const isEquation = (x: RelationAnswer) => x.relations.length === 1 && x.relations[0] === "=";
  return isEquation(a) && isEquation(b) && sameEquation(a.sides, b.sides);
}

/** `a < x ≤ b` and `x > a` as intervals. */
function asInterval(relation: RelationAnswer): Answer | undefined {
  const rising = relation.relations.every((r) => r === "<" || r === "≤") ? relation : mirror(relation);
  const { sides, relations } = rising;
  if (!relations.every((r) => r === "<" || r === "≤")) return undefined;
  const at = sides.findIndex(({ kind }) => kind === "variable");
  const bounded = sides.filter((_, i) => i !== at);
  if (at < 0 || bounded.some((side) => variablesOf(side).size > 0) || sides.length - 1 < at) return undefined;
  const infinity: Expression = { kind: "constant", value: { re: Number.POSITIVE_INFINITY, im: 0 } };
  const value = (expression: Expression): Answer => ({ kind: "value", expression, unit: "" });
  const low = at === 0 ? undefined : sides[at - 1];
  const high = sides[at + 1];
  return {
    kind: "tuple",
    open: low && relations[at - 1] === "≤" ? "[" : "(",
    close: high && relations[at] === "≤" ? "]" : ")",
    items: [value(low ?? { kind: "call", name: "negate", args: [infinity] }), value(high ?? infinity)],
  };
}

/** Every member of either side has an equal on the other. */
function sameMembers(a: readonly Answer[], b: readonly Answer[]): boolean {
  const covers = (x: readonly Answer[], y: readonly Answer[]) =>
    x.every((item) => y.some((other) => same(item, other)));
  return covers(a, b) && covers(b, a);
}

const sameItems = (a: readonly Answer[], b: readonly Answer[]) =>
  a.length === b.length && a.every((item, i) => same(item, b[i]!));

function scaled(expression: Expression, factor: number): Expression {
  if (factor === 1) return expression;
  const constant: Expression = { kind: "constant", value: { re: factor, im: 0 } };
  return { kind: "call", name: "multiply", args: [expression, constant] };
}

/** `x < 2 or x > 3` as a union of intervals. */
function sameAsUnion(alternatives: readonly Answer[], intervals: readonly Answer[]): boolean {
  const items = alternatives.map((item) => (item.kind === "relation" ? asInterval(item) : undefined));
  return items.every((item) => item !== undefined) && sameMembers(items, intervals);
}

/** `y = 2x + 3` and its right side. */
function sameAsRightSide({ sides, relations }: RelationAnswer, { expression, unit }: ValueAnswer): boolean {
  const [left, right] = sides;
  const isDefinition = sides.length === 2 && relations[0] === "=" && isName(left!, right!);
  return isDefinition && unit === "" && sameExpression(right!, expression);
}

function sameAsRelation(relation: RelationAnswer, other: Answer): boolean {
  if (other.kind === "tuple") return sameAsInterval(relation, other);
  return other.kind === "value" && sameAsRightSide(relation, other);
}

function same(a: Answer, b: Answer): boolean {
  if (a.kind === "set" && a.items.length === 1 && b.kind !== "set") return same(a.items[0]!, b);
  if (b.kind === "set" && b.items.length === 1 && a.kind !== "set") return same(a, b.items[0]!);
  if (a.kind === "relation" && b.kind !== "relation") return sameAsRelation(a, b);
  if (b.kind === "relation" && a.kind !== "relation") return sameAsRelation(b, a);
  if (a.kind === "set" && b.kind === "union") return sameAsUnion(a.items, b.items);
  if (b.kind === "set" && a.kind === "union") return sameAsUnion(b.items, a.items);
  if (a.kind === "words" && b.kind === "words") return a.text === b.text && a.text !== "";
  if (a.kind === "value" && b.kind === "value") {
    const factor = conversion(a.unit, b.unit);
    return factor !== undefined && sameExpression(scaled(a.expression, factor), b.expression);
  }
  if (a.kind === "tuple" && b.kind === "tuple") {
    return a.open === b.open && a.close === b.close && sameItems(a.items, b.items);
  }
  if (a.kind === "set" && b.kind === "set") return sameMembers(a.items, b.items);
  if (a.kind === "union" && b.kind === "union") return sameMembers(a.items, b.items);
  if (a.kind === "matrix" && b.kind === "matrix") {
    return a.rows.length === b.rows.length && a.rows.every((row, i) => sameItems(row, b.rows[i]!));
  }
  if (a.kind === "relation" && b.kind === "relation") return sameRelation(a, b);
  return false;
}

function sameAsInterval(relation: RelationAnswer, interval: Answer): boolean {
  const converted = asInterval(relation);
  return converted !== undefined && same(converted, interval);
}

/** Whether two final answers mean the same. */
export function equivalent(a: string, b: string): boolean {
  const areBothPercentages = isPercentage(a) && isPercentage(b);
  const [left, right] = [readings(a, areBothPercentages), readings(b, areBothPercentages)];
  return left.some((x) => right.some((y) => same(x, y)));
}
