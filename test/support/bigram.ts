// An engine of 150 lines that is nothing but the contract: a table of logits by the token before, in memory. Whatever
// runs on it runs on any engine.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RandomStream } from "../../src/base/random.js";
import type {
  AdamOptions,
  Completion,
  LanguageModel,
  SampleOptions,
  ScalarModel,
  Sequence,
  StepResult,
  TokenIds,
} from "../../src/engine/contract.js";

/** Parameters with their accumulated gradient and Adam's moments. */
abstract class Table {
  protected gradient: Float64Array;
  private m: Float64Array;
  private v: Float64Array;
  private steps = 0;

  protected constructor(readonly weights: Float64Array) {
    this.gradient = new Float64Array(weights.length);
    this.m = new Float64Array(weights.length);
    this.v = new Float64Array(weights.length);
  }

  get limits() {
    return { vocabSize: this.vocabulary, maxTokens: 64 };
  }

  abstract get vocabulary(): number;

  async step(options: AdamOptions): Promise<StepResult> {
    const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, maxGradNorm } = options;
    const gradNorm = Math.hypot(...this.gradient);
    const scale = maxGradNorm && gradNorm > maxGradNorm ? maxGradNorm / gradNorm : 1;
    this.steps++;
    this.weights.forEach((w, i) => {
      const g = this.gradient[i]! * scale;
      this.m[i] = beta1 * this.m[i]! + (1 - beta1) * g;
      this.v[i] = beta2 * this.v[i]! + (1 - beta2) * g * g;
      const mHat = this.m[i]! / (1 - beta1 ** this.steps);
      const vHat = this.v[i]! / (1 - beta2 ** this.steps);
      this.weights[i] = w - (learningRate * mHat) / (Math.sqrt(vHat) + epsilon);
    });
    this.zeroGrad();
    return { gradNorm };
  }

  zeroGrad(): void {
    this.gradient.fill(0);
  }

  async features(sequences: readonly TokenIds[]): Promise<Float32Array[]> {
    return sequences.map((tokens) => Float32Array.of(tokens.at(-1)!));
  }

  async save(dir: string): Promise<void> {
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, "table.json"), JSON.stringify(Array.from(this.weights)));
  }

  async saveState(dir: string): Promise<void> {
    const { m, v, steps } = this;
    await this.save(dir);
    await writeFile(join(dir, "adam.json"), JSON.stringify([Array.from(m), Array.from(v), steps]));
  }

  async loadState(dir: string): Promise<void> {
    const read = async (name: string) => JSON.parse(await readFile(join(dir, name), "utf8"));
    this.weights.set(await read("table.json"));
    const [m, v, steps] = await read("adam.json");
    this.m.set(m);
    this.v.set(v);
    this.steps = steps;
  }

  dispose(): void {}
}

/** log pi(next | before) = log softmax of a row of logits. */
export class BigramModel extends Table implements LanguageModel {
  constructor(
    weights: Float64Array,
    readonly endIds: readonly number[],
  ) {
    super(weights);
  }

  get vocabulary(): number {
    return Math.sqrt(this.weights.length);
  }

  /** pi(. | before). */
  distribution(before: number): number[] {
    const row = this.weights.subarray(before * this.vocabulary, (before + 1) * this.vocabulary);
    const top = Math.max(...row);
    const total = row.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
    return Array.from(row, (logit) => Math.exp(logit - top) / total);
  }

  async sample(prompts: readonly TokenIds[], options: SampleOptions): Promise<Completion[]> {
    const { n = 1, maxNewTokens, seeds, stopIds = this.endIds } = options;
    return prompts.flatMap((prompt, promptIndex) =>
      Array.from({ length: n }, (_, k): Completion => {
        const random = new RandomStream(
          seeds[seeds.length === prompts.length ? promptIndex : promptIndex * n + k]!,
          "bigram",
        );
        const tokens: number[] = [];
        const logprobs: number[] = [];
        let before = prompt.at(-1)!;
        while (tokens.length < maxNewTokens && !stopIds.includes(tokens.at(-1)!)) {
          const p = this.distribution(before);
          let u = random.uniform();
          before = p.findIndex((x) => (u -= x) < 0);
          if (before < 0) before = p.findLastIndex((x) => x > 0);
          tokens.push(before);
          logprobs.push(Math.log(p[before]!));
        }
        return {
          promptIndex,
          tokens: Int32Array.from(tokens),
          logprobs: Float32Array.from(logprobs),
          samplingLogprobs: Float32Array.from(logprobs),
          finishReason: stopIds.includes(tokens.at(-1)!) ? "stop" : "length",
        };
      }),
    );
  }

  async logprobs(sequences: readonly Sequence[]): Promise<Float32Array[]> {
    return sequences.map(({ tokens, promptLength }) =>
      Float32Array.from(tokens.slice(promptLength), (token, t) =>
        Math.log(this.distribution(tokens[promptLength + t - 1]!)[token]!),
      ),
    );
  }

  async backward(sequences: readonly Sequence[], g: readonly Float32Array[]): Promise<Float32Array[]> {
    sequences.forEach(({ tokens, promptLength }, i) => {
      g[i]!.forEach((weight, t) => {
        const before = tokens[promptLength + t - 1]!;
        const token = tokens[promptLength + t]!;
        this.distribution(before).forEach((p, next) => {
          this.gradient[before * this.vocabulary + next]! += weight * (Number(next === token) - p);
        });
      });
    });
    return this.logprobs(sequences);
  }

  async snapshot(): Promise<BigramModel> {
    return new BigramModel(this.weights.slice(), this.endIds);
  }
}

/** One value by the token at a position. */
export class TokenValues extends Table implements ScalarModel {
  readonly hiddenSize = 1;

  constructor(readonly vocabulary: number) {
    super(new Float64Array(vocabulary));
  }

  setHead(): void {}

  setWeights(values: (name: string) => ArrayLike<number>): void {
    this.weights.set(values("table"));
  }

  async values(sequences: readonly TokenIds[], positions: "last" | "all"): Promise<Float32Array[]> {
    return sequences.map((tokens) =>
      Float32Array.from(
        positions === "last" ? [tokens.at(-1)!] : Array.from(tokens),
        (token) => this.weights[token]!,
      ),
    );
  }

  async backward(sequences: readonly TokenIds[], g: readonly Float32Array[]): Promise<Float32Array[]> {
    sequences.forEach((tokens, i) => {
      const own = g[i]!.length === 1 ? [tokens.at(-1)!] : Array.from(tokens);
      own.forEach((token, t) => void (this.gradient[token]! += g[i]![t]!));
    });
    return this.values(sequences, "all");
  }

  async snapshot(): Promise<TokenValues> {
    const copy = new TokenValues(this.vocabulary);
    copy.weights.set(this.weights);
    return copy;
  }
}
