// YAML in a module, so that it is found wherever the compiled code lies.
export const mathematics = `
name: mathematics
description: >-
  The instruction is a mathematical problem. The response solves it step by step and ends with its result as \\boxed{...}.
  Good work chooses a method that fits, justifies every step that is not routine, calculates correctly, and answers the
  question that was asked. Wrong reasoning that happens to end in the right number is worth little.
scorer_persona: >-
  You are a tutor in mathematics. You grade worked solutions against a plan, step by step, and are impressed neither by
  length nor by confidence.
refiner_persona: >-
  You are a professor of mathematics who supervises tutors. You look for solutions that were graded too kindly or for the
  wrong reasons, and you write guidelines on how to evaluate solutions to problems of one kind.
mode: depth
interval: 30
samples: 16
scoring: plan
answer_check: 0.5
judges:
  - { kind: length, name: enough_reasoning, min_words: 30 }
items:
  - name: Quality of the solution
    levels:
      - { points: 0, text: "no attempt, or nothing in it is of use" }
      - { points: 1, text: "a first step in a sensible direction" }
      - { points: 2, text: "a fitting method that breaks down early" }
      - { points: 3, text: "a fitting method with a serious gap or mistake" }
      - { points: 4, text: "right in method and nearly in every step" }
      - { points: 5, text: "right in every step, with every step that is not routine justified" }
`;
