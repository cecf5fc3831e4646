// A model on a service: what may be asked of it, in the order in which it was asked. Training requests of a model are
// numbered and sent one behind the other; their results are waited for side by side.

import { NonFiniteError } from "../../base/errors.js";
import type { Message } from "../../base/http.js";
import { requireFinite } from "./checks.js";
import type { ServiceError, TinkerClient } from "./client.js";
import { acceptOf, type Datum, type Dialect, type PassResult, passMessage, readPass } from "./wire.js";

/** What services take in one call. */
const maxData = 1024;
const maxBytes = 5_000_000;

/** The most bytes that a position takes: two tokens, a log-probability and an advantage. */
const bytesPerToken: Record<Dialect, number> = { json: 72, protobuf: 20 };

/** How a service is spoken to; found out at the start (probe.ts). */
export interface Manners {
  dialect: Dialect;
  /** A training request that is sent again under its number counts once. */
  recognisesRepeats: boolean;
}

export interface AdamParams {
  learning_rate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weight_decay: number;
  grad_clip_norm?: number;
}

export class RemoteModel {
  private lastSeq = 0;
  private lane: Promise<unknown> = Promise.resolve();
  private hasCheckpoints = false;

  private constructor(
    readonly client: TinkerClient,
    readonly id: string,
    private readonly manners: Manners,
  ) {}

  /** A fresh adapter on the service's model. `number` counts the models of the session. */
  static async create(
    client: TinkerClient,
    { baseModel, rank, seed, number }: { baseModel: string; rank: number; seed: number; number: number },
    manners: Manners,
  ): Promise<RemoteModel> {
    const body = {
      session_id: client.sessionId,
      model_seq_id: number,
      base_model: baseModel,
      lora_config: { rank, seed },
    };
    const made = await client.json("create_model", body);
    const result =
      made.request_id === undefined ? made : await jsonResult(client, made.request_id, "create_model");
    const id = result.model_id ?? made.model_id;
    if (typeof id !== "string") throw client.failure("create_model", "its reply names no model");
    return new RemoteModel(client, id, manners);
  }

  /** The calls that the data make, each small enough for a service. */
  calls(data: readonly Datum[]): Datum[][] {
    const calls: Datum[][] = [];
    let size = 0;
    for (const datum of data) {
      const bytes = 200 + bytesPerToken[this.manners.dialect] * datum.targets.length;
      const last = calls.at(-1);
      size = last && last.length < maxData && size + bytes <= maxBytes ? size + bytes : bytes;
      if (last && size > bytes) last.push(datum);
      else calls.push([datum]);
    }
    return calls;
  }

  /** log pi of every target, datum by datum; where the data learn, their gradient is added to what the service keeps. */
  async pass(
    calls: readonly (readonly Datum[])[],
    { signal, onSent }: { signal?: AbortSignal | undefined; onSent?: () => void } = {},
  ): Promise<PassResult> {
    const { dialect } = this.manners;
    const results: Promise<PassResult>[] = [];
    for (const data of calls) {
      const what = data[0]!.learns ? "forward_backward" : "forward";
      const message = (seqId: number) => passMessage(dialect, { modelId: this.id, seqId }, data);
      // Without a gradient nothing counts twice.
      const id = await this.submit(message, { signal, repeats: data[0]!.learns ? undefined : "always" });
      const lengths = data.map(({ targets }) => targets.length);
      const result = this.client.result(id, what, acceptOf(dialect), signal);
      results.push(result.then((reply) => readable(this.client, what, () => readPass(reply, lengths))));
      // Said below, once all have been sent.
      results.at(-1)!.catch(() => {});
    }
    onSent?.();
    const all = await Promise.all(results);
    const logprobs = all.flatMap((result) => result.logprobs);
    requireFinite(logprobs, `log-probabilities from ${this.client.service}`);
    return { logprobs, metrics: all[0]?.metrics ?? {} };
  }

  /** One step of AdamW with what has been added; returns the service's figures. */
  async optimStep(params: AdamParams): Promise<Record<string, unknown>> {
    const { metrics = {} } = await this.call("optim_step", { adam_params: params });
    return metrics as Record<string, unknown>;
  }

  /** Keeps weights and optimizer on the service; returns their path. */
  async saveWeights(name: string): Promise<string> {
    this.hasCheckpoints = true;
    return this.path("save_weights", await this.call("save_weights", { path: name }));
  }

  /** Keeps the weights in the form that samples and is downloaded; returns their path. */
  async saveForSampler(name: string): Promise<string> {
    this.hasCheckpoints = true;
    return this.path("save_weights_for_sampler", await this.call("save_weights_for_sampler", { path: name }));
  }

  /** Takes over weights, and the optimizer where asked for; the first thing that is done with a model. */
  async load(path: string, optimizer: boolean): Promise<void> {
    await this.call("load_weights", { path, optimizer });
  }

  /** Whether the service takes the same request under the same number for one. The model is of no further use. */
  async knowsRepeat(datum: Datum): Promise<boolean> {
    const seqId = ++this.lastSeq;
    const { path, message } = passMessage(this.manners.dialect, { modelId: this.id, seqId }, [datum]);
    const first = await this.client.submit(path, message, "unsent");
    try {
      const second = await this.client.submit(path, message, "unsent");
      for (const id of [first, second]) await this.client.result(id, path, acceptOf(this.manners.dialect));
      return first === second;
    } catch {
      return false;
    }
  }

  /**
   * Frees the model's place on the service, which some services have few of. A model with checkpoints keeps it until the
   * session is over: TuFT forgets the checkpoints with the model.
   */
  async unload(): Promise<void> {
    if (this.hasCheckpoints) return;
    await this.client.json("unload_model", { model_id: this.id }, "unsent").catch(() => {});
  }

  private path(what: string, { path }: Record<string, unknown>): string {
    if (typeof path !== "string") throw this.client.failure(what, "its result names no path");
    return path;
  }

  private async call(path: string, body: object): Promise<Record<string, unknown>> {
    const id = await this.submit((seqId) => ({
      path,
      message: { body: JSON.stringify({ model_id: this.id, seq_id: seqId, ...body }) },
    }));
    return jsonResult(this.client, id, path);
  }

  /** Sends the next training request once those before it have been taken. */
  private submit(
    make: (seqId: number) => { path: string; message: Message },
    { signal, repeats }: { signal?: AbortSignal | undefined; repeats?: "always" | undefined } = {},
  ): Promise<string> {
    const sent = this.lane.then(() => {
      signal?.throwIfAborted();
      const { path, message } = make(++this.lastSeq);
      return this.client.submit(
        path,
        message,
        repeats ?? (this.manners.recognisesRepeats ? "always" : "unsent"),
        signal,
      );
    });
    this.lane = sent.catch(() => {});
    return sent;
  }
}

async function jsonResult(client: TinkerClient, id: unknown, what: string): Promise<Record<string, unknown>> {
  const reply = await client.result(String(id), what);
  return readable(client, what, () => JSON.parse(reply.bytes.toString("utf8")) as Record<string, unknown>);
}

/** What `read` makes of a result; a result that cannot be read is the service's failure. */
export function readable<T>(client: TinkerClient, what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof NonFiniteError) throw error;
    const failure: ServiceError = client.failure(what, (error as Error).message);
    throw failure;
  }
}
