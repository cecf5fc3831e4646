// A process of lock.test.ts: at the moment that it is told it takes the lock that it is told, says whether it won, and
// gives it back when asked to.

import { Lock } from "../../src/run/lock.js";

let held: Lock | undefined;
process.on("message", async ({ path, at, release }: { path?: string; at?: number; release?: true }) => {
  if (release) {
    await held?.release();
    held = undefined;
    process.send!("released");
    return;
  }
  while (Date.now() < at!);
  try {
    held = await Lock.take(path!, "it");
    process.send!("won");
  } catch (error) {
    process.send!((error as Error).message);
  }
});
process.on("disconnect", () => process.exit());
