// The policy as something to talk to and to be evaluated: completions and their log-probabilities, in batches of what came
// together. An answer depends on its own request alone.

import { gathering } from "../base/gathering.js";
import type { limiter } from "../base/requests.js";
import type { Completion, LanguageModel, SampleOptions, TokenIds, TokenScores } from "../engine/contract.js";
import type { TextCodec } from "../train/text.js";
import { Problem } from "./problem.js";

export interface ServedPolicy {
  /** What clients call it. */
  name: string;
  open(): Promise<{ policy: LanguageModel; codec: TextCodec }>;
}

export interface CompletionJob {
  prompt: TokenIds;
  options: Pick<
    SampleOptions,
    "n" | "maxNewTokens" | "temperature" | "topP" | "topK" | "stopStrings" | "stopIds"
  >;
  seeds: readonly number[];
  onToken?: ((completion: number, token: number) => void) | undefined;
}

export class PolicyService {
  private readonly sampleTogether: (job: CompletionJob) => Promise<Completion[]>;
  private readonly scoreTogether: (tokens: TokenIds) => Promise<TokenScores>;
  private opened: ReturnType<ServedPolicy["open"]> | undefined;

  constructor(
    private readonly served: ServedPolicy,
    turn: ReturnType<typeof limiter>,
  ) {
    this.sampleTogether = gathering(turn, (jobs: CompletionJob[]) => this.sampleAll(jobs), { most: 64 });
    this.scoreTogether = gathering(turn, (texts: TokenIds[]) => this.scoreAll(texts), { most: 64 });
  }

  get name(): string {
    return this.served.name;
  }

  open(): ReturnType<ServedPolicy["open"]> {
    return (this.opened ??= this.served.open());
  }

  complete(job: CompletionJob): Promise<Completion[]> {
    return this.sampleTogether(job);
  }

  /** One entry for every token after the first. */
  score(tokens: TokenIds): Promise<TokenScores> {
    return this.scoreTogether(tokens);
  }

  /** Jobs of equal limits are sampled together. */
  private async sampleAll(jobs: readonly CompletionJob[]): Promise<Completion[][]> {
    const { policy } = await this.open();
    const results: Completion[][] = jobs.map(() => []);
    const kinds = jobs.map(({ options }) => JSON.stringify(options));
    for (const kind of new Set(kinds)) {
      const indices = [...kinds.keys()].filter((i) => kinds[i] === kind);
      const { options } = jobs[indices[0]!]!;
      const n = options.n ?? 1;
      const completions = await policy.sample(
        indices.map((i) => jobs[i]!.prompt),
        {
          ...options,
          seeds: indices.flatMap((i) => jobs[i]!.seeds),
          ...(indices.some((i) => jobs[i]!.onToken) && {
            onToken: (completion, token) =>
              jobs[indices[Math.floor(completion / n)]!]!.onToken?.(completion % n, token),
          }),
        },
      );
      for (const completion of completions) results[indices[completion.promptIndex]!]!.push(completion);
    }
    return results;
  }

  private async scoreAll(texts: readonly TokenIds[]): Promise<TokenScores[]> {
    const { policy } = await this.open();
    if (!policy.mostLikely)
      throw new Problem("not_implemented", "the engine does not say which token is most likely");
    return policy.mostLikely(texts.map((tokens) => ({ tokens, promptLength: 1 })));
  }

  dispose(): void {
    void this.opened?.then(
      ({ policy }) => policy.dispose(),
      () => {},
    );
  }
}
