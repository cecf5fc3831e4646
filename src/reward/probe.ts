// The linear probe of WARM (section 3.1): the score head fitted on frozen features, so that full fine-tuning starts
// from a head that fits and distorts the features little. One head serves all members.

export interface ProbeOptions {
  /** Weight of (l2 / 2) |omega|^2. */
  l2: number;
  /** Default 50; Newton's method needs about ten. */
  maxIterations?: number;
}

/**
 * omega minimising mean -log sigmoid(omega . (f(y+) - f(y-))) + (l2/2) |omega|^2 over feature differences
 * [pairs][hidden]. A bias would cancel. Newton's method:
 * the problem is smooth and strictly convex.
 */
export function linearProbe(
  differences: readonly Float32Array[],
  { l2, maxIterations = 50 }: ProbeOptions,
): Float64Array {
  const width = differences[0]?.length ?? 0;
  const omega = new Float64Array(width);
  let loss = probeLoss(differences, omega, l2);
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const { gradient, hessian } = derivatives(differences, omega, l2);
    const direction = solve(hessian, gradient, width);
    const slope = direction.reduce((sum, d, i) => sum + d * gradient[i]!, 0);
    if (slope < 1e-12) break;
    // Backtracking (Armijo): a full Newton step can overshoot where the sigmoid saturates.
    let rate = 1;
    let next = moved(omega, direction, rate);
    let nextLoss = probeLoss(differences, next, l2);
    while (nextLoss > loss - 1e-4 * rate * slope && rate > 1e-8) {
      rate /= 2;
      next = moved(omega, direction, rate);
      nextLoss = probeLoss(differences, next, l2);
    }
    omega.set(next);
    loss = nextLoss;
  }
  return omega;
}

const moved = (omega: Float64Array, direction: Float64Array, rate: number): Float64Array =>
  omega.map((w, i) => w - rate * direction[i]!);

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function probeLoss(differences: readonly Float32Array[], omega: Float64Array, l2: number): number {
  let loss = 0;
  for (const difference of differences) {
    const margin = dot(omega, difference);
    loss += margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin;
  }
  return loss / differences.length + (l2 / 2) * dot(omega, omega);
}

function derivatives(differences: readonly Float32Array[], omega: Float64Array, l2: number) {
  const width = omega.length;
  const gradient = omega.map((w) => l2 * w);
  const hessian = new Float64Array(width * width);
  for (let i = 0; i < width; i++) hessian[i * width + i] = l2;
  for (const difference of differences) {
    const wrong = 1 / (1 + Math.exp(dot(omega, difference)));
    const pull = wrong / differences.length;
    const curvature = (wrong * (1 - wrong)) / differences.length;
    for (let i = 0; i < width; i++) {
      gradient[i] = gradient[i]! - pull * difference[i]!;
      const row = curvature * difference[i]!;
      for (let j = 0; j <= i; j++) hessian[i * width + j]! += row * difference[j]!;
    }
  }
  return { gradient, hessian };
}

/** Solves the symmetric positive definite system given by its lower triangle, by Cholesky, in place. */
function solve(lower: Float64Array, right: Float64Array, n: number): Float64Array {
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = lower[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= lower[i * n + k]! * lower[j * n + k]!;
      lower[i * n + j] = i === j ? Math.sqrt(sum) : sum / lower[j * n + j]!;
    }
  const x = right.slice();
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= lower[i * n + k]! * x[k]!;
    x[i]! /= lower[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= lower[k * n + i]! * x[k]!;
    x[i]! /= lower[i * n + i]!;
  }
  return x;
}
