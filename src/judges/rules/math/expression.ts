// Mathematical expressions as trees.

/** An exact fraction in lowest terms, denominator positive. */
export interface Rational {
  n: bigint;
  d: bigint;
}

export interface Complex {
  re: number;
  im: number;
}

export type Expression =
  | { kind: "number"; value: Rational }
  | { kind: "constant"; value: Complex }
  | { kind: "variable"; name: string }
  | { kind: "call"; name: string; args: readonly Expression[] };

export function variablesOf(expression: Expression, into = new Set<string>()): Set<string> {
  if (expression.kind === "variable") into.add(expression.name);
  if (expression.kind === "call") for (const arg of expression.args) variablesOf(arg, into);
  return into;
}
