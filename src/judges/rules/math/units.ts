// Units of measurement and of money, and the words that count things.

import { decimal, divide, integer, multiply, power, type Rational } from "./rational.js";

export interface Unit {
  /** What it is called, singular, in one spelling. */
  text: string;
  /** Its base units with their exponents; things that are counted are base units of their own. */
  dimension: string;
  /** To the base units, exactly. */
  factor: Rational;
}

/** Units by dimension, the factor to the dimension's base unit, and other names. */
const unitTable: Record<string, [dimension: string, factor: string, ...names: string[]]> = {
  nm: ["length", "0.000000001", "nanometer", "nanometre"],
  mm: ["length", "0.001", "millimeter", "millimetre"],
  cm: ["length", "0.01", "centimeter", "centimetre"],
  dm: ["length", "0.1", "decimeter", "decimetre"],
  m: ["length", "1", "meter", "metre", "mtr"],
  km: ["length", "1000", "kilometer", "kilometre"],
  inch: ["length", "0.0254", "in", "inches"],
  ft: ["length", "0.3048", "foot", "feet"],
  yd: ["length", "0.9144", "yard"],
  mile: ["length", "1609.344", "mi"],
  mg: ["mass", "0.000001", "milligram"],
  g: ["mass", "0.001", "gram", "gm", "gramme"],
  kg: ["mass", "1", "kilogram", "kilo"],
  tonne: ["mass", "1000"],
  lb: ["mass", "0.45359237", "pound"],
  oz: ["mass", "0.028349523125", "ounce"],
  ms: ["time", "0.001", "millisecond"],
  s: ["time", "1", "sec", "second"],
  min: ["time", "60", "minute"],
  h: ["time", "3600", "hr", "hour"],
  day: ["time", "86400"],
  week: ["time", "604800", "wk"],
  year: ["year", "1", "yr"],
  ml: ["volume", "0.001", "milliliter", "millilitre"],
  cl: ["volume", "0.01", "centiliter", "centilitre"],
  l: ["volume", "1", "liter", "litre"],
  gallon: ["gallon", "1", "gal"],
  knot: ["knot", "1"],
  hz: ["frequency", "1", "hertz"],
  khz: ["frequency", "1000", "kilohertz"],
  megahertz: ["frequency", "1000000"],
  n: ["force", "1", "newton"],
  kn: ["force", "1000", "kilonewton"],
  j: ["energy", "1", "joule"],
  kj: ["energy", "1000", "kilojoule"],
  cal: ["calorie", "1", "calorie"],
  kcal: ["calorie", "1000", "kilocalorie"],
  ev: ["electronvolt", "1"],
  w: ["power", "1", "watt"],
  kw: ["power", "1000", "kilowatt"],
  megawatt: ["power", "1000000"],
  v: ["voltage", "1", "volt"],
  kv: ["voltage", "1000", "kilovolt"],
  a: ["current", "1", "amp", "ampere"],
  ohm: ["resistance", "1", "Ω"],
  c: ["charge", "1", "coulomb"],
  pa: ["pressure", "1", "pascal"],
  kpa: ["pressure", "1000", "kilopascal"],
  atm: ["atmosphere", "1", "atmosphere"],
  mol: ["amount", "1", "mole"],
  k: ["temperature", "1", "kelvin"],
  celsius: ["celsius", "1", "°c", "degree celsius", "degree c"],
  fahrenheit: ["fahrenheit", "1", "°f", "degree fahrenheit", "degree f"],
  degree: ["angle", "1", "deg"],
  rad: ["radian", "1", "radian"],
  bit: ["data", "1"],
  byte: ["data", "8"],
  percent: ["percent", "1"],
  unit: ["", "1"],
  cent: ["dollar", "0.01", "¢"],
  dollar: ["dollar", "1", "usd", "buck"],
  euro: ["euro", "1", "eur"],
  "pound sterling": ["sterling", "1", "gbp", "pounds sterling"],
  penny: ["sterling", "0.01", "pence"],
  yen: ["yen", "1", "jpy"],
  rupee: ["rupee", "1", "inr", "rs"],
  yuan: ["yuan", "1", "cny", "rmb"],
};

const units = new Map<string, Unit>();
for (const [name, [dimension, factor, ...names]] of Object.entries(unitTable)) {
  const unit: Unit = { text: name, dimension, factor: decimal(factor)! };
  for (const key of [name, ...names])
    for (const form of [key, `${key}s`]) if (!units.has(form)) units.set(form, unit);
}

/** Speeds that have a word of their own. */
const abbreviations: Record<string, string> = {
  mph: "mile/h",
  kph: "km/h",
  kmh: "km/h",
  kmph: "km/h",
  fps: "ft/s",
  rpm: "revolution/min",
  sqft: "square ft",
};

