import { mkdtempSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { readRows } from "./readers.js";
import { keep } from "./stdin.js";

const dir = mkdtempSync(join(tmpdir(), "touchstone-csv-"));

async function rowsOf(text: string | Buffer): Promise<Record<string, unknown>[]> {
  const path = join(dir, "data.csv");
  await writeFile(path, text);
  const rows = [];
  for await (const { values } of readRows({ path, label: "data.csv", id: "data" })) rows.push(values);
  return rows;
}

test("Quotes, doubled quotes, commas, line breaks of both kinds, a byte order mark, no line break at the end", async () => {
  const text = '\ufeffprompt,answer\r\n"a ""b"", c",1\r\n"two\r\nlines\nof it", x \r\n5" pipe,""';
  expect(await rowsOf(text)).toEqual([
    { prompt: 'a "b", c', answer: "1" },
    { prompt: "two\r\nlines\nof it", answer: " x " },
    { prompt: '5" pipe', answer: "" },
  ]);
});

test("Numbers stay text unless the header declares the column; an empty declared value is absent", async () => {
  expect(
    await rowsOf('id,margin:number,label:boolean,messages:json,a:b\n007,1.50,TRUE,"[{""a"":1}]",x\n1,,,,y\n'),
  ).toEqual([
    { id: "007", margin: 1.5, label: true, messages: [{ a: 1 }], "a:b": "x" },
    { id: "1", "a:b": "y" },
  ]);
});

test("A wrong row is named with its line, a wrong header with its column", async () => {
  await expect(rowsOf('a,b\n"x\ny",1\n\n2\n')).rejects.toThrow(
    "data.csv, row 2 (line 5): has 1 values, but the header names 2 columns (a, b)",
  );
  await expect(rowsOf("a:number\nx1\n")).rejects.toThrow(
    'row 1 (line 2): "a" must be a number, as its header says, not "x1"',
  );
  await expect(rowsOf("a:boolean\nyes\n")).rejects.toThrow("must be true, false, 1 or 0");
  await expect(rowsOf("a:json\n{\n")).rejects.toThrow("must be JSON");
  await expect(rowsOf('a\n"x" y\n')).rejects.toThrow('line 2: " " follows a closing quote');
  await expect(rowsOf('a\nx\n"never')).rejects.toThrow("line 3: a quote of this row is never closed");
  await expect(rowsOf("a,a\n1,2\n")).rejects.toThrow('two columns are named "a"');
  await expect(rowsOf("a,\n1,2\n")).rejects.toThrow("column 2 has no name");
  await expect(rowsOf("a;b\n1;2\n")).rejects.toThrow("separated by semicolons");
  await expect(rowsOf(Buffer.from([0x61, 0x0a, 0xe4, 0x0a]))).rejects.toThrow("not valid UTF-8");
});

test("A column named __proto__ is a column", async () => {
  const [row] = await rowsOf("__proto__,a\nx,1\n");
  expect(Object.keys(row!)).toEqual(["__proto__", "a"]);
});

test.each([
  ["JSONL", '{"prompt":"a"}\n{"prompt":"b"}\n', ["a", "b"]],
  ["an array", '[{"prompt":"a"}]', ["a"]],
  ["an indented object", '{\n  "prompt": "a"\n}\n', ["a"]],
  ["CSV", "prompt\na\nb\n", ["a", "b"]],
])("Standard input: %s", async (_, text, prompts) => {
  const file = await keep(Readable.from([Buffer.from(text)]));
  const rows = [];
  for await (const { values, id } of readRows(file)) rows.push([values.prompt, id]);
  expect(rows).toEqual(prompts.map((prompt, i) => [prompt, `stdin:${i + 1}`]));
});
