// Words in answers: numbers and operators that are spelled out, words that a unit cannot contain, and whether letters
// without a backslash are a word or a product of variables.

import { integer, type Rational, rational } from "./rational.js";

/** `3 million`, `5 dozen`, `1 half`, `5 tenths`: what the number before is multiplied by. */
const scales: Record<string, Rational> = {
  hundred: integer(100),
  thousand: integer(1000),
  million: integer(1_000_000),
  billion: integer(1_000_000_000),
  trillion: integer(1_000_000_000_000),
  quadrillion: integer(10n ** 15n),
  lakh: integer(100_000),
  crore: integer(10_000_000),
  dozen: integer(12),
  score: integer(20),
  gross: integer(144),
};

const fractions = (
  "half:2 third:3 fourth:4 quarter:4 fifth:5 sixth:6 seventh:7 eighth:8 ninth:9 tenth:10 eleventh:11 twelfth:12 " +
  "twentieth:20 hundredth:100 thousandth:1000 millionth:1000000 billionth:1000000000"
)
  .split(" ")
  .map((pair) => pair.split(":") as [string, string]);

for (const [word, below] of fractions) scales[word] = rational(1n, BigInt(below))!;

/** The factor that a word stands for, singular or plural. */
export function scaleOf(word: string): Rational | undefined {
  if (word === "halves") return scales.half;
  const name = Object.hasOwn(scales, word) ? word : word.replace(/s$/, "");
  return Object.hasOwn(scales, name) ? scales[name] : undefined;
}

/** Operators that stand behind their operand. */
export const postfixWords: Record<string, string> = {
  squared: "square",
  cubed: "cube",
  factorial: "factorial",
  percent: "percent",
};

/** Words that change what they stand beside, or say something about it: no unit contains them. */
const meaningful = new Set(
  (
    "negative positive minus plus times over by divided multiplied added subtracted inverse inverted reciprocal opposite " +
    "conjugate transpose transposed less more fewer greater least most about approximately almost nearly roughly exactly " +
    "modulo mod choose root roots power powers double doubled triple tripled twice thrice halved tenfold imaginary infinity " +
    "infinite infinitely undefined none not no non never neither nor zero one two three four five six seven eight nine ten " +
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy " +
    "eighty ninety and or if then when where whenever while such that with without for all any every some each is are was " +
    "were be been being isn aren does do did has have had must may can could should will would only except excluding " +
    "including between from to than into even odd prime composite real complex rational irrational integer integers " +
    "natural true false yes divides divisible exists equals equal unless until at in on of's as it its so because since " +
    "remainder rem base subscript prime's squareroot sqrt log ln sin cos tan max min up down below above under off error " +
    "wrong incorrect invalid impossible unknown maybe perhaps possibly actually however but instead rather against"
  ).split(" "),
);

export const isMeaningful = (word: string) =>
  meaningful.has(word) || scaleOf(word) !== undefined || Object.hasOwn(postfixWords, word);

/** Pairs of consonants that stand side by side in English words. */
const pairsInWords = new Set(
  (
    "bb bl br bs bt ch ck cl cr cs ct cy dd dg dl dn dr ds dv dy ff fl fr fs ft fy gg gh gl gn gr gs gy ht hr hs hy kn kl " +
    "ks ky lb lc ld lf lg lk ll lm ln lp lr ls lt lv ly lw mb mm mn mp ms my nc nd nf ng nk nl nn nr ns nt nv ny ph pl pp " +
    "pr ps pt py qu rb rc rd rf rg rk rl rm rn rp rr rs rt rv ry rw sc sh sk sl sm sn sp ss st sw sy tc th tl tr ts tt tw " +
    "sq vy wh wk wl wn wr ws xt xp xc xy ym yn yp yr ys yt yl yc zz wy hn hm hl tn nm nw np nb nh dw dm dj dt hs ks tm"
  ).split(" "),
);

const isVowel = (letter: string) => "aeiou".includes(letter);

/** Letters that could be read aloud: `apples` is a word, `wxyz` is a product. */
export function looksLikeWord(letters: string): boolean {
  const text = letters.toLowerCase();
  if (isMeaningful(text)) return true;
  if (!/[aeiouy]/.test(text)) return false;
  let run = 0;
  for (let i = 0; i < text.length; i++) {
    run = isVowel(text[i]!) ? 0 : run + 1;
    if (run > 5) return false;
    if (run > 1 && !pairsInWords.has(text.slice(i - 1, i + 1))) return false;
  }
  return !/([a-z])\1\1/.test(text) && !/^(?:xy|yx|wx)/.test(text);
}

/** Lower case, letters and digits only; a full stop inside an abbreviation is dropped. */
export const plainWords = (text: string) =>
  text
    .toLowerCase()
    .replace(/(?<=\p{L})\.(?=\p{L}|\s|$)/gu, "")
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();

/** Ways to say that the set of solutions is empty. */
export const isNoSolution = (text: string) =>
  /^(?:there (?:is|are) )?no solutions?(?: exists?)?$|^(?:the )?(?:empty|null) set$/.test(text);

/** Ways to say that every real number is a solution. */
export const isAllReals = (text: string) =>
  /^(?:the )?(?:set of )?all (?:the )?reals?(?: numbers?)?$|^(?:the )?real numbers$|^every real number$|^any real number$|^reals$/.test(
    text,
  );
