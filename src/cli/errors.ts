// Errors as the person at the terminal sees them.

import { explainDiskError } from "../base/atomic.js";
import { NonFiniteError, UserError } from "../base/errors.js";
import { redact } from "../base/secrets.js";
import { JudgeFailureError } from "../judges/mixture.js";
import { InterruptedError } from "../run/context.js";

export interface Explanation {
  message: string;
  exitCode: number;
}

/** One sentence for what a person can act on; anything else is a bug, said as such. Keys of servers are in neither. */
export function explainError(thrown: unknown, debug = Boolean(process.env.TOUCHSTONE_DEBUG)): Explanation {
  const { message, exitCode } = explain(thrown, debug);
  return { message: redact(message), exitCode };
}

function explain(thrown: unknown, debug: boolean): Explanation {
  const path = (thrown as NodeJS.ErrnoException | undefined)?.path ?? "a file";
  const error = explainDiskError(thrown, path);
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  const sentence = error instanceof Error ? error.message : String(error);
  if (error instanceof InterruptedError) return { message: sentence, exitCode: 130 };
  const isActionable = [UserError, NonFiniteError, JudgeFailureError].some((kind) => error instanceof kind);
  if (isActionable) return { message: debug ? `${sentence}\n${stack}` : sentence, exitCode: 2 };
  const report = debug
    ? stack
    : "this is a bug in Touchstone; please report it with the command, its recipe, the output of `touchstone doctor`\n" +
      "and the stack that TOUCHSTONE_DEBUG=1 shows";
  return { message: `internal error: ${sentence}\n${report}`, exitCode: 1 };
}
