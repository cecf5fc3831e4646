// What surrounds a chat client in a run: it bounds concurrency, counts calls, tokens and money, keeps to a budget, and with
// a log remembers what was said, so that a resumed run asks nothing twice and a replayed one asks nothing at all.

import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync } from "node:fs";
import { dirname } from "node:path";
import { explainDiskError } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import {
  BudgetError,
  type ChatClient,
  ChatError,
  type ChatReply,
  type ChatRequest,
  endsRun,
  ReplayError,
} from "./client.js";

export interface ChatUsage {
  /** Requests. With a log, equal requests that were answered count once. */
  calls: number;
  /** Of these, how many came to nothing. */
  failed: number;
  /** Of these, how many were answered from the log of an interrupted or replayed run. */
  recovered: number;
  /** Further requests, equal to earlier ones of the run and answered like them. */
  repeated: number;
  promptTokens: number;
  completionTokens: number;
  /** In the currency of `prices`. */
  cost: number;
}

const noUsage = (): ChatUsage => ({
  calls: 0,
  failed: 0,
  recovered: 0,
  repeated: 0,
  promptTokens: 0,
  completionTokens: 0,
  cost: 0,
});

/** What was used between two readings of `usage()`. */
export function usageSince(now: ChatUsage, before: ChatUsage): ChatUsage {
  const keys = Object.keys(now) as (keyof ChatUsage)[];
  return Object.fromEntries(keys.map((key) => [key, now[key] - before[key]])) as unknown as ChatUsage;
}

export interface RecordedOptions {
  /** Requests under way at the same time. */
  concurrency?: number;
  /** Checked before each call, so that calls already under way may pass a bound on tokens or cost. */
  budget?: { calls?: number; tokens?: number; cost?: number };
  /** Per million tokens. */
  prices?: { prompt: number; completion: number };
  /** JSONL file of requests and replies: what it holds is not asked again, what is asked is added. Opened by the first call. */
  log?: string;
  /** The log of another run that answers everything; no server is asked. */
  replay?: string;
}

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

type Outcome = { reply: ChatReply } | { error: string };
type LogEntry = { key: string; tag?: string; request: unknown } & Outcome;

export class RecordedClient implements ChatClient {
  private readonly used = noUsage();
  /** Calls, tokens and cost that an interrupted run had used at its checkpoint. */
  private readonly usedBefore = noUsage();
  private readonly replies = new Map<string, Promise<ChatReply>>();
  /** Outcomes that a log holds and this run has not asked for yet, by request in their order. */
  private readonly recorded = new Map<string, Outcome[]>();
  private isOpen = false;
  private entries = 0;
  private entriesBefore = 0;
  private readonly limit: ReturnType<typeof limiter>;

  constructor(
    private readonly inner: ChatClient,
    private readonly options: RecordedOptions = {},
  ) {
    this.limit = limiter(options.concurrency ?? 8);
  }

  /** Totals since the client was made. */
  usage(): ChatUsage {
    return { ...this.used };
  }

  /** Entries of the log, for a checkpoint; no call may be under way. */
  position(): number {
    return this.isOpen ? this.entries : this.entriesBefore;
  }

  /** Continues from a checkpoint: later entries of the log were made by calls that are now made again. */
  restore(position: number): void {
    this.entriesBefore = position;
  }

  chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    const { log, replay } = this.options;
    if (log === undefined && replay === undefined) return this.ask(request, signal);
    this.open();
    const key = requestKey(request);
    const known = this.replies.get(key);
    if (known) {
      this.used.repeated++;
      return known;
    }
    const reply = this.fromLog(key, request) ?? this.fromModel(key, request, signal);
    this.replies.set(key, reply);
    // What failed may be asked again later.
    reply.catch(() => this.replies.delete(key));
    return reply;
  }

  /** The outcome that a log holds. */
  private fromLog(key: string, request: ChatRequest): Promise<ChatReply> | undefined {
    const outcome = this.recorded.get(key)?.shift();
    if (outcome === undefined) return undefined;
    this.used.calls++;
    this.used.recovered++;
    if (this.options.replay !== undefined) this.append(key, request, outcome);
    return this.settled(outcome);
  }

  private async fromModel(key: string, request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    if (this.options.replay !== undefined) {
      const what = request.tag === undefined ? "" : ` (${request.tag})`;
      throw new ReplayError(
        `the log ${this.options.replay} holds no reply to a request of this run${what}; replay needs the same recipe, seed and version`,
      );
    }
    try {
      const reply = await this.ask(request, signal);
      this.append(key, request, { reply });
      return reply;
    } catch (error) {
      if (!endsRun(error) && !signal?.aborted) this.append(key, request, { error: (error as Error).message });
      throw error;
    }
  }

  private ask(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    return this.limit(async () => {
      signal?.throwIfAborted();
      this.checkBudget();
      this.used.calls++;
      try {
        const reply = await this.inner.chat(request, signal);
        this.account(this.used, reply);
        return reply;
      } catch (error) {
        this.used.failed++;
        throw error;
      }
    });
  }

  private async settled(outcome: Outcome): Promise<ChatReply> {
    if ("error" in outcome) {
      this.used.failed++;
      throw new ChatError(outcome.error);
    }
    this.account(this.used, outcome.reply);
    return outcome.reply;
  }

  private account(usage: ChatUsage, { promptTokens, completionTokens }: ChatReply): void {
    const { prompt = 0, completion = 0 } = this.options.prices ?? {};
    usage.promptTokens += promptTokens;
    usage.completionTokens += completionTokens;
    usage.cost += (promptTokens * prompt + completionTokens * completion) / 1e6;
  }

  private checkBudget(): void {
    const { calls = Infinity, tokens = Infinity, cost = Infinity } = this.options.budget ?? {};
    const total = (of: keyof ChatUsage) => this.used[of] + this.usedBefore[of];
    if (total("calls") >= calls) throw new BudgetError(`the budget of ${calls} calls is used up`);
    if (total("promptTokens") + total("completionTokens") >= tokens)
      throw new BudgetError(`the budget of ${tokens} tokens is used up`);
    if (total("cost") >= cost) throw new BudgetError(`the budget of ${cost} (cost) is used up`);
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const { log, replay } = this.options;
    const own = log !== undefined && existsSync(log) ? readLog(log) : [];
    this.entries = own.length;
    if (log !== undefined) mkdirSync(dirname(log), { recursive: true });
    const before = own.slice(0, this.entriesBefore);
    for (const entry of before) {
      this.usedBefore.calls++;
      if (!("reply" in entry)) continue;
      this.account(this.usedBefore, entry.reply);
      this.replies.set(entry.key, Promise.resolve(entry.reply));
    }
    // A run that goes on asks again what had failed; a replayed one fails again.
    const open = own.slice(this.entriesBefore).filter((entry) => "reply" in entry);
    for (const entry of replay === undefined ? open : replayed(replay, before)) {
      const outcomes = this.recorded.get(entry.key);
      if (outcomes) outcomes.push(entry);
      else this.recorded.set(entry.key, [entry]);
    }
  }

  private append(key: string, { tag, ...request }: ChatRequest, outcome: Outcome): void {
    const { log } = this.options;
    if (log === undefined) return;
    const { reply, error } = { reply: undefined, error: undefined, ...outcome };
    const entry = { key, tag, request, reply, error };
    try {
      appendFileSync(log, `${JSON.stringify(entry)}\n`);
    } catch (error) {
      throw explainDiskError(error, log);
    }
    this.entries++;
  }
}

/** Entries of the log of another run, less those that this run had used at its checkpoint. */
function replayed(path: string, before: readonly LogEntry[]): LogEntry[] {
  if (!existsSync(path)) throw new UserError(`there is no log ${path} to replay`);
  const used = new Map<string, number>();
  for (const { key } of before) used.set(key, (used.get(key) ?? 0) + 1);
  return readLog(path).filter(({ key }) => {
    const left = used.get(key) ?? 0;
    if (left > 0) used.set(key, left - 1);
    return left === 0;
  });
}

/** Identifies a request: everything that is sent, and the tag. */
export function requestKey(request: ChatRequest): string {
  const { model, messages, temperature = 0, seed, maxTokens, stop, json, tag } = request;
  const turns = messages.map(({ role, content }) => [role, content]);
  const rest = [seed, maxTokens, stop, json, tag].map((part) => part ?? null);
  return createHash("sha256")
    .update(JSON.stringify([model, turns, temperature, ...rest]))
    .digest("hex");
}

/** Entries of a log. A last line that a kill cut short is cut off the file, so that the next one starts a line. */
function readLog(path: string): LogEntry[] {
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole));
  return whole
    .split("\n")
    .slice(0, -1)
    .map((line, i) => {
      try {
        return JSON.parse(line) as LogEntry;
      } catch {
        throw new UserError(`${path}, line ${i + 1}: this is not a line of a request log`);
      }
    });
}
