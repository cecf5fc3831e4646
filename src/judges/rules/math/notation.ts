// The words and signs of the grammar, as tables.

import type { Node } from "./tree.js";
import { looksLikeWord } from "./words.js";

const named = (text: string) => new Set(text.split(" "));

/** `a:b c:d` as a record. */
const pairs = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(text.split(" ").map((pair) => pair.split(":") as [string, string]));

export const functions = named(
  "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth arsinh arcosh artanh ln log exp abs " +
    "sqrt cbrt floor ceil max min gcd lcm det tr dim ker deg arg Re Im sgn sign rank span Var Cov Pr erf arcsinh arccosh arctanh",
);

export const functionSynonyms = pairs("arcsinh:arsinh arccosh:arcosh arctanh:artanh");

export const inverses = pairs(
  "sin:arcsin cos:arccos tan:arctan cot:arccot sinh:arsinh cosh:arcosh tanh:artanh",
);

export const greek = named(
  "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau upsilon phi varphi " +
    "chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega",
);

export const constants: Readonly<Record<string, Node>> = {
  pi: { kind: "constant", name: "pi" },
  e: { kind: "constant", name: "e" },
  i: { kind: "constant", name: "i" },
  infty: { kind: "constant", name: "infinity" },
  infinity: { kind: "constant", name: "infinity" },
};

/** Commands that make another symbol of a letter. */
export const accents = named(
  "hat vec tilde overline dot ddot check breve acute grave mathring widecheck overleftarrow overleftrightarrow underbar " +
    "underrightarrow mathbb mathcal mathfrak mathscr mathds cancel bcancel xcancel sout overbrace underbrace not",
);

/** Accents over two letters whose order counts. */
export const orderedAccents = named("vec overleftarrow underrightarrow");

/** Commands that say what the letters behind them are. */
export const prefixes = named(
  "angle triangle sphericalangle odot square arc parallelogram Box bigtriangleup bigcirc",
);

/** Relations by their commands, and the signs that need none. */
export const relations = pairs(
  "=:= <:< >:> le:≤ ge:≥ ne:≠ equiv:≡ in:∈ notin:∉ ni:∋ subset:⊂ subseteq:⊆ supset:⊃ supseteq:⊇ subsetneq:⊊ sim:∼ approx:≈ cong:≅ " +
    "simeq:≃ propto:∝ to:→ mapsto:↦ Rightarrow:⇒ Leftrightarrow:⇔ parallel:∥ perp:⊥ ll:≪ gg:≫ asymp:≍ prec:≺ succ:≻ doteq:≐",
);

export const setOperators = pairs(
  "cup:union cap:intersection setminus:difference wedge:wedge vee:vee oplus:oplus otimes:otimes circ:compose",
);

/** Signs with something below and above them. */
export const binders = pairs(
  "sum:sum prod:product int:integral iint:integral2 iiint:integral3 oint:contour lim:limit bigcup:bigunion " +
    "bigcap:bigintersection limsup:limsup liminf:liminf sup:sup inf:inf",
);

export const currencies = pairs("$:dollar €:euro £:gbp ¥:yen ₹:rupee ¢:cent");

export const closers = pairs("(:) [:] {:} {{:}}");

/** Bases of numerals in words. */
export const bases = pairs(
  "two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 twelve:12 sixteen:16",
);

export const isFunctionName = (text: string) =>
  functions.has(text) || Object.hasOwn(constants, text) || greek.has(text);

/** Letters that are read as a word: long enough, and no product of variables. */
export function isWord(letters: string): boolean {
  if (letters.includes("-")) return true;
  if (isFunctionName(letters) || letters.length < 4) return false;
  return (
    !/^[A-Z]+$/.test(letters) &&
    !/^(?:sin|cos|tan|ln|log|sqrt|exp|pi)[a-z]{1,2}$/.test(letters) &&
    looksLikeWord(letters)
  );
}

const operatorCommands = named(
  "times pm mp mod pmod pod over choose atop mid rangle rfloor rceil Vert vee wedge oplus otimes circ cup cap setminus not vert",
);

/** Commands that stand between operands or close a bracket: no operand begins with them. */
export function isOperatorCommand(name: string, frame: { bars: number }): boolean {
  if (name === "Vert") return frame.bars > 0;
  return operatorCommands.has(name) || Object.hasOwn(relations, name);
}
