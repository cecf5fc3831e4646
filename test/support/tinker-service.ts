// A service that speaks the Tinker protocol over the local engine: small, on loopback, and as awkward as it is told to be.
// What it sums up, which dialect it takes and what it recognises follow what real services do (docs/tinker.md).

import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { LanguageModel, Sequence } from "../../src/engine/contract.js";
import { LocalLanguageModel } from "../../src/engine/local/index.js";
import { fieldsOf } from "../../src/engine/tinker/protobuf.js";

export interface ServiceOptions {
  /** Directory of the base model. */
  base: string;
  reduction?: "sum" | "mean" | "call_mean";
  /** Which bodies a pass may have. */
  dialect?: "json" | "protobuf";
  recognisesRepeats?: boolean;
  clips?: boolean;
  scoresPrompts?: boolean;
  /** Before every reply. */
  latencyMs?: number;
  /** Awaited before a request is carried out. */
  holds?: (path: string, count: number) => Promise<void>;
  /** Models that may be held at the same time. */
  slots?: number;
  /** Says by one reply which sampling requests are done. "gone": offers it and has no such route. */
  pollsTogether?: boolean | "gone";
  apiKey?: string;
  reportsNorm?: boolean;
  /** Meddles with a request: true has answered it (or cut the connection). */
  intercept?: (path: string, request: IncomingMessage, response: ServerResponse, count: number) => boolean;
  /** After a request was carried out and before it is answered: true cuts the connection. */
  loses?: (path: string, count: number) => boolean;
}

interface Held {
  model: LocalLanguageModel;
  pending: { sequence: Sequence; g: Float32Array; targets: number; call: number }[];
  calls: number;
  lastSeq: Map<number, { body: string; id: string }>;
  /** Passes with gradient that counted since the model began. */
  counted: number;
}

const lora = (rank: number, base: string) => ({
  r: rank,
  alpha: 32,
  targetModules: "all-linear",
  taskType: "CAUSAL_LM" as const,
  baseModel: base,
});

export class TinkerService {
  readonly models = new Map<string, Held>();
  /** Training checkpoints and samplers by path; they outlive models, as on a disk. */
  private readonly weights = new Map<string, string>();
  private readonly samplers = new Map<string, { model: LanguageModel; adapter: string }>();
  private readonly results = new Map<string, Promise<unknown>>();
  private readonly sessions = new Map<string, Json>();
  /** What is done of each sampling session, in that order. */
  private readonly done = new Map<string, object[]>();
  /** Every request that came, by path. */
  readonly requests: string[] = [];
  private baseModel: LanguageModel | undefined;
  private lane: Promise<unknown> = Promise.resolve();
  private seen = new Map<string, number>();
  private next = 0;

  private constructor(
    private readonly options: ServiceOptions,
    private readonly server: ReturnType<typeof createServer>,
    private readonly folder: string,
  ) {}

