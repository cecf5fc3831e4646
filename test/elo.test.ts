// `touchstone elo`: policies of the lab's size, and a judge whose taste the test writes.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eloCommand } from "../src/cli/commands/elo.js";
import { writeRandomModel } from "../src/lab/base.js";
import { type ChatServer, chatServer, type Script } from "./support/chat-server.js";
import { runVerb } from "./support/command.js";
import { openWorkshop, tinyConfig, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: ChatServer;
beforeAll(async () => {
  shop = await openWorkshop();
  const { Tokenizer } = await import("../src/model/tokenizer.js");
  const { vocabSize } = await Tokenizer.load(shop.path("tokenizer"));
  for (const seed of [11, 12])
    await writeRandomModel(shop.path(`policy-${seed}`), tinyConfig(vocabSize), seed, shop.path("tokenizer"));
});
afterAll(() => shop.remove());
afterEach(() => server.close());

/** The two replies that a comparison shows. */
function replies(text: string): [string, string] {
  const [a, b] = [/Reply A:\n([\s\S]*?)\n\nReply B:/, /Reply B:\n([\s\S]*?)\n\nWhich/].map((pattern) =>
    pattern.exec(text)![1]!.replace(/reply_[ab] \w+/g, ""),
  );
  return [a!, b!];
}
/** Prefers the reply that comes later in the alphabet. */
const alphabet: Script = ({ messages }) => {
  const [a, b] = replies(messages.at(-1)!.content);
  return a > b ? "A" : "B";
};
const start = async (script: Script) => {
  server = await chatServer(script);
};
beforeEach(() => start(alphabet));

const elo = (...argv: string[]) =>
  runVerb(
    eloCommand,
    ...["--model", `one=${shop.path("policy-11")}`, "--model", `two=${shop.path("policy-12")}`],
    ...["--prompts", shop.data("prompts/writing.jsonl"), "--judge", `j@${server.baseUrl}`],
    ...["--max-new-tokens", "6", "--temperature", "1", "--threads", "1", "--quiet", ...argv],
  );

interface Result {
  standings: { name: string; score: number; elo: { estimate: number; low: number; high: number } }[];
  pairs: { a: string; b: string; estimate: number; comparisons: number }[];
  failed: number;
  first_place: number;
}

describe("a tournament", () => {
  it("of two policies is the closed form, with both orders of every pair", async () => {
    const { code, out } = await elo("--json");
    expect(code).toBe(0);
    const result = JSON.parse(out) as Result;
    expect(server.bodies).toHaveLength(2 * 8);
    expect(result).toMatchObject({ prompts: 8, failed: 0, first_place: 0.5 });
    const [pair] = result.pairs;
    const wins = pair!.estimate * 8;
    const difference = 400 * Math.log10((wins + 0.25) / (8 - wins + 0.25));
    const rating = (name: string) =>
      result.standings.find((standing) => standing.name === name)!.elo.estimate;
    expect(rating("one") - rating("two")).toBeCloseTo(difference, 2);
    expect(rating("one") + rating("two")).toBeCloseTo(2000, 6);
  });

  it("a judge that always names the first reply makes ties, and is found out", async () => {
    await server.close();
    await start(() => "A");
    const result = JSON.parse((await elo("--json")).out) as Result;
    expect(result.pairs[0]!.estimate).toBe(0.5);
    expect(result.first_place).toBe(1);
  });

  it("goes on where it stopped, and asks nothing twice", async () => {
    await server.close();
    let asked = 0;
    // The server dies after 9 verdicts.
    await start((body, count) => (++asked > 9 ? { status: 400 } : alphabet(body, count)));
    const dir = shop.path("elo");
    const argv = ["-o", dir, "--concurrency", "1", "--json"];
    const broken = JSON.parse((await elo(...argv)).out) as Result;
    expect(broken.failed).toBe(4);
    asked = 0;
    const whole = JSON.parse((await elo(...argv)).out) as Result;
    expect(asked).toBe(16 - 9);
    expect(whole.failed).toBe(0);
    const again = await elo(...argv);
    expect(JSON.parse(again.out)).toEqual(whole);
    expect(asked).toBe(16 - 9);
    expect(await elo("-o", dir, "--seed", "3")).toMatchObject({
      code: 2,
      err: expect.stringContaining("other settings"),
    });
  });

  it("prints a table for people", async () => {
    const { out } = await elo("--model", shop.policy);
    expect(out).toMatch(/^8 prompts, compared by j\n\d+ \(\d+ to \d+\) {2}/);
    expect(out.match(/ over /g)).toHaveLength(3);
  });

  it("needs two policies with names of their own", async () => {
    const one = ["--model", "./a", "--prompts", "p.jsonl", "--judge", `j@${server.baseUrl}`];
    expect((await runVerb(eloCommand, ...one)).err).toContain("needs two policies or more");
    expect((await runVerb(eloCommand, ...one, "--model", "./a")).err).toContain(
      'two policies are called "./a"',
    );
  });
});
