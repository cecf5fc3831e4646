// What reads responses and replies takes time in proportion to their length: four times the text, not sixteen times the
// time. Processor time, and generously, so that a busy machine sees the same.

import { describe, expect, it } from "vitest";
import { fencedBlocks } from "../src/base/fences.js";
import { withoutThoughts } from "../src/base/thoughts.js";
import { preferenceIn } from "../src/eval/pairwise.js";
import { instructions } from "../src/judges/instructions/checks.js";
import { countWords, treebankWords } from "../src/judges/instructions/words.js";
import { repetition } from "../src/judges/rules/format.js";
import { equivalent } from "../src/judges/rules/math/equivalent.js";
import { finalAnswerSentence, lastBoxed } from "../src/judges/rules/math/extract.js";
import { refusalIn } from "../src/judges/rules/refusal.js";
import { withoutControlTokens } from "../src/llm/control-tokens.js";
import { readObject, readText } from "../src/llm/read-label.js";
import { parseItemReply, parseNumber } from "../src/mpo/rubric-reward.js";
import { parseRubric } from "../src/mpo/rubric-text.js";

/** Texts that a careless pattern reads again and again from every place, `n` units long. */
const texts: Record<string, (n: number) => string> = {
  "line breaks": (n) => "\n".repeat(n),
  "line breaks and a word": (n) => `${"\n".repeat(n)}x`,
  blanks: (n) => `x${" ".repeat(n)}x`,
  tabs: (n) => "\t \n".repeat(n / 3),
  "opening brackets": (n) => "[".repeat(n),
  "opening angles": (n) => "<".repeat(n),
  "opening titles": (n) => "<< ".repeat(n / 3),
  stars: (n) => "*".repeat(n),
  "stars and blanks": (n) => "* ".repeat(n / 2),
  digits: (n) => "7".repeat(n),
  "digits and points": (n) => "1.".repeat(n / 2),
  commas: (n) => "1,".repeat(n / 2),
  quotes: (n) => '"'.repeat(n),
  apostrophes: (n) => "'".repeat(n),
  "opening braces": (n) => "{".repeat(n),
  "boxed without end": (n) => "\\boxed{".repeat(n / 7),
  "opening thoughts": (n) => "<think>".repeat(n / 7),
  fences: (n) => "```\n".repeat(n / 4),
  "rubric items": (n) => "<item>\n".repeat(n / 7),
  "score tags": (n) => "<score>".repeat(n / 7),
  headings: (n) => "# a\n".repeat(n / 4),
  "the answer is": (n) => "the answer is ".repeat(n / 14),
  hashes: (n) => "#".repeat(n),
  dashes: (n) => "-".repeat(n),
  "small letters": (n) => "a".repeat(n),
  "capitals and points": (n) => "A. ".repeat(n / 3),
  "returns and a word": (n) => `x${"\r".repeat(n)}7`,
  "marks and a word": (n) => `x${"*-".repeat(n / 2)}7`,
  "colons and blanks": (n) => `The answer${" : ".repeat(n / 3)}x`,
  arrows: (n) => `answer ${"--->".repeat(n / 4)}x`,
  accents: (n) => "e\u0301".repeat(n / 2),
  "opening quotations": (n) => "\u201c".repeat(n),
};

const someArguments: Record<string, unknown> = {
  keywords: ["sea"],
  keyword: "sea",
  frequency: 3,
  relation: "at least",
  forbidden_words: ["sea"],
  letter: "a",
  let_frequency: 3,
  let_relation: "at least",
  num_sentences: 3,
  num_paragraphs: 1,
  num_words: 3,
  nth_paragraph: 1,
  first_word: "sea",
  num_placeholders: 2,
  postscript_marker: "P.S.",
  num_bullets: 2,
  num_highlights: 2,
  section_spliter: "Section",
  num_sections: 2,
  prompt_to_repeat: "sea",
  end_phrase: "sea",
  capital_frequency: 2,
  capital_relation: "at least",
};

const item = { name: "Effort", kind: "grade", levels: [{ points: 0 }, { points: 5 }] } as never;
const quietly = (work: () => unknown) => () => {
  try {
    return work();
  } catch {
    // Whatever it says of the text.
  }
};

const readers: Record<string, (text: string) => unknown> = {
  ...Object.fromEntries(
    Object.entries(instructions)
      // Their language detector looks at the beginning alone.
      .filter(([name]) => !/language|english/.test(name))
      .map(([name, { check, arguments: schema }]) => [
        name,
        (text: string) => {
          const keys = Object.keys(schema.shape);
          return check(text, Object.fromEntries(keys.map((key) => [key, someArguments[key]])) as never);
        },
      ]),
  ),
  "rubric of a reply": parseRubric,
  "score of a reply": (text) => quietly(() => parseItemReply(text, item))(),
  number: parseNumber,
  preference: preferenceIn,
  "label in a text": (text) => readText(text, ["Yes", "No"]),
  "label in an object": (text) => readObject(text, ["Yes", "No"]),
  "words of a sentence": treebankWords,
  words: countWords,
  repetition,
  refusal: (text) => refusalIn(text, 200),
  "boxed answer": lastBoxed,
  "final answer": finalAnswerSentence,
  "equal answers": (text) => equivalent(text, "7"),
  fences: fencedBlocks,
  thoughts: withoutThoughts,
  "control tokens": withoutControlTokens,
};

/** Processor time, milliseconds. */
async function cost(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe.each(Object.keys(readers))("%s", (name) => {
  it("takes time in proportion to the text", async () => {
    const read = readers[name]!;
    for (const [kind, make] of Object.entries(texts)) {
      const all = await cost(() => read(make(120_000)));
      // What takes next to nothing has nothing to show.
      if (all < 250) continue;
      const part = await cost(() => read(make(30_000)));
      expect(all / part, `${kind}: ${part.toFixed(0)} and ${all.toFixed(0)} ms`).toBeLessThan(10);
    }
  }, 120_000);
});
