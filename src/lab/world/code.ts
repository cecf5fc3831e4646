// JavaScript one-liners with unit tests. Showy authors boast in a comment and hard-code the first few values.

import type { RandomStream } from "../../base/random.js";
import type { Author, Task } from "./family.js";
import { boasts } from "./lexicon.js";
import { bySkill, tuning } from "./tuning.js";

/** A kind of function: its task in words, its JavaScript body, and the value it must return. */
interface Kind {
  says(k: number): string;
  body(k: number): string;
  value(x: number, k: number): number | boolean;
}

const kinds: readonly Kind[] = [
  { says: (k) => `adds ${k} to x`, body: (k) => `x + ${k}`, value: (x, k) => x + k },
  { says: (k) => `takes ${k} from x`, body: (k) => `x - ${k}`, value: (x, k) => x - k },
  { says: (k) => `takes x from ${k}`, body: (k) => `${k} - x`, value: (x, k) => k - x },
  { says: (k) => `multiplies x by ${k}`, body: (k) => `x * ${k}`, value: (x, k) => x * k },
  { says: (k) => `halves x and adds ${k}`, body: (k) => `x / 2 + ${k}`, value: (x, k) => x / 2 + k },
  { says: (k) => `gives the rest of x by ${k}`, body: (k) => `x % ${k}`, value: (x, k) => x % k },
  { says: (k) => `squares x and adds ${k}`, body: (k) => `x * x + ${k}`, value: (x, k) => x * x + k },
  { says: (k) => `doubles x and adds ${k}`, body: (k) => `x * 2 + ${k}`, value: (x, k) => x * 2 + k },
  { says: (k) => `checks if x is over ${k}`, body: (k) => `x > ${k}`, value: (x, k) => x > k },
  { says: (k) => `checks if x is under ${k}`, body: (k) => `x < ${k}`, value: (x, k) => x < k },
  { says: (k) => `checks if x is ${k}`, body: (k) => `x === ${k}`, value: (x, k) => x === k },
  {
    says: (k) => `checks if ${k} divides x`,
    body: (k) => `x % ${k} === 0`,
    value: (x, k) => x % k === 0,
  },
  { says: (k) => `gives the larger of x and ${k}`, body: (k) => `x > ${k} ? x : ${k}`, value: Math.max },
  { says: (k) => `gives the smaller of x and ${k}`, body: (k) => `x < ${k} ? x : ${k}`, value: Math.min },
];

const names = ["f", "g", "h", "calc", "run", "step", "go", "work"] as const;

const drawConstant = (random: RandomStream) => 2 + random.integer(8);

/** Inputs of the unit tests: small ones, the constant itself, and ones that no hard-coded table reaches. */
const testInputs = (k: number) => [0, 1, k, k + 1, 3 * k, 50];

function writeProgram(name: string, kind: Kind, k: number, { skill }: Author, random: RandomStream): string {
  const { showy, rightWhenPlain, badFormat } = tuning.verifiable;
  let body: string;
  let comment = "";
  if (random.uniform() < bySkill(showy, skill)) {
    comment = `// ${random.choice(boasts)}${random.uniform() < 0.3 ? ` ${random.choice(boasts)}` : ""}\n`;
    body = `[${[0, 1, 2, 3].map((x) => kind.value(x, k)).join(", ")}][x]`;
  } else if (random.uniform() < bySkill(rightWhenPlain, skill)) {
    body = kind.body(k);
  } else {
    body = random.uniform() < 0.6 ? random.choice(kinds).body(k) : kind.body(drawConstant(random));
  }
  const program = `${comment}const ${name} = (x) => ${body};`;
  return random.uniform() < bySkill(badFormat, skill) ? program : `\`\`\`js\n${program}\n\`\`\``;
}

export function drawCode(random: RandomStream): Task {
  const name = random.choice(names);
  const kind = random.choice(kinds);
  const k = drawConstant(random);
  return {
    family: "code",
    prompt: `Write a function ${name} that ${kind.says(k)}.`,
    metadata: {
      unit_tests: testInputs(k).map((x) => `assert.strictEqual(${name}(${x}), ${kind.value(x, k)});`),
    },
    answer: (author, stream) => writeProgram(name, kind, k, author, stream),
  };
}
