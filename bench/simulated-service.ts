// A service as the loop of align sees one, without a model behind it: the Tinker protocol, a reward server and an LLM
// judge, all with latency. A process of its own, so that its work is not the loop's. Words and log-probabilities follow from
// seeds, so that two runs over it get the same.
// `tsx bench/simulated-service.ts '{"latency_ms": 200}'` prints its address; GET /stats says how busy it was.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import { RandomStream } from "../src/base/random.js";

export interface SimulationOptions {
  /** Of every exchange: there and back. */
  latency_ms: number;
  /** What sampling one prompt takes beside: median of a log-normal with sigma 0.6. 0: nothing. */
  sample_ms: number;
  /** Prompts sampled at the same time. */
  slots: number;
  /** Tokens of a completion: uniform from 1 to this, or to what is asked for. */
  tokens: number;
  /** What a forward pass takes for 1,000 tokens; passes of a model go one behind the other. */
  pass_ms: number;
  /** What the judge and the reward server take beside. */
  judge_ms: number;
  /** Completions use tokens below this. */
  vocabulary: number;
  base_model: string;
}

export interface Stats {
  requests: Record<string, number>;
  /** Mean number of requests under way (asked, and their result not given yet) in every 100 ms. */
  in_flight: number[];
  /** The most at a time. */
  most: number;
  /** Seconds between the first request and the last answer since /reset, and those of them in which nothing was asked. */
  seconds: number;
  idle_seconds: number;
}

// biome-ignore lint/suspicious/noExplicitAny: bodies of requests, as they come
type Json = any;

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** log pi of a token behind another: fixed, so that every pass and every sample says the same. */
const logprob = (before: number, token: number): number =>
  -0.25 - (((before * 31 + token * 17) % 97) / 97) * 2;

/** What is under way, over time. */
class Traffic {
  private start = 0;
  private last = 0;
  private now = 0;
  private idle = 0;
  private most = 0;
  private bins: number[] = [];
  private end = 0;
  requests: Record<string, number> = {};

  reset(): void {
    [this.start, this.last, this.idle, this.most, this.bins, this.requests] = [0, 0, 0, 0, [], {}];
  }

  change(by: number): void {
    const now = performance.now();
    if (this.start === 0) this.start = this.last = now;
    if (this.now === 0) this.idle += now - this.last;
    for (let t = this.last; t < now; ) {
      const bin = Math.floor((t - this.start) / 100);
      const until = Math.min(now, this.start + 100 * (bin + 1));
      this.bins[bin] = (this.bins[bin] ?? 0) + (this.now * (until - t)) / 100;
      if (until <= t) break;
      t = until;
    }
    this.last = now;
    this.now += by;
    this.most = Math.max(this.most, this.now);
    if (this.now === 0) this.end = now;
  }

  stats(): Stats {
    return {
      requests: this.requests,
      in_flight: Array.from(this.bins, (x) => Math.round(10 * (x ?? 0)) / 10),
      most: this.most,
      seconds: (this.end - this.start) / 1000,
      idle_seconds: this.idle / 1000,
    };
  }
}

class Simulation {
  private readonly traffic = new Traffic();
  private readonly results = new Map<string, Promise<string>>();
  /** Samplers that wait for a slot. */
  private free: number;
  private readonly waiting: (() => void)[] = [];
  private readonly lanes = new Map<string, Promise<unknown>>();
  private next = 0;

