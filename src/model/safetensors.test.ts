import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import type { FloatType } from "./config.js";
import { type FloatTensor, SafetensorsReader, writeSafetensors, writeWeights } from "./safetensors.js";

const fixtures = fileURLToPath(new URL("../../test/fixtures/formats/", import.meta.url));
const floats = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-safetensors-"));
  file = join(dir, "a.safetensors");
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const tensor = (name: string, shape: number[], values: number[], dtype: FloatType = "F32"): FloatTensor => ({
  name,
  shape,
  dtype,
  values: () => Float32Array.from(values),
});

async function read(path: string, name: string): Promise<number[]> {
  const reader = await SafetensorsReader.open(path);
  const values = await reader.readFloat32(name);
  await reader.close();
  return [...values];
}

describe("reading a file of the reference implementation", () => {
  it("converts every float type and keeps names, shapes and metadata", async () => {
    const reader = await SafetensorsReader.open(join(fixtures, "types.safetensors"));
    const expected = JSON.parse(await readFile(join(fixtures, "types.json"), "utf8"));
    expect(reader.metadata).toEqual({ format: "pt", note: "éß" });
    expect([...reader.tensors.keys()].sort()).toEqual([...Object.keys(expected), "bytes", "integers"].sort());
    for (const [name, { shape, F32 }] of Object.entries<{ shape: number[]; F32: string }>(expected)) {
      expect(reader.info(name).shape).toEqual(shape);
      expect(await reader.readFloat32(name, { shape })).toEqual(floats(F32));
    }
    const integers = await reader.readRaw("integers");
    expect([...new BigInt64Array(integers.buffer)]).toEqual([-3n, -2n, -1n, 0n, 1n, 2n, 3n]);
    await expect(reader.readFloat32("integers")).rejects.toThrow(/"integers" has type I64/);
    await reader.close();
  });

  it("reads slices and fills a given buffer", async () => {
    const reader = await SafetensorsReader.open(join(fixtures, "types.safetensors"));
    const whole = await reader.readFloat32("half");
    const into = new Float32Array(15);
    expect(await reader.readFloat32("half", { into })).toBe(into);
    expect(into).toEqual(whole);
    const part = new Float32Array(4);
    await reader.readFloat32Slice(reader.info("half"), 6, part);
    expect(part).toEqual(whole.slice(6, 10));
    await reader.close();
  });

  it("names a missing tensor and a wrong shape", async () => {
    const reader = await SafetensorsReader.open(join(fixtures, "types.safetensors"));
    await expect(reader.readFloat32("nope")).rejects.toThrow(/has no tensor "nope"/);
    await expect(reader.readFloat32("half", { shape: [5, 3] })).rejects.toThrow(
      /\[3, 5\], expected \[5, 3\]/,
    );
    await reader.close();
  });
});

describe("writing", () => {
  it("round-trips every type, chunks included", async () => {
    const chunks: FloatTensor = {
      name: "chunked",
      shape: [2, 2],
      dtype: "BF16",
      values: async function* () {
        yield Float32Array.of(1, 2, 3);
        yield Float32Array.of(-0.5);
      },
    };
    const raw = { name: "ids", shape: [3], dtype: "U8", bytes: () => Uint8Array.of(7, 8, 9) };
    await writeSafetensors(file, [
      raw,
      tensor("a", [3], [1, -2, 0.25], "F16"),
      chunks,
      tensor("b", [1], [0.1]),
    ]);
    expect(await read(file, "a")).toEqual([1, -2, 0.25]);
    expect(await read(file, "chunked")).toEqual([1, 2, 3, -0.5]);
    expect(await read(file, "b")).toEqual([Math.fround(0.1)]);
    const reader = await SafetensorsReader.open(file);
    expect(await reader.readRaw("ids")).toEqual(Uint8Array.of(7, 8, 9));
    expect(reader.metadata).toEqual({ format: "pt" });
    for (const info of reader.tensors.values()) expect(info.start % (info.bytes / info.elements)).toBe(0);
    await reader.close();
    expect(await readdir(dir)).toEqual(["a.safetensors"]);
  });

  it("crosses the conversion chunk without a seam", async () => {
    const n = (1 << 23) + 3;
    const values = Float32Array.from({ length: n }, (_, i) => (i % 1000) - 500);
    await writeSafetensors(file, [{ name: "long", shape: [n], dtype: "F16", values: () => values }]);
    const reader = await SafetensorsReader.open(file);
    expect(
      Buffer.compare(Buffer.from((await reader.readFloat32("long")).buffer), Buffer.from(values.buffer)),
    ).toBe(0);
    await reader.close();
  });

  it("splits into shards under an index, which reads back as one", async () => {
    const tensors = [tensor("a", [4], [1, 2, 3, 4]), tensor("b", [2], [5, 6]), tensor("c", [1], [7])];
    await writeWeights(dir, tensors, { maxShardBytes: 16 });
    expect((await readdir(dir)).sort()).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
    ]);
    const index = JSON.parse(await readFile(join(dir, "model.safetensors.index.json"), "utf8"));
    expect(index.metadata.total_size).toBe(28);
    expect(index.weight_map.c).toBe("model-00002-of-00002.safetensors");
    expect([await read(dir, "a"), await read(dir, "b"), await read(dir, "c")]).toEqual([
      [1, 2, 3, 4],
      [5, 6],
      [7],
    ]);
  });

  it("refuses a value that the type cannot hold and leaves the old file", async () => {
    await writeSafetensors(file, [tensor("a", [1], [3])]);
    const tooLarge = writeSafetensors(file, [tensor("a", [2], [1, 70000], "F16")]);
    await expect(tooLarge).rejects.toThrow(/"a" has values too large for F16/);
    expect(await read(file, "a")).toEqual([3]);
    expect(await readdir(dir)).toEqual(["a.safetensors"]);
  });

  it.runIf(existsSync("/dev/full"))("leaves the old file when the disk is full", async () => {
    await writeSafetensors(file, [tensor("a", [1], [3])]);
    // The file that is written aside becomes a device on which every write fails with ENOSPC.
    await symlink("/dev/full", join(dir, `.a.safetensors.${process.pid}.tmp`));
    const error = await writeSafetensors(file, [tensor("a", [1], [4])]).catch((caught) => caught);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^could not write .*a.safetensors: the disk is full/);
    expect(await read(file, "a")).toEqual([3]);
    expect(await readdir(dir)).toEqual(["a.safetensors"]);
  });

  it("refuses fewer values than the shape needs", async () => {
    await expect(writeSafetensors(file, [tensor("a", [3], [1, 2])])).rejects.toThrow(/needs 12 bytes, got 8/);
    expect(await readdir(dir)).toEqual([]);
  });
});

