// The instruction judge against lm-eval's `ifeval` task (test/oracle/judges_ifeval.py).

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { instructions } from "../src/judges/instructions/checks.js";
import { followedBy } from "../src/judges/instructions/instructions.js";
import { createMember } from "../src/judges/registry.js";
import { verdictFrom } from "../src/judges/verdict.js";

interface Row {
  response: string;
  instruction_id_list: string[];
  kwargs: Record<string, unknown>[];
  strict: boolean[];
  loose: boolean[];
}

const fixture = (name: string) => readFileSync(new URL(`fixtures/judges/${name}`, import.meta.url));
const rows = gunzipSync(fixture("ifeval.jsonl.gz"))
  .toString()
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Row);

const requirements = ({ instruction_id_list: ids, kwargs }: Row) =>
  ids.map((id, i) => ({ id, args: kwargs[i]! }));

test.each(["strict", "loose"] as const)("every %s verdict is the reference's", async (mode) => {
  const differences: unknown[] = [];
  for (const row of rows) {
    const problems = await followedBy(row.response, requirements(row), mode);
    row.instruction_id_list.forEach((id, i) => {
      const isFollowed = problems[i] === undefined;
      if (isFollowed !== row[mode][i]) differences.push({ id, response: row.response, problem: problems[i] });
    });
  }
  expect(differences).toEqual([]);
});

test("the fixture covers every instruction, followed and not", () => {
  expect(rows.length).toBeGreaterThanOrEqual(2000);
  const seen = new Set(
    rows.flatMap((row) => row.instruction_id_list.flatMap((id, i) => [`${id} ${row.strict[i]}`])),
  );
  const wanted = Object.keys(instructions).flatMap((id) => [`${id} true`, `${id} false`]);
  expect(wanted.filter((key) => !seen.has(key))).toEqual([]);
  expect(Object.keys(instructions)).toHaveLength(25);
});

test("the differences from the reference are its mistakes, and no others", async () => {
  const differences = JSON.parse(fixture("ifeval-differences.json").toString()) as {
    id: string;
    arguments: Record<string, unknown>;
    response: string;
    reference: boolean | string;
  }[];
  for (const { id, arguments: args, response, reference } of differences) {
    const [problem] = await followedBy(response, [{ id, args }], "strict");
    expect([id, response, problem === undefined]).not.toEqual([id, response, reference]);
  }
});

const input = (response: string, metadata: Record<string, unknown>, truncated = false) => ({
  prompt: "p",
  response,
  truncated,
  metadata,
});

test("the judge reads IFEval's columns, with nulls and as JSON text, and CGPO's list", async () => {
  const { judge } = await createMember("instructions", { baseDir: "." });
  const columns = {
    instruction_id_list: ["punctuation:no_comma", "keywords:existence"],
    kwargs: [null, { keywords: ["moon"], num_words: null }],
  };
  expect(await verdictFrom(judge, input("The moon.", columns))).toMatchObject({ verdict: "satisfied" });
  expect(await verdictFrom(judge, input("The sun, too.", columns))).toMatchObject({
    verdict: "violated",
    reason: "punctuation:no_comma: it has a comma",
    evidence: [
      { id: "punctuation:no_comma", problem: "it has a comma" },
      { id: "keywords:existence", problem: 'it lacks "moon"' },
    ],
  });
  const text = { ...columns, kwargs: JSON.stringify(columns.kwargs) };
  expect(await verdictFrom(judge, input("The moon.", text))).toMatchObject({ verdict: "satisfied" });
  const list = {
    if_requirements: ["detectable_format:title", { id: "keywords:existence", keywords: ["sea"] }],
  };
  expect(await verdictFrom(judge, input("<<Sea>>", list))).toMatchObject({ verdict: "satisfied" });
  expect(await verdictFrom(judge, input("<<Sea>>", list, true))).toMatchObject({ verdict: "violated" });
  expect(await verdictFrom(judge, input("anything", {}))).toBeUndefined();
});

test.each([
  [{ if_requirements: ["keywords:existense"] }, 'there is no instruction "keywords:existense"'],
  [{ if_requirements: ["keywords:existence"] }, 'metadata "keywords:existence.keywords"'],
  [{ if_requirements: [{ id: "punctuation:no_comma", commas: 2 }] }, "commas"],
  [{ if_requirements: [] }, 'metadata "if_requirements": there is no requirement in it'],
  [{ instruction_id_list: ["punctuation:no_comma"], kwargs: [] }, "has 0 entries for 1 instructions"],
  [
    {
      if_requirements: [
        {
          id: "length_constraints:nth_paragraph_first_word",
          num_paragraphs: 1,
          nth_paragraph: 2,
          first_word: "a",
        },
      ],
    },
    "nth_paragraph must not be greater",
  ],
])("malformed metadata is a failure, not a verdict: %j", async (metadata, message) => {
  const { judge } = await createMember("instructions", { baseDir: "." });
  expect(await verdictFrom(judge, input("text", metadata))).toMatchObject({
    verdict: "failed",
    reason: expect.stringContaining(message),
  });
});

