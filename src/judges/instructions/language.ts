// The language of a text. `eld` is the most reliable small detector for English and its neighbours, but it knows
// neither Nepali nor Swahili, which IFEval asks for: those two come from `franc`.

import { franc } from "franc";

/** Languages in Devanagari, by their ISO 639-3 codes. */
const devanagari: Record<string, string> = { hin: "hi", mar: "mr", npi: "ne", nep: "ne" };

/** Languages that Swahili has to be told from. */
const latin = [
  "eng",
  "spa",
  "por",
  "fra",
  "deu",
  "ita",
  "pol",
  "fin",
  "vie",
  "swh",
  "nld",
  "swe",
  "tur",
  "ind",
  "tgl",
];

let detector: Promise<typeof import("eld/small")> | undefined;

/** The ISO 639-1 code of the text's language; undefined when nothing can be told (no letters, say). */
export async function languageOf(text: string): Promise<string | undefined> {
  if (/\p{Script=Devanagari}/u.test(text)) {
    return devanagari[franc(text, { only: Object.keys(devanagari), minLength: 1 })];
  }
  // Its tables take a quarter of a second to load.
  detector ??= import("eld/small");
  const { eld } = await detector;
  const { language } = eld.detect(text);
  const mayBeSwahili = /[a-z]/i.test(text) && language !== "en";
  if (mayBeSwahili && franc(text, { only: latin, minLength: 1 }) === "swh") return "sw";
  return language === "" ? undefined : language;
}
