// What surrounds a chat client in a run: it bounds concurrency, counts calls, tokens and money, keeps to a budget, and with
// a log remembers what was said, so that a resumed run asks nothing twice and a replayed one asks nothing at all.

import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { explainDiskError } from "../base/atomic.js";
import { limiter } from "../base/requests.js";
import {
  BudgetError,
  type ChatClient,
  ChatError,
  type ChatReply,
  type ChatRequest,
  LogError,
  type Paid,
  ReplayError,
} from "./types.js";

interface Count {
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
}

export interface ChatUsage extends Count {
  /** In the currency of `prices`. */
  cost: number;
}

const noCount = (): Count => ({
  calls: 0,
  failed: 0,
  recovered: 0,
  repeated: 0,
  promptTokens: 0,
  completionTokens: 0,
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

/** A view of a client that counts what goes through it. */
export interface ChatMeter extends ChatClient {
  usage(): ChatUsage;
}

/** A failure says what it cost, where it cost something. */
type Outcome = { reply: ChatReply } | { error: string; paid?: Paid };
type LogEntry = { key: string; tag?: string; request: ChatRequest } & Outcome;

export class RecordedClient implements ChatClient {
  private readonly used = noCount();
  /** What an interrupted run had used at its checkpoint. */
  private readonly usedBefore = noCount();
  private readonly replies = new Map<string, Promise<ChatReply>>();
  /** Outcomes that a log holds and this run has not asked for yet, by request in their order. */
  private readonly recorded = new Map<string, Outcome[]>();
  private isOpen = false;
  /** While true, requests are no part of the run: neither logged, nor counted, nor remembered. */
  isAside = false;
  private entries = 0;
  private entriesBefore = 0;
  private readonly limit: ReturnType<typeof limiter>;

  constructor(
    private readonly inner: ChatClient,
    private readonly options: RecordedOptions = {},
  ) {
    this.limit = limiter(this.concurrency);
  }

  /** Requests under way at the same time. */
  get concurrency(): number {
    return this.options.concurrency ?? 8;
  }

  /** Totals since the client was made. */
  usage(): ChatUsage {
    return this.priced(this.used);
  }

  /** The same client for one of its users, with a count of its own. */
  meter(): ChatMeter {
    const count = noCount();
    return {
      chat: (request, signal) => this.send(request, count, signal),
      usage: () => this.priced(count),
    };
  }

  /** Entries of the log that the run has come to, for a checkpoint; no call may be under way. */
  position(): number {
    if (!this.isOpen) return this.entriesBefore;
    const { log, replay } = this.options;
    if (log === undefined || replay !== undefined) return this.entries;
    const left = new Map([...this.recorded].map(([key, { length }]) => [key, length]));
    const count = [...left.values()].reduce((sum, n) => sum + n, 0);
    if (count > 0) moveToEnd(log, left);
    return this.entries - count;
  }

  /** Continues from a checkpoint: later entries of the log were made by calls that are now made again. */
  restore(position: number): void {
    this.entriesBefore = position;
  }

  chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    return this.send(request, noCount(), signal);
  }

  private send(request: ChatRequest, meter: Count, signal?: AbortSignal): Promise<ChatReply> {
    const { log, replay } = this.options;
    if (this.isAside)
      return this.limit(async () => {
        signal?.throwIfAborted();
        return await this.inner.chat(request, signal);
      });
    if (log === undefined && replay === undefined) return this.ask(request, meter, signal);
    this.open();
    const key = requestKey(request);
    const known = this.replies.get(key);
    if (known) {
      this.count(meter, { repeated: 1 });
      return known;
    }
    const reply = this.fromLog(key, request, meter) ?? this.fromModel(key, request, meter, signal);
    this.replies.set(key, reply);
    // What failed may be asked again later.
    reply.catch(() => this.replies.delete(key));
    return reply;
  }

  /** The outcome that a log holds. */
  private fromLog(key: string, request: ChatRequest, meter: Count): Promise<ChatReply> | undefined {
    const outcome = this.recorded.get(key)?.shift();
    if (outcome === undefined) return undefined;
    this.count(meter, { calls: 1, recovered: 1 });
    if (this.options.replay !== undefined) this.append(key, request, outcome);
    if ("reply" in outcome) this.inner.learn?.(request, outcome.reply);
    return this.settled(outcome, meter);
  }

  private async settled(outcome: Outcome, meter: Count): Promise<ChatReply> {
    if ("error" in outcome) {
      this.count(meter, { failed: 1, ...tokensOf(outcome.paid) });
      throw new ChatError(outcome.error, outcome.paid);
    }
    this.count(meter, tokensOf(outcome.reply));
    return outcome.reply;
  }

  private async fromModel(
    key: string,
    request: ChatRequest,
    meter: Count,
    signal?: AbortSignal,
  ): Promise<ChatReply> {
    if (this.options.replay !== undefined) {
      const what = request.tag === undefined ? "" : ` (${request.tag})`;
      throw new ReplayError(
        `the log ${this.options.replay} holds no reply to a request of this run${what}; replay needs the same recipe, seed and version`,
      );
    }
    try {
      const reply = await this.ask(request, meter, signal);
      this.append(key, request, { reply });
      return reply;
    } catch (error) {
      if (error instanceof ChatError && !signal?.aborted) this.append(key, request, failureOf(error));
      throw error;
    }
  }

  private ask(request: ChatRequest, meter: Count, signal?: AbortSignal): Promise<ChatReply> {
    return this.limit(async () => {
      signal?.throwIfAborted();
      this.checkBudget();
      this.count(meter, { calls: 1 });
      try {
        const reply = await this.inner.chat(request, signal);
        this.count(meter, tokensOf(reply));
        return reply;
      } catch (error) {
        this.count(meter, { failed: 1, ...(error instanceof ChatError && tokensOf(error.paid)) });
        throw error;
      }
    });
  }

  private count(meter: Count, part: Partial<Count>): void {
    for (const total of [this.used, meter]) add(total, part);
  }

  private priced(count: Count): ChatUsage {
    const { prompt = 0, completion = 0 } = this.options.prices ?? {};
    const cost = (count.promptTokens * prompt + count.completionTokens * completion) / 1e6;
    return { ...count, cost };
  }

  private checkBudget(): void {
    const { calls = Infinity, tokens = Infinity, cost = Infinity } = this.options.budget ?? {};
    const total = { ...this.used };
    add(total, this.usedBefore);
    if (total.calls >= calls) throw new BudgetError(`the budget of ${calls} calls is used up`);
    if (total.promptTokens + total.completionTokens >= tokens)
      throw new BudgetError(`the budget of ${tokens} tokens is used up`);
    if (this.priced(total).cost >= cost) throw new BudgetError(`the budget of ${cost} (cost) is used up`);
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    const { log, replay } = this.options;
    const own = log !== undefined && existsSync(log) ? readLog(log, { repair: true }) : [];
    if (log !== undefined) mkdirSync(dirname(log), { recursive: true });
    const before = own.slice(0, this.entriesBefore);
    for (const entry of before) {
      add(this.usedBefore, { calls: 1, ...tokensOf("reply" in entry ? entry.reply : entry.paid) });
      if (!("reply" in entry)) continue;
      this.inner.learn?.(entry.request, entry.reply);
      this.replies.set(entry.key, Promise.resolve(entry.reply));
    }
    // What had failed after the checkpoint is asked again; a replay takes everything from the other log.
    const open =
      replay === undefined ? own.slice(this.entriesBefore).filter((entry) => "reply" in entry) : [];
    this.entries = before.length + open.length;
    if (log !== undefined && this.entries < own.length) writeLog(log, [...before, ...open]);
    for (const entry of replay === undefined ? open : replayed(replay, before)) {
      const outcomes = this.recorded.get(entry.key);
      if (outcomes) outcomes.push(entry);
      else this.recorded.set(entry.key, [entry]);
    }
  }

  private append(key: string, { tag, ...request }: ChatRequest, outcome: Outcome): void {
    const { log } = this.options;
    if (log === undefined) return;
    const { reply, error, paid } = { reply: undefined, error: undefined, paid: undefined, ...outcome };
    const entry = { key, tag, request, reply, error, paid };
    try {
      // For the owner alone: requests hold whatever prompts and responses hold.
      appendFileSync(log, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    } catch (error) {
      throw diskError(error, log);
    }
    this.entries++;
  }
}

const tokensOf = ({ promptTokens, completionTokens }: Paid = { promptTokens: 0, completionTokens: 0 }) => ({
  promptTokens,
  completionTokens,
});

const failureOf = ({ message, paid }: ChatError): Outcome => {
  const isFree = paid.promptTokens + paid.completionTokens === 0;
  return { error: message, ...(isFree ? {} : { paid }) };
};

function add(count: Count, part: Partial<Count>): void {
  for (const [key, value] of Object.entries(part) as [keyof Count, number][]) count[key] += value;
}

/** Entries of the log of another run, less those that this run had used at its checkpoint. */
function replayed(path: string, before: readonly LogEntry[]): LogEntry[] {
  if (!existsSync(path)) throw new LogError(`there is no log ${path} to replay`);
  const used = new Map<string, number>();
  for (const { key } of before) used.set(key, (used.get(key) ?? 0) + 1);
  return readLog(path).filter(({ key }) => {
    const left = used.get(key) ?? 0;
    if (left > 0) used.set(key, left - 1);
    return left === 0;
  });
}

/**
 * Puts the last `left.get(key)` replies of a log, for every key, behind all others: what an interrupted run had asked
 * beyond the checkpoint that is being taken stays known, and is not counted into it.
 */
function moveToEnd(log: string, left: ReadonlyMap<string, number>): void {
  const open = new Map(left);
  const isLeft = (entry: LogEntry): boolean => {
    const n = "reply" in entry ? (open.get(entry.key) ?? 0) : 0;
    if (n > 0) open.set(entry.key, n - 1);
    return n > 0;
  };
  const entries = readLog(log).toReversed();
  const isOpen = entries.map(isLeft);
  const part = (of: boolean) => entries.filter((_, i) => isOpen[i] === of).toReversed();
  writeLog(log, [...part(false), ...part(true)]);
}

/** In one step: a process that dies meanwhile leaves the log as it was. */
function writeLog(log: string, entries: readonly LogEntry[]): void {
  const aside = `${log}.tmp`;
  try {
    writeFileSync(aside, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""), { mode: 0o600 });
    renameSync(aside, log);
  } catch (error) {
    throw diskError(error, log);
  }
}

const diskError = (error: unknown, log: string) =>
  new LogError((explainDiskError(error, log) as Error).message, { cause: error });

/** Identifies a request: everything that is sent, and the tag. */
function requestKey(request: ChatRequest): string {
  const { model, messages, temperature = 0, seed, maxTokens, stop, json, labels, tag } = request;
  const turns = messages.map(({ role, content }) => [role, content]);
  const rest = [seed, maxTokens, stop, json, tag].map((part) => part ?? null);
  return createHash("sha256")
    .update(JSON.stringify([model, turns, temperature, ...rest, ...(labels ? [labels] : [])]))
    .digest("hex");
}

/** Throws for what is no line of a log. */
function asEntry(value: unknown): LogEntry {
  const { key, request, reply, error } = value as Record<string, unknown>;
  const content = (reply as ChatReply | undefined)?.content;
  const isWhole = typeof key === "string" && typeof request === "object" && request !== null;
  if (!isWhole || (typeof content === "string") === (typeof error === "string"))
    throw new Error("not an entry");
  return value as LogEntry;
}

/** Entries of a log. A last line that a kill cut short is left out; `repair`: and off the file, so that the next starts a line. */
function readLog(path: string, { repair = false } = {}): LogEntry[] {
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (repair && whole.length < text.length) truncateSync(path, Buffer.byteLength(whole));
  return whole
    .split("\n")
    .slice(0, -1)
    .map((line, i) => {
      try {
        return asEntry(JSON.parse(line));
      } catch {
        throw new LogError(`${path}, line ${i + 1}: this is not a line of a request log`);
      }
    });
}