  static async start(options: ServiceOptions): Promise<TinkerService> {
    const server = createServer();
    const service = new TinkerService(options, server, await mkdtemp(join(tmpdir(), "tinker-service-")));
    server.on("request", (request, response) => void service.handle(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Gradients that counted, of all models that are or were. */
  counted = 0;

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await this.lane.catch(() => {});
    await rm(this.folder, { recursive: true, force: true });
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.replace(/^\/api\/v1\//, "");
    this.requests.push(path);
    const count = (this.seen.get(path) ?? 0) + 1;
    this.seen.set(path, count);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const reply = (status: number, value: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    if (this.options.intercept?.(path, request, response, count)) return;
    if (this.options.apiKey && request.headers["x-api-key"] !== this.options.apiKey)
      return reply(401, { detail: "Missing API key" });
    await new Promise((resolve) => setTimeout(resolve, this.options.latencyMs ?? 0));
    await this.options.holds?.(path, count);
    try {
      const result = await this.answer(path, Buffer.concat(chunks), request.headers["content-type"] ?? "");
      if (this.options.loses?.(path, count)) return void response.destroy();
      if (result instanceof Buffer) return void response.end(result);
      if (result instanceof URL) return void response.writeHead(302, { location: result.href }).end();
      reply(200, result);
    } catch (error) {
      const status = (error as { status?: number }).status ?? 400;
      reply(status, { detail: (error as Error).message });
    }
  }

  private async answer(path: string, body: Buffer, type: string): Promise<unknown> {
    if (path === "get_server_capabilities") return { supported_models: [{ model_name: this.options.base }] };
    const archive = /^training_runs\/(\w+)\/checkpoints\/([\w-]+)\/(archive|download)$/.exec(path);
    if (archive?.[3] === "archive")
      return new URL(path.replace("archive", "download"), `${this.url}/api/v1/`);
    if (archive) return this.archive(`tinker://${archive[1]}/sampler_weights/${archive[2]}`);
    if (type.includes("protobuf")) {
      if (path !== "forward_backward" || this.options.dialect === "json")
        throw problem(415, "Unsupported Content-Type");
      return this.training(path, protoPass(body), body.toString("base64"));
    }
    if (this.options.dialect === "protobuf" && path === "forward") throw problem(404, "Not Found");
    if (this.options.dialect === "protobuf" && path === "forward_backward") throw problem(415, "Unsupported");
    const given = JSON.parse(body.toString("utf8")) as Json;
    switch (path) {
      case "create_session":
        return { session_id: "session_1" };
      case "client/config":
        if (this.options.pollsTogether === undefined) throw problem(404, "Not Found");
        return { sample_use_retrieve_futures: Boolean(this.options.pollsTogether) };
      case "retrieve_futures":
        return this.completions(given);
      case "create_sampling_session": {
        const id = `sampling_${++this.next}`;
        this.sessions.set(id, given);
        return { sampling_session_id: id };
      }
      case "session_heartbeat":
        return {};
      case "create_model":
        return this.createModel(given);
      case "unload_model":
        this.models.delete(given.model_id);
        return this.later(async () => ({ model_id: given.model_id }));
      case "retrieve_future": {
        const result = this.results.get(String(given.request_id));
        if (!result) throw problem(404, "Future not found");
        return result;
      }
      case "asample": {
        const session = given.sampling_session_id;
        const asked = this.later(() => this.sample({ ...given, ...this.sessions.get(session) }));
        const list = this.done.get(session) ?? [];
        this.done.set(session, list);
        const add = (state: string) => () => void list.push({ state, request_id: asked.request_id });
        this.results.get(asked.request_id)!.then(add("finished"), add("failed"));
        return asked;
      }
      case "forward":
      case "forward_backward":
      case "optim_step":
      case "save_weights":
      case "save_weights_for_sampler":
      case "load_weights":
        return this.training(path, given, body.toString("utf8"));
      default:
        throw problem(404, "Not Found");
    }
  }

  /** What of a sampling session is done since the cursor; empty or 408 where nothing is. */
  private async completions({ target, prev_cursor: from }: Json): Promise<unknown> {
    if (this.options.pollsTogether !== true) throw problem(404, "Not Found");
    const list = this.done.get(target.sampling_session_id) ?? [];
    for (let i = 0; i < 20 && list.length === from; i++) await new Promise((go) => setTimeout(go, 5));
    if (list.length === from) throw problem(408, "nothing yet");
    return { completions: list.slice(from), cursor: list.length };
  }

  private async createModel({ lora_config: { rank, seed } }: Json): Promise<unknown> {
    if (this.models.size >= (this.options.slots ?? 8))
      throw problem(400, "Maximum number of LoRA adapters reached");
    const id = `model_${++this.next}`;
    const { base } = this.options;
    const model = await LocalLanguageModel.load(base, { lora: lora(rank, base), seed });
    this.models.set(id, { model, pending: [], calls: 0, lastSeq: new Map(), counted: 0 });
    return { ...this.later(async () => ({ model_id: id })), model_id: id };
  }

  /** Training requests of all models, one behind the other. */
  private training(path: string, given: Json, body: string): unknown {
    const held = this.models.get(given.model_id);
    if (!held) throw problem(404, "Model not found");
    const before = held.lastSeq.get(given.seq_id);
    if (this.options.recognisesRepeats && before) {
      if (before.body !== body) throw problem(409, "Training request sequence number was reused");
      return { request_id: before.id };
    }
    const queued = this.later(() => this.train(path, held, given));
    held.lastSeq.set(given.seq_id, { body, id: queued.request_id });
    return queued;
  }

  private later(work: () => Promise<unknown>): { request_id: string } {
    const id = String(++this.next);
    const result = this.lane.then(work);
    this.lane = result.catch(() => {});
    this.lane = this.lane.then(() => {});
    this.results.set(id, result);
    result.catch(() => {});
    return { request_id: id };
  }

  private async train(path: string, held: Held, given: Json): Promise<unknown> {
    const { model } = held;
    switch (path) {
      case "optim_step": {
        const { learning_rate, beta1, beta2, eps, weight_decay, grad_clip_norm } = given.adam_params;
        await this.differentiate(held);
        const { gradNorm } = await model.step({
          learningRate: learning_rate,
          beta1,
          beta2,
          epsilon: eps,
          weightDecay: weight_decay,
          ...(this.options.clips && grad_clip_norm > 0 && { maxGradNorm: grad_clip_norm }),
        });
        return { metrics: (this.options.reportsNorm ?? true) ? { "service/grad_norm": gradNorm } : {} };
      }
      case "save_weights": {
        const at = `tinker://${given.model_id}/weights/${given.path}`;
        const dir = join(this.folder, `w${this.weights.size}`);
        await model.saveState(join(dir, "state"));
        await model.save(join(dir, "adapter"));
        this.weights.set(at, dir);
        return { path: at };
      }
      case "save_weights_for_sampler": {
        const at = `tinker://${given.model_id}/sampler_weights/${given.path}`;
        const adapter = join(this.folder, `s${this.samplers.size}`);
        await model.save(adapter);
        this.samplers.set(at, { model: await model.snapshot(), adapter });
        return { path: at };
      }
      case "load_weights": {
        const dir = this.weights.get(given.path);
        if (!dir) throw problem(404, "Checkpoint not found");
        if (given.optimizer) await model.loadState(join(dir, "state"));
        else {
          const { base } = this.options;
          const adapter = join(dir, "adapter");
          const config = JSON.parse(await readFile(join(adapter, "adapter_config.json"), "utf8"));
          held.model = await LocalLanguageModel.load(base, { lora: lora(config.r, base), adapter });
        }
        return { path: given.path };
      }
      default:
        return this.pass(held, given);
    }
  }

  private async pass(held: Held, given: Json): Promise<unknown> {
    const { data, loss_fn: loss } = given.forward_backward_input ?? given.forward_input;
    const learns = loss === "importance_sampling";
    const sequences = (data as Json[]).map(({ model_input, loss_fn_inputs }): Sequence => {
      const input: number[] = model_input.chunks[0].tokens;
      return { tokens: [...input, loss_fn_inputs.target_tokens.data.at(-1)], promptLength: 1 };
    });
    if (sequences.length === 0) return new Promise(() => {});
    const logprobs = await held.model.logprobs(sequences);
    if (learns) {
      held.calls++;
      held.counted++;
      this.counted++;
      (data as Json[]).forEach(({ loss_fn_inputs: inputs }, i) => {
        const old: number[] = inputs.logprobs.data;
        const advantages: number[] = inputs.advantages.data;
        const g = logprobs[i]!.map((x, t) => -advantages[t]! * Math.exp(x - old[t]!));
        held.pending.push({ sequence: sequences[i]!, g, targets: g.length, call: held.calls });
      });
    }
    return {
      loss_fn_output_type: "scalar",
      loss_fn_outputs: logprobs.map((row) => ({
        logprobs: { data: Array.from(row), dtype: "float32", shape: [row.length] },
      })),
      metrics: {},
    };
  }

  /** The gradient of all passes since the last step, reduced as the service does. */
  private async differentiate(held: Held): Promise<void> {
    const { reduction = "sum" } = this.options;
    const { pending } = held;
    const sizes = new Map<number, number>();
    for (const { call } of pending) sizes.set(call, (sizes.get(call) ?? 0) + 1);
    const scaled = pending.map(({ g, targets, call }) => {
      const count = reduction === "mean" ? pending.length : sizes.get(call)!;
      return reduction === "sum" ? g : g.map((x) => x / (targets * count));
    });
    await held.model.backward(
      pending.map(({ sequence }) => sequence),
      scaled,
    );
    held.pending = [];
  }

  private async sample(given: Json): Promise<unknown> {
    const { base } = this.options;
    this.baseModel ??= await LocalLanguageModel.load(base, { frozen: true });
    const model = given.model_path ? this.samplers.get(given.model_path)?.model : this.baseModel;
    if (!model) throw problem(404, "Checkpoint not found");
    const prompt: number[] = given.prompt.chunks[0].tokens;
    const { max_tokens: maxNewTokens, temperature, seed, stop: stopIds } = given.sampling_params;
    const n: number = given.num_samples;
    const completions = await model.sample([prompt], {
      n,
      maxNewTokens,
      temperature,
      stopIds,
      seeds: Array.from({ length: n }, (_, i) => seed + i),
    });
    const scored =
      given.prompt_logprobs && (this.options.scoresPrompts ?? true)
        ? await model.logprobs([{ tokens: prompt, promptLength: 1 }])
        : undefined;
    return {
      sequences: completions.map(({ tokens, logprobs, finishReason }) => ({
        tokens: Array.from(tokens),
        logprobs: Array.from(logprobs),
        stop_reason: finishReason,
      })),
      prompt_logprobs: scored ? Array.from(scored[0]!) : null,
    };
  }

  private async archive(path: string): Promise<Buffer> {
    const adapter = this.samplers.get(path)?.adapter;
    if (!adapter) throw problem(404, "Checkpoint not found");
    const names = ["adapter_config.json", "adapter_model.safetensors"];
    return gzipSync(
      tarOf(
        await Promise.all(names.map(async (name) => [name, await readFile(join(adapter, name))] as const)),
      ),
    );
  }
}

// biome-ignore lint/suspicious/noExplicitAny: bodies of requests, as they come
type Json = any;

const problem = (status: number, message: string) => Object.assign(new Error(message), { status });

/** A tar (ustar) of plain files. */
export function tarOf(files: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  const parts = files.flatMap(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("0", 156);
    header.write("ustar\0", 257);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** A pass in protobuf as the same in JSON. */
function protoPass(body: Buffer): Json {
  const fields = fieldsOf(body);
  const text = (value: unknown) => Buffer.from(value as Uint8Array).toString("utf8");
  const data = (fields.get(3) ?? []).map((bytes) => {
    const datum = fieldsOf(bytes as Uint8Array);
    const chunk = fieldsOf(datum.get(1)![0] as Uint8Array);
    const tokens = fieldsOf(chunk.get(1)![0] as Uint8Array).get(1)![0] as Uint8Array;
    const inputs = (datum.get(2) ?? []).map((entry) => {
      const pair = fieldsOf(entry as Uint8Array);
      const tensor = fieldsOf(pair.get(2)![0] as Uint8Array);
      const dense = Uint8Array.from(tensor.get(1)![0] as Uint8Array).buffer;
      const values =
        tensor.get(3)![0] === 2
          ? Array.from(new BigInt64Array(dense), Number)
          : Array.from(new Float32Array(dense));
      return [text(pair.get(1)![0]), { data: values }];
    });
    return {
      model_input: { chunks: [{ tokens: Array.from(new Int32Array(Uint8Array.from(tokens).buffer)) }] },
      loss_fn_inputs: Object.fromEntries(inputs),
    };
  });
  const forwardOnly = fields.get(6)?.[0] === 1;
  return {
    model_id: text(fields.get(1)![0]),
    seq_id: fields.get(2)![0],
    forward_backward_input: { data, loss_fn: forwardOnly ? "cross_entropy" : text(fields.get(4)![0]) },
  };
}
