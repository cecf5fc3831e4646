// Sets of real numbers as unions of intervals: from intervals, inequalities, builders, complements. Two ways to write a
// set are the same when the intervals are.

import { evaluate, type Point } from "./evaluate.js";
import { exactField } from "./exact.js";
import { integer, type Rational } from "./rational.js";
import { order, sameValue } from "./same-value.js";
import {
  call,
  infinity,
  isCall,
  minusInfinity,
  type Node,
  number,
  type RelationNode,
  some,
  substituted,
  unknowns,
} from "./tree.js";

export interface Interval {
  low: Node;
  high: Node;
  hasLow: boolean;
  hasHigh: boolean;
}

const everything: Interval = { low: minusInfinity, high: infinity, hasLow: false, hasHigh: false };

const hasUnknowns = (node: Node) => unknowns(node, () => true).size > 0;

/** The set that an answer describes, as intervals in order; undefined when it is none, or none of real numbers. */
export function intervalsOf(node: Node): Interval[] | undefined {
  const parts = partsOf(node);
  return parts && merged(parts);
}

function partsOf(node: Node): Interval[] | undefined {
  if (node.kind === "tuple") return fromTuple(node);
  if (node.kind === "builder") return fromBuilder(node);
  if (node.kind === "relation") return solved(node);
  if (node.kind !== "call") return undefined;
  if (node.name === "set") {
    if (node.args.some((item) => hasUnknowns(item) || (item.kind !== "number" && item.kind !== "call")))
      return undefined;
    return node.args.map((item) => ({ low: item, high: item, hasLow: true, hasHigh: true }));
  }
  if (node.name === "union") return union(node.args);
  if (node.name === "list") return alternatives(node.args);
  if (node.name === "difference") {
    const [all, without] = node.args.map(intervalsOf);
    return all && without && intersection(all, complement(without));
  }
  if (node.name === "intersection") {
    const sets = node.args.map(intervalsOf);
    return sets.reduce((left, right) => left && right && intersection(left, right));
  }
  return undefined;
}

function union(nodes: readonly Node[]): Interval[] | undefined {
  const sets = nodes.map(intervalsOf);
  return sets.every((set) => set !== undefined) ? sets.flat() : undefined;
}

/** Inequalities in a list: `x < 2, x > 3` are alternatives, `x > 2, x < 3` hold together. */
function alternatives(nodes: readonly Node[]): Interval[] | undefined {
  const sets = nodes.map((node) => (node.kind === "relation" ? solved(node) : undefined));
  if (!sets.every((set) => set !== undefined)) return undefined;
  const common = sets.reduce((left, right) => intersection(left, right));
  return common.length > 0 ? common : sets.flat();
}

function fromTuple({ open, close, items }: Extract<Node, { kind: "tuple" }>): Interval[] | undefined {
  const [low, high] = items;
  if (items.length !== 2 || hasUnknowns(low!) || hasUnknowns(high!)) return undefined;
  const rising = order(low!, high!);
  if (rising === undefined || rising > 0 || (rising === 0 && !(open === "[" && close === "]")))
    return undefined;
  return [{ low: low!, high: high!, hasLow: open === "[", hasHigh: close === "]" }];
}

/** `\{x : x > 3\}`, `\{x \in \mathbb{R} : x > 3\}`. */
function fromBuilder({ element, condition }: Extract<Node, { kind: "builder" }>): Interval[] | undefined {
  const isTyped =
    element.kind === "relation" && element.relations.length === 1 && element.relations[0] === "∈";
  const variable = isTyped ? element.sides[0]! : element;
  const universe = isTyped ? intervalsOf(element.sides[1]!) : [everything];
  if (variable.kind !== "name" || !universe) return undefined;
  const conditions = isCall(condition, "list") ? condition.args : [condition];
  const sets = conditions.map((part) => (part.kind === "relation" ? solved(part, variable.name) : undefined));
  if (!sets.every((set) => set !== undefined)) return undefined;
  return sets.reduce(intersection, universe);
}

const sameEnd = (a: Node, b: Node) => order(a, b) === 0;

