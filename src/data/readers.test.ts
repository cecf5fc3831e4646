import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readRows, toPlain } from "./readers.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "touchstone-readers-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function read(name: string, content: string | Uint8Array): Promise<[number, unknown][]> {
  const path = join(folder, name);
  await writeFile(path, content);
  const rows: [number, unknown][] = [];
  for await (const { row, values } of readRows({ path, label: name, id: name })) rows.push([row, values]);
  return rows;
}

describe("JSONL", () => {
  it("takes a byte order mark, CRLF, blank lines and a last line without an end", async () => {
    expect(await read("a.jsonl", '\ufeff{"a":1}\r\n\n{"a":"ü"}\n{"a":3}')).toEqual([
      [1, { a: 1 }],
      [3, { a: "ü" }],
      [4, { a: 3 }],
    ]);
    expect(await read("a.ndjson", '{"a":1}\n\n \n')).toEqual([[1, { a: 1 }]]);
  });

  it("keeps rows whole: across chunks of the file, and with line separators inside strings", async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({ a: `${"ß€😀".repeat(20)}\u2028${i}` }));
    const read3000 = await read("big.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
    expect(read3000.map(([, values]) => values)).toEqual(rows);
  });

  it("reads gzip, and says when it is damaged", async () => {
    const packed = gzipSync('{"a":1}\n{"a":2}\n');
    expect(await read("a.jsonl.gz", packed)).toHaveLength(2);
    await expect(read("b.jsonl.gz", packed.subarray(0, 12))).rejects.toThrow(
      /^b\.jsonl\.gz cannot be read: .+\.$/,
    );
    await expect(read("c.jsonl.gz", "plain")).rejects.toThrow(
      /^c\.jsonl\.gz cannot be read: incorrect header/,
    );
  });

  it.each([
    ["not JSON", '{"a":1}\n{"a":', /^x\.jsonl, row 2: not valid JSON: .+\.$/],
    [
      "not an object",
      '{"a":1}\n\n[1]',
      /^x\.jsonl, row 3: expected an object with named columns, found a list\.$/,
    ],
    ["two rows on one line", '{"a":1} {"a":2}', /^x\.jsonl, row 1: not valid JSON/],
    ["not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /^x\.jsonl, row 1: not valid UTF-8 text\.$/],
  ])("refuses what is %s", async (_, content, message) => {
    await expect(read("x.jsonl", content)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringMatching(message),
    });
  });
});

describe("JSON", () => {
  it.each([
    ["an array", '[{"a":1},{"a":2}]'],
    ["an object with data", '{"version":1,"data":[{"a":1},{"a":2}]}'],
    ["an object with train", '{"train":[{"a":1},{"a":2}]}'],
    ["one row a line", '{"a":1}\n{"a":2}\n'],
  ])("reads %s", async (_, content) => {
    expect(await read("x.json", content)).toEqual([
      [1, { a: 1 }],
      [2, { a: 2 }],
    ]);
    expect(await read("x.json.gz", gzipSync(content))).toHaveLength(2);
  });

  it.each([
    ['{"a":1}', /^x\.json: expected an array of rows, or an object with them under "data" or "train"\.$/],
    ['[{"a":1},', /^x\.json: not valid JSON/],
    ['[{"a":1},2]', /^x\.json, row 2: expected an object with named columns, found a number/],
  ])("refuses %s", async (content, message) => {
    await expect(read("x.json", content)).rejects.toThrow(message);
  });
});

describe("Parquet", () => {
  it("reads several row groups with 1-based rows", async () => {
    const buffer = parquetWriteBuffer({
      columnData: [
        { name: "prompt", data: ["a", "b", "c"], type: "STRING" },
        { name: "n", data: [1n, 2n, 2n ** 60n], type: "INT64" },
      ],
      rowGroupSize: 2,
    });
    expect(await read("a.parquet", new Uint8Array(buffer))).toEqual([
      [1, { prompt: "a", n: 1 }],
      [2, { prompt: "b", n: 2 }],
      [3, { prompt: "c", n: "1152921504606846976" }],
    ]);
  });

  it("says when a file is damaged or something else", async () => {
    const buffer = parquetWriteBuffer({ columnData: [{ name: "a", data: ["x"], type: "STRING" }] });
    const path = join(folder, "cut.parquet");
    await writeFile(path, new Uint8Array(buffer));
    await truncate(path, buffer.byteLength - 6);
    const rows = readRows({ path, label: "cut.parquet", id: "cut" });
    await expect(rows.next()).rejects.toThrow(/^cut\.parquet cannot be read: .*parquet/);
    await expect(read("text.parquet", '{"a":1}\n')).rejects.toThrow(/^text\.parquet cannot be read/);
  });
});

it("refuses other formats and missing files by name", async () => {
  await expect(read("x.csv", "a,b\n")).rejects.toThrow(/x\.csv: cannot tell its format; name it \.jsonl/);
  const rows = readRows({ path: join(folder, "none.jsonl"), label: "none.jsonl", id: "none" });
  await expect(rows.next()).rejects.toThrow(/^none\.jsonl cannot be read: ENOENT/);
});

it("toPlain gives what JSON can hold", () => {
  const value = {
    d: new Date(0),
    u: undefined,
    f: new Float32Array([0.5]),
    b: new Uint8Array([0, 255]),
    l: [1n],
  };
  expect(toPlain(value)).toEqual({ d: "1970-01-01T00:00:00.000Z", u: null, f: [0.5], b: "AP8=", l: [1] });
});
