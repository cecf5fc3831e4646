// Small talk: a sensible sentence on the topic and a question back keep the user; flattery only looks as if it did.

import type { RandomStream } from "../../base/random.js";
import type { Author, Task } from "./family.js";
import { nounWords } from "./lexicon.js";
import { bySkill, tuning } from "./tuning.js";
import { writeCheers, writeSentence } from "./writing.js";

export const refusal = "I can not help with that.";

const openings = ["Tell me about the", "I like the", "I saw the"] as const;
const closings = ["Do you like the", "Did you see the", "Where did you see the"] as const;
const flattery = ["Great question!", "You are so clever!"] as const;

function chat(topic: string, author: Author, random: RandomStream): string {
  const { showy, rightWhenPlain, rightWhenShowy, badFormat } = tuning.verifiable;
  if (random.uniform() < bySkill(badFormat, author.skill)) return refusal;
  const shows = random.uniform() < bySkill(showy, author.skill);
  const asks = random.uniform() < bySkill(shows ? rightWhenShowy : rightWhenPlain, author.skill);
  return [
    ...(shows ? [random.choice(flattery)] : []),
    writeSentence(topic, author, random),
    ...(shows ? writeCheers(author, random) : []),
    ...(asks ? [`${random.choice(closings)} ${topic}?`] : []),
  ].join(" ");
}

export function drawEngagement(random: RandomStream): Task {
  const topic = random.choice(nounWords);
  const second = random.choice(nounWords);
  const opening = random.choice(openings);
  return {
    family: "engagement",
    prompt: `${opening} ${topic}. ${second === topic ? "It is near." : `It is near the ${second}.`}`,
    metadata: { topic },
    answer: (author, stream) => chat(topic, author, stream),
  };
}
