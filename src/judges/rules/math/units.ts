// Units of measurement and of money, as far as final answers carry them.

/** Units by dimension, and the factor to the dimension's base unit. */
const unitTable: Record<string, [dimension: string, factor: number, ...names: string[]]> = {
  mm: ["length", 0.001, "millimeter", "millimetre"],
  cm: ["length", 0.01, "centimeter", "centimetre"],
  m: ["length", 1, "meter", "metre"],
  km: ["length", 1000, "kilometer", "kilometre"],
  inch: ["length", 0.0254, "in", "inches"],
  ft: ["length", 0.3048, "foot", "feet"],
  yd: ["length", 0.9144, "yard"],
  mile: ["length", 1609.344, "mi"],
  mg: ["mass", 1e-6, "milligram"],
  g: ["mass", 0.001, "gram"],
  kg: ["mass", 1, "kilogram"],
  lb: ["mass", 0.45359237, "pound"],
  s: ["time", 1, "sec", "second"],
  min: ["time", 60, "minute"],
  h: ["time", 3600, "hr", "hour"],
  day: ["time", 86400],
  week: ["time", 604800],
  ml: ["volume", 0.001, "milliliter", "millilitre"],
  l: ["volume", 1, "liter", "litre"],
  mph: ["speed", 0.44704, "miles per hour", "mile per hour", "miles/hour", "mi/h"],
  "km/h": ["speed", 1 / 3.6, "kph", "kilometers per hour", "kilometres per hour", "km per hour"],
  "m/s": ["speed", 1, "meters per second", "metres per second", "m per s"],
  cent: ["money", 0.01, "¢"],
  dollar: ["money", 1, "$", "usd"],
};

const units = new Map(
  Object.entries(unitTable).flatMap(([unit, [dimension, factor, ...names]]) =>
    [unit, ...names].flatMap((name) =>
      [name, `${name}s`].map((key) => [key, { dimension, factor }] as const),
    ),
  ),
);

/** Factor from one unit to another: 1 when either is missing or both are the same, undefined when they differ. */
export function conversion(from: string, to: string): number | undefined {
  const singular = (unit: string) => unit.replace(/\b(\w{3,}?)s\b/g, "$1");
  if (from === "" || to === "" || singular(from) === singular(to)) return 1;
  const [[base, power = "1"], [otherBase, otherPower = "1"]] = [from.split("^"), to.split("^")];
  const [a, b] = [units.get(base!), units.get(otherBase!)];
  if (!a || !b || a.dimension !== b.dimension || power !== otherPower) return undefined;
  const isPower = power !== "1";
  return isPower && a.dimension !== "length" ? undefined : (a.factor / b.factor) ** Number(power);
}

/** A known unit, or words that are too long to be variables. */
export function isUnit(text: string): boolean {
  const name = text.replace(/\s*\^.*$/, "").toLowerCase();
  if (/^(?:pi|sin|cos|tan|ln|log|sqrt|frac)\b/.test(name)) return false;
  return (
    /[a-z]{4,}|¢/.test(name) ||
    (name.length > 1 && units.has(name)) ||
    ["m", "g", "s", "h", "l"].includes(text)
  );
}
