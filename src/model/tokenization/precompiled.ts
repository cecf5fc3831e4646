// The precompiled character map of SentencePiece: a double-array trie (Darts) from byte sequences to their replacements,
// as the Rust crate `spm_precompiled` reads it.

import { UserError } from "../../base/errors.js";

/** The replacement of a whole text; null where the map has none. */
export type CharsMap = (text: string) => string | null;

export function readCharsMap(base64: string, place: string): CharsMap {
  const bytes = Buffer.from(base64, "base64");
  const broken = () =>
    new UserError(`${place}: precompiled_charsmap is not a character map of SentencePiece`);
  if (bytes.length === 0) return () => null;
  if (bytes.length < 4) throw broken();
  const size = bytes.readUInt32LE(0);
  if (size % 4 !== 0 || size + 4 > bytes.length) throw broken();
  const units = new Uint32Array(size / 4);
  for (let i = 0; i < units.length; i++) units[i] = bytes.readUInt32LE(4 + 4 * i);
  const replacements = bytes.subarray(4 + size);

  const offsetOf = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
  const labelOf = (unit: number) => (unit & (0x80000000 | 0xff)) >>> 0;
  /** Where the replacement of the shortest prefix that has one begins, as the crate takes the first result. */
  const find = (key: Buffer): number | null => {
    let position = 0;
    let unit = units[0] ?? 0;
    position ^= offsetOf(unit);
    for (const byte of key) {
      if (byte === 0) break;
      position ^= byte;
      unit = units[position] ?? 0;
      if (labelOf(unit) !== byte) return null;
      position ^= offsetOf(unit);
      if ((unit >>> 8) & 1) return (units[position] ?? 0) & 0x7fffffff;
    }
    return null;
  };
  return (text) => {
    const start = find(Buffer.from(text, "utf8"));
    if (start === null || start > replacements.length) return null;
    const end = replacements.indexOf(0, start);
    return replacements.subarray(start, end < 0 ? replacements.length : end).toString("utf8");
  };
}
