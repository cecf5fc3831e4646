// Work whose parts do not wait for each other, such as requests to a service.

import { setMaxListeners } from "node:events";

/**
 * Starts work side by side and gives its results in order. When a part fails, the signal that the parts were started with
 * aborts with its error, and the others are waited for: nothing goes on behind work that failed. `also` takes what parts
 * consist of, so that it is waited for too.
 */
export async function together<T extends readonly unknown[]>(
  start: (
    signal: AbortSignal,
    also: <P>(piece: Promise<P>) => Promise<P>,
  ) => { readonly [K in keyof T]: Promise<T[K]> },
  signal?: AbortSignal,
): Promise<T> {
  const failed = new AbortController();
  const any = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  // Every request that is under way listens to it.
  setMaxListeners(0, any);
  const pieces: Promise<unknown>[] = [];
  const also = <P>(piece: Promise<P>): Promise<P> => {
    piece.catch((error: unknown) => failed.abort(error));
    pieces.push(piece);
    return piece;
  };
  const parts = start(any, also);
  for (const part of parts) part.catch((error: unknown) => failed.abort(error));
  const results = await Promise.allSettled(parts);
  // Pieces may have had pieces of their own meanwhile.
  for (let seen = 0; seen < pieces.length; ) {
    seen = pieces.length;
    await Promise.allSettled(pieces);
  }
  if (failed.signal.aborted) throw failed.signal.reason;
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as unknown as T;
}
