// An interpreter's whole memory as it was at one moment, to go back to byte for byte. Much of it is zero (an empty stack,
// unused heap), and filling is cheaper than copying.

const blockBytes = 4096;

interface Stretch {
  offset: number;
  bytes: Uint8Array;
}

export class MemoryImage {
  /** Bytes of the memory. */
  readonly length: number;
  /** Copies of the runs of blocks that are not all zero. */
  private readonly stretches: readonly Stretch[];

  constructor(memory: Uint8Array) {
    this.length = memory.length;
    this.stretches = stretchesOf(memory);
  }

  /** Writes every byte once; what `memory` has grown by becomes zero. */
  restore(memory: Uint8Array): void {
    let at = 0;
    for (const { offset, bytes } of this.stretches) {
      memory.fill(0, at, offset);
      memory.set(bytes, offset);
      at = offset + bytes.length;
    }
    memory.fill(0, at);
  }
}

function stretchesOf(memory: Uint8Array): Stretch[] {
  const zeros = Buffer.alloc(blockBytes);
  const stretches: Stretch[] = [];
  let start = 0;
  const closeAt = (end: number) => {
    if (end > start) stretches.push({ offset: start, bytes: memory.slice(start, end) });
    start = end + blockBytes;
  };
  for (let at = 0; at < memory.length; at += blockBytes)
    if (zeros.equals(memory.subarray(at, at + blockBytes))) closeAt(at);
  closeAt(memory.length);
  return stretches;
}