/** One-letter units that stand behind a number in plain text; other letters are variables there. */
const plainLetters = new Set(["m", "g", "s", "h", "l", "L"]);

/** Whether letters behind a number are a unit, though they are not set as text. */
export function isPlainUnit(letters: string): boolean {
  const name = letters.toLowerCase();
  if (letters.length === 1) return plainLetters.has(letters);
  return name === "sq" || name === "cu" || units.has(name) || Object.hasOwn(abbreviations, name);
}

/** One spelling for a thing that is counted: "apples", "boxes" and "children" lose their plural where it is regular. */
function singular(word: string): string {
  if (/^(?:men|women|people|children|feet|mice|teeth)$/.test(word))
    return (
      { men: "man", women: "woman", people: "person", children: "child", mice: "mouse", teeth: "tooth" }[
        word
      ] ?? word
    );
  if (/ies$/.test(word) && word.length > 4) return word.replace(/ies$/, "y");
  if (/(?:x|ch|sh|ss|z)es$/.test(word)) return word.slice(0, -2);
  return /[^s]s$/.test(word) && word.length > 3 ? word.slice(0, -1) : word;
}

interface Factor {
  dimension: Map<string, number>;
  factor: Rational;
}

function timesUnit(into: Factor, word: string, exponent: number): boolean {
  const known = units.get(word) ?? units.get(singular(word));
  // Fractional powers of ten of a volume are no product of lengths here: litres stay litres.
  const [dimension, factor] = known ? [known.dimension, known.factor] : [singular(word), integer(1)];
  const scaled = power(factor, integer(exponent));
  const product = scaled && multiply(into.factor, scaled);
  if (!product) return false;
  into.factor = product;
  if (dimension !== "") into.dimension.set(dimension, (into.dimension.get(dimension) ?? 0) + exponent);
  return true;
}

/**
 * The unit that words name: `square centimeters`, `cm^2`, `miles per hour`, `m/s^2`, `red apples`. Words that are no known
 * unit are one thing that is counted.
 */
export function unitNamed(text: string): Unit | undefined {
  const spelled = text
    // Of M and m before a unit, only the case tells mega from milli.
    .replace(/(?<![A-Za-z])M(?=(?:W|Hz|J|N|V|Pa|eV|g)(?![A-Za-z]))/g, "mega-")
    .toLowerCase()
    .trim()
    .replace(/[a-z]+/g, (word) => (Object.hasOwn(abbreviations, word) ? abbreviations[word]! : word));
  if (spelled.length > 80) return undefined;
  const whole = units.get(spelled);
  if (whole) return whole;
  const into: Factor = { dimension: new Map(), factor: integer(1) };
  const words = spelled.match(/[\p{L}°¢Ω]+(?:-[\p{L}]+)*|\^\{?-?\d+\}?|[/*·]/gu) ?? [];
  let [sign, next, thing] = [1, 1, ""];
  const flush = () => {
    const isDone = thing === "" || timesUnit(into, thing, 1);
    thing = "";
    return isDone;
  };
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === "per" || word === "/") sign = -1;
    else if (word === "square" || word === "sq" || word === "squared") next = 2;
    else if (word === "cubic" || word === "cu") next = 3;
    else if (word === "*" || word === "·" || word === "of" || word === "an") continue;
    else if (word.startsWith("^")) return undefined;
    else if (units.has(word) || units.has(singular(word)) || sign < 0 || next > 1) {
      if (!flush()) return undefined;
      const exponent = /^\^\{?(-?\d)\}?$/.exec(words[i + 1] ?? "")?.[1];
      if (exponent !== undefined) i++;
      if (!timesUnit(into, word, sign * next * Number(exponent ?? 1))) return undefined;
      next = 1;
    } else thing = thing === "" ? word : `${thing} ${word}`;
  }
  if (!flush()) return undefined;
  const dimension = [...into.dimension]
    .filter(([, exponent]) => exponent !== 0)
    .map(([name, exponent]) => (exponent === 1 ? name : `${name}^${exponent}`))
    .sort()
    .join(" ");
  const { n, d } = into.factor;
  return { text: `${dimension}:${n}/${d}`, dimension, factor: into.factor };
}

/** Factor from one unit to another; undefined when they measure different things. */
export function conversion(from: Unit, to: Unit): Rational | undefined {
  // A pound is money as well as mass.
  const isPound = [from, to].every(({ text }) => text === "lb" || text === "pound sterling");
  if (isPound) return integer(1);
  return from.dimension === to.dimension ? divide(from.factor, to.factor) : undefined;
}
