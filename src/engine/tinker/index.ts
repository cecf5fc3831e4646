// The engine on a service that speaks the Tinker protocol: the model is theirs, the loop is ours. Every objective goes as
// importance sampling with advantages -g at the model's own log-probabilities, where the ratio is 1 and the gradient is
// sum g d log pi, whatever the objective was; advantages are scaled by how the service sums up.

import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDirectoryAtomic } from "../../base/atomic.js";
import { NonFiniteError, UserError } from "../../base/errors.js";
import { limiter } from "../../base/requests.js";
import { copyTokenizer } from "../../model/checkpoint.js";
import type {
  AdamOptions,
  Completion,
  LanguageModel,
  SampleOptions,
  Sequence,
  SequenceLimits,
  StepResult,
  Stoppable,
  TokenIds,
} from "../contract.js";
import { noGradient } from "../no-gradient.js";
import { adapterConfig, readAdapterArchive } from "./archive.js";
import { requireFinite, requireSequences, requireTokens } from "./checks.js";
import { type ClientOptions, TinkerClient } from "./client.js";
import { type Findings, gradNorm, probe } from "./probe.js";
import { advantageScale, type Reduction } from "./reduction.js";
import { RemoteModel, readable } from "./remote.js";
import { Sampler } from "./sampling.js";
import type { Datum } from "./wire.js";

export interface TinkerOptions extends ClientOptions {
  /** The name of the base model on the service. */
  baseModel: string;
  /** Of the adapter; 0 trains all weights, where a service can. */
  rank: number;
  /** 31 bits, of the adapter's first weights. */
  seed: number;
  limits: SequenceLimits;
  /** Tokens that end a completion. */
  endIds: readonly number[];
  /** What saved adapters name as their base. */
  savedBase: string;
  /** Directory of the tokenizer that is saved beside an adapter. */
  tokenizerDir: string;
  /** A checkpoint on the service (tinker://...) whose weights are the first ones. */
  start?: string | undefined;
  /** Default: measured. */
  reduction?: Reduction | undefined;
  /** Sampling and scoring requests under way. Default 256. */
  concurrency?: number;
  /** Told what was found out, and where the model is. */
  note?: (sentence: string) => void;
}

/** What all models of one session share. */
interface Session {
  client: TinkerClient;
  options: TinkerOptions;
  findings: Findings;
  limit: ReturnType<typeof limiter>;
  nextModel: () => number;
}

/** Opens a session with a service, and a model to train in it. */
export async function openTinker(options: TinkerOptions): Promise<TinkerModel> {
  const client = await TinkerClient.open(options);
  await requireBaseModel(client, options.baseModel);
  let models = 0;
  const nextModel = () => models++;
  const { baseModel, rank, reduction, limits, note = () => {} } = options;
  const findings = await probe({
    client,
    baseModel,
    rank,
    vocabSize: limits.vocabSize,
    reduction,
    nextModel,
  });
  const session = { client, options, findings, nextModel, limit: limiter(options.concurrency ?? 256) };
  const model = await TinkerModel.create(session);
  note(
    `service ${client.service}, session ${client.sessionId}, model ${model.id} on ${baseModel}: gradients are reduced by ${findings.reduction}; ` +
      `log pi_ref comes from ${findings.scoresPrompts ? "sampling requests" : "a second model"}` +
      (findings.recognisesRepeats
        ? ""
        : "; it does not recognise a training request that is sent again, so a lost one ends the run at its last checkpoint"),
  );
  return model;
}

