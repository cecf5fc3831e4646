// Questions at the terminal, on stderr: stdout is the result's.

import { createInterface } from "node:readline/promises";
import { UserError } from "../base/errors.js";

/** Asks; `flag` is what says the same without a question. An empty answer is `assumed`. */
export type Prompter = ((question: string, flag: string, assumed?: string) => Promise<string>) & {
  close(): void;
};

/** `silent`: nothing is asked, what is assumed is taken. Nothing can be asked where there is no terminal either. */
export function prompter({ silent }: { silent: boolean }): Prompter {
  let lines: ReturnType<typeof createInterface> | undefined;
  const ask = async (question: string, flag: string, assumed?: string): Promise<string> => {
    if (silent || !process.stdin.isTTY) {
      if (assumed !== undefined) return assumed;
      throw new UserError(`give ${flag}: nobody can be asked here`);
    }
    lines ??= createInterface({ input: process.stdin, output: process.stderr });
    for (;;) {
      const answer = (await lines.question(`${question}${assumed ? ` [${assumed}]` : ""}: `)).trim();
      if (answer !== "") return answer;
      if (assumed !== undefined) return assumed;
    }
  };
  return Object.assign(ask, { close: () => lines?.close() });
}