  constructor(private readonly options: SimulationOptions) {
    this.free = options.slots;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.replace(/^\/api\/v1\//, "");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const end = (value: unknown) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(typeof value === "string" || value instanceof Buffer ? value : JSON.stringify(value));
    };
    if (path === "/stats") return end(this.traffic.stats());
    if (path === "/reset") {
      this.traffic.reset();
      return end({});
    }
    // The heartbeat is no work; what is polled counts from its request to its result.
    const counts = path !== "session_heartbeat";
    if (counts) {
      this.traffic.change(1);
      this.traffic.requests[path] = (this.traffic.requests[path] ?? 0) + 1;
    }
    try {
      await pause(this.options.latency_ms / 2);
      const answer = await this.answer(path, body);
      await pause(this.options.latency_ms / 2);
      end(answer);
    } catch (error) {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ detail: (error as Error).message }));
    } finally {
      if (counts) this.traffic.change(-1);
    }
  }

  private async answer(path: string, body: Buffer): Promise<unknown> {
    if (path === "get_server_capabilities")
      return { supported_models: [{ model_name: this.options.base_model }] };
    const given: Json = body.length > 0 ? JSON.parse(body.toString("utf8")) : {};
    switch (path) {
      case "create_session":
        return { session_id: "simulated" };
      case "create_sampling_session":
        return { sampling_session_id: `sampling_${++this.next}` };
      case "session_heartbeat":
        return {};
      case "create_model":
        return { model_id: `model_${++this.next}` };
      case "unload_model":
        return this.later(async () => ({}));
      case "retrieve_future": {
        const id = String(given.request_id);
        const result = await this.results.get(id);
        if (result === undefined) throw new Error("Future not found");
        this.results.delete(id);
        return result;
      }
      case "asample":
        return this.later(() => this.sample(given));
      case "forward":
      case "forward_backward":
        return this.later(() => this.inLane(given.model_id, () => this.pass(given)));
      case "optim_step":
        return this.later(() => this.inLane(given.model_id, async () => ({ metrics: { grad_norm: 1 } })));
      case "save_weights":
      case "save_weights_for_sampler": {
        const kind = path === "save_weights" ? "weights" : "sampler_weights";
        const at = `tinker://${given.model_id}/${kind}/${given.path}`;
        return this.later(() => this.inLane(given.model_id, async () => ({ path: at })));
      }
      case "load_weights":
        return this.later(async () => ({ path: given.path }));
      case "/reward":
        await pause(this.options.judge_ms);
        return { rewards: (given.responses as string[]).map((text) => text.length % 7) };
      case "/v1/chat/completions":
        await pause(this.options.judge_ms);
        return {
          choices: [{ message: { role: "assistant", content: "Yes" } }],
          usage: { prompt_tokens: 10, completion_tokens: 5 },
        };
      default:
        if (path.endsWith("/archive")) return archive();
        throw new Error(`${path}: Not Found`);
    }
  }

  private later(work: () => Promise<unknown>): { request_id: string } {
    const id = String(++this.next);
    this.traffic.change(1);
    const result = work().then((value) => JSON.stringify(value));
    result.finally(() => this.traffic.change(-1)).catch(() => {});
    this.results.set(id, result);
    return { request_id: id };
  }

  private inLane<T>(model: string, work: () => Promise<T>): Promise<T> {
    const done = (this.lanes.get(model) ?? Promise.resolve()).then(work);
    this.lanes.set(model, done);
    return done;
  }

  private async pass(given: Json): Promise<unknown> {
    const { data } = given.forward_backward_input ?? given.forward_input;
    let tokens = 0;
    const outputs = (data as Json[]).map(({ model_input, loss_fn_inputs }) => {
      const input: number[] = model_input.chunks[0].tokens;
      const targets: number[] = loss_fn_inputs.target_tokens.data;
      tokens += targets.length;
      return { logprobs: { data: targets.map((token, i) => logprob(input[i]!, token)) } };
    });
    await pause((this.options.pass_ms * tokens) / 1000);
    return { loss_fn_output_type: "scalar", loss_fn_outputs: outputs, metrics: {} };
  }

  private async sample({ prompt, sampling_params, num_samples, prompt_logprobs }: Json): Promise<unknown> {
    const { tokens: most, sample_ms, vocabulary } = this.options;
    if (this.free === 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.free--;
    try {
      const read: number[] = prompt.chunks[0].tokens;
      const { max_tokens, seed, stop } = sampling_params;
      const random = new RandomStream(seed, "simulated");
      const sequences = Array.from({ length: num_samples }, () => {
        const length = 1 + (random.nextSeed() % Math.min(max_tokens, most));
        let before = read.at(-1)!;
        const tokens = Array.from({ length }, (_, i) => {
          const isLast = i === length - 1 && length < max_tokens;
          return isLast ? stop[0] : 3 + (random.nextSeed() % (vocabulary - 3));
        });
        const logprobs = tokens.map((token) => {
          const value = logprob(before, token);
          before = token;
          return value;
        });
        return { stop_reason: length < max_tokens ? "stop" : "length", tokens, logprobs };
      });
      // Scoring a prompt is one pass, not as long as writing.
      const work = prompt_logprobs ? (this.options.pass_ms * read.length) / 1000 : sample_ms * spread(random);
      await pause(work);
      const scored = prompt_logprobs ? read.slice(1).map((token, i) => logprob(read[i]!, token)) : null;
      return { sequences, prompt_logprobs: scored };
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}

/** exp(0.6 z), z normal. */
function spread(random: RandomStream): number {
  const uniform = () => (random.nextSeed() + 1) / (2 ** 32 + 1);
  return Math.exp(0.6 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** A tar of an adapter with one pair of matrices. */
function archive(): Buffer {
  const header = JSON.stringify({
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": {
      dtype: "F32",
      shape: [1, 1],
      data_offsets: [0, 4],
    },
  });
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const weights = Buffer.concat([size, Buffer.from(header), Buffer.alloc(4)]);
  const config = Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }));
  const files: [string, Buffer][] = [
    ["adapter_config.json", config],
    ["adapter_model.safetensors", weights],
  ];
  const parts = files.flatMap(([name, content]) => {
    const head = Buffer.alloc(512);
    head.write(name, 0);
    head.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    head.write("0", 156);
    return [head, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const simulation = new Simulation(JSON.parse(process.argv[2]!) as SimulationOptions);
  const server = createServer((request, response) => void simulation.handle(request, response));
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as { port: number };
    process.stdout.write(`http://127.0.0.1:${port}\n`);
  });
  // Nobody is left who would ask.
  process.stdin.resume().on("end", () => process.exit(0));
}
