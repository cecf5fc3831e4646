// Which members, and in which order: rankings on held-out pairs, and the greedy soup.

/** Indices from the highest to the lowest accuracy, equal ones by lower loss. */
export function bestFirst(members: readonly { accuracy: number; loss: number }[]): number[] {
  return members
    .map((_, i) => i)
    .sort(
      (i, j) => members[j]!.accuracy - members[i]!.accuracy || members[i]!.loss - members[j]!.loss || i - j,
    );
}

/** The uniform weights of a subset of `count` members. */
export function uniformOver(subset: readonly number[], count: number): number[] {
  const weights = new Array<number>(count).fill(0);
  for (const i of subset) weights[i] = 1 / subset.length;
  return weights;
}

export interface SoupStep {
  member: number;
  /** Accuracy of the average with this member in it. */
  accuracy: number;
  kept: boolean;
}

export interface Soup {
  /** Members kept, best first. */
  members: number[];
  steps: SoupStep[];
}

/**
 * Greedy soup: beginning with the first of `order`, a member stays when the held-out accuracy of the average of all that
 * stay does not fall by it.
 */
export async function greedySoup(
  order: readonly number[],
  accuracyOf: (subset: readonly number[]) => Promise<number>,
): Promise<Soup> {
  const members: number[] = [];
  const steps: SoupStep[] = [];
  let best = Number.NEGATIVE_INFINITY;
  for (const member of order) {
    const accuracy = await accuracyOf([...members, member]);
    const kept = accuracy >= best;
    if (kept) {
      best = accuracy;
      members.push(member);
    }
    steps.push({ member, accuracy, kept });
  }
  return { members, steps };
}
