// From data to pixels: scales with round ticks.

export type ScaleKind = "linear" | "sqrt" | "log";

export interface Scale {
  /** Position of a value between the ends of the range. */
  at(value: number): number;
  ticks: number[];
}

/** A step of 1, 2, 2.5 or 5 times a power of ten that cuts `span` into about `count` parts; `whole`: a whole number. */
function roundStep(span: number, count: number, whole = false): number {
  const raw = whole ? Math.max(1, span / count) : span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const factors = whole && power < 10 ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10];
  const factor = factors.find((candidate) => candidate * power >= raw * 0.999)!;
  return factor * power;
}

/** Multiples of a round step inside [low, high]. */
function roundTicks(low: number, high: number, count: number, step = roundStep(high - low, count)): number[] {
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

/** The square of a whole number as it is, of a fraction with one significant digit. */
const roundSquare = (root: number): number =>
  Number((root * root).toPrecision(Number.isInteger(root) ? 6 : 1));

const forward: Record<ScaleKind, (value: number) => number> = {
  linear: (value) => value,
  sqrt: (value) => Math.sqrt(Math.max(0, value)),
  log: (value) => Math.log2(value),
};

function ticksFor(kind: ScaleKind, low: number, high: number, count: number, step?: number): number[] {
  if (kind === "linear") return roundTicks(low, high, count, step);
  // Ticks that are evenly spaced where the scale puts them: squares, or powers of two.
  if (kind === "sqrt")
    return [
      ...new Set(roundTicks(Math.sqrt(low), Math.sqrt(high), count + 2).map((root) => roundSquare(root))),
    ].filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
  const first = Math.ceil(Math.log2(low) - 1e-9);
  const last = Math.floor(Math.log2(high) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first) / (count + 2)));
  return Array.from({ length: Math.floor((last - first) / every) + 1 }, (_, i) => 2 ** (first + i * every));
}

export interface ScaleOptions {
  kind?: ScaleKind;
  /** About how many ticks. */
  count?: number;
  /** Widen the domain to whole ticks. */
  round?: boolean;
  /** Ticks are whole numbers. */
  whole?: boolean;
}

/** Beyond these, differences of two numbers overflow, or are nothing. */
const [LARGEST, SMALLEST] = [1e300, 1e-290];

/** A domain whose ends are far enough apart to have ticks between them, and not too far to be subtracted. */
function apart([low, high]: readonly [number, number]): [number, number] {
  const [from, to] = [Math.max(low, -LARGEST), Math.min(high, LARGEST)];
  const size = Math.max(Math.abs(from), Math.abs(to));
  if (to - from > SMALLEST && to - from > 1e-9 * size) return [from, to];
  const margin = (size > SMALLEST ? size : 1) / 2;
  return [from - margin, from + margin];
}

/** Maps [low, high] to [start, end]. */
export function makeScale(
  domain: readonly [number, number],
  [start, end]: readonly [number, number],
  { kind = "linear", count = 5, round = false, whole = false }: ScaleOptions = {},
): Scale {
  let [from, to] = apart(domain);
  if (kind !== "linear") from = Math.max(kind === "log" ? Number.MIN_VALUE : 0, domain[0]);
  let step = whole && kind === "linear" ? roundStep(to - from, count, true) : undefined;
  if (round && kind === "linear") {
    step = roundStep(to - from, count, whole);
    from = Math.floor(from / step + 1e-9) * step;
    to = Math.ceil(to / step - 1e-9) * step;
  }
  const f = forward[kind];
  const span = f(to) - f(from) || 1;
  return {
    at: (value) => start + ((f(value) - f(from)) / span) * (end - start),
    ticks: ticksFor(kind, from, to, count, step),
  };
}
