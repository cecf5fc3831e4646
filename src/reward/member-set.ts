// The members of one average, opened and checked to belong together. Sums over them stream through in chunks: memory is
// bounded by the chunk size, whatever the size and the number of the members.

import { resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { firstNonFinite } from "../model/floats.js";
import { checkAlike, checkRewardModel } from "./compatibility.js";
import { elementsOf, type Member, openMember } from "./member.js";
import { WeightedSum } from "./weighted-sum.js";

export interface MemberSource {
  /** A model directory, or a LoRA adapter: its merged weights are averaged. */
  dir: string;
  /** The base model of an adapter, where it is not the directory that adapter_config.json names. */
  base?: string;
}

export class MemberSet {
  private constructor(readonly members: readonly Member[]) {}

  /** Opens the members; with `rewardModels` refuses what is not one. */
  static async open(sources: readonly MemberSource[], { rewardModels = true } = {}): Promise<MemberSet> {
    const members: Member[] = [];
    const set = new MemberSet(members);
    try {
      for (const { dir, base } of sources) members.push(await openMember(dir, base));
      for (const member of members) {
        if (rewardModels) checkRewardModel(member);
        checkAlike(members[0]!, member);
      }
      return set;
    } catch (error) {
      await set.close();
      throw error;
    }
  }

  get first(): Member {
    return this.members[0]!;
  }

  /** The tensors that are averaged, and how many elements each has. */
  get floats(): [name: string, elements: number][] {
    return [...this.first.tensors]
      .filter(([, { dtype }]) => !isInteger(dtype))
      .map(([name, info]) => [name, elementsOf(info)]);
  }

  /**
   * sum_i w_i phi_i, chunk by chunk in the order of `tensors`. Products and sums are float64 and are rounded to float32
   * once, so that identical members give the member back bit for bit. While one chunk is summed and used, the next is
   * being read, be it of the same tensor or of the next.
   */
  sum(
    weights: readonly number[],
    tensors: readonly (readonly [name: string, elements: number])[] = this.floats,
  ): AsyncGenerator<SumChunk> {
    return sumChunks(inFixedOrder(this.members, weights), tensors);
  }

  /** The same in memory, by name. */
  async weights(weights: readonly number[]): Promise<Map<string, Float32Array>> {
    const tensors = new Map(this.floats.map(([name, elements]) => [name, new Float32Array(elements)]));
    for await (const { name, first, values } of this.sum(weights)) tensors.get(name)!.set(values, first);
    return tensors;
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.close()));
  }
}

export const isInteger = (dtype: string): boolean => /^(I|U|BOOL)/.test(dtype);

interface Term {
  member: Member;
  weight: number;
}

/** Members without weight are not read. The order of the sum does not depend on the order in which the members were named: the result is the same, bit for bit. */
function inFixedOrder(members: readonly Member[], weights: readonly number[]): Term[] {
  const terms = members.map((member, i) => ({ member, weight: weights[i]!, path: resolve(member.dir) }));
  const weighty = terms.filter(({ weight }) => weight !== 0);
  return (weighty.length > 0 ? weighty : terms).sort((a, b) =>
    a.path < b.path ? -1 : a.path > b.path ? 1 : a.weight - b.weight,
  );
}

/** Elements held at a time, of all members together: 8 MiB of float32, so that what was read is still in the cache when it is summed. */
const heldElements = 1 << 21;

/** A part of one tensor, in row-major order. */
interface Chunk {
  name: string;
  first: number;
  elements: number;
}

/** A part of the sum, valid until the next one is asked for. */
export interface SumChunk extends Chunk {
  values: Float32Array;
  /** The same as the bytes of bfloat16 numbers; undefined where one is too large. Overwrites `values`. */
  narrowed: () => Uint8Array | undefined;
}

function chunksOf(name: string, elements: number, size: number): Chunk[] {
  return Array.from({ length: Math.ceil(elements / size) }, (_, i) => ({
    name,
    first: i * size,
    elements: Math.min(size, elements - i * size),
  }));
}

async function* sumChunks(
  terms: readonly Term[],
  tensors: readonly (readonly [name: string, elements: number])[],
): AsyncGenerator<SumChunk> {
  const largest = tensors.reduce((max, [, elements]) => Math.max(max, elements), 0);
  const size = Math.min(largest, Math.ceil(heldElements / terms.length));
  const sum = new WeightedSum(terms.length, size);
  const chunks = tensors.flatMap(([name, elements]) => chunksOf(name, elements, size));
  const read = async (index: number): Promise<void> => {
    const { name, first, elements } = chunks[index]!;
    const reading = terms.map(({ member }, i) =>
      member.readStored(name, first, sum.input(index % 2, i, member.storedType(name), elements)),
    );
    await Promise.all(reading);
  };
  let pending = chunks.length > 0 ? read(0) : Promise.resolve();
  for (const [index, chunk] of chunks.entries()) {
    await pending;
    if (index + 1 < chunks.length) {
      pending = read(index + 1);
      // Awaited in the next round; a failure must not count as unhandled should this round fail first.
      pending.catch(() => {});
    }
    const { name, first, elements } = chunk;
    const typed = terms.map(({ member, weight }) => ({ type: member.storedType(name), weight }));
    const values = sum.of(index % 2, typed, elements);
    if (values === undefined) throw await nonFinite(terms, chunk);
    yield { name, first, elements, values, narrowed: () => sum.narrowed(elements) };
  }
}

async function nonFinite(terms: readonly Term[], { name, first, elements }: Chunk): Promise<UserError> {
  const values = new Float32Array(elements);
  for (const { member } of terms) {
    await member.read(name, first, values);
    const bad = firstNonFinite(values);
    if (bad >= 0) {
      return new UserError(
        `${member.tensors.get(name)!.file}: tensor "${name}" holds ${values[bad]}; the weights are broken`,
      );
    }
  }
  return new UserError(`the average of tensor "${name}" is not finite`);
}
