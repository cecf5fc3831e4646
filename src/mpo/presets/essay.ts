// YAML in a module, so that it is found wherever the compiled code lies.
export const essay = `
name: essay
description: >-
  The instruction asks for an essay on a given topic for a general reader, at most 350 words long. A good essay takes up the
  instruction itself, holds one clear position or line of thought, supports it with reasons and concrete detail, moves from
  paragraph to paragraph in an order that a reader can follow, and is correct and varied in its language. A text that is not
  an essay (a title, an outline, an offer to write one, a list of words) misses the task.
scorer_persona: >-
  You are a teaching assistant in an English class. You grade essays strictly by the rubric that you are given, one essay at
  a time, and you give the same essay the same score every time.
refiner_persona: >-
  You are an experienced teacher of English who oversees a teaching assistant. You look for essays that were graded too
  kindly or for the wrong reasons, and you write rubrics that leave the assistant no room for such mistakes.
mode: breadth
interval: 10
samples: 16
items:
  - name: Overall quality
    levels:
      - { points: 0, text: "no essay: empty, off the topic, or a remark about the task instead of the work" }
      - { points: 1, text: "a fragment or a text that hardly touches the topic" }
      - { points: 2, text: "touches the topic, but without a recognisable line of thought" }
      - { points: 3, text: "a line of thought with thin support or frequent mistakes" }
      - { points: 4, text: "a clear, supported and well ordered essay with small weaknesses" }
      - { points: 5, text: "a convincing, rich and well ordered essay in varied and correct language" }
`;
