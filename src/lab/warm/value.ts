// The baseline of REINFORCE: V(x, y_<t) = w . h_t + b on hidden states, trained with Adam.

const beta1 = 0.9;
const beta2 = 0.999;
const epsilon = 1e-8;

export class LinearValue {
  /** Weights, the bias last. */
  private readonly weights: Float64Array;
  private readonly first: Float64Array;
  private readonly second: Float64Array;
  private steps = 0;

  constructor(
    private readonly width: number,
    private readonly learningRate: number,
  ) {
    [this.weights, this.first, this.second] = [0, 0, 0].map(() => new Float64Array(width + 1)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
  }

  /** V at every row of `states` [rows, width]. */
  at(states: Float32Array): Float32Array {
    const { width, weights } = this;
    return Float32Array.from({ length: states.length / width }, (_, row) => {
      let v = weights[width]!;
      for (let d = 0; d < width; d++) v += weights[d]! * states[row * width + d]!;
      return v;
    });
  }

  /** One Adam step along the gradient sum_i sum_t g[i][t] dV/dw. */
  step(states: readonly Float32Array[], g: readonly Float32Array[]): void {
    const { width, weights, first, second } = this;
    const gradient = new Float64Array(width + 1);
    states.forEach((rows, i) => {
      g[i]!.forEach((pull, row) => {
        for (let d = 0; d < width; d++) gradient[d]! += pull * rows[row * width + d]!;
        gradient[width]! += pull;
      });
    });
    this.steps++;
    for (let d = 0; d <= width; d++) {
      first[d] = beta1 * first[d]! + (1 - beta1) * gradient[d]!;
      second[d] = beta2 * second[d]! + (1 - beta2) * gradient[d]! ** 2;
      const [m, v] = [first[d]! / (1 - beta1 ** this.steps), second[d]! / (1 - beta2 ** this.steps)];
      weights[d]! -= (this.learningRate * m) / (Math.sqrt(v) + epsilon);
    }
  }
}
