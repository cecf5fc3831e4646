// What ends a command from outside: Ctrl-C, a supervisor's SIGTERM, a closed terminal's SIGHUP. The first lets a loop save
// what it has; what has nothing to save ends soon in any case. A second Ctrl-C or SIGTERM ends at once.

import { endingSignals } from "../base/platform.js";
import { isSaving, patientController } from "../run/context.js";

/** Of a command that was stopped, by whichever signal. */
export const INTERRUPTED = 130;

/** Seconds in which what has nothing to save may end by itself, with a sentence of its own. */
const GRACE_SECONDS = 2;

let controller = patientController();

/** Aborted by the first signal of the command that runs. */
export const interruption = (): AbortSignal => controller.signal;

/** Begins to listen, for one command; the result ends that. */
export function listenForSignals(): () => void {
  controller = patientController();
  const mine = controller;
  let watch: NodeJS.Timeout | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (!mine.signal.aborted) {
      watch = endUnlessSaving();
      mine.abort();
    } else if (name !== "SIGHUP") {
      // A SIGHUP is no second wish: supervisors send one right behind SIGTERM.
      process.exit(INTERRUPTED);
    }
  };
  for (const name of endingSignals()) process.on(name, onSignal);
  return () => {
    for (const name of endingSignals()) process.off(name, onSignal);
    clearInterval(watch);
  };
}

/** Ends the process once nothing has been saving for as long as the grace lasts. */
function endUnlessSaving(): NodeJS.Timeout {
  let last = performance.now();
  return setInterval(() => {
    if (isSaving()) last = performance.now();
    if (performance.now() - last < 1000 * GRACE_SECONDS) return;
    process.stderr.write("\ntouchstone: stopped\n");
    process.exit(INTERRUPTED);
  }, 50);
}
