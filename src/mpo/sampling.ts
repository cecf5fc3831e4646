// Which rollouts the meta reward model gets to see (specification, sections 1.3, 1.6 and 7.4).

import type { RandomStream } from "../base/random.js";
import { distinctRatio, normalised, type ScoredRollout, words } from "./rollout.js";

/** min(n, available) rollouts, uniformly and without replacement (the paper). */
export const uniformSample = <T>(rollouts: readonly T[], n: number, random: RandomStream): T[] =>
  random.shuffle(rollouts).slice(0, n);

/** Ways in which a rollout can look like a hack; each orders the most suspicious first. */
const suspicions: ((a: ScoredRollout, b: ScoredRollout) => number)[] = [
  // A judge objects to what the rubric likes: the best evidence there is.
  (a, b) => disagreement(b) - disagreement(a),
  (a, b) => normalised(b.score) - normalised(a.score),
  (a, b) => words(a.response).length - words(b.response).length,
  (a, b) => words(b.response).length - words(a.response).length,
  (a, b) => distinctRatio(a.response) - distinctRatio(b.response),
];

const disagreement = ({ feasible, score }: ScoredRollout): number =>
  feasible === false ? normalised(score) : -1;

/** One half picked from the suspicions in turn, the other half uniformly from the rest. */
export function suspiciousSample(
  rollouts: readonly ScoredRollout[],
  n: number,
  random: RandomStream,
): ScoredRollout[] {
  const rest = new Set(rollouts);
  const picked: ScoredRollout[] = [];
  const half = Math.min(Math.floor(n / 2), rollouts.length);
  for (let turn = 0; picked.length < half; turn++) {
    const [suspect] = [...rest].sort(suspicions[turn % suspicions.length]);
    picked.push(suspect!);
    rest.delete(suspect!);
  }
  return [...picked, ...uniformSample([...rest], n - picked.length, random)];
}

/** Rollouts by score in three equal parts, `perPart` of each; all of them when there are fewer than three (section 1.6). */
export function tertileSample(
  rollouts: readonly ScoredRollout[],
  perPart: number,
  random: RandomStream,
): ScoredRollout[] {
  if (rollouts.length < 3) return [...rollouts];
  const sorted = [...rollouts].sort((a, b) => normalised(a.score) - normalised(b.score));
  const cut = (part: number) => Math.round((part * sorted.length) / 3);
  return [0, 1, 2].flatMap((part) => uniformSample(sorted.slice(cut(part), cut(part + 1)), perPart, random));
}
