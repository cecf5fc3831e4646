// Expressions with words beside them: quantities, numbers spelled out in part, operators in words. What is none of these
// stays a phrase of all its parts.

import { call, type Node, number } from "./tree.js";
import { unitNamed } from "./units.js";
import { isMeaningful, plainWords, postfixWords, scaleOf } from "./words.js";

/** Words that were read one after the other; `before` is the expression that they follow. */
export function wordsNode(words: readonly string[], before: Node | undefined): Node {
  const text = words.join(" ");
  return {
    kind: "words",
    text: before ? text.replace(/\s*\^\s*/g, "^").replace(/\s*\/\s*/g, " / ") : plainWords(text),
  };
}

/** Parts in order, made one node. */
export function combined(parts: readonly Node[]): Node {
  const [first, second, ...rest] = parts as [Node, Node, ...Node[]];
  const phrase: Node = { kind: "phrase", items: parts.map(spoken) };
  if (first.kind === "words") {
    const sign = plainWords(first.text);
    if (sign === "negative" || sign === "minus")
      return signed(second, rest, (value) => call("negate", value)) ?? phrase;
    if (isIntroduction(sign) && second.kind !== "words")
      return rest.length === 0 ? second : combined([second, ...rest]);
    if (sign === "positive" || sign === "plus") return signed(second, rest, (value) => value) ?? phrase;
    const unit =
      second.kind !== "words" && /^(?:usd|eur|gbp|rs|inr|us dollar)$/.test(sign)
        ? unitNamed(sign)
        : undefined;
    if (unit && rest.length === 0) return { kind: "quantity", value: second, unit };
    return phrase;
  }
  if (second.kind !== "words") return phrase;
  const value = measured(first, second.text);
  if (!value) return phrase;
  if (rest.length === 0) return value;
  // 5 feet 3 inches
  const others = rest.length % 2 === 0 && value.kind === "quantity" ? combined(rest) : undefined;
  if (
    value.kind === "quantity" &&
    others?.kind === "quantity" &&
    others.unit.dimension === value.unit.dimension &&
    value.unit.dimension !== ""
  ) {
    const { n, d } = {
      n: others.unit.factor.n * value.unit.factor.d,
      d: others.unit.factor.d * value.unit.factor.n,
    };
    return {
      ...value,
      value: call("add", value.value, call("multiply", others.value, call("divide", number(n), number(d)))),
    };
  }
  return phrase;
}

/** "the area is", "the answer equals", and nothing that changes what follows. */
function isIntroduction(text: string): boolean {
  const words = text.split(" ");
  return (
    /^(?:is|are|equals)$/.test(words.at(-1)!) &&
    words.length < 12 &&
    words
      .slice(0, -1)
      .every((word) => !isMeaningful(word) || /^(?:of|the|for|in|on|all|so|total|to|is)$/.test(word))
  );
}

const spoken = (part: Node): Node =>
  part.kind === "words" ? { kind: "words", text: plainWords(part.text) } : part;

function signed(value: Node, rest: readonly Node[], apply: (value: Node) => Node): Node | undefined {
  const whole = rest.length === 0 ? value : combined([value, ...rest]);
  if (whole.kind === "words" || whole.kind === "phrase") return undefined;
  return whole.kind === "quantity" ? { ...whole, value: apply(whole.value) } : apply(whole);
}

/** `3 million dollars`, `5 squared`, `12 red apples`; undefined where the words say something else. */
function measured(expression: Node, text: string): Node | undefined {
  const words = text.split(" ").filter((word) => word !== "");
  let value: Node = expression;
  const apply = (change: (value: Node) => Node) => {
    value = value.kind === "quantity" ? { ...value, value: change(value.value) } : change(value);
  };
  while (words.length > 0) {
    const word = words[0]!.toLowerCase();
    const scale = scaleOf(word);
    const operator = Object.hasOwn(postfixWords, word) ? postfixWords[word] : undefined;
    if (scale) apply((inside) => call("multiply", inside, { kind: "number", value: scale }));
    else if (operator === "square") apply((inside) => call("power", inside, number(2)));
    else if (operator === "cube") apply((inside) => call("power", inside, number(3)));
    else if (operator === "factorial") apply((inside) => call("factorial", inside));
    else if (operator === "percent") value = { kind: "quantity", value, unit: unitNamed("percent")! };
    else break;
    words.shift();
  }
  if (words[0]?.toLowerCase() === "of" && words.length > 1) words.shift();
  if (words.length > 0 && /^(?:each|apiece|altogether|total)$/i.test(words.at(-1)!)) {
    if (words.pop() === "total" && words.at(-1) === "in") words.pop();
  }
  if (words.length === 0) return value;
  if (
    words.some((word) => isMeaningful(word.toLowerCase()) && !/^(?:per|an|of|squared|cubed)$/i.test(word)) &&
    !/^(?:in|mins?)$/.test(words.join())
  )
    return undefined;
  const unit = unitNamed(words.join(" "));
  if (!unit || words.length > 7) return undefined;
  if (value.kind !== "quantity") return { kind: "quantity", value, unit };
  // \$5 per hour, 90 degrees Celsius
  const both = unitNamed(`${value.unit.dimension} ${words.join(" ")}`);
  const isCurrencyTwice = unit.dimension === value.unit.dimension;
  if (isCurrencyTwice) return value;
  return both && /^(?:per|\/)$/i.test(words[0]!)
    ? { ...value, unit: both }
    : value.unit.dimension === "angle"
      ? { ...value, unit: unitNamed(`degree ${words.join(" ")}`) ?? unit }
      : undefined;
}
