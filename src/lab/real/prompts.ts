// Prompts for a real instruction model that need no download: instructions that a program can verify (IFEval's ids and
// keyword arguments), sums and word problems with known answers, requests for advice and rewriting. Pure functions of a
// seed. Evaluation has topics of its own and combinations of constraints that training never sees together.

import { RandomStream } from "../../base/random.js";

export const realFamilies = ["instructions", "arithmetic", "advice"] as const;
export type RealFamily = (typeof realFamilies)[number];
export type RealSplit = "train" | "heldout";

/** A row of a prompt file; judges read its columns by these names. */
export interface RealPrompt {
  family: RealFamily;
  prompt: string;
  /** Words of which an answer on the topic has some, in small letters; none for sums. */
  topic_words: string[];
  instruction_id_list?: string[];
  kwargs?: Record<string, string | number | string[]>[];
  /** The number that is right. */
  answer?: string;
}

interface Topic {
  name: string;
  words: string[];
}

const topic = (name: string, words: string): Topic => ({ name, words: words.split(" ") });

const topics: Readonly<Record<RealSplit, readonly Topic[]>> = {
  train: [
    topic("baking bread", "bread flour dough yeast oven bake"),
    topic("growing tomatoes", "tomato plant soil water sun garden"),
    topic("learning to swim", "swim water pool breath float lesson"),
    topic("packing for a trip", "pack bag trip clothes travel list"),
    topic("keeping a cat", "cat food litter play vet pet"),
    topic("cleaning a kitchen", "clean kitchen sink wipe floor dish"),
    topic("riding a bicycle to work", "bicycle bike ride helmet road work"),
    topic("sleeping better", "sleep bed night rest dark routine"),
    topic("saving money", "save money budget spend cost bank"),
    topic("reading more books", "read book library page time story"),
    topic("a birthday party", "birthday party cake guest friend game"),
    topic("hiking in the hills", "hike hill walk boots trail water"),
  ],
  heldout: [
    topic("making soup", "soup broth vegetable pot cook salt"),
    topic("walking a dog", "dog walk leash park pet exercise"),
    topic("learning the piano", "piano practice note music play key"),
    topic("moving house", "move house box pack home truck"),
    topic("painting a room", "paint room wall brush colour color"),
    topic("a rainy afternoon", "rain afternoon indoors book game tea"),
  ],
};

interface Constraint {
  says: string;
  id: string;
  kwargs: Record<string, string | number | string[]>;
}

type DrawConstraint = (about: Topic, random: RandomStream) => Constraint;

/** Two kinds may meet in one prompt if no answer is ruled out by both together. */
const constraints: readonly DrawConstraint[] = [
  () => ({ says: "Do not use any commas.", id: "punctuation:no_comma", kwargs: {} }),
  () => ({
    says: "Write in small letters only, without capital letters.",
    id: "change_case:english_lowercase",
    kwargs: {},
  }),
  ({ words }, random) => {
    const keyword = random.choice(words);
    return {
      says: `Include the word "${keyword}".`,
      id: "keywords:existence",
      kwargs: { keywords: [keyword] },
    };
  },
  (_, random) => {
    const word = random.choice(["very", "good", "important", "you"]);
    return {
      says: `Do not use the word "${word}".`,
      id: "keywords:forbidden_words",
      kwargs: { forbidden_words: [word] },
    };
  },
  (_, random) => {
    const words = 20 + 5 * random.integer(3);
    return {
      says: `Use less than ${words} words.`,
      id: "length_constraints:number_words",
      kwargs: { relation: "less than", num_words: words },
    };
  },
  (_, random) => {
    const sentences = 2 + random.integer(2);
    return {
      says: `Use less than ${sentences + 1} sentences.`,
      id: "length_constraints:number_sentences",
      kwargs: { relation: "less than", num_sentences: sentences + 1 },
    };
  },
  () => ({ says: "Wrap your whole answer in double quotation marks.", id: "startend:quotation", kwargs: {} }),
];

