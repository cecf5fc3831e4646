// Verbs that ask, grade, read and repeat, stopped in the middle: exit code 130, one sentence, nothing torn left behind, and the
// same command again gives what an undisturbed one gives.

import type { ChildProcess } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { isTorn } from "../src/base/atomic.js";
import { writeRandomModel } from "../src/lab/base.js";
import { Tokenizer } from "../src/model/tokenizer.js";
import { type ChatServer, chatServer } from "./support/chat-server.js";
import { type CliResult, runCli } from "./support/cli.js";
import { contentsOf, openWorkshop, tinyConfig, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: ChatServer;
/** The command that a request interrupts, after how many, and by what. */
let waiting: { child: ChildProcess; signal: NodeJS.Signals; after: number } | undefined;
beforeAll(async () => {
  shop = await openWorkshop();
  server = await chatServer(({ messages, response_format: format }) => {
    if (waiting && --waiting.after < 0) {
      waiting.child.kill(waiting.signal);
      return { status: 503 };
    }
    if (format !== undefined && /rubric/i.test(JSON.stringify(messages)))
      return JSON.stringify({ items: [{ item: 1, rationale: "some", score: 1 }] });
    if (format !== undefined && /classification/.test(JSON.stringify(format)))
      return JSON.stringify({ task: "A" });
    return "A";
  });
  await writeFile(
    shop.path("rules.yaml"),
    stringify({
      tasks: { A: { description: "one" }, B: { description: "another" } },
      llm: { model: "m", base_url: server.baseUrl },
    }),
  );
  await writeFile(
    shop.path("rubric.yaml"),
    stringify({
      items: [
        {
          name: "Effort",
          levels: [
            { points: 0, text: "none" },
            { points: 1, text: "some" },
          ],
        },
      ],
    }),
  );
  const anchors = Array.from({ length: 6 }, (_, i) => ({
    prompt: `p${i}`,
    response: `r${i}`,
    label: i % 2 === 0 ? "good" : "bad",
  }));
  await writeFile(shop.path("anchors.jsonl"), anchors.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const endless = Array.from({ length: 3 }, (_, i) => ({
    prompt: "p",
    response: `\`\`\`js\nlet n = ${i}; for (;;);\n\`\`\``,
    unit_tests: ["assert(false)"],
  }));
  await writeFile(shop.path("endless.jsonl"), endless.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const { vocabSize } = await Tokenizer.load(shop.path("tokenizer"));
  await writeRandomModel(shop.path("other"), tinyConfig(vocabSize), 12, shop.path("tokenizer"));
});
afterAll(async () => {
  await server?.close();
  await shop?.remove();
});

const out = (verb: string) => shop.path("out", verb);
const tasks = (...names: string[]) =>
  names.flatMap((name) => ["--task", join(import.meta.dirname, "fixtures/eval", `${name}.jsonl`)]);
const tiny = ["--threads", "1", "--max-new-tokens", "6", "--temperature", "1", "--quiet"];
const asks = () => ["--judge", `m@${server.baseUrl}`, "--concurrency", "1"];

afterEach(() => rm(shop.path("out"), { recursive: true, force: true }));

/** A verb, what interrupts it ("SIGINT request #3": at the fourth request), and the command. */
const verbs: [name: string, what: string, argv: () => string[]][] = [
  [
    "elo, while it asks",
    "SIGINT request #3",
    () => [
      ...["elo", "--model", `one=${shop.policy}`, "--model", `two=${shop.path("other")}`, ...asks(), ...tiny],
      ...["--prompts", shop.data("prompts/writing.jsonl"), "--limit", "4", "-o", out("elo")],
    ],
  ],
  [
    "elo, while it answers",
    "SIGTERM sample #2",
    () => [
      ...["elo", "--model", `one=${shop.policy}`, "--model", `two=${shop.path("other")}`, ...asks(), ...tiny],
      ...["--prompts", shop.data("prompts/writing.jsonl"), "--limit", "4", "-o", out("elo-answers")],
    ],
  ],
  [
    "split",
    "SIGHUP request #2",
    () => [
      ...["split", shop.data("prompts/writing.jsonl"), "--rules", shop.path("rules.yaml")],
      ...["-o", out("split"), "--limit", "6", "--quiet"],
    ],
  ],
  [
    "rubric test",
    "SIGTERM request #2",
    () => [
      ...["rubric", "test", shop.path("rubric.yaml"), "--anchors", shop.path("anchors.jsonl"), ...asks()],
      ...["--log", join(out("rubric"), "log.jsonl"), "--quiet"],
    ],
  ],
  [
    "eval of benchmarks",
    "SIGINT sample #1",
    () => ["eval", "--model", shop.policy, ...tasks("gsm8k", "triviaqa"), "-o", out("eval"), ...tiny],
  ],
];

/** One sentence, no bug, nothing torn. */
async function expectStopped({ code, stderr }: CliResult): Promise<void> {
  expect({ code, stderr }).toMatchObject({ code: 130 });
  expect(stderr).toMatch(/^\n?touchstone: [^\n]*(stopped|continue|again)[^\n]*\n$/);
  const left = await readdir(shop.path("out"), { recursive: true }).catch((): string[] => []);
  expect(left.filter((name) => isTorn(basename(name)))).toEqual([]);
}

/** All files but the logs of requests, whose order is that of the replies. */
const results = async () =>
  Object.fromEntries(
    Object.entries(await contentsOf(shop.path("out"))).filter(([name]) => !/log\.jsonl$|llm\//.test(name)),
  );

describe("a signal in the middle of", () => {
  it.each(verbs)(
    "%s, and the same command again",
    async (_, what, argv) => {
      const undisturbed = await runCli(argv());
      expect(undisturbed).toMatchObject({ code: 0, stderr: "" });
      const wanted = await results();
      await rm(shop.path("out"), { recursive: true });

      const [signal, phase, count] = what.split(" ") as [NodeJS.Signals, string, string];
      const ended = await runCli(argv(), {
        env: phase === "request" ? {} : { TOUCHSTONE_TEST_SIGNAL: what },
        onStart: (child) => {
          waiting = phase === "request" ? { child, signal, after: Number(count.slice(1)) } : undefined;
        },
      });
      waiting = undefined;
      await expectStopped(ended);
      expect(await runCli(argv())).toMatchObject({ code: 0, stderr: "", stdout: undisturbed.stdout });
      expect(await results()).toEqual(wanted);
    },
    300_000,
  );

  it("a sandboxed program that does not end", async () => {
    const ended = await runCli(
      [
        ...["judge", shop.path("endless.jsonl"), "--judge"],
        ...["{kind: code, fuel: 100000000, seconds: 600}", "-o", out("judge.jsonl")],
      ],
      { env: { TOUCHSTONE_TEST_SIGNAL: "SIGTERM run #1" } },
    );
    expect(ended.stderr).not.toMatch(/internal error| {4}at /);
    expect(ended.code, ended.stderr).toBe(130);
    expect(await readdir(shop.path("out")).catch(() => [])).toEqual([]);
  }, 300_000);

  it("report leaves a whole page or none", async () => {
    const run = shop.path("run");
    await rm(run, { recursive: true, force: true });
    const { mkdir } = await import("node:fs/promises");
    await mkdir(run);
    await writeFile(join(run, "recipe.yaml"), "steps: 1\n");
    await writeFile(join(run, "metrics.jsonl"), '{"step":1,"reward":1}\n{"step":2,"reward":2}\n');
    await writeFile(join(run, "rollouts.jsonl"), "");
    const page = shop.path("out", "page.html");
    await mkdir(shop.path("out"), { recursive: true });
    const ended = await runCli(["report", run, "-o", page], {
      env: { TOUCHSTONE_TEST_SIGNAL: "SIGINT rename" },
    });
    expect([0, 130], ended.stderr).toContain(ended.code);
    expect(ended.stderr).not.toMatch(/internal error| {4}at /);
    const left = await readdir(shop.path("out"));
    expect(left.filter((name) => isTorn(name))).toEqual([]);
    if (left.length > 0) expect(await readFile(page, "utf8")).toMatch(/<\/html>\n$/);
  }, 60_000);

  it("quickstart, which says how to go on", async () => {
    const argv = ["quickstart", "-o", out("quickstart"), "--quiet"];
    const ended = await runCli(argv, { env: { TOUCHSTONE_TEST_SIGNAL: "SIGINT backward #3" } });
    await expectStopped(ended);
    expect(ended.stderr).toContain("--resume");
  }, 900_000);

  it("reproduce, whose seeds are processes of their own, and --resume", async () => {
    const argv = ["reproduce", "mpo", "--seeds", "2", "--jobs", "1", "--quick", "--quiet", "-o", out("mpo")];
    const finished = () =>
      readFile(join(out("mpo"), "seed-1", "result.json")).then(
        () => true,
        () => false,
      );
    const stopped = await runCli(argv, {
      onStart: async (child) => {
        while (child.exitCode === null && !(await finished())) await delay(20);
        child.kill("SIGTERM");
      },
    });
    await expectStopped(stopped);
    expect(stopped.stderr).toContain("--resume");
    const first = await readFile(join(out("mpo"), "seed-1", "result.json"), "utf8");
    expect(await runCli([...argv, "--resume"])).toMatchObject({ code: 0, stderr: "" });
    expect(await readFile(join(out("mpo"), "seed-1", "result.json"), "utf8")).toBe(first);
  }, 600_000);
});
