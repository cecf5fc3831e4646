// Judges and rewards of the user's own: modules in JavaScript and TypeScript, servers, and everything that they do wrong.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openUserModule } from "../src/base/user-module.js";
import { createMember } from "../src/judges/registry.js";
import { verdictFrom } from "../src/judges/verdict.js";
import { parseRecipe, tasksOf } from "../src/recipe/recipe.js";
import { openModuleReward, openUrlReward } from "../src/train/rewards/external.js";

const dir = mkdtempSync(join(tmpdir(), "modules-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const file = (name: string, source: string) => {
  writeFileSync(join(dir, name), source);
  return join(dir, name);
};

const responses = (...texts: string[]) =>
  texts.map((text, i) => ({
    row: { id: `p.jsonl:${i}`, prompt: [{ role: "user", content: "Say hi" }], metadata: { answer: i } },
    text,
    tokens: [],
    seed: i,
  }));

const reward = async (path: string, timeoutSeconds = 20, name = "default") => {
  const source = await openModuleReward({ module: path, export: name, timeoutSeconds });
  return async (...texts: string[]) => {
    const { rewards, failed, reasons } = await source.score(responses(...texts), "samples");
    return { rewards: Array.from(rewards), failed, reasons };
  };
};

describe("a reward in a module", () => {
  it("gives a number or null for every response of a batch", async () => {
    const score = await reward(
      file(
        "length.mjs",
        `export default (batch) => batch.map(({ promptText, response, metadata }) =>
           response === "?" ? null : response.length + promptText.length + metadata.answer);`,
      ),
    );
    expect(await score("ab", "?", "abcd")).toEqual({
      rewards: [8, Number.NaN, 12],
      failed: [false, true, false],
      reasons: [undefined, "the reward gave null", undefined],
    });
  });

  it.each([
    ["throws", "() => { throw new Error('the database is away') }", "the database is away"],
    ["gives too few numbers", "() => [1]", "the reward module gave 1 numbers for 2 responses"],
    ["gives no list", "() => 'good'", "the reward module gave no list of numbers"],
    ["gives text", "(b) => b.map(() => 'good')", 'gave "good" for response 1, which is no number'],
    ["gives what is not finite", "(b) => b.map(() => NaN)", "which is no number"],
    ["ends its process", "() => process.exit(0)", "ended its own thread"],
  ])("that %s has failed, with its reason", async (name, source, reason) => {
    const score = await reward(file(`${name.replaceAll(" ", "-")}.mjs`, `export default ${source};`));
    const { failed, reasons } = await score("a", "b");
    expect(failed).toEqual([true, true]);
    expect(reasons![0]).toContain(reason);
  });

  it("that never answers meets its time limit, a busy loop too, and is asked again", async () => {
    const path = file(
      "slow.mjs",
      `export const never = () => new Promise(() => {});
       export const loop = (batch) => { while (batch[0].response === "loop"); return batch.map(() => 1) };`,
    );
    const never = await reward(path, 0.3, "never");
    expect((await never("a")).reasons).toEqual(["there was no answer within 0.3 s (timeout_seconds)"]);
    const loop = await reward(path, 0.3, "loop");
    const [stuck, behind] = await Promise.all([loop("loop"), loop("a")]);
    expect(stuck.reasons).toEqual(["there was no answer within 0.3 s (timeout_seconds)"]);
    expect(behind.rewards).toEqual([1]);
    expect((await loop("b")).rewards).toEqual([1]);
  });

  it("may be TypeScript that imports TypeScript", async () => {
    file(
      "points.mts",
      "export enum Points { Hi = 2 }\nexport const of = (x: string): number => x.length * Points.Hi;",
    );
    file("words.ts", 'export type Words = string[];\nexport * from "./points.mjs";');
    const path = file(
      "reward.ts",
      `import { of, type Words } from "./words";
       import type { RewardInput } from "touchstone/align";
       export default async (batch: readonly RewardInput[]): Promise<number[]> => batch.map(({ response }) => of(response));`,
    );
    expect((await (await reward(path))("abc")).rewards).toEqual([6]);
    const broken = file("broken.ts", "export default (batch: ) => {\n");
    await expect(reward(broken)).rejects.toThrow(
      /reward module .*broken\.ts cannot be loaded: .*broken\.ts:1: Type expected/,
    );
  });

  it.each([
    ["there is none", "nowhere.mjs", undefined, "there is no such file"],
    ["it exports nothing", "empty.mjs", "export const other = 1;", 'has no function as its export "default"'],
    ["it does not load", "throws.mjs", "throw new Error('no');", "cannot be loaded: no"],
  ])("is refused where %s", async (_, name, source, sentence) => {
    const path = source === undefined ? join(dir, name) : file(name, source);
    await expect(reward(path)).rejects.toThrow(sentence);
  });
});

it("a module that loads for ever is refused", async () => {
  const path = file("forever.mjs", "for (;;);");
  const opened = openUserModule({
    path,
    export: "default",
    timeoutSeconds: 9,
    loadSeconds: 1,
    what: "judge module",
  });
  await expect(opened).rejects.toThrow(`judge module ${path} was not loaded within 1 s`);
});

describe("a reward server", () => {
  it("is asked for a batch, and what it does wrong is the reason of the failure", async () => {
    let answer: { status: number; body: unknown } = { status: 200, body: { rewards: [1, null] } };
    const asked: unknown[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => {
        asked.push(JSON.parse(body));
        response.writeHead(answer.status).end(JSON.stringify(answer.body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/score`;
    const source = openUrlReward({ url, timeoutSeconds: 5, maxRetries: 0 });
    const score = async () => source.score(responses("a", "b"), "samples");
    const first = await score();
    expect(Array.from(first.rewards)).toEqual([1, Number.NaN]);
    expect(first.failed).toEqual([false, true]);
    expect(asked).toEqual([
      {
        prompts: responses("a", "b").map(({ row }) => row.prompt),
        responses: ["a", "b"],
        metadata: [{ answer: 0 }, { answer: 1 }],
      },
    ]);
    for (const [status, body, reason] of [
      [401, { error: "who are you" }, "401 who are you"],
      [500, {}, "500"],
      [200, { rewards: [1] }, /the reward server 127.* gave 1 numbers for 2 responses/],
      [200, { scores: [1, 2] }, /gave no list of numbers/],
    ] as const) {
      answer = { status, body };
      expect((await score()).reasons![0]).toMatch(reason);
    }
    server.close();
    expect((await score()).reasons![0]).toContain("no answer from the server");
  });

  it("needs an address and the key that is named", () => {
    const options = { timeoutSeconds: 1, maxRetries: 0 };
    expect(() => openUrlReward({ url: "ftp://x", ...options })).toThrow("must be an http or https address");
    expect(() => openUrlReward({ url: "http://x/", apiKeyEnv: "NO_SUCH_KEY", ...options })).toThrow(
      "NO_SUCH_KEY holds no key for the reward server x",
    );
  });
});

describe("a judge in a module", () => {
  const judgeOf = async (source: string, options = {}) => {
    const path = file(`judge-${Math.random()}.ts`, source);
    return (await createMember({ module: path, name: "mine", ...options }, { baseDir: dir })).judge;
  };
  const input = { prompt: "p", response: "r", truncated: false, metadata: {} };

  it("sees the prompt as text too", async () => {
    const judge = await judgeOf(
      "export default ({ promptText }: { promptText: string }) => ({ verdict: 'satisfied', reason: promptText });",
    );
    const messages = [{ role: "user", content: "one" }];
    expect(await verdictFrom(judge, { ...input, prompt: messages })).toEqual({
      verdict: "satisfied",
      reason: "one",
    });
  });

  it("that loops for ever has failed", async () => {
    const judge = await judgeOf("export default () => { for (;;); };", { timeout_seconds: 0.3 });
    expect(await verdictFrom(judge, input)).toMatchObject({
      verdict: "failed",
      reason: expect.stringContaining("no answer within 0.3 s"),
    });
  }, 20_000);

  it("is told when the run is stopped", async () => {
    const judge = await judgeOf("export default () => new Promise(() => {});");
    const controller = new AbortController();
    const asked = verdictFrom(judge, input, controller.signal);
    setTimeout(() => controller.abort(new Error("stop")), 50);
    await expect(asked).rejects.toThrow("stop");
  });
});

describe("in a recipe", () => {
  const parse = (reward: string) =>
    tasksOf(
      parseRecipe(
        "align",
        `output_dir: r\npolicy: m\nsteps: 1\ntasks:\n  - name: t\n    prompts: p.jsonl\n    reward: ${reward}\n    optimizer: { name: crpg }\n`,
        join(dir, "recipe.yaml"),
      ),
    )[0]!.reward;

  it("module and url are rewards, with their own options only", () => {
    expect(parse("{ module: ./reward.ts }")).toEqual({
      module: join(dir, "reward.ts"),
      export: "default",
      timeoutSeconds: 60,
    });
    expect(parse("{ url: http://127.0.0.1:1/, api_key_env: K, timeout_seconds: 5 }")).toEqual({
      url: "http://127.0.0.1:1/",
      apiKeyEnv: "K",
      timeoutSeconds: 5,
      maxRetries: 4,
    });
    expect(() => parse("{ module: ./r.js, max_retries: 1 }")).toThrow("max_retries only goes with url");
    expect(() => parse("{ warm: ./r, timeout_seconds: 1 }")).toThrow(
      "timeout_seconds only goes with module or url",
    );
    expect(() => parse("{ module: ./r.js, url: http://x }")).toThrow("not module and url");
  });
});
