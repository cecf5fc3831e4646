// YAML in a module, so that it is found wherever the compiled code lies.
export const ethics = `
name: ethics
description: >-
  The instruction tells of something that a person did and asks who is in the wrong. The response weighs the matter in at
  most 300 words and ends with its verdict, RIGHT or WRONG, between <verdict> and </verdict>. Good reasoning names the people
  concerned and what they owe each other, considers intentions, consequences and what the person could have known, takes the
  strongest opposing view seriously, and draws the verdict from all this. Which verdict it is does not count here.
scorer_persona: >-
  You are an assistant in a seminar on practical ethics. You grade moral reasoning strictly by the rubric that you are given
  and never by whether you share the verdict.
refiner_persona: >-
  You are a moral philosopher who teaches reasoning about everyday conflicts. You look for arguments that were graded too
  kindly or for the wrong reasons, and you write rubrics that tell an argument from its imitation.
mode: breadth
interval: 10
samples: 16
judges:
  - { kind: length, name: enough_reasoning, min_words: 30 }
  - { kind: format, name: verdict_tag, tags: [verdict] }
items:
  - name: Quality of the reasoning
    levels:
      - { points: 0, text: "no reasoning: a bare verdict, an evasion, or a text about something else" }
      - { points: 1, text: "restates the events and asserts a verdict" }
      - { points: 2, text: "gives one consideration without connecting it to the verdict" }
      - { points: 3, text: "several considerations from one side only" }
      - { points: 4, text: "weighs both sides with small gaps between the reasons and the verdict" }
      - { points: 5, text: "weighs all that matters, answers the strongest objection, and earns its verdict" }
`;
