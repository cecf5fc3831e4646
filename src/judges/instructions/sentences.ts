// English sentence boundaries by the algorithm of Punkt (Kiss and Strunk 2006), which IFEval counts sentences with.
// Punkt learns its word lists from newspapers that may not be redistributed. Here they are short lists of our own, and
// the orthographic evidence (section 4.1.1: is this word capitalised only because it starts a sentence?) comes from the
// text itself and from words that hardly ever carry a capital elsewhere.

const words = (text: string) => new Set(text.trim().split(/\s+/));

/**
 * Abbreviations, without the final period; letters joined by periods (a.m, u.s, j.p) are abbreviations by rule. As in
 * IFEval's own model, which newspapers taught, "etc.", "e.g.", "i.e." and "Capt." are none: they end a sentence.
 */
const abbreviations = words(`
  mr mrs ms messrs dr prof st jr sr gen col lt maj adm sen rep reps ph.d
  inc corp co cos ltd bros cie vs chg ct ave ft yr mg ok
  jan feb aug sep sept oct nov dec tues wed fri
  ala ariz calif colo conn fla ga ill kan ky mich minn nev okla ore pa tenn va vt wash wis`);

const noAbbreviation = new Set(["e.g", "i.e"]);

/** Words that hardly carry a capital anywhere but at the start of a sentence (sections 4.1.1 and 4.1.3). */
const openers = words(`
  according although always among anyone both but consider despite does even finally furthermore he hence her here
  however i if imagine in indeed instead it many meanwhile moreover most nevertheless nonetheless nor nothing please
  remember similarly since so some someone sometimes still such thank thanks the there therefore these they this
  though through thus try under unfortunately were when which while yes yet your`);

const nonWord = `[)";}\\]*:@'({[?!]`;
const multiple = "(?:-{2,}|\\.{2,}|(?:\\.\\s){2,}\\.)";
const tokenPattern = new RegExp(
  `${multiple}|[^("\`{[:;&#*@)}\\]\\-,\\s]\\S*?(?=\\s|$|${nonWord}|${multiple}|,(?=$|\\s|${nonWord}|${multiple}))|\\S`,
  "gu",
);

/** A mark that may end a sentence, before other punctuation or before white space and another word. */
const candidatePattern = new RegExp(`[.?!](?=(?<after>${nonWord}|\\s+(?<next>\\S+)))`, "gu");

/** Closing quotes and brackets that still belong to the sentence before them. */
const closing = /^["')\]}]+?(?:\s+|(?=--)|(?=\n|$))/u;

const isInitial = (token: string) => /^\p{L}\.$/u.test(token);
const isNumber = (token: string) => /^-?[.,]?\d[\d,.-]*\.$/.test(token);
const isEllipsis = (token: string) => /^\.{2,}$/.test(token);

function isAbbreviation(token: string): boolean {
  const word = token.slice(0, -1).toLowerCase();
  const last = word.slice(word.lastIndexOf("-") + 1);
  const isDotted = /^\p{L}(?:\.\p{L})+$/u.test(word) && !noAbbreviation.has(word);
  return isDotted || abbreviations.has(word) || abbreviations.has(last);
}

/** Whether the capital or small letter of `token` says that it starts a sentence; undefined when it says nothing. */
function startsSentence(token: string, lowerCaseWords: ReadonlySet<string>): boolean | undefined {
  if (/^[;:,.!?]$/.test(token) || /^\p{Ll}/u.test(token)) return false;
  if (!/^\p{Lu}/u.test(token)) return undefined;
  const word = token.toLowerCase().replace(/\.$/, "");
  return openers.has(word) || lowerCaseWords.has(word) ? true : undefined;
}

/** Whether a sentence ends with `token`, given the token that follows (section 4). */
function endsSentence(token: string, next: string, lowerCaseWords: ReadonlySet<string>): boolean {
  if (token === "?" || token === "!") return true;
  if (!token.endsWith(".")) return false;
  const isStart = startsSentence(next, lowerCaseWords);
  if (isInitial(token)) return isStart === true || (isStart === undefined && !/^\p{Lu}/u.test(next));
  if (isEllipsis(token) || isAbbreviation(token)) return isStart === true;
  if (token.endsWith("..")) return false;
  return token === "." || !isNumber(token) || isStart !== false;
}

function breaksInside(context: string, lowerCaseWords: ReadonlySet<string>): boolean {
  const tokens = context.match(tokenPattern) ?? [];
  return tokens.slice(1).some((next, i) => endsSentence(tokens[i]!, next, lowerCaseWords));
}

interface Candidate {
  /** Start of the word before the mark. */
  wordStart: number;
  at: number;
  after: string;
  next: string | undefined;
}

/** Of several marks in one word only the last counts. */
function candidates(text: string): Candidate[] {
  const found: Candidate[] = [];
  let wordStart = 0;
  let from = 0;
  for (const match of text.matchAll(candidatePattern)) {
    const space = /[ \t-\r][^ \t-\r]*$/.exec(text.slice(from, match.index))?.index ?? 0;
    if (space > 0) wordStart = from + space + 1;
    const { after, next } = match.groups!;
    const last = found.at(-1);
    if (last && last.at > wordStart) found.pop();
    found.push({ wordStart, at: match.index, after: after!, next });
    from = match.index;
  }
  return found;
}

/** The sentences of an English text. */
export function sentences(text: string): string[] {
  const lowerCaseWords = new Set(text.match(/(?<![\p{L}'])\p{Ll}[\p{L}'-]*/gu));
  const pieces: [start: number, end: number][] = [];
  let start = 0;
  for (const { wordStart, at, after, next } of candidates(text)) {
    if (!breaksInside(text.slice(wordStart, at + 1) + after, lowerCaseWords)) continue;
    pieces.push([start, at + 1]);
    start = next === undefined ? at + 1 : at + 1 + after.length - next.length;
  }
  pieces.push([start, text.trimEnd().length]);

  const found: string[] = [];
  let taken = 0;
  pieces.forEach(([from, to], i) => {
    const rest = pieces[i + 1];
    const tail = rest && closing.exec(text.slice(...rest));
    const sentence = text.slice(from + taken, tail ? rest[0] + tail[0].trimEnd().length : to);
    if (tail || sentence !== "") found.push(sentence);
    taken = tail ? tail[0].length : 0;
  });
  return found;
}
