// Which rollouts the meta reward model gets to see: drawn uniformly, or by thirds of the score for mathematics (MPO,
// 2504.20157); half of them suspicious is ours.

import type { RandomStream } from "../base/random.js";
import { distinctRatio, normalised, type ScoredRollout, words } from "./rollout.js";

/** min(n, available) rollouts, uniformly and without replacement (the paper). */
export const uniformSample = <T>(rollouts: readonly T[], n: number, random: RandomStream): T[] =>
  random.shuffle(rollouts).slice(0, n);

/** Ways in which a rollout can look like a hack, and how much it does; undefined where it does not at all. */
const suspicions: ((rollout: ScoredRollout) => number | undefined)[] = [
  // A judge objects to what the rubric likes: the best evidence there is.
  ({ feasible, score }) => (feasible === false ? normalised(score) : undefined),
  ({ score }) => normalised(score),
  ({ response }) => -words(response).length,
  ({ response }) => words(response).length,
  ({ response }) => -distinctRatio(response),
];

/** The rollout that a suspicion falls on most, the first of equals. */
function suspect(
  rollouts: Iterable<ScoredRollout>,
  suspicion: (typeof suspicions)[number],
): ScoredRollout | undefined {
  let found: ScoredRollout | undefined;
  let most = Number.NEGATIVE_INFINITY;
  for (const rollout of rollouts) {
    const level = suspicion(rollout) ?? Number.NEGATIVE_INFINITY;
    if (level > most) [found, most] = [rollout, level];
  }
  return found;
}

/** One half picked from the suspicions in turn, the other half uniformly from the rest. */
export function suspiciousSample(
  rollouts: readonly ScoredRollout[],
  n: number,
  random: RandomStream,
): ScoredRollout[] {
  const rest = new Set(rollouts);
  const picked: ScoredRollout[] = [];
  const half = Math.min(Math.floor(n / 2), rest.size);
  for (let turn = 0; picked.length < half; turn++) {
    const found = suspect(rest, suspicions[turn % suspicions.length]!);
    if (!found) continue;
    picked.push(found);
    rest.delete(found);
  }
  return [...picked, ...uniformSample([...rest], n - picked.length, random)];
}

/** Rollouts by score in three equal parts, `perPart` of each; all of them when there are fewer than three. */
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
