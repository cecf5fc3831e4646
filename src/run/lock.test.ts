import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Lock } from "./lock.js";

let root: string;
let racers: ChildProcess[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-lock-"));
  const file = join(import.meta.dirname, "../../test/support/lock-racer.ts");
  const execArgv = ["--import", import.meta.resolve("tsx")];
  racers = Array.from({ length: 4 }, () => fork(file, { execArgv }));
});
afterAll(async () => {
  for (const racer of racers) racer.disconnect();
  await rm(root, { recursive: true, force: true });
});

async function ask(message: object): Promise<string[]> {
  return Promise.all(
    racers.map(async (racer) => {
      const reply = once(racer, "message");
      racer.send(message);
      return String((await reply)[0]);
    }),
  );
}

describe("Lock", () => {
  it("is won by one of four processes in 200 races, whatever lies there", async () => {
    const path = join(root, "lock");
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    const stale = (id: string) => JSON.stringify({ pid: dead, host: hostname(), started: null, id });
    await ask({ release: true });
    for (let race = 0; race < 200; race++) {
      // Nothing; a dead process's lock; one whose remover died as well.
      if (race % 3 > 0) await writeFile(path, stale(`lock-${race}`));
      if (race % 3 > 1) await writeFile(`${path}.lock-${race}`, stale(`guard-${race}`));
      const outcomes = await ask({ path, at: Date.now() + 3 });
      const lost = outcomes.filter((outcome) => outcome !== "won");
      expect(lost, `race ${race}: ${outcomes.join("; ")}`).toHaveLength(3);
      for (const sentence of lost)
        expect(sentence).toMatch(/^it is in use by (process \d+ on|another process)/);
      await ask({ release: true });
      expect(await readdir(root)).toEqual([]);
    }
  });

  it("that names nobody is not taken for a stale one", async () => {
    const path = join(root, "lock");
    await writeFile(path, "");
    await expect(Lock.take(path, "it")).rejects.toThrow(
      /it is in use, but its lock does not say by whom; delete/,
    );
    await rm(path);
  });
});
