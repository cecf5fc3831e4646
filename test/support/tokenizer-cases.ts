// What test/oracle/text.py says of a tokenizer, compared with ours.

import type { Json } from "../../src/model/json.js";
import { Tokenizer } from "../../src/model/tokenizer.js";

type Encoded = [
  text: string,
  ids: number[],
  bare: number[],
  offsets: [number, number][],
  decoded: string,
  withoutSpecial: string,
];

export interface TokenizerCase {
  files: { json: Json; config: Json; map: Json | null; added: Json | null };
  named: Record<string, string>;
  size: number;
  encodings: Encoded[];
}

const show = (value: unknown) => JSON.stringify(value);

/** One line for each text that ends in other ids or another text. */
export function compareTokenizer({ files, named, encodings }: TokenizerCase): string[] {
  const { json, config, map, added } = files;
  const tokenizer = new Tokenizer({ json, config, map: map ?? undefined, added: added ?? undefined });
  const differences: string[] = [];
  const parts = () =>
    show([
      json.normalizer,
      json.pre_tokenizer,
      json.decoder,
      (json.model as Json).type,
      config,
      map,
      added,
    ]).slice(0, 900);
  const expect = (what: string, ours: unknown, theirs: unknown) => {
    if (show(ours) !== show(theirs))
      differences.push(
        `${what}: ${show(ours)?.slice(0, 300)} here, ${show(theirs)?.slice(0, 300)} there; ${parts()}`,
      );
  };
  expect("named tokens", Object.entries(tokenizer.specialTokens).sort(), Object.entries(named).sort());
  for (const [text, ids, bare, , decoded, withoutSpecial] of encodings) {
    expect(`ids of ${show(text)}`, tokenizer.encode(text, { addSpecialTokens: false }), bare);
    expect(`ids with special tokens of ${show(text)}`, tokenizer.encode(text), ids);
    expect(`text of ${show(ids)}`, tokenizer.decode(ids), decoded);
    expect(
      `text without special tokens of ${show(ids)}`,
      tokenizer.decode(ids, { skipSpecialTokens: true }),
      withoutSpecial,
    );
  }
  return differences;
}
