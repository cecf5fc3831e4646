// Seeded mutations of bytes: flips, cuts, copies, numbers out of all proportion, and words that formats are made of.

import type { RandomStream } from "../../src/base/random.js";

const WORDS = [
  ...'{}[]",:\\\n\0&*<>%|-',
  "null",
  "true",
  "-1",
  "0",
  "1e308",
  "9007199254740993",
  "1000000000000000",
  "NaN",
  "__proto__",
  "constructor",
  "\ufeff",
  "\u2028",
  "{{",
  "{% for x in y %}",
  "{% endfor %}",
  "&a ",
  "*a",
  "<<: ",
  "- ",
  "[[[[[[[[",
].map((word) => Buffer.from(word));

const int = (random: RandomStream, below: number) => Math.floor(below * random.uniform());

/** A copy of one of the seeds with up to eight changes. */
export function mutated(seeds: readonly Buffer[], random: RandomStream): Buffer {
  let bytes = Buffer.from(seeds[int(random, seeds.length)]!);
  for (let left = 1 + int(random, 8); left > 0; left--) {
    const at = int(random, bytes.length + 1);
    const length = 1 + int(random, Math.min(64, bytes.length + 1));
    const replace = (by: Buffer, gone = 0) => {
      bytes = Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + gone)]);
    };
    const kinds = [
      () => at < bytes.length && (bytes[at] = int(random, 256)),
      () => at < bytes.length && (bytes[at]! ^= 1 << int(random, 8)),
      () => replace(WORDS[int(random, WORDS.length)]!),
      () => replace(WORDS[int(random, WORDS.length)]!, length),
      () => replace(Buffer.alloc(0), length),
      () => replace(bytes.subarray(at, at + length)),
      () => replace(bytes.subarray(int(random, bytes.length + 1)).subarray(0, length)),
      () => (bytes = bytes.subarray(0, at)),
    ];
    kinds[int(random, kinds.length)]!();
  }
  return bytes;
}
