// Every part of a tokenizer that asks what a character is, over all characters, against the `tokenizers` library
// (test/oracle/unicode.py).

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Json } from "./json.js";
import { createNormalizer } from "./tokenization/normalizers.js";
import { Piece } from "./tokenization/pieces.js";
import { createPreTokenizer } from "./tokenization/pre-tokenizers.js";

const fixture = new URL("../../test/fixtures/formats/unicode.json", import.meta.url);
const parts = JSON.parse(readFileSync(fileURLToPath(fixture), "utf8")) as [string, Json, string][];

const within = (ranges: [number, number][]) => (c: number) => ranges.some(([a, b]) => c >= a && c < b);
const isSurrogate = within([[0xd800, 0xe000]]);
const isLate = within([
  [0x800, 0x1000],
  [0x1ab0, 0x1b00],
  [0xa780, 0xa800],
  [0x10900, 0x11000],
]);
const points = Array.from({ length: 0x110000 }, (_, c) => c).filter(
  (c) => !isSurrogate(c) && (c < 0x32000 || (c >= 0xe0000 && c < 0xe1000) || c % 0x1000 < 8),
);

/** The pieces' offsets in code points. */
function spans(text: string, split: NonNullable<ReturnType<typeof createPreTokenizer>>): string {
  const place = new Map<number, number>();
  let [at, count] = [0, 0];
  for (const point of text) {
    place.set(at, count++);
    at += point.length;
  }
  place.set(at, count);
  const found = split([new Piece(text, 0)]).filter((piece) => piece.text !== "");
  return JSON.stringify(
    found.map((piece) => [place.get(piece.startOf(0)), place.get(piece.endOf(piece.text.length))]),
  );
}

// A later Unicode may know more characters than the tables do.
describe.skipIf(Number(process.versions.unicode) > 17)("every character", () => {
  it.each(parts)("%s %j", { timeout: 120_000 }, (kind, settings, want) => {
    const hash = createHash("sha256");
    const normalizer = kind === "normalizer" ? createNormalizer(settings, kind)! : undefined;
    const split = normalizer ? undefined : createPreTokenizer(settings, kind)!;
    for (const c of kind === "pattern" ? points.filter(isLate) : points) {
      const C = String.fromCodePoint(c);
      const result = normalizer
        ? normalizer(new Piece(`a${C}b`, 0)).text
        : spans(`a${C} ${C}1.'${C}`, split!);
      hash.update(`${result}\n`);
    }
    expect(hash.digest("hex")).toBe(want);
  });
});
