// One spelling for every character: digits and letters of other scripts and styles, superscripts, fractions, Greek,
// operators of Unicode as the LaTeX commands that they stand for. Marks that cannot be seen are dropped.

const greek =
  "α alpha β beta γ gamma δ delta ε epsilon ϵ epsilon ζ zeta η eta θ theta ϑ vartheta ι iota κ kappa λ lambda μ mu ν nu ξ xi π pi " +
  "ρ rho σ sigma ς sigma τ tau υ upsilon φ varphi ϕ phi χ chi ψ psi ω omega Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma " +
  "Φ Phi Ψ Psi Ω Omega";

const commands =
  "× times · cdot ∙ cdot ⋅ cdot ÷ div ± pm ∓ mp ≤ le ⩽ le ≦ le ≥ ge ⩾ ge ≧ ge ≠ ne ≈ approx ≡ equiv ≅ cong ∼ sim ∝ propto " +
  "∈ in ∉ notin ⊂ subset ⊆ subseteq ⊃ supset ⊇ supseteq ∪ cup ∩ cap ∖ setminus ∅ emptyset ∞ infty √ wholesqrt ∑ sum ∏ prod ∫ int " +
  "ℝ mathbb{R} ℤ mathbb{Z} ℕ mathbb{N} ℚ mathbb{Q} ℂ mathbb{C} → to ⟶ to ⇒ Rightarrow ⇔ Leftrightarrow ∣ mid ‖ Vert ∥ parallel ⊥ perp " +
  "∠ angle △ triangle ⌊ lfloor ⌋ rfloor ⌈ lceil ⌉ rceil ⟨ langle ⟩ rangle 〈 langle 〉 rangle ∂ partial ∇ nabla ℓ ell ℏ hbar " +
  "… ldots ⋯ cdots ∧ land ∨ lor ¬ neg ∀ forall ∃ exists ∘ circ ° degree º degree";

const byCharacter = new Map<string, string>();
for (const table of [greek, commands]) {
  const words = table.split(" ");
  for (let i = 0; i < words.length; i += 2) byCharacter.set(words[i]!, `\\${words[i + 1]} `);
}
for (const minus of "−–—‐‑‒﹣－") byCharacter.set(minus, "-");
for (const quote of "’‘′ʹ＇") byCharacter.set(quote, "'");
byCharacter.set("″", "''").set("⁄", "/").set("∕", "/").set("∛", "\\wholesqrt[3]").set("∜", "\\wholesqrt[4]");
byCharacter.set("℃", "°C").set("℉", "°F").set("，", ",").set("、", ",").set("。", ".").set("：", ":");

const [raised, lowered] = ["⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢₖₘ"];
const [raisedAs, loweredAs] = ["0123456789+-=()ni", "0123456789+-=()nikm"];

const shifted = (text: string, from: string, to: string) =>
  [...text].map((char) => to[from.indexOf(char)]!).join("");

/** The value of a decimal digit of any script: such digits stand in blocks of ten. */
function digitValue(char: string): string {
  let code = char.codePointAt(0)!;
  let value = 0;
  while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(--code))) value++;
  return String(value);
}

const fractionPattern = /[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]/g;

/** Text in one spelling; ASCII stays as it is. Linear in its length. */
export function canonicalCharacters(text: string): string {
  if (!/[^ -~\s]|[\u00a0\u2000-\u3000\ufeff]/.test(text)) return text;
  return text
    .replace(/\p{Cf}|\p{Variation_Selector}/gu, "")
    .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ]+/g, (run) => `^{${shifted(run, raised, raisedAs)}}`)
    .replace(/[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢₖₘ]+/g, (run) => `_{${shifted(run, lowered, loweredAs)}}`)
    .replace(fractionPattern, (char) => {
      const [above, below] = char.normalize("NFKC").split("⁄");
      return `\\frac{${above}}{${below}}`;
    })
    .replace(/[^ -~\s]/gu, (char) => byCharacter.get(char) ?? char)
    .normalize("NFKC")
    .replace(
      /[^ -~\s]/gu,
      (char) => byCharacter.get(char) ?? (/\p{Nd}/u.test(char) ? digitValue(char) : char),
    )
    .replace(/[\u00a0\u2000-\u200a\u202f\u205f\u3000]/g, " ");
}

const wrappers = [
  ["**", "**"],
  ["__", "__"],
  ["```", "```"],
  ["``", "``"],
  ["`", "`"],
  ["*", "*"],
  ["_", "_"],
  ['"', '"'],
  ["“", "”"],
  ["«", "»"],
  ["‘", "’"],
  ["'", "'"],
  ["$$", "$$"],
  ["$", "$"],
  ["\\[", "\\]"],
  ["\\(", "\\)"],
] as const;

/**
 * The answer without what only dresses it: white space, a full stop, emphasis, code marks, quotes, tags of HTML, marks of a
 * formula. Each mark is taken off where it opens and closes the whole and stands nowhere between.
 */
export function undressed(text: string): string {
  let out = text.trim();
  for (let rounds = 0; rounds < 8; rounds++) {
    const before = out;
    out = withoutStops(out);
    const tag = /^<([a-z][a-z0-9_-]*)>([\s\S]*)<\/\1>$/i.exec(out);
    if (tag) out = tag[2]!.trim();
    out = out.replace(/<\/[a-z][a-z0-9_-]*>$/i, "").trimEnd();
    for (const [open, close] of wrappers) {
      if (out.length <= open.length + close.length || !out.startsWith(open) || !out.endsWith(close)) continue;
      const inside = out.slice(open.length, out.length - close.length);
      if (
        inside.includes(close) ||
        inside.endsWith("\\") ||
        inside.trim() === "" ||
        (open.startsWith("*") && inside.startsWith("*"))
      )
        continue;
      out = inside.trim();
    }
    if (out === before) break;
  }
  return out;
}

/** A closing full stop, comma, colon or semicolon is no part of an answer; abbreviations keep their meaning without it. */
function withoutStops(text: string): string {
  if (/(\d)\1\1\.\.\.$|(\d{2,6})\2\.\.\.$/.test(text.slice(-40))) return text;
  let end = text.length;
  // After an emphasis or a quotation it is no factorial.
  if (/[*_`"”’]!$/.test(text.slice(-2))) end--;
  while (end > 0 && ".:;, \n\r\t".includes(text[end - 1]!) && !(end > 1 && text[end - 2] === "\\")) end--;
  return /\\left$|\\right$/.test(text.slice(0, end)) ? text : text.slice(0, end);
}

/**
 * Formulas between dollar signs inside a text lose the signs, so that `$2$ and $3$` reads like `2 and 3`. As in Markdown, a
 * sign opens before something and closes after something and not before a digit; any other is a currency.
 */
export function withoutDollars(text: string): string {
  if (!text.includes("$") && !text.includes("\\(")) return text;
  const out: string[] = [];
  let open = -1;
  for (let i = 0; i < text.length; i++) {
    const [char, next = " "] = [text[i]!, text[i + 1]];
    if (char === "\\") {
      out.push(next === "(" || next === ")" ? " " : text.slice(i, i + 2));
      i++;
    } else if (char !== "$") out.push(char);
    else if (open >= 0 && !/\s/.test(text[i - 1]!) && !/\d/.test(next)) {
      out[open] = " ";
      out.push(" ");
      open = -1;
    } else {
      if (!/\s/.test(next)) open = out.length;
      out.push("$");
    }
  }
  return out.join("");
}
