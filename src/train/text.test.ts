import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareTokenizer, type TokenizerCase } from "../../test/support/tokenizer-cases.js";
import type { Message } from "../data/rows.js";
import type { Json } from "../model/json.js";
import { Tokenizer } from "../model/tokenizer.js";
import { atRow, TextCodec } from "./text.js";

interface Fixture {
  cases: TokenizerCase[];
  pairs: {
    files: { json: Json; config: Json };
    pairs: [prompt: string, completion: string, ids: number[], first: number, spans: boolean][];
  }[];
}
const fixture: Fixture = JSON.parse(
  await readFile(new URL("../../test/fixtures/formats/text.json", import.meta.url), "utf8"),
);

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-text-"));
});
afterAll(() => rm(dir, { recursive: true }));

async function write(files: Record<string, unknown>): Promise<string> {
  const at = await mkdtemp(join(dir, "m-"));
  for (const [name, value] of Object.entries(files))
    await writeFile(join(at, name), typeof value === "string" ? value : JSON.stringify(value));
  return at;
}

describe("random tokenizers give the ids and texts of transformers (test/oracle/text.py)", () => {
  it.each(fixture.cases.map((one, i) => [i, one] as const))("%i", (_, one) => {
    expect(compareTokenizer(one)).toEqual([]);
    expect(one.encodings.length).toBeGreaterThan(5);
  });
});

describe("prompt and completion are encoded as one text", () => {
  it.each(fixture.pairs.map((one, i) => [i, one] as const))("%i", async (_, { files, pairs }) => {
    const codec = await TextCodec.open(
      await write({ "tokenizer.json": files.json, "tokenizer_config.json": files.config }),
    );
    for (const [prompt, completion, ids, first, spans] of pairs) {
      const sequence = codec.sequence(prompt, completion);
      const head = first === 0 ? [codec.tokenizer.bosId] : [];
      expect(sequence.tokens).toEqual([...head, ...ids, codec.endId]);
      expect(sequence.promptLength).toBe(first + head.length);
      expect(sequence.spansBoundary ?? false).toBe(spans);
    }
  });
});

/** Bytes, and the marks of ChatML. */
const marks = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "</s>"];
const bytes = new Tokenizer({ json: tokenizerJson() });
function tokenizerJson(): Json {
  const vocab: Record<string, number> = {};
  for (let byte = 0; byte < 256; byte++) {
    const hex = byte.toString(16).toUpperCase().padStart(2, "0");
    vocab[`<0x${hex}>`] = byte;
  }
  return {
    model: { type: "BPE", vocab, merges: [], byte_fallback: true },
    added_tokens: marks.map((content, i) => ({ id: 256 + i, content, special: true })),
    post_processor: {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A" } }, { SpecialToken: { id: "</s>" } }],
      special_tokens: { "</s>": { id: "</s>", ids: [259], tokens: ["</s>"] } },
    },
    decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
  };
}
const chatml =
  "{% for t in tools or [] %}[{{ t.name }}]{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const user: Message[] = [{ role: "user", content: "Hi" }];
const reply: Message[] = [{ role: "assistant", content: "Yes." }];
const ids = (text: string) => bytes.encode(text, { addSpecialTokens: false });
const open = async (template = chatml, extra: Record<string, unknown> = {}, options = {}) =>
  TextCodec.open(
    await write({
      "tokenizer.json": tokenizerJson(),
      "tokenizer_config.json": { eos_token: "<|endoftext|>" },
      "chat_template.jinja": template,
      ...extra,
    }),
    options,
  );

describe("which tokens end a completion", () => {
  it("those of the tokenizer, of the configuration and of the template, each once", async () => {
    const codec = await open(chatml, {}, { endIds: [258, 259] });
    expect(codec.stopIds).toEqual([258, 259, 257]);
    expect(codec.describeStops()).toBe('"<|endoftext|>" (258), "</s>" (259), "<|im_end|>" (257)');
  });
});

