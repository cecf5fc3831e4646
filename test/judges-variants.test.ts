// Inputs as users bring them, of every kind of mistake that public reports of graders and judges name (mathematics has tables
// of its own): the right verdict of each, written down before it was run.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createMember } from "../src/judges/registry.js";
import { verdictFrom } from "../src/judges/verdict.js";
import { type ChatServer, chatServer } from "./support/chat-server.js";
import { type Variant, variants } from "./support/judge-variants.js";

/** What the judge model says next: a text, or a token with its alternatives. */
let reply: Variant["reply"];
let server: ChatServer;
let asked = 0;

beforeAll(async () => {
  server = await chatServer(({ response_format, logprobs }) => {
    const isAsked = typeof reply === "string" ? !response_format && !logprobs : logprobs;
    return isAsked ? reply! : { status: 400 };
  });
});

afterAll(() => server.close());

async function verdictOf({ judge, prompt = "p", response, metadata = {}, reply: said }: Variant) {
  reply = said;
  // Ways of asking that a model did not answer are not tried again: a model of its own for each.
  const model = said !== undefined && {
    model: `judge ${asked++}`,
    base_url: server.baseUrl,
    max_retries: 0,
  };
  const question = judge.kind === "yes_no" && { question: "Does every second line rhyme?" };
  const member = await createMember({ ...judge, ...model, ...question } as never, { baseDir: "." });
  const input = { prompt, response, truncated: false, metadata: { ...metadata } };
  const found = await verdictFrom(member.judge, input);
  return { verdict: found?.verdict ?? "inapplicable", reason: found?.reason ?? "" };
}

describe.each(Object.entries(variants))("%s", (_, rows) => {
  test("every verdict", { timeout: 120_000 }, async () => {
    const wrong: string[] = [];
    for (const row of rows) {
      const { verdict, reason } = await verdictOf(row);
      if (verdict !== row.expected) {
        const shown = JSON.stringify([row.judge, row.response, row.metadata, row.reply]).slice(0, 400);
        wrong.push(`${shown}\n  is ${row.expected}, said ${verdict}: ${reason}`);
      }
    }
    expect(wrong, wrong.join("\n")).toEqual([]);
  });
});

test("every kind has at least six", () => {
  const few = Object.entries(variants).filter(([, rows]) => rows.length < 6);
  expect(few.map(([kind]) => kind)).toEqual([]);
});
