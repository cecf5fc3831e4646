// The time that JavaScript programs see: a fixed moment, from which only their own timers go on.

/** 2026-01-01T00:00:00Z, in milliseconds. */
const beginning = 1767225600000;

let elapsed = 0;

/** Sets the clock to so many milliseconds after its beginning. */
export function setClock(milliseconds: number): void {
  elapsed = milliseconds;
}

/** Makes this thread's Date tell that time, in UTC. */
export function stopClock(): void {
  Date.now = () => beginning + elapsed;
  const prototype = Date.prototype as unknown as Record<string, unknown>;
  for (const part of ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"]) {
    prototype[`get${part}`] = prototype[`getUTC${part}`];
  }
  Date.prototype.getTimezoneOffset = () => 0;
}
