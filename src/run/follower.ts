// Who sees what a run writes about itself while it writes it. Nothing of a run depends on a follower.

import type { Ending } from "./ending.js";
import type { Metrics, Rollout } from "./metrics.js";

/** No method throws, and only `end` takes time. */
export interface RunFollower {
  /** Samples of a step, which are written before its metrics are. */
  rollouts(rows: readonly Rollout[]): void;
  metrics(step: number, metrics: Metrics): void;
  /** This process writes no more. */
  end(how: "finished" | Ending["how"]): Promise<void>;
}