/** Pairs of kinds (i < j) are held out where i + j is a multiple of three: six of 21. */
const isHeldoutPair = (i: number, j: number) => (i + j) % 3 === 0;

function drawPair(split: RealSplit, random: RandomStream): [number, number] {
  for (;;) {
    const i = random.integer(constraints.length);
    const j = random.integer(constraints.length);
    if (i < j && isHeldoutPair(i, j) === (split === "heldout")) return [i, j];
  }
}

function drawInstructions(split: RealSplit, random: RandomStream): RealPrompt {
  const about = random.choice(topics[split]);
  const form = random.choice(["Write a short text about", "Give a tip about", "Tell a friend about"]);
  // Training has single constraints and pairs; evaluation only pairs, which are new.
  const kinds =
    split === "train" && random.uniform() < 0.5
      ? [random.integer(constraints.length)]
      : drawPair(split, random);
  const chosen = kinds.map((kind) => constraints[kind]!(about, random));
  return {
    family: "instructions",
    prompt: `${form} ${about.name}. ${chosen.map(({ says }) => says).join(" ")}`,
    topic_words: about.words,
    instruction_id_list: chosen.map(({ id }) => id),
    kwargs: chosen.map(({ kwargs }) => kwargs),
  };
}

const things: Readonly<Record<RealSplit, readonly string[]>> = {
  train: ["apples", "pencils", "stamps", "eggs", "coins"],
  heldout: ["marbles", "tickets", "candles"],
};
const people: Readonly<Record<RealSplit, readonly string[]>> = {
  train: ["Anna", "Ben", "Carla", "David"],
  heldout: ["Mona", "Peter"],
};

function drawArithmetic(split: RealSplit, random: RandomStream): RealPrompt {
  const a = 3 + random.integer(17);
  const b = 2 + random.integer(8);
  const who = random.choice(people[split]);
  const what = random.choice(things[split]);
  const [question, answer] = random.choice<[string, number]>([
    [`What is ${a} plus ${b}?`, a + b],
    [`What is ${a + b} minus ${b}?`, a],
    [`${who} has ${a} ${what} and gets ${b} more. How many ${what} does ${who} have now?`, a + b],
    [`${who} has ${a + b} ${what} and gives away ${b}. How many ${what} are left?`, a],
    [`${who} has ${b} boxes with ${a} ${what} each. How many ${what} are there?`, a * b],
  ]);
  return {
    family: "arithmetic",
    prompt: `${question} End with "The final answer is" and the number.`,
    topic_words: [],
    answer: String(answer),
  };
}

function drawAdvice(split: RealSplit, random: RandomStream): RealPrompt {
  const about = random.choice(topics[split]);
  const [first, second] = [random.choice(about.words), random.choice(about.words)];
  const prompt = random.choice([
    `Give me one short piece of advice about ${about.name}.`,
    `What should I know first about ${about.name}? Answer in two sentences.`,
    `Rewrite this more politely: "Stop asking me about ${about.name}, look up ${first} and ${second} yourself."`,
  ]);
  return { family: "advice", prompt, topic_words: about.words };
}

const draws = { instructions: drawInstructions, arithmetic: drawArithmetic, advice: drawAdvice };

/**
 * `count` prompts, the families in turn, no text twice. Throws when the generator has too few different ones
 * (some hundreds are safe).
 */
export function drawRealPrompts(split: RealSplit, count: number, seed: number): RealPrompt[] {
  const random = new RandomStream(seed, `real/${split}`);
  const rows: RealPrompt[] = [];
  const seen = new Set<string>();
  for (let tries = 0; rows.length < count; tries++) {
    if (tries > 50 * count) throw new Error(`the generator has no ${count} different prompts for "${split}"`);
    const row = draws[realFamilies[rows.length % realFamilies.length]!](split, random);
    if (seen.has(row.prompt)) continue;
    seen.add(row.prompt);
    rows.push(row);
  }
  return rows;
}
