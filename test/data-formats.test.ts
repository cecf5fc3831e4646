// Every shape that a data file may have, from the file to the rows that a loop trains on.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type LoadOptions,
  loadCompletions,
  loadLabelled,
  loadPreferences,
  loadPrompts,
  loadRows,
  type Message,
} from "../src/data/index.js";
import { contentAsWritten } from "../src/data/rows.js";

const fixtures = join(import.meta.dirname, "fixtures", "data");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "touchstone-data-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(rows: readonly unknown[], name = "x.jsonl"): Promise<string> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return path;
}

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });
const prompts = async (rows: unknown[], options?: LoadOptions) => loadPrompts(await file(rows), options);
const completions = async (rows: unknown[], options?: LoadOptions) =>
  loadCompletions(await file(rows), options);
const preferences = async (rows: unknown[], options?: LoadOptions) =>
  loadPreferences(await file(rows), options);

/** Expects a UserError whose message, the folder taken out, matches. */
async function rejects(promise: Promise<unknown>, message: string | RegExp): Promise<void> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason as Error,
  );
  expect(error?.name).toBe("UserError");
  const text = error!.message.replaceAll(`${folder}/`, "");
  if (typeof message === "string") expect(text).toBe(message);
  else expect(text).toMatch(message);
}

describe("prompts", () => {
  it.each([
    ["standard", { prompt: "Hi" }, "Hi", {}],
    ["conversational", { prompt: [user("Hi")] }, [user("Hi")], {}],
    ["text", { text: "Once" }, "Once", {}],
    ["GSM8K", { question: "2+2?", answer: "It is 4.\n#### 4" }, "2+2?", { answer: "It is 4.\n#### 4" }],
    ["MATH", { problem: "2+2?", solution: "4", level: 1 }, "2+2?", { answer: "4", level: 1, solution: "4" }],
    ["instructions", { instruction: "Add.", input: "2, 2", output: "4" }, "Add.\n\n2, 2", { output: "4" }],
    ["instructions without input", { instruction: "Add.", input: "", output: "4" }, "Add.", { output: "4" }],
    ["completions", { prompt: "Hi", completion: "Ho" }, "Hi", { completion: "Ho" }],
    ["preferences", { prompt: "Hi", chosen: "A", rejected: "B" }, "Hi", { chosen: "A", rejected: "B" }],
    ["conversations", { messages: [user("Hi"), assistant("Ho")], n: 1 }, [user("Hi")], { n: 1 }],
    [
      "verl",
      {
        data_source: "gsm8k",
        prompt: [user("2+2?")],
        ability: "math",
        reward_model: { style: "rule", ground_truth: "4" },
        extra_info: { index: 7 },
      },
      [user("2+2?")],
      { data_source: "gsm8k", answer: "4", extra_info: { index: 7 } },
    ],
    [
      "SkyRL",
      { prompt: [user("2+2?")], reward_spec: { method: "rule", ground_truth: "4" } },
      [user("2+2?")],
      { answer: "4" },
    ],
    [
      "NeMo RL",
      { context: [user("Hi")], completions: [{ rank: 0, completion: [assistant("A")] }], task_name: "chat" },
      [user("Hi")],
      { task_name: "chat" },
    ],
  ])("%s", async (_, row, prompt, metadata) => {
    const { rows } = await prompts([row]);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ id: "x.jsonl:1", prompt, metadata });
    expect(Object.keys(rows[0]!.metadata)).not.toContain("prompt");
  });

  it("keeps every extra column for judges and rewards, and says what it found", async () => {
    const { rows, description } = await prompts([
      { prompt: "a", tests: ["x"], answer: null },
      { prompt: "b", level: 2 },
    ]);
    expect(rows.map((row) => row.metadata)).toEqual([{ tests: ["x"], answer: null }, { level: 2 }]);
    expect(description).toBe("prompts, standard; 2 rows; extra columns: tests, answer, level");
  });

  it("reads ShareGPT turns, content in parts, and passes tool calls on", async () => {
    const call = { role: "assistant", content: null, tool_calls: [{ id: 1 }] };
    const parts = [
      { type: "text", text: "H" },
      { type: "text", text: "i" },
    ];
    const { rows } = await prompts([
      {
        conversations: [
          { from: "human", value: "Hi" },
          { from: "gpt", value: "Ho" },
          { from: "human", value: "?" },
        ],
      },
      { conversations: [{ role: "user", content: parts, name: null }, call, { role: "tool", content: "4" }] },
    ]);
    expect(rows[0]!.prompt).toEqual([user("Hi"), assistant("Ho"), user("?")]);
    const prompt = rows[1]!.prompt as Message[];
    expect(JSON.parse(JSON.stringify(prompt))).toEqual([
      user("Hi"),
      { ...call, content: "" },
      { role: "tool", content: "4" },
    ]);
    expect(prompt.map((message) => [contentAsWritten in message, message[contentAsWritten]])).toEqual([
      [true, parts],
      [true, undefined],
      [false, undefined],
    ]);
  });

  it("reads verl's Parquet as Python writes it", async () => {
    const { rows, description } = await loadPrompts(join(fixtures, "verl.parquet"));
    expect(rows[4]).toEqual({
      id: "verl.parquet:5",
      prompt: [{ role: "system", content: "Be brief." }, user("What is 4 + 4? ✓")],
      metadata: {
        data_source: "openai/gsm8k",
        ability: "math",
        reward_model: { style: "rule", ground_truth: "8" },
        extra_info: { index: 4, split: "train" },
        answer: "8",
      },
    });
    expect(description).toBe(
      "prompts, conversational; 5 rows; extra columns: data_source, ability, reward_model, extra_info",
    );
  });

  it.each([
    ["empty", [{ prompt: "a" }, { prompt: " " }], 'x.jsonl, row 2: the prompt ("prompt") is empty.'],
    ["no messages", [{ prompt: [] }], 'x.jsonl, row 1: the prompt ("prompt") is empty.'],
    [
      "a number",
      [{ prompt: 3 }],
      'x.jsonl, row 1: "prompt" must be a string or a list of messages, not a number.',
    ],
    [
      "missing",
      [{ prompt: "a" }, { promt: "b" }],
      'x.jsonl, row 2: "prompt" is missing; its columns are promt, but x.jsonl, row 1 holds prompts (prompt). ' +
        'Did you mean "prompt" where it says "promt"?',
    ],
    [
      "misspelt",
      [{ promtp: "a", extra: 1 }],
      'x.jsonl, row 1: expected prompts (a "prompt" column); its columns are promtp, extra. ' +
        'Did you mean "prompt" where it says "promtp"?',
    ],
    [
      "in two columns",
      [{ question: "a", problem: "b" }],
      'x.jsonl, row 1: "question" and "problem" could each be the prompt; say which with columns: { prompt: question }.',
    ],
    [
      "mixed",
      [{ prompt: [user("a")] }, { prompt: "b", n: 1 }],
      "x.jsonl, row 2: holds strings, but x.jsonl, row 1 holds messages (columns: prompt, n).",
    ],
    [
      "a message without a role",
      [{ prompt: [{ content: "a" }] }],
      'x.jsonl, row 1: message 1 of "prompt" has no "role".',
    ],
    [
      "an image",
      [{ prompt: [{ role: "user", content: [{ type: "image", url: "x" }] }] }],
      'x.jsonl, row 1: message 1 of "prompt" holds content that is not text; only text can be trained on.',
    ],
    [
      "a message without content",
      [{ prompt: [{ role: "user" }] }],
      'x.jsonl, row 1: message 1 of "prompt" must have "content" that is a string, not nothing.',
    ],
  ])("refuses a prompt that is %s", async (_, rows, message) => rejects(prompts(rows), message));
});

