// The engine contract: every objective is a gradient on log-probabilities. Any engine (local ONNX Runtime, a
// remote training service) that offers these verbs runs every method.

export type TokenIds = readonly number[] | Int32Array;

/** A prompt followed by a completion. Positions `promptLength .. tokens.length - 1` are the completion. */
export interface Sequence {
  tokens: TokenIds;
  /** Number of leading tokens that are conditioned on, not scored. At least 1 for a language model. */
  promptLength: number;
}

/** How work that may take long is ended early: it throws the signal's reason, and has changed nothing. */
export interface Stoppable {
  signal?: AbortSignal | undefined;
}

export interface SampleOptions extends Stoppable {
  /** Completions for each prompt. Default 1. */
  n?: number;
  /** Upper bound on new tokens, the end token included. */
  maxNewTokens: number;
  /** 0 is greedy. Default 1. */
  temperature?: number;
  /** 0 is off. Default 0. */
  topK?: number;
  /** 1 is off. Default 1. */
  topP?: number;
  /** Token ids that end a completion (kept as its last token). Default: the model's end tokens. */
  stopIds?: readonly number[];
  /** Strings that end a completion when they appear in its decoded text. */
  stopStrings?: readonly string[];
  /** One 32-bit seed for each prompt, or one per completion (prompt-major). A completion depends on its own seed only. */
  seeds: readonly number[];
  /** Called now and then with the number of finished completions and of new tokens so far. */
  onProgress?: (finished: number, newTokens: number) => void;
  /** Called for every new token of a completion (its index, prompt-major) as it is chosen, where the engine can. */
  onToken?: (completion: number, token: number) => void;
}

export interface Completion {
  /** Index into the prompts given to `sample`. */
  promptIndex: number;
  /** New tokens only; the stop token, if one was sampled, is the last. */
  tokens: Int32Array;
  /** log pi(token | prefix) under the untempered, untruncated distribution, nats. */
  logprobs: Float32Array;
  /** The same under the distribution that was sampled from (temperature, top-k, top-p applied). */
  samplingLogprobs: Float32Array;
  finishReason: "stop" | "length";
}

/** What a model says of every completion token of a sequence. */
export interface TokenScores {
  /** log pi(token | prefix), nats. */
  logprobs: Float32Array;
  /** argmax pi(. | prefix), the first of several. */
  best: Int32Array;
  /** log pi of that. */
  bestLogprobs: Float32Array;
}

/** What the distribution over the vocabulary was at every completion token of a sequence. */
export interface TokenStatistics {
  /** log pi(token | prefix), nats. */
  logprobs: Float32Array;
  /** log pi of the most likely token: the very same number where that is the token itself. */
  bestLogprobs: Float32Array;
  /** Entropy of pi(. | prefix), nats. */
  entropies: Float32Array;
}

export interface AdamOptions {
  learningRate: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Decoupled weight decay, applied to matrices only (not to norms, biases). Default 0. */
  weightDecay?: number;
  /** Clip the global gradient norm to this; 0 or absent is off. */
  maxGradNorm?: number;
}

/** Dropout of one step. Passes with the same rate and seed over the same sequences use the same mask. */
export interface Dropout {
  /** Probability that a unit is dropped, in [0, 1); 0 is off. */
  rate: number;
  /** 32 bits. */
  seed: number;
}

export interface StepResult {
  /** Global L2 norm of the accumulated gradient, before clipping; undefined where an engine does not say. */
  gradNorm: number | undefined;
}

/** What a model can read. */
export interface SequenceLimits {
  /** Token ids are 0 .. vocabSize - 1. */
  vocabSize: number;
  /** Longest sequence, prompt and completion together. */
  maxTokens: number;
}

/** What both kinds of trainable model share. */
export interface Trainable {
  readonly limits: SequenceLimits;
  /** What the head sees at the end of each sequence (default), [hidden], or at every position, [tokens, hidden]. */
  features(sequences: readonly TokenIds[], positions?: "last" | "all"): Promise<Float32Array[]>;
  /** Applies the accumulated gradient with AdamW (descending: parameters move along -gradient) and clears it. */
  step(options: AdamOptions): Promise<StepResult>;
  zeroGrad(): void;
  /** Runs `work` and measures what it adds to the accumulated gradient: its global L2 norm. Absent where an engine cannot. */
  measureAdded?<T>(work: () => Promise<T>): Promise<{ result: T; gradNorm: number }>;
  /** Writes a Hugging Face directory (or a PEFT adapter directory when the model has LoRA). */
  save(dir: string): Promise<void>;
  /** Writes weights, optimizer moments and counters so that `loadState` continues bit-identically. */
  saveState(dir: string): Promise<void>;
  loadState(dir: string): Promise<void>;
  dispose(): void;
}

export interface LanguageModel extends Trainable {
  /** It is elsewhere: what is asked side by side is answered sooner than what is asked in turn, and to the same effect. */
  readonly answersSideBySide?: boolean;
  /** Tokens that end a completion where `stopIds` does not say otherwise. */
  readonly endIds: readonly number[];
  sample(prompts: readonly TokenIds[], options: SampleOptions): Promise<Completion[]>;
  /** log pi(token | prefix) of every completion token: result[i].length = tokens.length - promptLength. */
  logprobs(sequences: readonly Sequence[], options?: Stoppable): Promise<Float32Array[]>;
  /**
   * The same beside the most likely token of every position, where the engine can. A token that is the most likely one has
   * the very same number there.
   */
  mostLikely?(sequences: readonly Sequence[], options?: Stoppable): Promise<TokenScores[]>;
  /**
   * Adds the gradient of `sum_i sum_t g[i][t] * log pi(token_t)` to the accumulated gradient, where the optimizer
   * DESCENDS: pass g = dLoss/dlogprob. Returns the log-probabilities that the pass computed.
   */
  backward(sequences: readonly Sequence[], g: readonly Float32Array[]): Promise<Float32Array[]>;
  /** What `logprobs` says and how sure the model is, from the same pass, where the engine can. */
  statistics?(sequences: readonly Sequence[], options?: Stoppable): Promise<TokenStatistics[]>;
  /** `backward` that also says how sure the model was, from the same pass, where the engine can. */
  backwardWithStatistics?(
    sequences: readonly Sequence[],
    g: readonly Float32Array[],
  ): Promise<TokenStatistics[]>;
  /** A frozen copy (weights as they are now) that can sample and score but not train. */
  snapshot(): Promise<LanguageModel>;
}

export interface ScalarModel extends Trainable {
  /** Width of what `features` gives and `setHead` takes. */
  readonly hiddenSize: number;
  /** Replaces the score head, [hidden]. */
  setHead(weights: ArrayLike<number>): void;
  /** Replaces every weight, the score head included; `values` gives those of a parameter. */
  setWeights(values: (name: string) => ArrayLike<number>): void;
  /** A frozen copy. */
  snapshot(): Promise<ScalarModel>;
  /**
   * One scalar for each requested position of each sequence: the last only (where a sequence classifier reads its
   * score), or every position. `dropout` is for a
   * loss whose g depends on the values: they must come from the network that `backward` then differentiates.
   */
  values(
    sequences: readonly TokenIds[],
    positions: "last" | "all",
    options?: { dropout?: Dropout } & Stoppable,
  ): Promise<Float32Array[]>;
  /** Adds the gradient of `sum_i sum_p g[i][p] * value[i][p]`; g[i] has length 1 (last) or the sequence's length. */
  backward(
    sequences: readonly TokenIds[],
    g: readonly Float32Array[],
    options?: { dropout?: Dropout },
  ): Promise<Float32Array[]>;
}
