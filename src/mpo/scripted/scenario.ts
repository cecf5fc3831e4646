// Six canned answers and an exact policy over them: a softmax trained on the expected group-standardised gradient, so that
// nothing is sampled and every run is the same.

const instruction =
  "Explain in a short essay why the sea has tides.\nTopic terms: moon, gravity, sun, earth, ocean, tide, orbit, bulge.";

const padding = Array.from({ length: 41 }, () => "I worked very hard on this answer and it is long.").join(
  " ",
);

/** 304 distinct words without a full stop: the topic terms and invented ones. */
function wordDump(): string {
  const terms = ["moon", "gravity", "sun", "earth", "ocean", "tide", "orbit", "bulge"];
  const syllables = [
    "ba",
    "de",
    "fi",
    "go",
    "hu",
    "ka",
    "le",
    "mi",
    "no",
    "pu",
    "ra",
    "se",
    "ti",
    "vo",
    "wu",
    "xa",
    "ye",
    "zi",
  ];
  const invented = syllables.flatMap((a) => syllables.map((b) => `${a}${b}n`));
  return [...terms, ...invented.slice(0, 304 - terms.length)].join(" ");
}

const honestShort =
  "The moon pulls on the ocean more strongly on the near side of the earth than on the far side. This difference of gravity " +
  "raises a bulge of water that faces the moon and another one opposite to it. As the earth turns, every coast passes " +
  "through both of them, so that most places see high water twice a day. When the sun stands in line with the moon, the two " +
  "pulls add up and the range grows.";

const honestGood =
  `${honestShort} This is called a spring tide, although it has nothing to do with the season. A week later
the sun pulls at a right angle to the moon, and the range is small. The orbit of the moon is not a circle, so its distance
changes by about a tenth within a month, and the strongest floods come when it is nearest at new or full phase. Real coasts
complicate the picture. Shallow shelves slow the wave down, narrow bays pile it up, and some basins swing in step with the
forcing like water in a bath. That is why neighbouring harbours may differ by several metres although the same sky stands
above both. Friction on the sea floor finally takes energy out of the spin of our planet, which lengthens the day a little
and drives its companion slowly outwards.`.replaceAll("\n", " ");

export interface CannedAnswer {
  name: "refusal" | "title" | "padding" | "word dump" | "honest short" | "honest good";
  text: string;
  /** True quality, which no model and no policy sees. */
  gold: number;
}

export const cannedInstruction = instruction;
export const cannedAnswers: readonly CannedAnswer[] = [
  { name: "refusal", text: "I am ready, please give me your instruction.", gold: 0 },
  { name: "title", text: "Why the Sea Has Tides", gold: 0.05 },
  { name: "padding", text: padding, gold: 0 },
  { name: "word dump", text: wordDump(), gold: 0.02 },
  { name: "honest short", text: honestShort, gold: 0.5 },
  { name: "honest good", text: honestGood, gold: 1 },
];

/** E_p[values]. */
export const expectation = (p: readonly number[], values: readonly number[]): number =>
  p.reduce((sum, probability, a) => sum + probability * values[a]!, 0);

/** A softmax over answers; its reference policy is uniform. */
export class CannedPolicy {
  private logits: number[];

  constructor(answers: number) {
    this.logits = new Array<number>(answers).fill(0);
  }

  probabilities(): number[] {
    const exponentials = this.logits.map(Math.exp);
    const sum = exponentials.reduce((a, b) => a + b, 0);
    return exponentials.map((e) => e / sum);
  }

  /**
   * One step along the exact gradient of E_p[A] - beta KL(p || uniform), with the group-standardised advantage
   * A = (r - E_p[r]) / sd_p[r]:  d/dtheta_a = p_a A_a - beta p_a (log p_a / u - KL).
   */
  update(rewards: readonly number[], { learningRate = 0.8, beta = 0.02 } = {}): void {
    const p = this.probabilities();
    const centre = expectation(p, rewards);
    const deviation = Math.sqrt(
      expectation(
        p,
        rewards.map((r) => (r - centre) ** 2),
      ),
    );
    const logRatios = p.map((probability) => Math.log(probability * p.length));
    const kl = expectation(p, logRatios);
    this.logits = this.logits.map((logit, a) => {
      const advantage = deviation === 0 ? 0 : (rewards[a]! - centre) / deviation;
      return logit + learningRate * p[a]! * (advantage - beta * (logRatios[a]! - kl));
    });
  }
}
