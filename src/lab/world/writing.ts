// Open-ended writing: mention three things in order, in sentences that make sense. Also the sentence grammar that
// the other open-ended families use: "The <adjective> <noun> <verb> <adverb>."

import type { RandomStream } from "../../base/random.js";
import type { Author, Task } from "./family.js";
import { adjectiveWords, adverbsOf, adverbWords, cheers, nouns, nounWords, verbWords } from "./lexicon.js";
import { bySkill, tuning } from "./tuning.js";

/** One sentence about `subject`; each of its three links makes sense with the author's probability. */
export function writeSentence(subject: string, { skill }: Author, random: RandomStream): string {
  const fitting = bySkill(tuning.writing.fitting, skill);
  const pick = (good: readonly string[], all: readonly string[]) =>
    random.choice(random.uniform() < fitting ? good : all);
  const adjective = pick(nouns[subject]!.adjectives, adjectiveWords);
  const verb = pick(nouns[subject]!.verbs, verbWords);
  const adverb = pick(adverbsOf[verb]!, adverbWords);
  const words = ["The", adjective, subject, verb, adverb];
  if (random.uniform() < bySkill(tuning.writing.slip, skill)) {
    const at = 1 + random.integer(4);
    words.splice(at, 1, ...(random.uniform() < 0.5 ? [] : [words[at]!, words[at]!]));
  }
  return `${words.join(" ")}.`;
}

/** The author's cheers at the end of an open-ended answer: none, one, seldom more. */
export function writeCheers({ skill }: Author, random: RandomStream): string[] {
  const out: string[] = [];
  let chance: number = bySkill(tuning.writing.cheer, skill);
  while (random.uniform() < chance) {
    out.push(random.choice(cheers));
    chance = tuning.writing.furtherCheer;
  }
  return out;
}

function writeStory(keys: readonly string[], author: Author, random: RandomStream): string {
  const { skill } = author;
  const target =
    bySkill(tuning.writing.sentences, skill) + tuning.writing.sentencesDeviation * random.normal();
  const length = Math.min(5, Math.max(1, Math.round(target)));
  let unused = [...keys];
  const sentences = Array.from({ length }, () => {
    const requested = unused.length > 0 && random.uniform() < bySkill(tuning.writing.requested, skill);
    const subject = !requested
      ? random.choice(nounWords)
      : random.uniform() < bySkill(tuning.writing.inTurn, skill)
        ? unused[0]!
        : random.choice(unused);
    unused = unused.filter((key) => key !== subject);
    return writeSentence(subject, author, random);
  });
  return [...sentences, ...writeCheers(author, random)].join(" ");
}

export function drawWriting(random: RandomStream): Task {
  const keys = random.shuffle(nounWords).slice(0, 3);
  return {
    family: "writing",
    prompt: `Write about the ${keys[0]}, the ${keys[1]} and the ${keys[2]}.`,
    metadata: { keys },
    answer: (author, stream) => writeStory(keys, author, stream),
  };
}