/** A frozen model that samples by the base model's weights: nothing is made on the service. The result's `dispose` ends the session. */
export async function sampleTinker(options: TinkerOptions): Promise<LanguageModel> {
  const client = await TinkerClient.open(options);
  try {
    await requireBaseModel(client, options.baseModel);
    const sampler = await Sampler.open(client, { base_model: options.baseModel });
    return new TinkerSnapshot({ client, options, limit: limiter(options.concurrency ?? 256) }, sampler);
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Services take any name and serve what they have. */
async function requireBaseModel(client: TinkerClient, baseModel: string): Promise<void> {
  const { supported_models: rows } = await client.get("get_server_capabilities");
  if (!Array.isArray(rows)) return;
  const names = rows
    .map((row: { model_name?: unknown }) => row?.model_name)
    .filter((name) => typeof name === "string");
  if (names.length > 0 && !names.includes(baseModel))
    throw new UserError(
      `the service at ${client.service} has no model ${baseModel}, but ${names.slice(0, 8).join(", ")}; name one of them as engine.base_model`,
    );
}

export class TinkerModel implements LanguageModel {
  readonly answersSideBySide = true;
  /** Passes whose gradient waits for the step. */
  private pending: Pending[] = [];
  /** log pi of the completions of a sequence (by its tokens), at the weights as they are. */
  private known = new WeakMap<object, Float32Array>();
  private exported: Promise<Sampler> | undefined;
  /** A fresh adapter changes nothing. */
  private isBase: boolean;

  private constructor(
    private readonly session: Session,
    private remote: RemoteModel,
  ) {
    this.isBase = session.options.start === undefined;
  }

  /** @internal */
  static async create(session: Session): Promise<TinkerModel> {
    const model = new TinkerModel(session, await createRemote(session));
    if (session.options.start !== undefined) await model.remote.load(session.options.start, false);
    return model;
  }

  get id(): string {
    return this.remote.id;
  }

  get limits(): SequenceLimits {
    return this.session.options.limits;
  }

  get endIds(): readonly number[] {
    return this.session.options.endIds;
  }

  /** Whether the service clips gradients by their norm. */
  get clips(): boolean {
    return this.session.findings.clips;
  }

  async sample(prompts: readonly TokenIds[], options: SampleOptions): Promise<Completion[]> {
    return sampleAll(this.session, await this.source(), prompts, options);
  }

  async logprobs(sequences: readonly Sequence[], { signal }: Stoppable = {}): Promise<Float32Array[]> {
    requireSequences(sequences, this.limits);
    if (sequences.length === 0) return [];
    const rows = await forward(this.remote, sequences, signal);
    sequences.forEach(({ tokens }, i) => void this.known.set(tokens, rows[i]!));
    return rows;
  }

  /** The gradient waits for `step`, which knows how many sequences it is a mean of. */
  async backward(sequences: readonly Sequence[], g: readonly Float32Array[]): Promise<Float32Array[]> {
    requireSequences(sequences, this.limits);
    requireFinite(g, "the gradient on log-probabilities");
    const missing = sequences.filter(
      (sequence, i) => this.known.get(sequence.tokens)?.length !== g[i]!.length,
    );
    await this.logprobs(missing);
    return sequences.map((sequence, i) => {
      const logprobs = this.known.get(sequence.tokens)!;
      this.pending.push({ sequence, logprobs, g: g[i]! });
      return logprobs;
    });
  }

  async step({
    learningRate,
    beta1 = 0.9,
    beta2 = 0.999,
    epsilon = 1e-8,
    weightDecay = 0,
    maxGradNorm = 0,
  }: AdamOptions): Promise<StepResult> {
    if (this.pending.length === 0) throw noGradient();
    const adam = {
      learning_rate: learningRate,
      beta1,
      beta2,
      eps: epsilon,
      weight_decay: weightDecay,
      ...(maxGradNorm > 0 && { grad_clip_norm: maxGradNorm }),
    };
    const metrics = await this.sendGradient(() => this.remote.optimStep(adam));
    this.forget();
    const norm = gradNorm(metrics);
    if (norm !== undefined && !Number.isFinite(norm))
      throw new NonFiniteError(`the service reports a gradient norm of ${norm}`);
    return { gradNorm: norm };
  }

  /**
   * Sends the gradient, and right behind it what `then` asks for, without waiting for its result: a service keeps the
   * order. Where the gradient fails after all, the run ends at its last checkpoint.
   */
  private async sendGradient<T>(then: () => Promise<T>): Promise<T> {
    const { reduction } = this.session.findings;
    const { pending } = this;
    const calls = this.remote.calls(pending.map(learningDatum)).map((data) =>
      data.map(({ learns, ...datum }) => {
        const sizes = { step: pending.length, call: data.length };
        const scale = advantageScale(reduction, datum.targets.length, sizes);
        return { ...datum, learns: { ...learns!, advantages: learns!.advantages.map((x) => x * scale) } };
      }),
    );
    let next: Promise<T> | undefined;
    const onSent = () => {
      next = then();
      // Waited for below, and no error of its own where the gradient has failed.
      next.catch(() => {});
    };
    try {
      await this.remote.pass(calls, { onSent });
    } finally {
      await Promise.allSettled([next]);
    }
    this.pending = [];
    return next!;
  }

  zeroGrad(): void {
    this.pending = [];
  }

  async features(): Promise<Float32Array[]> {
    throw new UserError(
      "engine tinker gives no hidden states; what reads them (clusters of prompts, probes) needs engine local",
    );
  }

  async snapshot(): Promise<LanguageModel> {
    const source = await this.source();
    if (this.session.findings.scoresPrompts) return new TinkerSnapshot(this.session, source);
    const copy = await createRemote(this.session);
    if (!this.isBase) await copy.load(await this.remote.saveWeights(newName("snapshot")), false);
    return new TinkerSnapshot(this.session, source, copy);
  }

  /** A frozen model at a checkpoint of the service: weights that sample (`sampler_weights`), or that train (`weights`). */
  async at(path: string): Promise<LanguageModel> {
    const { client, findings } = this.session;
    if (!path.includes("/weights/")) {
      if (findings.scoresPrompts)
        return new TinkerSnapshot(this.session, await Sampler.open(client, { model_path: path }));
      throw new UserError(
        `${path} is a checkpoint that samples, but ${client.service} gives no log-probabilities of prompts; name a training checkpoint (tinker://.../weights/...)`,
      );
    }
    const copy = await createRemote(this.session);
    await copy.load(path, false);
    const sampler = await Sampler.open(client, {
      model_path: await copy.saveForSampler(newName("reference")),
    });
    return new TinkerSnapshot(this.session, sampler, copy);
  }

  /** A PEFT directory, and where on the service the same weights are (`tinker.json`). */
  async save(dir: string): Promise<void> {
    const { client, options } = this.session;
    const name = newName("adapter");
    const training = await this.remote.saveWeights(name);
    const sampler = await this.remote.saveForSampler(name);
    const archive = await client.download(`training_runs/${this.id}/checkpoints/${name}/archive`);
    const files = readable(client, "archive", () => readAdapterArchive(archive));
    const config = readable(client, "archive", () => adapterConfig(files, options.savedBase));
    await writeDirectoryAtomic(dir, async (aside) => {
      await writeFile(join(aside, "adapter_config.json"), `${JSON.stringify(config, null, 2)}\n`);
      await copyTokenizer(options.tokenizerDir, aside);
      await writeFile(join(aside, "adapter_model.safetensors"), files["adapter_model.safetensors"]);
      await this.writePlace(aside, { weights: training, sampler });
    });
  }

  async saveState(dir: string): Promise<void> {
    await writeDirectoryAtomic(dir, async (aside) =>
      this.writePlace(aside, { weights: await this.remote.saveWeights(newName("state")) }),
    );
  }

  /** Begins a model of its own from the state, so that nothing that was sent after it counts. */
  async loadState(dir: string): Promise<void> {
    const { weights } = await readPlace(dir);
    // First, so that the next one gets its place, in which no gradient of others waits (probe.ts).
    await this.remote.unload();
    this.remote = await createRemote(this.session);
    await this.remote.load(weights, true);
    this.pending = [];
    this.forget();
  }

  dispose(): void {
    void this.remote.unload();
    this.session.client.close();
  }

  /** The weights are others than they were. */
  private forget(): void {
    this.isBase = false;
    this.exported = undefined;
    this.known = new WeakMap();
  }

  /** What samples by the weights as they are, exported where they have not been yet. */
  private source(): Promise<Sampler> {
    const exported = (this.exported ??= this.export());
    // A failure is told to those who wait for it; the next one tries again.
    exported.catch(() => {
      if (this.exported === exported) this.exported = undefined;
    });
    return exported;
  }

  private async export(): Promise<Sampler> {
    const { client, options } = this.session;
    if (this.isBase) return Sampler.open(client, { base_model: options.baseModel });
    return Sampler.open(client, { model_path: await this.remote.saveForSampler(newName("sampler")) });
  }

  private async writePlace(dir: string, paths: { weights: string; sampler?: string }): Promise<void> {
    const { client, options } = this.session;
    const place: Place = {
      service: client.service,
      base_model: options.baseModel,
      session: client.sessionId,
      model: this.id,
      ...paths,
    };
    await writeFile(join(dir, PLACE), `${JSON.stringify(place, null, 2)}\n`);
  }
}

/** A frozen copy: sampled from where its weights were exported to, and scored there or by a model of its own. */
class TinkerSnapshot implements LanguageModel {
  readonly answersSideBySide = true;

  constructor(
    /** Without findings it is the session's only model, and ends it. */
    private readonly session: Pick<Session, "client" | "options" | "limit"> & Partial<Session>,
    private readonly sampler: Sampler,
    private readonly scorer?: RemoteModel,
  ) {}

  get limits(): SequenceLimits {
    return this.session.options.limits;
  }

  get endIds(): readonly number[] {
    return this.session.options.endIds;
  }

  sample(prompts: readonly TokenIds[], options: SampleOptions): Promise<Completion[]> {
    return sampleAll(this.session, this.sampler, prompts, options);
  }

  async logprobs(sequences: readonly Sequence[], { signal }: Stoppable = {}): Promise<Float32Array[]> {
    requireSequences(sequences, this.limits);
    if (this.scorer) return forward(this.scorer, sequences, signal);
    const { client, limit } = this.session;
    const rows = await Promise.all(
      sequences.map(({ tokens, promptLength }) =>
        limit(async () => {
          const row = await this.sampler.scorePrompt(tokens, signal);
          if (!row) throw client.failure("asample", "it gives no log-probabilities of prompts any more");
          return row.slice(promptLength - 1);
        }),
      ),
    );
    requireFinite(rows, `log-probabilities from ${client.service}`);
    return rows;
  }

  async snapshot(): Promise<LanguageModel> {
    return this;
  }

  dispose(): void {
    void this.scorer?.unload();
    if (!this.session.findings) this.session.client.close();
  }

  zeroGrad(): void {}
  features = frozen;
  backward = frozen;
  step = frozen;
  save = frozen;
  saveState = frozen;
  loadState = frozen;
}

async function frozen(): Promise<never> {
  throw new Error("this model is a frozen copy on a service: it samples and scores");
}

const createRemote = ({ client, options, findings, nextModel }: Session): Promise<RemoteModel> =>
  RemoteModel.create(
    client,
    {
      baseModel: options.baseModel,
      rank: options.rank,
      seed: options.seed & 0x7fffffff,
      number: nextModel(),
    },
    findings,
  );

async function sampleAll(
  { options: { limits, endIds }, limit }: Pick<Session, "options" | "limit">,
  sampler: Sampler,
  prompts: readonly TokenIds[],
  options: SampleOptions,
): Promise<Completion[]> {
  const { n = 1, seeds, stopIds = endIds, onProgress } = options;
  for (const prompt of prompts) requireTokens(prompt, limits);
  const perPrompt = seeds.length / prompts.length;
  let [finished, tokens] = [0, 0];
  const lists = await Promise.all(
    prompts.map((prompt, promptIndex) =>
      limit(async () => {
        const own = { ...options, n, stopIds, seed: seeds[promptIndex * perPrompt]! };
        const completions = await sampler.complete(prompt, promptIndex, own);
        finished += completions.length;
        tokens += completions.reduce((sum, completion) => sum + completion.tokens.length, 0);
        onProgress?.(finished, tokens);
        return completions;
      }),
    ),
  );
  return lists.flat();
}

/** log pi of the completion of every sequence. */
async function forward(
  remote: RemoteModel,
  sequences: readonly Sequence[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  // A sequence of one token has nothing to score.
  const scored = sequences.filter(({ tokens }) => tokens.length > 1);
  const { logprobs } = await remote.pass(remote.calls(scored.map(({ tokens }) => shifted(tokens))), {
    signal,
  });
  const rows = new Map(scored.map((sequence, i) => [sequence, logprobs[i]!]));
  return sequences.map(
    (sequence) => rows.get(sequence)?.slice(sequence.promptLength - 1) ?? new Float32Array(),
  );
}

const shifted = (tokens: TokenIds): Pick<Datum, "input" | "targets"> => ({
  input: tokens.slice(0, -1),
  targets: tokens.slice(1),
});

/** A sequence as it learns: nothing from its prompt, and from each token of its completion by -g. */
function learningDatum({ sequence: { tokens, promptLength }, logprobs, g }: Pending): Datum {
  const datum = shifted(tokens);
  const learns = {
    logprobs: new Float32Array(datum.targets.length),
    advantages: new Float32Array(datum.targets.length),
  };
  learns.logprobs.set(logprobs, promptLength - 1);
  learns.advantages.set(
    g.map((x) => -x),
    promptLength - 1,
  );
  return { ...datum, learns };
}

interface Pending {
  sequence: Sequence;
  logprobs: Float32Array;
  g: Float32Array;
}

/** Services keep checkpoints by name, for ever. */
const newName = (what: string): string => `touchstone-${what}-${randomUUID().slice(0, 8)}`;

// Where a model is on its service ----------------------------------------------------------------------------------

const PLACE = "tinker.json";

const placeSchema = z.looseObject({
  service: z.string(),
  base_model: z.string(),
  session: z.string(),
  model: z.string(),
  /** Weights and optimizer. */
  weights: z.string().startsWith("tinker://"),
  /** The same weights as they sample. */
  sampler: z.string().optional(),
});
export type Place = z.output<typeof placeSchema>;

/** What `tinker.json` of a directory says. */
export async function readPlace(dir: string): Promise<Place> {
  const file = join(dir, PLACE);
  const text = await readFile(file, "utf8").catch(() => {
    throw new UserError(`${file} is missing, so nothing says where on the service the model is`);
  });
  try {
    return placeSchema.parse(JSON.parse(text));
  } catch {
    throw new UserError(
      `${file} does not say where on a service a model is; it was written by another program or is damaged`,
    );
  }
}
