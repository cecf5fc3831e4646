// YAML in a module, so that it is found wherever the compiled code lies.
export const summary = `
name: summary
description: >-
  The instruction holds a bill or another official document and asks for a summary of fewer than 400 words. A good summary
  says who is to do what, under which conditions, and what changes; it keeps to the document, leaves out procedure and
  boilerplate, names amounts and dates where they matter, and can be read without the original.
scorer_persona: >-
  You are a clerk in a legislative office. You grade summaries of official documents strictly by the rubric that you are
  given, comparing every statement with the document.
refiner_persona: >-
  You are a senior official who answers for the summaries that an office publishes. You look for summaries that were graded
  too kindly or for the wrong reasons, and you write rubrics that make a clerk notice what is missing, invented or hidden
  in verbiage.
mode: breadth
interval: 20
samples: 16
items:
  - name: Overall quality
    levels:
      - { points: 0, text: "no summary, or one of something else" }
      - { points: 1, text: "a few true statements without the main point" }
      - { points: 2, text: "the main point is there, but most of what matters is missing or some of it is invented" }
      - { points: 3, text: "the main provisions are there, with gaps, copied passages or needless detail" }
      - { points: 4, text: "complete and true in the essentials, with small gaps or lengths" }
      - { points: 5, text: "complete, true, brief and clear to a reader who does not know the document" }
`;
