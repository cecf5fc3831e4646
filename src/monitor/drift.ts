// When a noisy series has left the best that it was at: an exponentially weighted mean against its own extreme so far, in
// standard errors of that mean, whose noise is taken from the series' own steps.

/** How far a smoothed series must move before it counts. */
export interface DriftRule {
  direction: "falls" | "rises" | "either";
  /** The least change that matters, whatever the noise; in the series' unit, or as a share of the extreme. */
  least: number;
  isRelative?: boolean;
}

export interface DriftOptions {
  /** Steps of memory: the weight of a new value is 2 / (window + 1), and no change is seen before so many values. */
  window: number;
  /** Standard errors of the difference of two smoothed values. */
  threshold: number;
}

/** From an extreme of the smoothed series to where it is now. */
export interface Change {
  since: number;
  from: number;
  to: number;
  /** In standard errors; infinite for a series without noise. */
  size: number;
}

/** Steps whose differences say how noisy a series is. */
const NOISE_STEPS = 200;

/** An exponentially weighted mean that begins as the plain mean, and the standard error that it has. */
export class Smoothed {
  private count = 0;
  private current = Number.NaN;
  private last = Number.NaN;
  /** Sizes of the last steps, in their order and by size. */
  private readonly sizes: number[] = [];
  private readonly sorted: number[] = [];

  constructor(private readonly window: number) {}

  push(x: number): void {
    this.count++;
    if (this.count === 1) this.current = x;
    else {
      const size = Math.abs(x - this.last);
      this.sizes.push(size);
      this.sorted.splice(placeIn(this.sorted, size), 0, size);
      if (this.sizes.length > NOISE_STEPS) this.sorted.splice(placeIn(this.sorted, this.sizes.shift()!), 1);
      this.current += Math.max(2 / (this.window + 1), 1 / this.count) * (x - this.current);
    }
    this.last = x;
  }

  get value(): number {
    return this.current;
  }

  /** Enough has been seen to compare. */
  get isSettled(): boolean {
    return this.count >= this.window;
  }

  /**
   * Standard error of a settled value. The noise of a single value is the median of the steps' sizes, which a trend hardly
   * moves: for normal noise |x_t - x_(t-1)| has the median 0.6745 sqrt(2) sigma.
   */
  get standardError(): number {
    const { sorted } = this;
    const half = sorted.length >> 1;
    const median = sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
    const weight = 2 / (this.window + 1);
    return (median / (0.6745 * Math.SQRT2)) * Math.sqrt(weight / (2 - weight));
  }
}

/** The first place of `x` in ascending numbers. */
function placeIn(sorted: readonly number[], x: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Extreme {
  step: number;
  value: number;
}

/** Watches one series. */
export class Drift {
  private readonly smoothed: Smoothed;
  private highest: Extreme | undefined;
  private lowest: Extreme | undefined;

  constructor(
    private readonly rule: DriftRule,
    private readonly options: DriftOptions,
  ) {
    this.smoothed = new Smoothed(options.window);
  }

  /** Values after a change that are taken for the rest of it. */
  private resting = 0;

  /**
   * Takes the next value. A change that is large enough, and that `counts` does not refuse, is returned once: what comes
   * later is compared with where it came to rest, a window later.
   */
  push(step: number, x: number, counts: (since: number) => boolean = () => true): Change | undefined {
    const { smoothed } = this;
    smoothed.push(x);
    if (!smoothed.isSettled) return undefined;
    const now = { step, value: smoothed.value };
    if (this.resting > 0) {
      this.resting--;
      this.highest = this.lowest = now;
      return undefined;
    }
    if (!this.highest || now.value >= this.highest.value) this.highest = now;
    if (!this.lowest || now.value <= this.lowest.value) this.lowest = now;
    const { direction } = this.rule;
    const change =
      (direction !== "rises" && this.changeFrom(this.highest, now)) ||
      (direction !== "falls" && this.changeFrom(this.lowest, now));
    if (!change || !counts(change.since)) return undefined;
    this.resting = this.options.window;
    return change;
  }

  private changeFrom(extreme: Extreme, now: Extreme): Change | undefined {
    const { least, isRelative } = this.rule;
    const moved = Math.abs(now.value - extreme.value);
    const error = Math.SQRT2 * this.smoothed.standardError;
    const needed = Math.max(
      this.options.threshold * error,
      least * (isRelative ? Math.abs(extreme.value) : 1),
    );
    if (moved === 0 || moved < needed) return undefined;
    return { since: extreme.step, from: extreme.value, to: now.value, size: moved / error };
  }
}
