// Numbers that are spelled out: `twelve`, `forty-two`, `one hundred and five`, `two thirds`, `half a dozen`.

import { add, integer, multiply, type Rational } from "./rational.js";
import { call, type Node } from "./tree.js";
import { unitNamed } from "./units.js";
import { isMeaningful, scaleOf } from "./words.js";

const below20 = (
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen " +
  "nineteen"
).split(" ");
const tens = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");

function small(words: string[]): bigint | undefined {
  const ten = tens.indexOf(words[0] ?? "");
  const one = below20.indexOf(words[ten < 0 ? 0 : 1] ?? "");
  if (ten < 0) {
    if (one < 0) return undefined;
    words.shift();
    return BigInt(one);
  }
  words.shift();
  const isJoined = one > 0 && one < 10;
  if (isJoined) words.shift();
  return BigInt(10 * (ten + 2) + (isJoined ? one : 0));
}

const large = new Map([
  ["thousand", 10n ** 3n],
  ["million", 10n ** 6n],
  ["billion", 10n ** 9n],
  ["trillion", 10n ** 12n],
]);

/** The whole number that the words begin with; they are taken off. */
function whole(words: string[]): bigint | undefined {
  let [total, group, isAny] = [0n, 0n, false];
  for (;;) {
    const before = [...words];
    if (isAny && words[0] === "and") words.shift();
    const value =
      words[0] === "a" && /^(?:hundred|thousand|million)$/.test(words[1] ?? "") ? 1n : small(words);
    if (words[0] === "a") words.shift();
    if (value === undefined || (isAny && group % 100n !== 0n)) {
      words.splice(0, words.length, ...before);
      break;
    }
    isAny = true;
    group += value;
    if (words[0] === "hundred") {
      words.shift();
      group *= 100n;
    }
    const scale = large.get(words[0] ?? "");
    if (scale !== undefined) {
      words.shift();
      total += group * scale;
      group = 0n;
    } else if (group % 100n !== 0n || group === 0n) break;
  }
  return isAny ? total + group : undefined;
}

const half = { n: 1n, d: 2n };

/** The number that the words begin with, taken off them. */
function numeral(words: string[]): Rational | undefined {
  if (words[0] === "half" || words[0] === "a" || words[0] === "one") {
    const [first, second, third] = words;
    // half a dozen, a quarter, one half, a dozen
    if (first === "half" && (second === "a" || second === "of") && scaleOf(third ?? "")) {
      words.splice(0, 3);
      return multiply(half, scaleOf(third!)!);
    }
    if (first === "half") {
      words.shift();
      return half;
    }
    const scale = second !== undefined && !second.endsWith("s") ? scaleOf(second) : undefined;
    if (scale && (scale.d !== 1n || second === "dozen")) {
      words.splice(0, 2);
      return scale;
    }
  }
  const value = whole(words);
  if (value === undefined) return undefined;
  const scale = scaleOf(words[0] ?? "");
  if (scale && (scale.d !== 1n || words[0] === "dozen")) {
    words.shift();
    return multiply(integer(value), scale);
  }
  if (words.slice(0, 3).join(" ") === "and a half") {
    words.splice(0, 3);
    return add(integer(value), half);
  }
  return integer(value);
}

/**
 * A number in words, perhaps with a sign before it and a unit behind it; undefined for any other words, and for a single
 * one, which may be a name ("ten").
 */
export function spelledNumber(text: string): Node | undefined {
  if (text.length > 200) return undefined;
  const words = text.split(" ");
  if (words.length === 1 && scaleOf(text) === undefined) return undefined;
  const isNegative = words[0] === "minus" || words[0] === "negative";
  if (isNegative) words.shift();
  const found = numeral(words);
  if (!found) return undefined;
  const size: Node = { kind: "number", value: found };
  const value = isNegative ? call("negate", size) : size;
  if (words.length === 0) return value;
  if (words.length > 4 || words.some((word) => isMeaningful(word) || word === "a")) return undefined;
  const unit = unitNamed(words.join(" "));
  return unit && { kind: "quantity", value, unit };
}