describe("broken files are refused in one sentence", () => {
  const encode = (header: unknown, dataBytes: number) => {
    const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
  };
  const f32 = (shape: number[], from: number, to: number) => ({
    dtype: "F32",
    shape,
    data_offsets: [from, to],
  });
  const cases: [string, Buffer, RegExp][] = [
    ["short", Buffer.alloc(3), /is truncated: 3 bytes/],
    [
      "cut header",
      encode({ a: f32([1], 0, 4) }, 0).subarray(0, 30),
      /its header needs 62 bytes, the file has 30/,
    ],
    ["absurd header", Buffer.alloc(16, 255), /is not a safetensors file/],
    ["not JSON", encode("{]", 0), /bad safetensors header: it is not JSON/],
    ["not an object", encode("[1]", 0), /not a JSON object/],
    ["cut data", encode({ a: f32([4], 0, 16) }, 9), /is truncated: expected 79 bytes, the file has 72/],
    ["spare bytes", encode({ a: f32([1], 0, 4) }, 9), /describes 66 bytes, the file has 71/],
    ["overlap", encode({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), /"b" overlaps another/],
    ["hole", encode({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /hole before tensor "b"/],
    [
      "size",
      encode({ a: f32([2], 0, 4) }, 4),
      /"a" of shape \[2\] and type F32 needs 8 bytes, its data_offsets give 4/,
    ],
    ["type", encode({ a: { dtype: "Q4", shape: [1], data_offsets: [0, 4] } }, 4), /unknown type "Q4"/],
    ["shape", encode({ a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4), /no valid shape/],
    [
      "offsets",
      encode({ a: { dtype: "F32", shape: [1], data_offsets: [4, 0] } }, 4),
      /no valid data_offsets/,
    ],
  ];
  it.each(cases)("%s", async (_, bytes, message) => {
    await writeFile(file, bytes);
    await expect(SafetensorsReader.open(file)).rejects.toThrow(UserError);
    await expect(SafetensorsReader.open(file)).rejects.toThrow(message);
  });

  it("missing files, shards and tensors", async () => {
    await expect(SafetensorsReader.open(join(dir, "none"))).rejects.toThrow(/none does not exist/);
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(/holds neither model.safetensors nor/);
    await writeFile(join(dir, "pytorch_model.bin"), "");
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(/pickled weights \(pytorch_model.bin\)/);
    const index = join(dir, "model.safetensors.index.json");
    const map = (weight_map: unknown) => writeFile(index, JSON.stringify({ weight_map }));
    await map({ a: "x.safetensors" });
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(
      /x.safetensors, which .*index.json names, does not exist/,
    );
    await map({ a: "../x.safetensors" });
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(/shard of "a" must be the name of a file/);
    await map({});
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(/must have a "weight_map"/);
    await writeSafetensors(join(dir, "x.safetensors"), [tensor("b", [1], [1])]);
    await map({ a: "x.safetensors" });
    await expect(SafetensorsReader.open(dir)).rejects.toThrow(/lacks the tensor "a" that .* places there/);
  });
});
