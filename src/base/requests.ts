// What every client of a remote service needs: bounded concurrency, which failures pass, and how long a server asks to
// wait.

/** Lets `limit` tasks run at the same time, the others wait in order. */
export function limiter(limit: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await task();
    } finally {
      // The slot goes to the next in line without being freed in between.
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

/** Whether the same request may succeed later. Lost connections, timeouts and unreadable replies have no status. */
export const isTransient = (status: number | undefined): boolean =>
  status === undefined || status === 408 || status === 409 || status === 429 || status >= 500;

/** Seconds that a Retry-After header asks for: a number, or a date. */
export function retryAfterSeconds(header: string | null | undefined, now = Date.now()): number | undefined {
  if (!header) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(seconds, 0);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max((date - now) / 1000, 0);
}

/** Whether this is the address of OpenAI's own service. */
export const isOpenAI = (baseUrl: string): boolean =>
  URL.canParse(baseUrl) && new URL(baseUrl).hostname === "api.openai.com";

/** The key for a server: a key that nobody named for it goes to nobody but its own service. */
export function apiKeyFor(baseUrl: string, variable?: string): string | undefined {
  const named = variable ?? (isOpenAI(baseUrl) ? "OPENAI_API_KEY" : undefined);
  return named === undefined ? undefined : process.env[named];
}

/** What `work` gives. When it has given nothing in time, or `signal` aborts, nobody waits for it any longer. */
export async function within<T>(
  seconds: number,
  work: () => T | Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  let giveUp = (_: unknown): void => {};
  const end = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  const late = () => giveUp(new Error(`there was no answer within ${seconds} s`));
  const timer = setTimeout(late, 1000 * seconds);
  const stop = () => giveUp(signal!.reason);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work(), end]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
