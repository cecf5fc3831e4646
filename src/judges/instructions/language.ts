// The language of a text. `eld` is the most reliable small detector for English and its neighbours, but it knows
// neither Nepali nor Swahili, which IFEval asks for: those two come from `franc`.

import { isShortEnglish } from "./english.js";

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

/** Languages so near to each other that letters tell little; words that only one of them has. */
const neighbours: readonly Readonly<Record<string, readonly string[]>>[] = [
  {
    no: "av veldig hva noe ble etter mellom meg deg seg uke ut nå mye været sola noen bare gutt jente språk hvorfor takk".split(
      " ",
    ),
    da: "af meget hvad noget blev efter mellem mig dig sig uge ud nu vejret nogle kun dreng pige sprog hvorfor tak lige".split(
      " ",
    ),
  },
  {
    id: "bisa karena kamu mobil uang kantor bahwa saja kapan sepeda kalian mau sedang cuacanya banget tapi seperti rumah sakit".split(
      " ",
    ),
    ms: "bahawa kerana kereta wang pejabat awak sahaja bila basikal hendak boleh encik hospital macam".split(
      " ",
    ),
  },
  {
    hr: ["tko", "što", "kruh", "tjedan"],
    sr: ["ko", "šta", "hleb", "nedelja"],
    bs: ["ko", "šta", "sedmica"],
  },
];

/** nb and nn are Norwegian. */
const aliases: Readonly<Record<string, string>> = { nb: "no", nn: "no" };

const nearest = (code: string) => aliases[code] ?? code;

/** Whether nothing in a text that looks like one language speaks against its neighbour. */
function mayBeNeighbour(text: string, found: string, wanted: string): boolean {
  const words = new Set(text.toLowerCase().match(/\p{L}+/gu));
  const pair = neighbours.find((group) => group[found] && group[wanted]);
  if (!pair) return false;
  const hits = (code: string) => pair[code]!.filter((word) => words.has(word)).length;
  return hits(wanted) >= hits(found);
}

/** Whether a text is in the language of this ISO 639-1 code, and which it looks like otherwise. */
export async function isIn(language: string, text: string): Promise<{ isIn: boolean; found?: string }> {
  // Chinese has two codes in the data, one for each script.
  const wanted = nearest(language.toLowerCase().split("-")[0]!);
  const found = await languageOf(text.slice(0, maxCharacters));
  if (found === undefined) return { isIn: false };
  const looks = nearest(found);
  const isWanted =
    looks === wanted || (wanted === "en" ? isShortEnglish(text) : mayBeNeighbour(text, looks, wanted));
  return { isIn: isWanted, found };
}

/** The beginning of a text tells its language. */
const maxCharacters = 20_000;

let detector: Promise<typeof import("eld/small")> | undefined;
let rare: Promise<typeof import("franc")> | undefined;

async function francOf(text: string, only: string[]): Promise<string> {
  rare ??= import("franc");
  return (await rare).franc(text, { only, minLength: 1 });
}

/** The ISO 639-1 code of the text's language; undefined when nothing can be told (no letters, say). */
async function languageOf(text: string): Promise<string | undefined> {
  if (/\p{Script=Devanagari}/u.test(text)) {
    return devanagari[await francOf(text, Object.keys(devanagari))];
  }
  // Its tables take a quarter of a second to load.
  detector ??= import("eld/small");
  const { eld } = await detector;
  const { language } = eld.detect(text);
  const mayBeSwahili = /[a-z]/i.test(text) && language !== "en";
  if (mayBeSwahili && (await francOf(text, latin)) === "swh") return "sw";
  return language === "" ? undefined : language;
}