describe("one end, after the completion", () => {
  it("the post-processor's end is not the prompt's, and none is added twice", async () => {
    const codec = await open();
    expect(codec.prompt("Hi")).toEqual(ids("Hi"));
    expect(codec.sequence("Hi", " you").tokens).toEqual([...ids("Hi you"), 258]);
    for (const end of ["<|endoftext|>", "<|im_end|>"])
      expect(codec.sequence("Hi", ` you${end}`).tokens).toEqual(ids(`Hi you${end}`));
    expect(codec.text("Hi<|endoftext|>").tokens).toEqual(ids("Hi<|endoftext|>"));
  });

  it("a reply ends with the template's end of turn; what the template writes after it is for reward models", async () => {
    const codec = await open();
    const head = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    const { tokens, promptLength } = codec.sequence(user, reply);
    expect(tokens).toEqual(ids(`${head}Yes.<|im_end|>`));
    expect(promptLength).toBe(ids(head).length);
    expect(codec.scored(user, reply)).toEqual(ids(`${head}Yes.<|im_end|>\n`));
    expect(codec.closed(user, tokens)).toEqual(ids(`${head}Yes.<|im_end|>\n`));
    expect(codec.closed(user, tokens.slice(0, -1))).toEqual(tokens.slice(0, -1));
    expect(codec.closed("Hi", tokens)).toBe(tokens);
    const { after, ...scored } = codec.scoredSequence(user, reply);
    expect(scored).toEqual({ tokens, promptLength });
    expect(after).toEqual(ids("\n"));
  });

  it("a reward model that says so is read at the end token", async () => {
    const codec = await open(chatml, { "touchstone.json": { reward_at: "end_token" } });
    const { tokens } = codec.sequence(user, reply);
    expect(codec.scored(user, reply)).toEqual(tokens);
    expect(codec.closed(user, tokens)).toBe(tokens);
  });
});

describe("templates", () => {
  const rewriting =
    "{% for m in messages %}{% if m.role == 'user' %}<U>{{ m.content }}{% else %}<A>{{ m.content.split('</think>')[-1] }}<|im_end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<A><think>\n{% endif %}";

  it("that leave a thought out of the past have their boundary after the turns", async () => {
    const codec = await open(rewriting);
    const thought: Message[] = [{ role: "assistant", content: "<think>hm</think>Yes." }];
    expect(codec.scored(user, thought)).toEqual(ids("<U>Hi<A>Yes.<|im_end|>"));
    const { tokens, promptLength } = codec.sequence(user, thought);
    expect(tokens).toEqual(ids("<U>Hi<A>Yes.<|im_end|>"));
    expect(promptLength).toBe(ids("<U>Hi<A>").length);
  });

  it("that change the turns have none, and reward models need none", async () => {
    const codec = await open("{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}");
    expect(() => codec.sequence(user, reply)).toThrow(/replies cannot be told from prompts/);
    expect(codec.scored(user, reply)).toEqual(ids("2HiYes."));
  });

  it.each([
    ["a list", [{ name: "f" }]],
    ["JSON text", '[{"name": "f"}]'],
  ])("see the row's tools as %s", async (_, tools) => {
    const codec = await open();
    expect(codec.prompt(user, { tools }).slice(0, 3)).toEqual(ids("[f]"));
    expect(codec.sequence(user, reply, { tools }).tokens.slice(0, 3)).toEqual(ids("[f]"));
    expect(codec.scored(user, reply, { tools }).slice(0, 3)).toEqual(ids("[f]"));
  });

  it("name the row that they refuse", async () => {
    const codec = await open("{{ raise_exception('no system turns') }}");
    expect(() => atRow("chats.jsonl:7", () => codec.prompt(user))).toThrow(
      /^chats.jsonl:7: the chat template of .* does not accept the messages: no system turns$/,
    );
    const working = await open();
    expect(() => atRow("chats.jsonl:7", () => working.prompt(user, { tools: "{" }))).toThrow(
      /^chats.jsonl:7: "tools" is text that is not JSON/,
    );
  });
});
