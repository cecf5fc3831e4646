// Verifiable instructions, in IFEval's ids and keyword arguments. Showy authors cheer and forget the instruction.

import type { RandomStream } from "../../base/random.js";
import type { Author, Task } from "./family.js";
import { cheers, nounWords } from "./lexicon.js";
import { bySkill, tuning } from "./tuning.js";
import { writeCheers, writeSentence } from "./writing.js";

/** What an answer is made of before it is written down; an instruction that is followed changes it. */
interface Draft {
  sentences: string[];
  format: (text: string) => string;
}

interface Instruction {
  says: string;
  id: string;
  kwargs: Record<string, string | number | string[]>;
  follow(draft: Draft, author: Author, random: RandomStream): void;
}

const ending = "The end.";

function drawInstruction(subject: string, random: RandomStream): Instruction {
  const count = 2 + random.integer(2);
  const keyword = random.choice(nounWords.filter((noun) => noun !== subject));
  return random.choice<Instruction>([
    {
      says: `Use at least ${count} sentences.`,
      id: "length_constraints:number_sentences",
      kwargs: { relation: "at least", num_sentences: count },
      follow: (draft, author, stream) => {
        while (draft.sentences.length < count) draft.sentences.push(writeSentence(subject, author, stream));
      },
    },
    {
      says: "Use less than 2 sentences.",
      id: "length_constraints:number_sentences",
      kwargs: { relation: "less than", num_sentences: 2 },
      follow: (draft) => {
        draft.sentences = draft.sentences.slice(0, 1);
      },
    },
    {
      says: `End with: ${ending}`,
      id: "startend:end_checker",
      kwargs: { end_phrase: ending },
      follow: (draft) => {
        draft.sentences.push(ending);
      },
    },
    {
      says: `Include the word ${keyword}.`,
      id: "keywords:existence",
      kwargs: { keywords: [keyword] },
      follow: (draft, author, stream) => {
        draft.sentences.push(writeSentence(keyword, author, stream));
      },
    },
    {
      says: "Use only small letters.",
      id: "change_case:english_lowercase",
      kwargs: {},
      follow: (draft) => {
        draft.format = (text) => text.toLowerCase();
      },
    },
    {
      says: "Put it in double quotes.",
      id: "startend:quotation",
      kwargs: {},
      follow: (draft) => {
        draft.format = (text) => `"${text}"`;
      },
    },
  ]);
}

function writeFollowing(subject: string, instruction: Instruction, author: Author, random: RandomStream) {
  const { showy, rightWhenPlain, rightWhenShowy } = tuning.verifiable;
  const shows = random.uniform() < bySkill(showy, author.skill);
  const draft: Draft = { sentences: [writeSentence(subject, author, random)], format: (text) => text };
  if (random.uniform() < 0.4) draft.sentences.push(writeSentence(subject, author, random));
  const follows = random.uniform() < bySkill(shows ? rightWhenShowy : rightWhenPlain, author.skill);
  if (follows) instruction.follow(draft, author, random);
  if (shows) draft.sentences.push(random.choice(cheers), ...writeCheers(author, random));
  return draft.format(draft.sentences.join(" "));
}

export function drawInstructions(random: RandomStream): Task {
  const subject = random.choice(nounWords);
  const instruction = drawInstruction(subject, random);
  return {
    family: "instructions",
    prompt: `Describe the ${subject}. ${instruction.says}`,
    metadata: { instruction_id_list: [instruction.id], kwargs: [instruction.kwargs] },
    answer: (author, stream) => writeFollowing(subject, instruction, author, stream),
  };
}
