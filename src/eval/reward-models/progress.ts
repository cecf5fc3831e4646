// Progress of work that tells how much of a whole is done.

import type { Reporter } from "../../run/context.js";

/** Shows parts of a whole as percent; begins with the first call. */
export function percentOf(reporter: Reporter, label: string) {
  let begun = false;
  return (done: number, total: number): void => {
    if (!begun) reporter.begin(label, 100);
    begun = true;
    reporter.step(Math.floor((100 * done) / total));
  };
}
