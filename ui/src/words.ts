// What differs between two texts, word by word.

export interface Piece {
  text: string;
  change: "same" | "added" | "removed";
}

/** Words compared; longer texts are compared in their beginnings. */
const WORDS = 1500;

const wordsOf = (text: string): string[] => (text.match(/\s*\S+\s*?|\s+/g) ?? []).slice(0, WORDS);

/** A shortest way from one text to the other: the longest common subsequence of their words stays. */
export function differences(before: string, after: string): Piece[] {
  const [a, b] = [wordsOf(before), wordsOf(after)];
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        a[i] === b[j]
          ? lengths[(i + 1) * width + j + 1]! + 1
          : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!);
  const pieces: Piece[] = [];
  const push = (text: string, change: Piece["change"]) => {
    const last = pieces.at(-1);
    if (last?.change === change) last.text += text;
    else pieces.push({ text, change });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      push(a[i]!, "same");
      i++;
      j++;
    } else if (
      j >= b.length ||
      (i < a.length && lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!)
    ) {
      push(a[i++]!, "removed");
    } else {
      push(b[j++]!, "added");
    }
  }
  return pieces;
}
