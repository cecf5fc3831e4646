// A part of a text on its way to tokens: what the normalizers have made of it so far, and where each of its units was in
// the text that came in. All positions are UTF-16 units.

export class Piece {
  /** Where each unit of `text` begins and ends in the original; null where it is the original from `origin` on. */
  constructor(
    readonly text: string,
    /** Where the piece begins in the original. */
    readonly origin: number,
    private readonly starts: readonly number[] | null = null,
    private readonly ends: readonly number[] | null = null,
  ) {}

  startOf(index: number): number {
    return this.starts ? (this.starts[index] ?? this.ends!.at(-1) ?? this.origin) : this.origin + index;
  }

  /** Where what ends before `index` ends in the original. */
  endOf(index: number): number {
    if (index === 0) return this.startOf(0);
    return this.ends ? this.ends[index - 1]! : this.origin + index;
  }

  slice(from: number, to: number): Piece {
    if (from === 0 && to === this.text.length) return this;
    const origin = from === 0 ? this.origin : this.startOf(from);
    const text = this.text.slice(from, to);
    if (!this.starts) return new Piece(text, origin);
    return new Piece(text, origin, this.starts.slice(from, to), this.ends!.slice(from, to));
  }

  /** Builds what a piece becomes. */
  rebuild(write: (out: PieceBuilder) => void): Piece {
    const out = new PieceBuilder(this);
    write(out);
    return out.build();
  }

  prepend(text: string): Piece {
    return this.rebuild((out) => {
      // The new units stand for the first unit of the original, as in the Rust library.
      out.push(text, 0, Math.min(1, this.text.length));
      out.keep(0, this.text.length);
    });
  }
}

export class PieceBuilder {
  private readonly parts: string[] = [];
  private readonly starts: number[] = [];
  private readonly ends: number[] = [];

  constructor(private readonly source: Piece) {}

  /** `text` in place of units [from, to) of the source. */
  push(text: string, from: number, to: number): void {
    this.parts.push(text);
    const [start, end] = [this.source.startOf(from), this.source.endOf(to)];
    for (let i = 0; i < text.length; i++) {
      this.starts.push(start);
      this.ends.push(end);
    }
  }

  /** Units [from, to) of the source as they are. */
  keep(from: number, to: number): void {
    this.parts.push(this.source.text.slice(from, to));
    for (let i = from; i < to; i++) {
      this.starts.push(this.source.startOf(i));
      this.ends.push(this.source.endOf(i + 1));
    }
  }

  build(): Piece {
    return new Piece(this.parts.join(""), this.source.origin, this.starts, this.ends);
  }
}

/** A stretch of a text, and whether a pattern matched it. */
export interface Stretch {
  from: number;
  to: number;
  isMatch: boolean;
}

/** How a pre-tokenizer treats what its pattern matches. */
export const behaviours = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
] as const;
export type Behaviour = (typeof behaviours)[number];

/** The matches of a pattern and what lies between them, in order. */
export type Matcher = (text: string) => Stretch[];

/** Rust's `NormalizedString::split`; empty pieces are left out. */
export function splitPiece(piece: Piece, matcher: Matcher, behaviour: Behaviour): Piece[] {
  if (piece.text === "") return [];
  const joined = joinStretches(matcher(piece.text), behaviour);
  return joined.filter(({ from, to }) => to > from).map(({ from, to }) => piece.slice(from, to));
}

function joinStretches(stretches: Stretch[], behaviour: Behaviour): { from: number; to: number }[] {
  if (behaviour === "Isolated") return stretches;
  if (behaviour === "Removed") return stretches.filter(({ isMatch }) => !isMatch);
  const isBackward = behaviour === "MergedWithNext";
  const joined: { from: number; to: number }[] = [];
  let wasMatch = false;
  for (const { from, to, isMatch } of isBackward ? stretches.toReversed() : stretches) {
    const last = joined.at(-1);
    const joins = behaviour === "Contiguous" ? isMatch === wasMatch : isMatch && !wasMatch;
    if (!joins || !last) joined.push({ from, to });
    else if (isBackward) last.from = from;
    else last.to = to;
    wasMatch = isMatch;
  }
  return isBackward ? joined.reverse() : joined;
}
