// Work that depends on other work, several pieces at a time.

export interface Node {
  name: string;
  /** Names of the pieces that must be finished first. */
  after: readonly string[];
}

export interface GraphOptions {
  /** Pieces at a time. */
  lanes: number;
  signal?: AbortSignal | undefined;
}

/**
 * Runs every node once those it comes after are done; of the ready ones first those that most others wait for. When one
 * fails, or `signal` aborts, nothing more is begun, the running ones are told through their signal and waited for, and
 * the first failure is thrown.
 */
export async function runGraph<N extends Node>(
  nodes: readonly N[],
  { lanes, signal }: GraphOptions,
  run: (node: N, stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);
  const dependents = ({ name }: N) => nodes.filter(({ after }) => after.includes(name)).length;
  const waiting = [...nodes].sort((a, b) => dependents(b) - dependents(a));
  const done = new Set<string>();
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const begin = (node: N): void => {
    const work = run(node, either)
      .then(
        () => void done.add(node.name),
        (error: unknown) => {
          failures.push(error);
          stop.abort();
        },
      )
      .finally(() => running.delete(work));
    running.add(work);
  };
  for (;;) {
    while (running.size < lanes && !either.aborted) {
      const ready = waiting.findIndex(({ after }) => after.every((name) => done.has(name)));
      if (ready < 0) break;
      begin(waiting.splice(ready, 1)[0]!);
    }
    if (running.size === 0) break;
    await Promise.race(running);
  }
  if (failures.length > 0) throw failures[0];
  if (waiting.length > 0 && !either.aborted)
    throw new Error(`these wait for each other or for what there is not: ${waiting.map(({ name }) => name)}`);
}