test("the loose reading forgives a first line, a last line and asterisks", async () => {
  const { judge } = await createMember({ kind: "instructions", mode: "loose" }, { baseDir: "." });
  const metadata = { if_requirements: ["startend:quotation"] };
  const response = 'Sure, here it is:\n**"An answer."**\nI hope this helps!';
  expect(await verdictFrom(judge, input(response, metadata))).toMatchObject({ verdict: "satisfied" });
  const strict = await createMember("instructions", { baseDir: "." });
  expect(await verdictFrom(strict.judge, input(response, metadata))).toMatchObject({ verdict: "violated" });
});

test.each([
  ["en", "Hello world"],
  ["en", "PARIS IN WINTER"],
  ["en", "OPEN DOOR"],
  ["en", "404 ERROR"],
  ["en", "HAPPY BIRTHDAY!"],
  ["en", "The end."],
  ["en", "good morning, sunshine"],
  ["en", "NO SMOKING"],
  ["en", "red apples and green pears"],
  ["en", "Keep calm & carry on"],
  ["en", "I love you"],
  ["en", "It's raining"],
  ["no", "I dag er været veldig fint, og sola skinner."],
  ["da", "I dag er vejret meget fint, og solen skinner."],
  ["id", "Hari ini cuacanya sangat bagus."],
  ["ms", "Kereta saya berada di pejabat kerana cuaca buruk."],
  ["es", "Imagenes accesibles a todos en Twitter"],
  ["de", "Guten Morgen, wie geht es dir heute?"],
])("short text in %s: %j", async (language, response) => {
  const requirement = { id: "language:response_language", args: { language } };
  expect(await followedBy(response, [requirement], "strict")).toEqual([undefined]);
});

test.each([
  "Hola amigo",
  "Bonjour tout le monde",
  "Guten Morgen",
  "Buongiorno a tutti",
  "Ciao bella",
  "Dobar dan",
  "Merci",
  "Terima kasih",
  "Obrigado",
  "God morgen",
])("%j is not English", async (response) => {
  const requirement = { id: "language:response_language", args: { language: "en" } };
  expect((await followedBy(response, [requirement], "strict"))[0]).toBeDefined();
  const lower = { id: "change_case:english_lowercase", args: {} };
  expect((await followedBy(response.toLowerCase(), [lower], "strict"))[0]).toBeDefined();
});

test.each(["I dag er vejret meget fint, og jeg har noget godt med ud.", "Hvad er det?"])(
  "%j is Danish, not Norwegian",
  async (response) => {
    const requirement = { id: "language:response_language", args: { language: "no" } };
    expect((await followedBy(response, [requirement], "strict"))[0]).toBeDefined();
  },
);

test.each([
  ["\n", 120_000],
  [" ", 120_000],
  ["[", 60_000],
  ["<<", 60_000],
  [">", 60_000],
  ['"', 60_000],
  ["*", 60_000],
  ["- a\n", 60_000],
  [" \n", 60_000],
])("every instruction reads %j, many times, in linear time", async (part, length) => {
  const response = `a${part.repeat(length / part.length)}b`;
  await followedBy("warm", [{ id: "language:response_language", args: { language: "en" } }], "strict");
  const args: Record<string, Record<string, unknown>> = Object.fromEntries(
    rows.flatMap(({ instruction_id_list: ids, kwargs }) => ids.map((id, i) => [id, kwargs[i]!])),
  );
  const start = performance.now();
  for (const id of Object.keys(instructions)) await followedBy(response, [{ id, args: args[id]! }], "strict");
  expect(performance.now() - start).toBeLessThan(5000);
});

test("a response beyond the bound on length follows nothing", async () => {
  const { judge } = await createMember("instructions", { baseDir: "." });
  const long = input("a ".repeat(250_000), { if_requirements: ["punctuation:no_comma"] });
  expect(await verdictFrom(judge, long)).toMatchObject({
    verdict: "violated",
    reason: "it has 500000 characters, more than the 400000 that are read",
  });
});
