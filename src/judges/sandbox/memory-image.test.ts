import { expect, it } from "vitest";
import { MemoryImage } from "./memory-image.js";

const block = 4096;

/** `blocks` of zeros, but for a byte in each of `dirty`. */
function memoryWith(blocks: number, dirty: readonly number[]): Uint8Array {
  const memory = new Uint8Array(blocks * block);
  for (const i of dirty) memory[i * block + (i % block)] = i + 1;
  return memory;
}

it.each([
  ["nothing but zeros", []],
  ["stretches in the middle", [2, 3, 5]],
  ["the first and the last block", [0, 7]],
  ["no zero block", [0, 1, 2, 3, 4, 5, 6, 7]],
])("restores every byte: %s", (_, dirty) => {
  const memory = memoryWith(8, dirty);
  const before = memory.slice();
  const image = new MemoryImage(memory);
  memory.fill(0xff);
  image.restore(memory);
  expect(Buffer.compare(memory, before)).toBe(0);
  expect(image.length).toBe(before.length);
});

it("zeroes what a memory has grown by", () => {
  const image = new MemoryImage(memoryWith(2, [1]));
  const grown = new Uint8Array(3 * block).fill(0xff);
  image.restore(grown);
  expect(Buffer.compare(grown, memoryWith(3, [1]))).toBe(0);
});
