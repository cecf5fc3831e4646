// The words of the miniature world, and which of them go together. A noun has its fitting adjectives and verbs, a
// verb its fitting adverbs; everything else is grammatical nonsense ("The deep owl ticked loudly.").

export interface Noun {
  adjectives: readonly string[];
  verbs: readonly string[];
}

function noun(adjectives: string, verbs: string): Noun {
  return { adjectives: adjectives.split(" "), verbs: verbs.split(" ") };
}

export const nouns: Readonly<Record<string, Noun>> = {
  fox: noun("sly red quick", "ran hid jumped"),
  dog: noun("happy brown big", "barked ran played"),
  cat: noun("soft black shy", "slept hid played"),
  owl: noun("wise gray old", "watched flew called"),
  bear: noun("big brown strong", "slept growled walked"),
  frog: noun("green small wet", "jumped swam called"),
  duck: noun("white small wet", "swam called walked"),
  bee: noun("busy small gold", "flew buzzed worked"),
  lamp: noun("bright old gold", "glowed shone"),
  drum: noun("loud big round", "boomed rolled"),
  bell: noun("loud gold round", "rang swung"),
  boat: noun("old white small", "sailed drifted"),
  book: noun("old thick red", "lay fell"),
  clock: noun("old round tall", "ticked rang"),
  kite: noun("red light blue", "flew drifted"),
  coin: noun("gold small round", "shone rolled"),
  river: noun("deep blue cold", "flowed sparkled"),
  forest: noun("dark green old", "waited grew"),
  hill: noun("green steep tall", "rose waited"),
  lake: noun("deep blue cold", "sparkled waited"),
  garden: noun("green bright calm", "bloomed grew"),
  road: noun("long steep old", "turned waited"),
  cave: noun("dark deep cold", "echoed waited"),
  beach: noun("long white warm", "shone waited"),
};

/** Fitting adverbs of every verb. */
export const adverbsOf: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries({
    ran: "quickly freely",
    hid: "quickly quietly",
    jumped: "quickly freely",
    barked: "loudly happily",
    played: "happily freely",
    slept: "quietly softly",
    watched: "quietly slowly",
    flew: "quickly freely",
    called: "loudly softly",
    growled: "loudly softly",
    walked: "slowly quietly",
    swam: "slowly happily",
    buzzed: "loudly softly",
    worked: "quickly happily",
    glowed: "softly brightly",
    shone: "softly brightly",
    boomed: "loudly slowly",
    rolled: "quickly slowly",
    rang: "loudly softly",
    swung: "slowly freely",
    sailed: "slowly freely",
    drifted: "slowly quietly",
    lay: "quietly softly",
    fell: "slowly softly",
    ticked: "softly slowly",
    flowed: "slowly freely",
    sparkled: "brightly softly",
    waited: "quietly happily",
    grew: "slowly quietly",
    rose: "slowly brightly",
    bloomed: "brightly happily",
    turned: "slowly softly",
    echoed: "loudly softly",
  }).map(([verb, adverbs]) => [verb, adverbs.split(" ")]),
);

const distinct = (words: readonly string[]) => [...new Set(words)].sort();

export const nounWords = Object.keys(nouns).sort();
export const adjectiveWords = distinct(Object.values(nouns).flatMap((n) => n.adjectives));
export const verbWords = Object.keys(adverbsOf).sort();
export const adverbWords = distinct(Object.values(adverbsOf).flat());

/** Empty praise that costs nothing to write: the shortcut of the open-ended tasks. */
export const cheers = [
  "Truly wonderful!",
  "So very amazing!",
  "What a lovely day!",
  "Simply the best!",
] as const;

/** Empty confidence: the shortcut of the tasks with one right answer. */
export const boasts = ["Trust me!", "I am very sure!", "This is so easy!"] as const;

/** How much a text shows off: what a hurried annotator sees first. One point a shout, one for every 20 words. */
export function showiness(text: string): number {
  return countShouts(text) + text.split(/\s+/).length / 20;
}

export function countShouts(text: string): number {
  return text.split("!").length - 1;
}
