// Sampling on a service: from a model's weights as they were exported, from a checkpoint, or from the base model.

import type { Completion, SampleOptions, TokenIds } from "../contract.js";
import type { TinkerClient } from "./client.js";
import { SessionFutures } from "./futures.js";
import { readable } from "./remote.js";
import { readSample, type SampleResult } from "./wire.js";

/** Whose weights sample. */
export type SamplingSource = { base_model: string } | { model_path: string };

interface SamplingParams {
  max_tokens: number;
  temperature?: number;
  top_p?: number;
  /** -1 is off. */
  top_k?: number;
  seed?: number;
  stop?: readonly number[];
}

interface Request {
  prompt: TokenIds;
  params: SamplingParams;
  n?: number;
  scoresPrompt?: boolean;
  signal?: AbortSignal | undefined;
}

/** A sampling session: weights that stay as they are, and numbered requests. */
export class Sampler {
  private requests = 0;
  private readonly futures: SessionFutures | undefined;

  private constructor(
    private readonly client: TinkerClient,
    private readonly id: string,
  ) {
    this.futures = client.pollsTogether ? new SessionFutures(client, id) : undefined;
  }

  static async open(client: TinkerClient, source: SamplingSource): Promise<Sampler> {
    const { sampling_session_id: id } = await client.json("create_sampling_session", {
      session_id: client.sessionId,
      sampling_session_seq_id: client.nextSampler(),
      ...source,
    });
    if (typeof id !== "string")
      throw client.failure("create_sampling_session", "its reply names no sampling session");
    return new Sampler(client, id);
  }

  /** log pi of every token behind the first; undefined where the service gives none. */
  async scorePrompt(tokens: TokenIds, signal?: AbortSignal): Promise<Float32Array | undefined> {
    // Scoring comes with a sample.
    const params = { max_tokens: 1, temperature: 1, seed: 0 };
    return (await this.ask({ prompt: tokens, params, scoresPrompt: true, signal })).promptLogprobs;
  }

  /**
   * Completions of one prompt. Services take one seed for all samples of a prompt, so that what is drawn follows from
   * that seed and the number of samples.
   */
  async complete(
    prompt: TokenIds,
    promptIndex: number,
    options: SampleOptions & { seed: number; stopIds: readonly number[] },
  ): Promise<Completion[]> {
    const { client } = this;
    const { n = 1, maxNewTokens, temperature = 1, topK = 0, topP = 1, stopIds, stopStrings, seed } = options;
    if (stopStrings && stopStrings.length > 0)
      throw client.failure("asample", "strings that end a completion are not sent; its end tokens are");
    const params = {
      max_tokens: maxNewTokens,
      temperature,
      top_p: topP,
      top_k: topK > 0 ? topK : -1,
      seed: seed & 0x7fffffff,
      ...(stopIds.length > 0 && { stop: stopIds }),
    };
    const { sequences } = await this.ask({ prompt, params, n, signal: options.signal });
    if (sequences.length !== n)
      throw client.failure("asample", `${sequences.length} samples came back where ${n} were asked for`);
    return sequences.map(({ tokens, logprobs, stopReason }) => {
      if (stopReason === "stop" && !stopIds.includes(tokens.at(-1) ?? -1))
        throw client.failure("asample", "a completion that ended comes without the token that ended it");
      if (logprobs.length !== tokens.length)
        throw client.failure(
          "asample",
          `${logprobs.length} log-probabilities came back for ${tokens.length} tokens`,
        );
      return { promptIndex, tokens, logprobs, samplingLogprobs: logprobs, finishReason: stopReason };
    });
  }

  private async ask({ prompt, params, n = 1, scoresPrompt = false, signal }: Request): Promise<SampleResult> {
    const body = JSON.stringify({
      sampling_session_id: this.id,
      seq_id: this.requests++,
      num_samples: n,
      prompt: { chunks: [{ type: "encoded_text", tokens: Array.from(prompt) }] },
      sampling_params: params,
      prompt_logprobs: scoresPrompt,
    });
    const id = await this.client.submit("asample", { body }, "always", signal);
    await this.futures?.finished(id, signal);
    // Services that sample in protobuf give JSON as well.
    const reply = await this.client.result(id, "asample", undefined, signal);
    return readable(this.client, "asample", () => readSample(reply, prompt.length));
  }
}
