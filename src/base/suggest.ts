// "Did you mean ...?": the nearest known name to a mistyped one.

/** Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions, adjacent swaps. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(substitution, last[j]! + 1, row[j - 1]! + 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/** Case, and the choice between `-`, `_` and camelCase, are not worth a suggestion's budget of edits. */
const plain = (name: string) => name.replace(/[-_ .]/g, "").toLowerCase();

/** Characters of a name that may be a slip: the time of a comparison grows with the square of them. */
const longestName = 100;

/**
 * The known name nearest to `name`, or undefined when none is near enough to be meant: at most one edit for every
 * three characters, or one name is the start of the other.
 */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = plain(name);
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  if (wanted.length > longestName) return undefined;
  for (const candidate of known) {
    const other = plain(candidate);
    if (other.length > longestName) continue;
    const shorter = Math.min(wanted.length, other.length);
    const isPrefix = shorter >= 3 && (wanted.startsWith(other) || other.startsWith(wanted));
    const distance = editDistance(wanted, other);
    const longer = Math.max(wanted.length, other.length);
    const near = longer > 2 && distance <= Math.max(1, Math.floor(longer / 3));
    const score = isPrefix ? Math.min(distance, 1.5) : distance;
    if ((near || isPrefix) && score < bestDistance) {
      best = candidate;
      bestDistance = score;
    }
  }
  return best;
}

/** ` (did you mean "x"?)`, or an empty string when nothing known is near. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const suggestion = nearest(name, known);
  return suggestion === undefined ? "" : ` (did you mean "${suggestion}"?)`;
}
