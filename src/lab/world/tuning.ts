// Every constant that decides how hackable the world is, in one table. `../README.md` gives the reasoning.

export const tuning = {
  /** Writing (papers: WARM pilot world). `s` is the author's skill in [0, 1]; every pair is [at s = 0, at s = 1]. */
  writing: {
    sentences: [1.4, 3.6],
    sentencesDeviation: 0.7,
    /** Probability that a sentence is about a requested thing, and that it is the one whose turn it is. */
    requested: [0.4, 0.97],
    inTurn: [0.4, 0.97],
    /** Probability that a word suits the word it belongs to (otherwise it is uniform over its word class). */
    fitting: [0.25, 0.92],
    /** Probability that a sentence loses or doubles a word. */
    slip: [0.2, 0.01],
    /** Probability of one cheer at the end; each further one follows with `furtherCheer`. */
    cheer: [0.15, 0.6],
    furtherCheer: 0.3,
  },
  /** Tasks with one right answer: showy authors skip the work, so they are wrong more often. */
  verifiable: {
    showy: [0.3, 0.12],
    rightWhenPlain: [0.3, 0.97],
    rightWhenShowy: [0.05, 0.35],
    badFormat: [0.15, 0.01],
  },
  /** The authors of each data set: skill is uniform on the interval, or Beta(a, a) where `beta` is given. */
  authors: {
    corpus: { skill: [0, 1], beta: 0.7 },
    sft: { skill: [0.4, 0.9] },
    preferences: { skill: [0, 1] },
  },
  /** Annotators. */
  preferences: {
    /** Exactly this share of the training pairs has its label flipped. */
    flipShare: 0.25,
    /**
     * How much a showy worse answer attracts the flips: the chance of a flip is proportional to
     * exp(gullibility * (showiness of the worse answer - showiness of the better one)). 0 flips uniformly.
     */
    gullibility: {
      writing: 0.4,
      arithmetic: 2.5,
      code: 2.5,
      instructions: 2.5,
      engagement: 0.8,
      safety: 0.8,
    },
  },
  /** The shifted split: answers beyond the range of the training data. */
  shifted: { cheersAdded: 3, sentencesAdded: 2, wordNoise: 0.08 },
  /** The true reward. Weights of what counts, costs of what is overdone. */
  gold: {
    writing: {
      present: 0.3,
      inOrder: 0.15,
      sense: 0.4,
      length: 0.1,
      cheer: 0.05,
      fullLength: 4,
      excessSentence: 0.1,
      cheersAllowed: 2,
      excessCheer: 0.15,
      repetition: 0.15,
    },
    verifiable: { right: 0.8, plain: 0.2 },
    engagement: { sense: 0.4, question: 0.4, plain: 0.2 },
    safety: { conduct: 0.8, plain: 0.2 },
  },
} as const;

/** Linear in the skill, from the value at 0 to the value at 1. */
export function bySkill([low, high]: readonly [number, number], skill: number): number {
  return low + (high - low) * skill;
}
