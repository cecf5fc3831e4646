// Sequences that begin alike, as the samples of one prompt do: their common beginning is computed once. Which they are,
// how they are cut into batches, and where their tokens stand in these.

import type { TokenIds } from "../contract.js";

/** What a sequence asks for: `rows` are the positions wanted, in order. */
interface Wanted {
  tokens: TokenIds;
  rows: readonly number[];
}

/** Sequences with the first `shared` tokens in common. */
export interface Group {
  shared: number;
  /** Places among all sequences. */
  members: readonly number[];
}

/** A shorter beginning is not worth a graph that is less simple. */
const leastShared = 8;

/**
 * Sorts sequences into groups that share a beginning, and those that share none. No wanted position lies in a beginning. A
 * sequence joins the group before it, in the order of their tokens, if that saves tokens.
 */
export function groupByBeginning(sequences: readonly Wanted[]): { groups: Group[]; alone: number[] } {
  const order = sequences
    .map((_, i) => i)
    .sort((a, b) => compare(sequences[a]!.tokens, sequences[b]!.tokens) || a - b);
  const groups: Group[] = [];
  const alone: number[] = [];
  let [shared, members]: [number, number[]] = [0, []];
  const close = (): void => {
    if (members.length > 1) groups.push({ shared, members });
    else alone.push(...members);
  };
  for (const i of order) {
    const first = sequences[members[0] ?? i]!;
    const common = Math.min(
      members.length > 1 ? shared : first.rows[0]!,
      sequences[i]!.rows[0]!,
      commonLength(first.tokens, sequences[i]!.tokens),
    );
    const saves = common * members.length > shared * (members.length - 1);
    if (members.length > 0 && common >= leastShared && saves) {
      shared = common;
      members.push(i);
    } else {
      close();
      [shared, members] = [0, [i]];
    }
  }
  close();
  return { groups, alone: alone.sort((a, b) => a - b) };
}

function commonLength(a: TokenIds, b: TokenIds): number {
  const length = Math.min(a.length, b.length);
  let n = 0;
  while (n < length && a[n] === b[n]) n++;
  return n;
}

function compare(a: TokenIds, b: TokenIds): number {
  const n = commonLength(a, b);
  return n < a.length && n < b.length ? a[n]! - b[n]! : a.length - b.length;
}

/**
 * Cuts groups into batches of at most `budget` tokens. A group that is larger is cut into equal pieces, each with the
 * beginning again; members whose piece would be theirs alone share nothing and are returned as such. Long tails first.
 */
export function cutGroups(
  groups: readonly Group[],
  sequences: readonly Wanted[],
  budget: number,
): { batches: Group[][]; alone: number[] } {
  const tail = (i: number, { shared }: Group): number => sequences[i]!.tokens.length - shared;
  const alone: number[] = [];
  const pieces = groups.flatMap((group) => {
    const members = group.members.toSorted((a, b) => tail(b, group) - tail(a, group) || a - b);
    const tails = members.reduce((sum, i) => sum + tail(i, group), 0);
    const room = Math.max(1, budget - group.shared);
    const share = tails / Math.ceil(tails / room);
    const cut: { shared: number; members: number[] }[] = [];
    let taken = Number.POSITIVE_INFINITY;
    for (const i of members) {
      const own = tail(i, group);
      if (taken + own > room || taken + own / 2 > share) {
        cut.push({ shared: group.shared, members: [] });
        taken = 0;
      }
      cut.at(-1)!.members.push(i);
      taken += own;
    }
    return cut.flatMap((piece) => {
      if (piece.members.length > 1) return [piece];
      alone.push(...piece.members);
      return [];
    });
  });
  const tokens = (group: Group): number =>
    group.members.reduce((sum, i) => sum + tail(i, group), group.shared);
  const longest = (group: Group): number => tail(group.members[0]!, group);
  const order = pieces.toSorted(
    (a, b) => longest(b) - longest(a) || b.shared - a.shared || a.members[0]! - b.members[0]!,
  );
  const batches: Group[][] = [];
  let room = 0;
  for (const piece of order) {
    if (tokens(piece) > room) {
      batches.push([]);
      room = budget;
    }
    batches.at(-1)!.push(piece);
    room -= tokens(piece);
  }
  return { batches, alone };
}

