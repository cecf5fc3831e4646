import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { jsonl } from "../base/jsonl.js";
import { toPlain } from "./plain.js";
import { readRows } from "./readers.js";

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

  it("reads one object as one row", async () => {
    expect(await read("x.json", '{"a": 1, "data": "x"}')).toEqual([[1, { a: 1, data: "x" }]]);
  });

  it("keeps the digits of integers, and floats of columns that templates do not print as numbers", async () => {
    const line =
      '{"id": 12345678901234567890, "n": [9007199254740993], "x": 1.0, "messages": [{"args": {"p": 2.0}}]}';
    const [[, row]] = (await read("x.jsonl", line)) as [[number, Record<string, unknown>]];
    expect(row.id).toBe(12345678901234567890n);
    expect(row.n).toEqual([9007199254740993n]);
    expect(row.x).toBe(1);
    expect(jsonl([row])).toBe(
      '{"id":12345678901234567890,"n":[9007199254740993],"x":1,"messages":[{"args":{"p":2}}]}\n',
    );
  });

  it.each([
    ["5", /^x\.json: expected an array of rows, an object with them under "data" or "train", or one row\.$/],
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
      [3, { prompt: "c", n: 1152921504606846976n }],
    ]);
  });

  it("stops in the middle when nobody wants more", async () => {
    const data = Array.from({ length: 5000 }, (_, i) => `row ${i}`);
    const buffer = parquetWriteBuffer({ columnData: [{ name: "a", data, type: "STRING" }] });
    await writeFile(join(folder, "long.parquet"), new Uint8Array(buffer));
    const found: unknown[] = [];
    for await (const { values } of readRows({ path: join(folder, "long.parquet"), label: "l", id: "l" }))
      if (found.push(values.a) === 2500) break;
    expect(found).toEqual(data.slice(0, 2500));
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

describe("what is out of all proportion", () => {
  const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  it.each<[string, string, () => string | Uint8Array, RegExp]>([
    [
      "a line of 300 MB",
      "x.jsonl",
      () => Buffer.alloc(300 * 2 ** 20, "x"),
      /row 1: the line is longer than 32 MB/,
    ],
    [
      "a packed line of 2 GB",
      "x.jsonl.gz",
      () => zeros(2048),
      /^x\.jsonl\.gz cannot be read: it unpacks to more than 100 times/,
    ],
    [
      "many packed rows",
      "x.jsonl.gz",
      () => gzipSync(`${"{}\n".repeat(2 ** 16)}`.repeat(100)),
      /^x\.jsonl\.gz cannot be read: it unpacks to more than 100 times its size/,
    ],
    ["a packed JSON file of 2 GB", "x.json.gz", () => zeros(2048), /^x\.json\.gz (cannot|has more than)/],
    [
      "100,000 lists in a row",
      "x.jsonl",
      () => `{"a":1}\n${nested(100_000)}`,
      /^x\.jsonl, row 2: lists and objects/,
    ],
    [
      "the same as JSON",
      "x.json",
      () => `[${nested(100_000)}]`,
      /^x\.json, row 1: lists and objects are nested/,
    ],
  ])("%s is refused", async (_, name, content, sentence) => {
    await expect(read(name, content())).rejects.toThrow(sentence);
  });

  it("a directory or a pipe is none of a data file", async () => {
    await mkdir(join(folder, "d.jsonl"), { recursive: true });
    execFileSync("mkfifo", [join(folder, "f.jsonl")]);
    for (const [name, sentence] of [
      ["d.jsonl", /is a directory/],
      ["f.jsonl", /is a pipe/],
    ] as const) {
      const rows = readRows({ path: join(folder, name), label: name, id: name });
      await expect(rows.next()).rejects.toThrow(sentence);
    }
  });

  /** So many megabytes of zeros, packed: concatenated members of 64 MB. */
  function zeros(megabytes: number): Buffer {
    const member = gzipSync(Buffer.alloc(64 * 2 ** 20));
    return Buffer.concat(Array.from({ length: megabytes / 64 }, () => member));
  }
});

it("refuses other formats and missing files by name", async () => {
  await expect(read("x.tsv", "a,b\n")).rejects.toThrow(
    /x\.tsv: cannot tell its format; save it with commas, as \.csv/,
  );
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
