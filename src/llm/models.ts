// The language models of a run: those under `llm:` and those that judges name by an address of their own. Each is opened
// once, so that all who talk to it share its limit and its budget, and everything that is said is recorded in the run's
// directory, from which `--replay` repeats it.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { RecordedClient, type RecordedOptions } from "./recorder.js";
import { ServerClient, type ServerOptions } from "./server.js";
import { type ChatClient, ReplayError } from "./types.js";

/** A model on a server, or without an address a checkpoint in our own engine. */
export interface EndpointOptions extends Omit<ServerOptions, "baseUrl" | "pause"> {
  /** What the server calls it, or the checkpoint's directory or Hub name. */
  model: string;
  baseUrl?: string | undefined;
  /** Requests under way at the same time. Default 8. */
  concurrency?: number | undefined;
  budget?: RecordedOptions["budget"] | undefined;
  prices?: RecordedOptions["prices"] | undefined;
}

export interface ChatModel {
  client: RecordedClient;
  /** What its server calls it, or where it lies. */
  model: string;
}

/** A checkpoint to talk to (checkpoint.ts), by directory or Hub name. */
export type OpenCheckpoint = (model: string) => Promise<ChatClient & { dispose?(): void }>;

export interface LlmOptions {
  /** Directory of the run; each model's requests and replies are kept there. Absent: nothing is recorded. */
  outputDir?: string | undefined;
  /** Directory of another run whose logs answer everything. */
  replay?: string | undefined;
  /** Opens what has no `baseUrl`. */
  openCheckpoint?: OpenCheckpoint;
}

/** Log positions by the name of the log. JSON. */
export type LlmState = Readonly<Record<string, number>>;

const logOf = (runDir: string, name: string) => join(runDir, "llm", `${encodeURIComponent(name)}.jsonl`);

const without = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

export class LlmModels {
  /** By the name of the log. */
  private readonly opened = new Map<string, { model: Promise<ChatModel>; client?: RecordedClient }>();
  private readonly checkpoints = new Map<string, ReturnType<OpenCheckpoint>>();
  private positions: LlmState = {};

  constructor(
    private readonly endpoints: Readonly<Record<string, EndpointOptions>> = {},
    private readonly options: LlmOptions = {},
  ) {}

  private isAside = false;

  has(name: string): boolean {
    return Object.hasOwn(this.endpoints, name);
  }

  get names(): string[] {
    return Object.keys(this.endpoints);
  }

  /** A model by its name, with whatever its user says otherwise. `who` names the user for the error. */
  open(name: string, who = "a reward", changes: Partial<EndpointOptions> = {}): Promise<ChatModel> {
    if (!this.has(name))
      throw new UserError(
        `${who} names the model "${name}", which is not listed under llm${didYouMean(name, this.names)}`,
      );
    const listed = this.endpoints[name]!;
    const settled = { ...listed, ...without(changes) };
    const isListed = Object.keys(without(changes)).length === 0;
    return this.openAs(isListed ? name : `${name}-${fingerprint(settled)}`, settled);
  }

  /** A model by its address. */
  openEndpoint(endpoint: EndpointOptions): Promise<ChatModel> {
    const settled = without(endpoint);
    return this.openAs(`${endpoint.model}-${fingerprint(settled)}`, settled);
  }

  private openAs(name: string, endpoint: EndpointOptions): Promise<ChatModel> {
    const known = this.opened.get(name);
    if (known) return known.model;
    const entry: { model: Promise<ChatModel>; client?: RecordedClient } = {
      model: this.connect(endpoint).then((inner) => {
        const { outputDir, replay } = this.options;
        const { model, concurrency, budget, prices } = endpoint;
        entry.client = new RecordedClient(
          inner,
          without({
            concurrency,
            budget,
            prices,
            log: outputDir === undefined ? undefined : logOf(outputDir, name),
            replay: replay === undefined ? undefined : logOf(replay, name),
          }) as RecordedOptions,
        );
        entry.client.restore(this.positions[name] ?? 0);
        entry.client.isAside = this.isAside;
        return { client: entry.client, model };
      }),
    };
    this.opened.set(name, entry);
    return entry.model;
  }

  private async connect({ baseUrl, model, ...options }: EndpointOptions): Promise<ChatClient> {
    if (this.options.replay !== undefined) return nobody;
    if (baseUrl !== undefined) return new ServerClient({ ...options, baseUrl });
    const { openCheckpoint } = this.options;
    if (!openCheckpoint)
      throw new UserError(`the model "${model}" has no base_url, the address of its server`);
    let checkpoint = this.checkpoints.get(model);
    if (!checkpoint) this.checkpoints.set(model, (checkpoint = openCheckpoint(model)));
    return checkpoint;
  }

  /** Runs `work`, whose requests are no part of the run: a trial before it, which a resumed or replayed run does not repeat. */
  async aside<T>(work: () => Promise<T>): Promise<T> {
    this.setAside(true);
    try {
      return await work();
    } finally {
      this.setAside(false);
    }
  }

  private setAside(isAside: boolean): void {
    this.isAside = isAside;
    for (const { client } of this.opened.values()) if (client) client.isAside = isAside;
  }

  /** Where the logs stand, for a checkpoint; no call may be under way. */
  state(): LlmState {
    const positions = [...this.opened].map(([name, { client }]) => [name, client?.position() ?? 0] as const);
    return Object.fromEntries(positions.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  restore(positions: LlmState): void {
    this.positions = positions;
    for (const [name, { client }] of this.opened) client?.restore(positions[name] ?? 0);
  }

  dispose(): void {
    for (const checkpoint of this.checkpoints.values())
      checkpoint.then(
        (client) => client.dispose?.(),
        () => {},
      );
  }
}

/** Who answers in a replay what the log does not: no model is opened, no key is needed. */
const nobody: ChatClient = {
  chat: () => Promise.reject(new ReplayError("a replay asks no model")),
};

const fingerprint = (endpoint: EndpointOptions): string =>
  createHash("sha256")
    .update(JSON.stringify(Object.entries(endpoint).sort(([a], [b]) => (a < b ? -1 : 1))))
    .digest("hex")
    .slice(0, 8);

/** A model that is on a server for certain. */
export type ServerModel = EndpointOptions & { baseUrl: string };

/** One model at a server, with a log of its own (JSONL) where a path is given. */
export function openServer(
  { model: _, concurrency, ...endpoint }: ServerModel,
  log?: string,
): RecordedClient {
  return new RecordedClient(new ServerClient(endpoint), without({ concurrency, log }) as RecordedOptions);
}
