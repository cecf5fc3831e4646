// HTTP to the Hub as a stranger's server deserves it: every answer has a deadline and a size, what is packed is refused
// where bytes are counted, and the token goes to the Hub's own host alone.

import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../base/errors.js";

export interface FetchLimits {
  /** Of one answer's body, unpacked. */
  maxBytes: number;
  /** Until the head of an answer, between two pieces of its body, and for every 1,000 bytes a second of it. Default 60. */
  idleSeconds?: number;
  /** For a whole answer. Default: none. */
  seconds?: number;
  /** Requests in all. Default: no limit. */
  maxRequests?: number;
}

const MAX_REFUSAL_BYTES = 2 ** 16;

/** Of a body, over as long as a server may say nothing: a byte now and then is silence too. */
const LEAST_BYTES_A_SECOND = 1000;

/** A `fetch` for requests to `hubUrl` and to wherever it sends them. */
export function hubFetch(hubUrl: string, limits: FetchLimits): typeof fetch {
  const { idleSeconds = 60, seconds, maxRequests = Number.POSITIVE_INFINITY } = limits;
  let requests = 0;
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (++requests > maxRequests)
      throw new UserError(`${hubUrl} answers without end (${maxRequests} pages were read).`);
    const headers = new Headers(init.headers);
    // A page that follows may be named by anybody.
    if (url.origin !== new URL(hubUrl).origin) headers.delete("authorization");
    headers.set("accept-encoding", "identity");
    const controller = new AbortController();
    const end = seconds === undefined ? undefined : deadline(controller, seconds, "was not finished");
    const head = deadline(controller, idleSeconds, "did not answer");
    try {
      const response = await fetch(url, { ...init, headers, signal: controller.signal });
      const { body } = response;
      if (!body) clearTimeout(end);
      // What a refusal says is no file.
      const maxBytes = response.ok ? limits.maxBytes : MAX_REFUSAL_BYTES;
      return body ? withBody(response, bounded(body, { maxBytes, idleSeconds, controller, end })) : response;
    } catch (error) {
      clearTimeout(end);
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      clearTimeout(head);
    }
  };
}

function deadline(controller: AbortController, seconds: number, what: string): NodeJS.Timeout {
  const timer = setTimeout(
    () => controller.abort(new Error(`the server ${what} in ${seconds} s`)),
    1000 * seconds,
  );
  timer.unref();
  return timer;
}

interface Bounds {
  maxBytes: number;
  idleSeconds: number;
  controller: AbortController;
  end: NodeJS.Timeout | undefined;
}

/** The bytes of `body`, until they are too many or too slow. */
function bounded(
  body: ReadableStream<Uint8Array>,
  { maxBytes, idleSeconds, controller, end }: Bounds,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let size = 0;
  /** Since the rate was last looked at: seconds waited, bytes that came. */
  let [waited, came] = [0, 0];
  const stop = async (error: Error): Promise<never> => {
    clearTimeout(end);
    controller.abort(error);
    await reader.cancel(error).catch(() => {});
    throw error;
  };
  return new ReadableStream<Uint8Array>({
    async pull(sink) {
      const silence = new AbortController();
      const asked = performance.now();
      const next = reader.read();
      next.catch(() => {});
      const slow = delay(1000 * idleSeconds, "slow" as const, { signal: silence.signal, ref: false });
      slow.catch(() => {});
      const got = await Promise.race([next, slow]).catch((error: unknown) => {
        throw controller.signal.aborted ? controller.signal.reason : error;
      });
      silence.abort();
      if (got === "slow") return stop(new Error(`the server sent nothing for ${idleSeconds} s`));
      if (got.done) {
        clearTimeout(end);
        sink.close();
        return;
      }
      waited += (performance.now() - asked) / 1000;
      came += got.value.length;
      if (waited >= idleSeconds) {
        if (came < LEAST_BYTES_A_SECOND * waited)
          return stop(new Error(`the server sent ${came} bytes in ${waited.toFixed(0)} s`));
        [waited, came] = [0, 0];
      }
      size += got.value.length;
      if (size > maxBytes)
        return stop(new UserError(`The server sends more than the ${maxBytes} bytes that are due.`));
      sink.enqueue(got.value);
    },
    cancel: (reason) => {
      clearTimeout(end);
      return reader.cancel(reason);
    },
  });
}

/** `response` with another body; a Response that one makes has lost its address. */
function withBody(response: Response, body: ReadableStream<Uint8Array>): Response {
  const { status, statusText, headers, url, redirected } = response;
  const made = new Response(body, { status, statusText, headers });
  Object.defineProperties(made, { url: { value: url }, redirected: { value: redirected } });
  return made;
}