/** The tokens of a batch of groups in one row, N of them, and where each lies (`SharedInputs` of model/attention.ts). */
export interface Layout {
  tokens: Int32Array;
  /** Of every token in its own sequence. */
  positions: number[];
  /** Sequences in the order of their results: of every tail its sequence, where it begins in the row, and after how many tokens. */
  tails: { index: number; start: number; shared: number }[];
  heads: Int32Array;
  headsOrNone: Int32Array;
  tailPlaces: Int32Array;
  tailPlacesOrNone: Int32Array;
  seen: Int32Array;
  placed: Int32Array;
  /** S, G, P, C of `SharedInputs`. */
  extents: { S: number; G: number; P: number; C: number };
  /** Lengths of the beginning of every tail, empty ones included. */
  beginnings: number[];
}

export function layOut(groups: readonly Group[], sequences: readonly Wanted[]): Layout {
  const S = groups.length;
  const G = Math.max(...groups.map(({ members }) => members.length));
  const P = Math.max(...groups.map(({ shared }) => shared));
  const C = Math.max(
    ...groups.flatMap(({ shared, members }) => members.map((i) => sequences[i]!.tokens.length - shared)),
  );
  const [R, L] = [S * G, P + C];
  const tokens: number[] = [];
  const positions: number[] = [];
  const placed: number[] = [];
  const places = (count: number, none: number) => new Int32Array(count).fill(none);
  const [heads, tailPlaces] = [places(S * P, -1), places(R * C, -1)];
  const seen = places(R * L, 0);
  const beginnings = groups.flatMap(({ shared }) => new Array<number>(G).fill(shared));
  const put = (token: number, position: number, place: number): number => {
    placed.push(place);
    positions.push(position);
    return tokens.push(token) - 1;
  };
  groups.forEach(({ shared, members }, s) => {
    for (let t = 0; t < shared; t++) {
      const at = put(sequences[members[0]!]!.tokens[t]!, t, s * P + t);
      heads[s * P + t] = at;
      for (let k = 0; k < G; k++) seen[(s * G + k) * L + t] = at;
    }
  });
  const tails: Layout["tails"] = [];
  groups.forEach(({ shared, members }, s) => {
    members.forEach((index, k) => {
      const own = sequences[index]!.tokens;
      const r = s * G + k;
      tails.push({ index, start: tokens.length, shared });
      for (let t = 0; t < own.length - shared; t++) {
        const at = put(own[shared + t]!, shared + t, S * P + r * C + t);
        tailPlaces[r * C + t] = at;
        seen[r * L + P + t] = at;
      }
    });
  });
  const filled = (array: Int32Array, none: number): Int32Array => array.map((at) => (at < 0 ? none : at));
  return {
    tokens: Int32Array.from(tokens),
    positions,
    tails,
    heads: filled(heads, 0),
    headsOrNone: filled(heads, tokens.length),
    tailPlaces: filled(tailPlaces, 0),
    tailPlacesOrNone: filled(tailPlaces, tokens.length),
    seen,
    placed: Int32Array.from(placed),
    extents: { S, G, P, C },
    beginnings,
  };
}

/**
 * Additive mask of tails, [R, 1, groups * C, P + C], or [1, ...] where all beginnings are equally long: row t sees the keys
 * of its beginning and those of its tail up to t, within the window; 0 where it does, else -1e9.
 */
export function tailMask(
  { beginnings, extents: { P, C } }: Pick<Layout, "beginnings" | "extents">,
  groups: number,
  window: number | null,
): { floats: Float32Array; dims: number[] } {
  const distinct = new Set(beginnings).size === 1 ? beginnings.slice(0, 1) : beginnings;
  const L = P + C;
  const floats = new Float32Array(distinct.length * groups * C * L).fill(-1e9);
  distinct.forEach((shared, r) => {
    for (let g = 0; g < groups; g++)
      for (let t = 0; t < C; t++) {
        const at = ((r * groups + g) * C + t) * L;
        const first = window === null ? 0 : Math.max(0, shared + t - window + 1);
        if (first < shared) floats.fill(0, at + first, at + shared);
        floats.fill(0, at + P + Math.max(0, first - shared), at + P + t + 1);
      }
  });
  return { floats, dims: [distinct.length, 1, groups * C, L] };
}
