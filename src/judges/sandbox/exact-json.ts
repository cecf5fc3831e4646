// JSON whose numbers keep what JavaScript's lose: whole numbers beyond 2^53, and that 3.0 is no whole number.

/** Begins keys and placeholders of our own. */
const mark = "\0";

const escapedMark = "\\u0000";

const exactKey = `${mark}exact`;

/** A number of a JSON text that JavaScript would change. A plain object, so that it can be sent to a thread. */
export type ExactNumber = { [exactKey]: string };

export const isExactNumber = (value: unknown): value is ExactNumber =>
  typeof value === "object" && value !== null && exactKey in value;

/** The digits of a number of either kind. */
export const numberText = (value: ExactNumber): string => value[exactKey]!;

const tokens = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

const isLossless = (text: string) =>
  !/[.eE]/.test(text) && Number.isSafeInteger(Number(text)) && text !== "-0";

/** The value of a JSON text, with an ExactNumber where JavaScript's number would be another. */
export function parseExact(text: string): unknown {
  JSON.parse(text);
  const marked = text.replace(tokens, (token) =>
    token.startsWith('"') || isLossless(token) ? token : `"${escapedMark}${token}"`,
  );
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === "string" && /^\0-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(value)
      ? { [exactKey]: value.slice(1) }
      : value,
  );
}

/** Whether these are the digits that JavaScript prints for its number, which is another: 2^60 is 1152921504606847000. */
const isPrintedRounded = (value: bigint) =>
  String(Number(value)) === String(value) && BigInt(Number(value)) !== value;

/**
 * The JSON text of a value. A whole number beyond 2^53 that came as a number of JavaScript, or was once written as one, has
 * lost its last digits: it becomes `{"\0rounded": digits}`, which stands for all that round to it.
 */
export function exactJson(value: unknown): string {
  if (isExactNumber(value)) return numberText(value);
  if (typeof value === "bigint") return isPrintedRounded(value) ? exactJson(Number(value)) : String(value);
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    return `{"${escapedMark}rounded":${BigInt(value)}}`;
  if (Array.isArray(value)) return `[${value.map(exactJson).join()}]`;
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => `${JSON.stringify(key)}:${exactJson(item)}`)
      .join()}}`;
  return JSON.stringify(value ?? null);
}