/** In order, with what overlaps or touches made one; undefined when two ends cannot be compared. */
function merged(parts: readonly Interval[]): Interval[] | undefined {
  for (const a of parts) for (const b of parts) if (order(a.low, b.low) === undefined) return undefined;
  const sorted = parts.toSorted((a, b) => order(a.low, b.low)! || Number(b.hasLow) - Number(a.hasLow));
  const out: Interval[] = [];
  for (const part of sorted) {
    const last = out.at(-1);
    const gap = last && order(last.high, part.low);
    if (!last || gap! < 0 || (gap === 0 && !last.hasHigh && !part.hasLow)) {
      out.push({ ...part });
      continue;
    }
    const by = order(last.high, part.high);
    if (by === undefined || gap === undefined) return undefined;
    if (by < 0) [last.high, last.hasHigh] = [part.high, part.hasHigh];
    else if (by === 0) last.hasHigh ||= part.hasHigh;
  }
  return out;
}

/** Of intervals in order. */
function complement(parts: readonly Interval[]): Interval[] {
  const out: Interval[] = [];
  let [low, hasLow] = [minusInfinity, false];
  for (const part of parts) {
    const gap = order(low, part.low);
    const isGap = gap !== undefined && (gap < 0 || (gap === 0 && hasLow && !part.hasLow));
    if (isGap) out.push({ low, hasLow, high: part.low, hasHigh: !part.hasLow });
    [low, hasLow] = [part.high, !part.hasHigh];
  }
  if (order(low, infinity) !== 0) out.push({ low, hasLow, high: infinity, hasHigh: false });
  return out;
}

function intersection(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const out: Interval[] = [];
  for (const x of a) {
    for (const y of b) {
      const [byLow, byHigh] = [order(x.low, y.low) ?? 0, order(x.high, y.high) ?? 0];
      const low = byLow > 0 ? x.low : y.low;
      const high = byHigh < 0 ? x.high : y.high;
      const hasLow = byLow === 0 ? x.hasLow && y.hasLow : byLow > 0 ? x.hasLow : y.hasLow;
      const hasHigh = byHigh === 0 ? x.hasHigh && y.hasHigh : byHigh < 0 ? x.hasHigh : y.hasHigh;
      const width = order(low, high);
      if (width === undefined || width > 0 || (width === 0 && !(hasLow && hasHigh))) continue;
      out.push({ low, high, hasLow, hasHigh });
    }
  }
  return out;
}

export const sameIntervals = (a: readonly Interval[], b: readonly Interval[]) =>
  a.length === b.length &&
  a.every((x, i) => {
    const y = b[i]!;
    return (
      x.hasLow === y.hasLow && x.hasHigh === y.hasHigh && sameEnd(x.low, y.low) && sameEnd(x.high, y.high)
    );
  });

// Inequalities

const strict = new Set(["<", ">", "≠"]);

/** A chain of inequalities in one unknown, as intervals. */
export function solved(relation: RelationNode, variable?: string): Interval[] | undefined {
  const [element, set] = relation.sides;
  if (relation.relations.join() === "∈") return element!.kind === "name" ? intervalsOf(set!) : undefined;
  const found = [...new Set(relation.sides.flatMap((side) => [...unknowns(side, () => true)]))];
  const [name] = found;
  if (found.length !== 1 || relation.modulus || (variable !== undefined && name !== variable))
    return undefined;
  const links = relation.relations.map((sign, i) =>
    link(relation.sides[i]!, sign, relation.sides[i + 1]!, name!),
  );
  if (!links.every((set) => set !== undefined)) return undefined;
  return links.reduce(intersection, [everything]);
}

function link(left: Node, sign: string, right: Node, name: string): Interval[] | undefined {
  if (!"<≤>≥≠=".includes(sign)) return undefined;
  // An equation is not solved here: to state the question again is no answer.
  if (sign === "=" && left.kind !== "name" && right.kind !== "name") return undefined;
  const [inside, bound] = isCall(left, "abs") ? [left, right] : [right, left];
  if (isCall(inside, "abs") && !hasUnknowns(bound))
    return ofAbsolute(inside.args[0]!, inside === left ? sign : flipped(sign), bound, name);
  return (
    ofLinear(call("add", left, call("negate", right)), sign, name) ??
    ofQuadratic(call("add", left, call("negate", right)), sign, name)
  );
}

