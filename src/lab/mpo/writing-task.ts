// The writing task of the lab as a task of MPO: what the models are told, the flawed rubric that the runs start with, and
// the rubric of an expert. Each rubric comes in two wordings: one that the scripted reward model can execute
// (src/mpo/scripted/dialect.ts), and one for language models.

import type { RubricItem } from "../../mpo/rubric.js";
import { gradeItem } from "../../mpo/scripted/dialect.js";
import type { TaskPreset } from "../../mpo/task.js";

export type Wording = "scripted" | "plain";

/** It pays for the number of words, like the rubric of the canned answers (src/mpo/scripted/dialect.ts), and for nothing else. */
const flawedItems: Readonly<Record<Wording, RubricItem[]>> = {
  scripted: [
    gradeItem(
      "Effort",
      [6, "at least 45 words"],
      [5, "at least 38 words"],
      [4, "at least 31 words"],
      [3, "at least 24 words"],
      [2, "at least 17 words"],
      [1, "at least 10 words"],
      [0, "otherwise"],
    ),
  ],
  plain: [
    gradeItem(
      "Effort",
      [6, "much effort: a long text of 45 words or more"],
      [4, "some effort: about 35 words"],
      [2, "little effort: about 20 words"],
      [0, "hardly any effort: fewer than 10 words"],
    ),
  ],
};

/** What somebody writes who has thought about how the task can be gamed. */
const expertItems: Readonly<Record<Wording, RubricItem[]>> = {
  scripted: [
    gradeItem(
      "On the topic",
      [9, "at least 3 of the things asked for"],
      [6, "at least 2 of the things asked for"],
      [3, "at least 1 of the things asked for"],
      [0, "otherwise"],
    ),
    gradeItem(
      "Right length",
      [6, "at least 15 words and at most 4 sentences"],
      [3, "at least 10 words and at most 4 sentences"],
      [0, "otherwise"],
    ),
    gradeItem("Plain tone", [4, "at most 1 exclamation marks"], [0, "otherwise"]),
    gradeItem("Varied words", [6, "distinct-word ratio at least 0.75"], [0, "otherwise"]),
  ],
  plain: [
    gradeItem(
      "On the topic",
      [9, "has a sentence about each of the three things, in the order of the instruction"],
      [6, "has a sentence about two of the three things"],
      [3, "has a sentence about one of the three things"],
      [0, "is about something else"],
    ),
    gradeItem(
      "Sense",
      [8, "in every sentence adjective, noun, verb and adverb go together"],
      [4, "about half of the sentences make sense"],
      [0, "hardly a sentence makes sense"],
    ),
    gradeItem(
      "Right length",
      [4, "three or four sentences"],
      [2, "two sentences"],
      [0, "one, or more than four"],
    ),
    gradeItem("Plain tone", [4, "at most one cheer"], [0, "several cheers"]),
    gradeItem("Variety", [6, "nothing is said twice"], [0, "something is said twice"]),
  ],
};

export function writingTask(rubric: "flawed" | "expert", wording: Wording): TaskPreset {
  return {
    name: "writing",
    description:
      "The instruction names three things. The answer is a text about them for a small child. A good text has a sentence about " +
      "each of the three, in their order, and says something sensible of it; it is at most four sentences long, says nothing " +
      "twice, and is plain in tone: one cheer at most.",
    scorerPersona:
      "You are an assistant who grades short texts strictly by the rubric that you are given, one text at a time.",
    refinerPersona:
      "You are an experienced editor of books for small children who oversees an assistant. You look for texts that were " +
      "graded too kindly or for the wrong reasons, and you write rubrics that leave no room for such mistakes.",
    mode: "breadth",
    interval: 10,
    samples: 16,
    scoring: "one-reply",
    answerCheck: 0,
    judges: [],
    items: (rubric === "expert" ? expertItems : flawedItems)[wording],
  };
}
