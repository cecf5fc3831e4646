// Waiting for many sampling requests by one request instead of one each, on services that offer it (retrieve_futures): a
// long poll says which requests of a sampling session are done since the last one.

import { setTimeout as delay } from "node:timers/promises";
import { within } from "../../base/requests.js";
import { ServiceError, type TinkerClient } from "./client.js";

/** Statuses by which a service says that it has no such route after all. */
const notOffered = new Set([404, 405, 501]);

export class SessionFutures {
  private readonly waiting = new Map<string, { done: () => void; fail: (error: unknown) => void }>();
  /** Done before anybody waited: the reply to a request may be later than its result. */
  private readonly done = new Set<string>();
  private cursor: unknown = 0;
  private isPolling = false;
  private isOffered = true;
  /** Ends the poll that nobody waits for any more. */
  private unwanted = new AbortController();

  constructor(
    private readonly client: TinkerClient,
    private readonly samplingSession: string,
  ) {}

  /** Waits until a request has a result, a failure among them; its result is there for the asking. */
  async finished(id: string, signal?: AbortSignal): Promise<void> {
    if (!this.isOffered || this.done.delete(id)) return;
    const end = new Promise<void>((done, fail) => this.waiting.set(id, { done, fail }));
    if (!this.isPolling) void this.poll();
    try {
      await within(this.client.resultSeconds, () => end, signal);
    } finally {
      this.waiting.delete(id);
      if (this.waiting.size === 0) this.unwanted.abort();
    }
  }

  private async poll(): Promise<void> {
    this.isPolling = true;
    this.unwanted = new AbortController();
    try {
      for (let empty = 0; this.waiting.size > 0; ) {
        const finished = await this.ask();
        for (const id of finished) {
          const waiting = this.waiting.get(id);
          if (waiting) waiting.done();
          else this.done.add(id);
          this.waiting.delete(id);
        }
        empty = finished.length > 0 ? 0 : empty + 1;
        // Where the service does not wait, this side does.
        if (empty > 1) await delay(Math.min(20 * 2 ** empty, 1000));
      }
    } catch (error) {
      this.isOffered = !(error instanceof ServiceError && notOffered.has(error.status ?? 0));
      for (const { done, fail } of this.waiting.values())
        if (this.isOffered) fail(error);
        else done();
      this.waiting.clear();
    } finally {
      this.isPolling = false;
    }
  }

  /** Requests that were done since the last time. */
  private async ask(): Promise<string[]> {
    const target = {
      type: "sampling_session",
      sampling_session_id: this.samplingSession,
      cloned_sampler_id: 0,
    };
    const body = { target, prev_cursor: this.cursor };
    const reply = await this.client.poll("retrieve_futures", body, this.unwanted.signal);
    if (!reply) return [];
    const { completions, cursor } = reply;
    if (!Array.isArray(completions))
      throw this.client.failure("retrieve_futures", "its reply has no list of completions");
    this.cursor = cursor;
    return completions.flatMap(({ request_id: id }: { request_id?: unknown }) =>
      typeof id === "string" || typeof id === "number" ? [String(id)] : [],
    );
  }
}
