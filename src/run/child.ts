// Work in a process of its own: one job, messages on the way, one result. Errors come back as what they were, and the
// process ends with the one that started it.

import { fork } from "node:child_process";
import { NonFiniteError, UserError } from "../base/errors.js";
import { endingSignals, ownGroup } from "../base/platform.js";
import { endsItself, InterruptedError, patientController } from "./context.js";

const errorKinds = [UserError, NonFiniteError, InterruptedError];

type FromChild<Message, Result> =
  | { message: Message }
  | { result: Result }
  | { error: { kind: number; text: string; stack?: string } };

/** Asks a job to stop; a job is an object. */
const STOP = "stop";

export interface ChildOptions<Message> {
  /** For messages: "reward model 2 of 4". */
  name: string;
  onMessage: (message: Message) => void;
  /** Aborting it asks the job to stop. */
  signal: AbortSignal;
}

/** Sends `job` to a new process of `file`, whose module calls `serveJob`, and waits for its result. */
export function runInChild<Job, Message, Result>(
  file: string,
  job: Job,
  { name, onMessage, signal }: ChildOptions<Message>,
): Promise<Result> {
  // In a group of its own, where there are such: Ctrl-C reaches it through us, once.
  const child = fork(file, [], {
    ...ownGroup(),
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  // By a message: on Windows a signal would end it at once.
  const onAbort = () => child.connected && child.send(STOP, () => {});
  signal.addEventListener("abort", onAbort);
  const done = new Promise<Result>((resolve, reject) => {
    let settle = (end: string): void =>
      reject(
        new UserError(
          `${name}: its process ended without a result (${end}); if memory ran out, use fewer processes; continue with --resume`,
        ),
      );
    child.on("message", (sent: FromChild<Message, Result>) => {
      if ("message" in sent) onMessage(sent.message);
      else if ("result" in sent) settle = () => resolve(sent.result);
      else settle = () => reject(revive(name, sent.error));
    });
    child.on("error", reject);
    child.on("exit", (code, killedBy) => settle(killedBy ?? `exit code ${code}`));
    // A process that ends at once has its own event.
    child.send(job as object, () => {});
  });
  return endsItself(() => done).finally(() => signal.removeEventListener("abort", onAbort));
}

function revive(name: string, { kind, text, stack }: { kind: number; text: string; stack?: string }): Error {
  const error = new (errorKinds[kind] ?? Error)(`${name}: ${text}`);
  if (stack) error.stack = stack;
  return error;
}

/** The other side: takes the job of this process, and ends the process with it. */
export function serveJob<Job, Message, Result>(
  work: (job: Job, tell: (message: Message) => void, signal: AbortSignal) => Promise<Result>,
): void {
  const controller = patientController();
  // A supervisor may tell every process of ours; each saves, whoever is first.
  for (const name of endingSignals()) process.on(name, () => controller.abort());
  process.on("disconnect", () => process.exit(1));
  const send = (message: FromChild<Message, Result>) =>
    new Promise<void>((resolve) => process.send!(message, () => resolve()));
  process.on("message", async (job: Job | typeof STOP) => {
    if (job === STOP) return controller.abort();
    try {
      await send({ result: await work(job, (message) => void send({ message }), controller.signal) });
      process.exit(0);
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      const kind = errorKinds.findIndex((one) => error instanceof one);
      await send({ error: { kind, text: error.message, stack: error.stack } });
      process.exit(1);
    }
  });
}
