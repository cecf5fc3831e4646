// Values of flags.

import { camelCase } from "../base/case.js";
import { UserError } from "../base/errors.js";

/** Collects the values of a flag that may be given several times. */
export const repeated = (value: string, previous: readonly string[] = []) => [...previous, value];

/** Flags that say nothing without another one. */
export function needs(
  given: Readonly<Record<string, unknown>>,
  flags: readonly string[],
  what: string,
): void {
  const stray = flags.find((flag) => given[camelCase(flag.replaceAll("-", "_"))] !== undefined);
  if (stray !== undefined) throw new UserError(`--${stray} ${what}`);
}

export function wholeNumber(text: string, flag: string, min = 0): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isSafeInteger(value) && value >= min) return value;
  throw new UserError(`${flag} must be a whole number of at least ${min}, not "${text}"`);
}

/** A port to listen at; 0: any free one. */
export function portNumber(text: string): number {
  const port = wholeNumber(text, "--port");
  if (port < 2 ** 16) return port;
  throw new UserError(`--port must be a whole number of at most 65535, not "${text}"`);
}

export function realNumber(
  text: string,
  flag: string,
  { min = 0, max = Number.POSITIVE_INFINITY } = {},
): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= min && value <= max) return value;
  const range = Number.isFinite(max) ? `between ${min} and ${max}` : `of at least ${min}`;
  throw new UserError(`${flag} must be a number ${range}, not "${text}"`);
}