describe("completions", () => {
  it.each([
    ["standard", { prompt: "Hi", completion: " Ho", n: 1 }, "Hi", " Ho", { n: 1 }],
    [
      "conversational",
      { prompt: [user("Hi")], completion: [assistant("Ho")] },
      [user("Hi")],
      [assistant("Ho")],
      {},
    ],
    ["text", { text: "Once upon" }, "", "Once upon", {}],
    ["instructions", { instruction: "Add.", input: "2, 2", output: "4" }, "Add.\n\n2, 2", "4", {}],
    ["OpenRLHF", { input: "Hi", output: "Ho", datasource: "d" }, "Hi", "Ho", { datasource: "d" }],
    ["questions", { question: "2+2?", answer: "4" }, "2+2?", "4", {}],
    [
      "worked solutions",
      { problem: "2+2?", solution: "2+2=4", answer: "4" },
      "2+2?",
      "2+2=4",
      { answer: "4" },
    ],
    [
      "a string after messages",
      { prompt: [user("Hi")], completion: "Ho" },
      [user("Hi")],
      [assistant("Ho")],
      {},
    ],
    [
      "a prompt beside the conversation",
      { prompt: "Hi", messages: [user("Hi"), assistant("Ho")] },
      [user("Hi")],
      [assistant("Ho")],
      { prompt: "Hi" },
    ],
  ])("%s", async (_, row, prompt, completion, metadata) => {
    expect((await completions([row])).rows).toEqual([{ id: "x.jsonl:1", prompt, completion, metadata }]);
  });

  it("makes every reply of a conversation a completion of what precedes it", async () => {
    const messages = [user("a"), assistant("b"), user("c"), assistant("d")];
    const { rows, description } = await completions([{ messages }, { messages: messages.slice(0, 2) }]);
    expect(rows).toEqual([
      { id: "x.jsonl:1#1", prompt: messages.slice(0, 1), completion: [assistant("b")], metadata: {} },
      { id: "x.jsonl:1#2", prompt: messages.slice(0, 3), completion: [assistant("d")], metadata: {} },
      { id: "x.jsonl:2", prompt: messages.slice(0, 1), completion: [assistant("b")], metadata: {} },
    ]);
    expect(description).toBe("messages, conversational; 2 rows; 3 completions");
  });

  it("imitates only what is labelled good, and reads the labels", async () => {
    const rows = [
      { prompt: "a", completion: "b", label: true, n: 1 },
      { prompt: "c", completion: "d", label: false },
    ];
    expect((await completions(rows)).rows.map((row) => row.prompt)).toEqual(["a"]);
    const path = await file(rows);
    expect((await loadLabelled(path)).rows).toEqual([
      { id: "x.jsonl:1", prompt: "a", completion: "b", label: true, metadata: { n: 1 } },
      { id: "x.jsonl:2", prompt: "c", completion: "d", label: false, metadata: {} },
    ]);
    const odd = await file([rows[0], { prompt: "c", completion: "d", label: "no" }]);
    await rejects(loadLabelled(odd), 'x.jsonl, row 2: "label" must be true or false, not "no".');
  });

  it.each([
    [
      "prompts alone",
      [{ prompt: "a" }],
      /expected completions .* but the row holds prompts; its columns are prompt\.$/,
    ],
    ["preferences", [{ prompt: "a", chosen: "b", rejected: "c" }], /but the row holds preferences/],
    ["an empty completion", [{ prompt: "a", completion: "" }], 'x.jsonl, row 1: "completion" is empty.'],
    ["empty text", [{ text: "a" }, { text: " " }], 'x.jsonl, row 2: "text" is empty.'],
    [
      "an empty reply",
      [{ messages: [user("a"), assistant("")] }],
      'x.jsonl, row 1: message 2 of "messages" is empty.',
    ],
    [
      "no reply",
      [{ messages: [user("a")] }],
      'x.jsonl, row 1: "messages" holds no assistant reply to anything.',
    ],
    [
      "a user's turn as completion",
      [{ prompt: [user("a")], completion: [user("b")] }],
      'x.jsonl, row 1: after the prompt, "completion" must go on with an assistant message, not one of role "user".',
    ],
  ])("refuses %s", async (_, rows, message) => rejects(completions(rows), message));
});

