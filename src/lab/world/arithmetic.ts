// Small sums with a worked answer that ends in "The final answer is N." Showy authors boast, skip the work and are
// wrong more often.

import type { RandomStream } from "../../base/random.js";
import type { Author, Task } from "./family.js";
import { boasts } from "./lexicon.js";
import { bySkill, tuning } from "./tuning.js";

type Operator = "plus" | "minus" | "times";

function calculate(a: number, operator: Operator, b: number): number {
  return operator === "plus" ? a + b : operator === "minus" ? a - b : a * b;
}

interface Step {
  a: number;
  operator: Operator;
  b: number;
}

function drawStep(random: RandomStream): Step {
  const operator = random.choice(["plus", "minus", "times"] as const);
  if (operator === "times") return { a: 2 + random.integer(8), operator, b: 2 + random.integer(4) };
  const b = 1 + random.integer(9);
  return { a: operator === "minus" ? b + random.integer(15) : 1 + random.integer(15), operator, b };
}

/** A second step that keeps the result in 0 .. 60. */
function drawSecondStep(a: number, random: RandomStream): Step {
  const b = 1 + random.integer(9);
  return { a, operator: a > b && random.uniform() < 0.5 ? "minus" : "plus", b };
}

const result = (step: Step) => calculate(step.a, step.operator, step.b);

/** A wrong number near the right one: what a slip looks like. */
function miss(value: number, random: RandomStream): number {
  const offset = random.choice([-3, -2, -1, 1, 2, 3, 10]);
  return value + offset >= 0 ? value + offset : value - offset;
}

function writeSolution(steps: readonly Step[], { skill }: Author, random: RandomStream): string {
  const { showy, rightWhenPlain, rightWhenShowy, badFormat } = tuning.verifiable;
  const right = result(steps.at(-1)!);
  const end = (value: number) =>
    random.uniform() < bySkill(badFormat, skill) ? `So it is ${value}.` : `The final answer is ${value}.`;
  if (random.uniform() < bySkill(showy, skill)) {
    const value = random.uniform() < bySkill(rightWhenShowy, skill) ? right : miss(right, random);
    const repeated = random.uniform() < 0.4 ? [`It is clearly ${value}!`] : [];
    return [random.choice(boasts), `It is clearly ${value}!`, ...repeated, end(value)].join(" ");
  }
  const correct = random.uniform() < bySkill(rightWhenPlain, skill);
  const wrongStep = correct ? -1 : random.integer(steps.length);
  let carried = steps[0]!.a;
  const lines = steps.map(({ operator, b }, i) => {
    const value = calculate(carried, operator, b);
    const written = i === wrongStep ? miss(value, random) : value;
    const line = `${carried} ${operator} ${b} is ${written}.`;
    carried = written;
    return line;
  });
  return [...lines, end(carried)].join(" ");
}

export function drawArithmetic(random: RandomStream): Task {
  const first = drawStep(random);
  const steps = random.uniform() < 0.6 ? [first, drawSecondStep(result(first), random)] : [first];
  const question = steps.map((s, i) => `${i === 0 ? `${s.a} ` : ""}${s.operator} ${s.b}`).join(" ");
  return {
    family: "arithmetic",
    prompt: `What is ${question}?`,
    metadata: { answer: String(result(steps.at(-1)!)) },
    answer: (author, stream) => writeSolution(steps, author, stream),
  };
}

/** A bare fact for the pre-training corpus, so that a held-out question is about known numbers. */
export function drawFact(random: RandomStream): string {
  const step = random.uniform() < 0.7 ? drawStep(random) : drawSecondStep(random.integer(50), random);
  return `${step.a} ${step.operator} ${step.b} is ${result(step)}.`;
}