const flipped = (sign: string) => ({ "<": ">", ">": "<", "≤": "≥", "≥": "≤" })[sign] ?? sign;

/** |f| < c is -c < f < c. */
function ofAbsolute(inside: Node, sign: string, bound: Node, name: string): Interval[] | undefined {
  const positive = order(bound, number(0));
  if (positive === undefined || positive < 0 || some(inside, (part) => isCall(part, "abs"))) return undefined;
  const negative = call("negate", bound);
  const [above, below] = [link(inside, sign, bound, name), link(inside, flipped(sign), negative, name)];
  if (!above || !below) return undefined;
  if (sign === "<" || sign === "≤") return intersection(above, below);
  if (sign === "≠") return intersection(above, below);
  return merged([...above, ...below]);
}

const at = (node: Node, name: string, value: Node) =>
  substituted(node, (other) => (other === name ? value : undefined));

/** a x + b compared with 0, for numbers a and b. */
function ofLinear(f: Node, sign: string, name: string): Interval[] | undefined {
  const constant = at(f, name, number(0));
  const slope = call("add", at(f, name, number(1)), call("negate", constant));
  const line = call("add", call("multiply", slope, { kind: "name", name }), constant);
  const rising = order(slope, number(0));
  if (rising === undefined || rising === 0 || !sameValue(f, line)) return undefined;
  return ray(call("negate", call("divide", constant, slope)), rising > 0 ? sign : flipped(sign));
}

/** x compared with a number. */
function ray(edge: Node, sign: string): Interval[] {
  const isIn = !strict.has(sign);
  const below: Interval = { low: minusInfinity, hasLow: false, high: edge, hasHigh: isIn };
  const above: Interval = { low: edge, hasLow: isIn, high: infinity, hasHigh: false };
  if (sign === "<" || sign === "≤") return [below];
  if (sign === ">" || sign === "≥") return [above];
  return sign === "≠" ? [below, above] : [{ low: edge, high: edge, hasLow: true, hasHigh: true }];
}

/** a x^2 + b x + c compared with 0, for fractions a, b and c and two real roots. */
function ofQuadratic(f: Node, sign: string, name: string): Interval[] | undefined {
  const valueAt = (x: number): Rational | undefined => {
    const point: Point<Rational> = (other) => (other === name ? integer(x) : undefined);
    return evaluate(f, point, exactField);
  };
  const values = [valueAt(0), valueAt(1), valueAt(-1)];
  if (!values.every((value) => value !== undefined)) return undefined;
  const [c, plus, minus] = values.map((value): Node => ({ kind: "number", value: value! })) as [
    Node,
    Node,
    Node,
  ];
  const half = (a: Node, b: Node) => call("divide", call("add", a, b), number(2));
  const a = call("add", half(plus, minus), call("negate", c));
  const b = half(plus, call("negate", minus));
  const x: Node = { kind: "name", name };
  const parabola = call("add", call("multiply", a, call("power", x, number(2))), call("multiply", b, x), c);
  const opens = order(a, number(0));
  if (!opens || !sameValue(f, parabola)) return undefined;
  const inner = call("add", call("power", b, number(2)), call("negate", call("multiply", number(4), a, c)));
  if (order(inner, number(0)) !== 1) return undefined;
  const root = (s: number) =>
    call(
      "divide",
      call(
        "add",
        call("negate", b),
        call("multiply", number(s), call("power", inner, call("divide", number(1), number(2)))),
      ),
      call("multiply", number(2), a),
    );
  const [low, high] = opens > 0 ? [root(-1), root(1)] : [root(1), root(-1)];
  const effective = opens > 0 ? sign : flipped(sign);
  if (effective === "=") return [...ray(low, "="), ...ray(high, "=")];
  if (effective === "<" || effective === "≤")
    return intersection(ray(low, flipped(effective)), ray(high, effective));
  if (effective === "≠") return intersection(ray(low, "≠"), ray(high, "≠"));
  return [...ray(low, flipped(effective)), ...ray(high, effective)];
}