describe("preferences", () => {
  const pair = { prompt: "Hi", chosen: "A", rejected: "B" };
  const [hi, a, b] = [[user("Hi")], [assistant("A")], [assistant("B")]];
  it.each([
    ["standard", { ...pair, margin: 0.5, n: 1 }, { ...pair, margin: 0.5, metadata: { n: 1 } }],
    ["conversational", { prompt: hi, chosen: a, rejected: b }, { prompt: hi, chosen: a, rejected: b }],
    ["implicit", { chosen: [...hi, ...a], rejected: [...hi, ...b] }, { prompt: hi, chosen: a, rejected: b }],
    [
      "prompt as a string beside whole conversations",
      { prompt: "Hi", chosen: [...hi, ...a], rejected: [...hi, ...b] },
      { prompt: hi, chosen: a, rejected: b, metadata: { prompt: "Hi" } },
    ],
    [
      "strings after messages",
      { prompt: hi, chosen: "A", rejected: "B" },
      { prompt: hi, chosen: a, rejected: b },
    ],
    [
      "repeated",
      { prompt: "Hi", chosen: "Hi A", rejected: "Hi B" },
      { prompt: "Hi", chosen: " A", rejected: " B" },
    ],
    [
      "OpenRLHF",
      { chosen_key: [...hi, ...a], rejected_key: [...hi, ...b], margin: 2, datasource: "d" },
      { prompt: hi, chosen: a, rejected: b, margin: 2, metadata: { datasource: "d" } },
    ],
    [
      "NeMo RL",
      {
        context: hi,
        completions: [
          { rank: 1, completion: b },
          { rank: 0, completion: a },
        ],
        task_name: "t",
      },
      { prompt: hi, chosen: a, rejected: b, metadata: { task_name: "t" } },
    ],
    [
      "HH-RLHF",
      { chosen: "\n\nHuman: Hi\n\nAssistant: Hello.", rejected: "\n\nHuman: Hi\n\nAssistant: Help." },
      { prompt: "\n\nHuman: Hi\n\nAssistant:", chosen: " Hello.", rejected: " Help." },
    ],
    [
      "words not cut",
      { chosen: "It is black", rejected: "It is blue" },
      { prompt: "It is", chosen: " black", rejected: " blue" },
    ],
    [
      "one longer",
      { chosen: "It is so", rejected: "It is" },
      { prompt: "It", chosen: " is so", rejected: " is" },
    ],
    [
      "emoji not cut",
      { chosen: "Hi 😀", rejected: "Hi 😁" },
      { prompt: "Hi", chosen: " 😀", rejected: " 😁" },
    ],
    [
      "one conversation longer",
      { chosen: [...hi, ...a], rejected: [...hi, ...a, user("x"), ...b] },
      { prompt: hi, chosen: a, rejected: [...a, user("x"), ...b] },
    ],
  ])("%s", async (_, row, expected) => {
    expect((await preferences([row])).rows).toEqual([{ id: "x.jsonl:1", metadata: {}, ...expected }]);
  });

  it("finds the implicit prompts that TRL finds", async () => {
    const cases = JSON.parse(await readFile(join(fixtures, "trl-extract-prompt.json"), "utf8")) as {
      pair: object;
      expected: object;
    }[];
    expect(cases).toHaveLength(5);
    for (const { pair, expected } of cases) {
      expect((await preferences([pair])).rows[0]).toMatchObject(expected);
    }
  });

  it.each(["snappy", "gzip", "none"])("reads %s Parquet as Python writes it", async (compression) => {
    const { rows, description } = await loadPreferences(join(fixtures, `preferences-${compression}.parquet`));
    expect(rows[3]).toMatchObject({
      prompt: [user("Hi 3")],
      chosen: [assistant("Hello.")],
      rejected: [assistant("Go away.")],
      margin: 1.5,
      metadata: {
        big: 1152921504606846979n,
        small: 3,
        tags: [],
        vector: [0.5, 0.25],
        made: "2024-01-02T03:04:05.000Z",
      },
    });
    expect(description).toMatch(
      /^preferences, conversational, prompt implicit in chosen\/rejected; 4 rows; extra/,
    );
  });

  it("says where it found the prompt and which columns it took", async () => {
    const found = async (row: object) => (await preferences([row])).description;
    expect(await found(pair)).toBe("preferences, standard; 1 row");
    expect(await found({ prompt: "Hi", chosen: "Hi A", rejected: "Hi B" })).toBe(
      "preferences, standard, prompt repeated inside chosen/rejected; 1 row",
    );
    expect(await found({ question: "Hi", chosen: "A", rejected: "B" })).toBe(
      'preferences, standard, prompt from "question"; 1 row',
    );
  });

  it.each([
    [
      "the same twice",
      [pair, { ...pair, rejected: "A" }],
      'x.jsonl, row 2: "chosen" and "rejected" are the same; a preference needs two that differ.',
    ],
    [
      "misspelt columns",
      [{ prompt: "a", choosen: "b", rejected: "c" }],
      'x.jsonl, row 1: expected preferences ("chosen" and "rejected", with or without "prompt"), but the row holds prompts; ' +
        'its columns are prompt, choosen, rejected. Did you mean "chosen" where it says "choosen"?',
    ],
    [
      "a misspelt prompt",
      [{ promt: "a", chosen: "b", rejected: "c" }],
      /share no beginning that could be the prompt; add a "prompt" column\. Did you mean "prompt" where it says "promt"\?$/,
    ],
    [
      "a row of another shape",
      [pair, { prompt: "a", completion: "b" }],
      'x.jsonl, row 2: "chosen" is missing; its columns are prompt, completion, but x.jsonl, row 1 holds preferences (chosen, rejected, prompt).',
    ],
    [
      "a row without its prompt",
      [pair, { chosen: "a b", rejected: "a c" }],
      /^x\.jsonl, row 2: "prompt" is missing/,
    ],
    [
      "rows with and without the prompt inside",
      [
        { prompt: hi, chosen: a, rejected: b },
        { prompt: hi, chosen: [...hi, ...a], rejected: [...hi, ...b] },
      ],
      'x.jsonl, row 2: "chosen" includes the prompt, unlike x.jsonl, row 1.',
    ],
    [
      "a margin in words",
      [{ ...pair, margin: "big" }],
      'x.jsonl, row 1: "margin" must be a number, not a string.',
    ],
    ["a number", [{ ...pair, chosen: 3 }], /"chosen" must be a string or a list of messages, not a number/],
    [
      "conversations that part at a user's turn",
      [{ chosen: [...hi, user("x"), ...a], rejected: [...hi, user("y"), ...b] }],
      /after the prompt, "chosen" must go on with an assistant message, not one of role "user"/,
    ],
    [
      "ties",
      [
        {
          context: "a",
          completions: [
            { rank: 0, completion: "b" },
            { rank: 0, completion: "c" },
          ],
        },
      ],
      /must hold at least two completions of different rank/,
    ],
    [
      "no ranks",
      [{ context: "a", completions: ["b", "c"] }],
      /each of "completions" must be \{ rank: number/,
    ],
    [
      "ranked twins",
      [
        {
          context: "a",
          completions: [
            { rank: 0, completion: "b" },
            { rank: 1, completion: "b" },
          ],
        },
      ],
      /the best and the worst of "completions" are the same/,
    ],
  ])("refuses %s", async (_, rows, message) => rejects(preferences(rows), message));
});

describe("loading", () => {
  it("takes column names from the user", async () => {
    const rows = [{ q: "Hi", better: "A", worse: "B", chosen: "x" }];
    const columns = { prompt: "q", chosen: "better", rejected: "worse" };
    expect((await preferences(rows, { columns })).rows[0]).toMatchObject({
      prompt: "Hi",
      chosen: "A",
      rejected: "B",
    });
    await rejects(
      preferences(rows, { columns: { ...columns, rejected: "wors" } }),
      'x.jsonl, row 1: there is no column "wors"; its columns are q, better, worse, chosen.',
    );
    expect(
      (await prompts([{ prompt: "2+2?", label: "4" }], { columns: { answer: "label" } })).rows[0]!.metadata,
    ).toEqual({
      answer: "4",
      label: "4",
    });
  });

  it("does not ignore a column name that no row has, and takes a margin that the first row lacks", async () => {
    const rows = [
      { chosen: "a b", rejected: "a c" },
      { chosen: "a b", rejected: "a c", margin: 1 },
    ];
    expect((await preferences(rows)).rows.map((row) => row.margin)).toEqual([undefined, 1]);
    await rejects(
      preferences(rows, { columns: { prompt: "q" } }),
      'x.jsonl, row 1: there is no column "q"; its columns are chosen, rejected.',
    );
  });

  it("stops at the limit, before what is wrong behind it", async () => {
    const path = await file([{ prompt: "a" }, { prompt: "b" }, 3]);
    expect((await loadPrompts(path, { limit: 2 })).rows).toHaveLength(2);
    await rejects(loadPrompts(path, { limit: 3 }), /^x\.jsonl, row 3: expected an object/);
    await rejects(loadPrompts(path, { limit: 0 }), /limit on rows must be positive, not 0/);
  });

  it("leaves invalid rows out when asked to, and says so", async () => {
    const good = { chosen: "a b", rejected: "a c" };
    const { rows, description } = await preferences([good, { chosen: "x", rejected: "x" }], {
      skipInvalid: true,
    });
    expect(rows).toHaveLength(1);
    expect(description).toMatch(
      /; 2 rows; 1 left out, the first: .*x\.jsonl, row 2: "chosen" and "rejected" are the same/,
    );
    await rejects(preferences([{ chosen: "x", rejected: "x" }], { skipInvalid: true }), /are the same/);
  });

  it("reads folders, patterns and single files in a stable order, with ids that tell the shards apart", async () => {
    await file([{ prompt: "2" }], "shards/b/part.jsonl");
    await file([{ prompt: "1" }], "shards/a/part.jsonl");
    await file([{ prompt: "3" }], "shards/train.jsonl");
    const ids = async (source: string) => (await loadPrompts(join(folder, source))).rows.map((row) => row.id);
    expect(await ids("shards/a")).toEqual(["part.jsonl:1"]);
    expect(await ids("shards")).toEqual(["train.jsonl:1"]);
    expect(await ids("shards/{a,b}/*.jsonl")).toEqual(["a/part.jsonl:1", "b/part.jsonl:1"]);
    expect(await ids("shards/a/part.jsonl")).toEqual(["part.jsonl:1"]);
    expect((await loadPrompts(join(folder, "shards/*/*.jsonl"))).description).toBe(
      "prompts, standard; 2 rows; 2 files",
    );
    await rejects(loadPrompts(join(folder, "shards/*.parquet")), 'No file matches "shards/*.parquet".');
    await rejects(loadPrompts(join(folder, "none.jsonl")), /^There is no file or folder "none\.jsonl"/);
  });

  it("names an empty file", async () => rejects(loadPrompts(await file([])), "x.jsonl holds no rows."));

  it("gives rows of any shape as they stand", async () => {
    const known = await loadRows(await file([{ prompt: "a", n: 1 }]));
    expect(known).toMatchObject({ rows: [{ values: { prompt: "a", n: 1 } }], format: { kind: "prompt" } });
    const tokens = await loadRows(await file([{ tokens: [1, 2] }, { tokens: [3] }]));
    expect(tokens.format).toBeNull();
    expect(tokens.description).toBe("rows of no known shape, columns: tokens; 2 rows");
  });
});
