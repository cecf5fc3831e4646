// `--json` and `--quiet` of every verb: with --json the standard output is one JSON object and a line break, and nothing when the
// verb fails; with either there is no progress. A verb that is not in the table fails here.

import { mkdir, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProgram } from "../src/cli/program.js";
import { RubricHistory } from "../src/mpo/history.js";
import { createRubric } from "../src/mpo/rubric.js";
import { rubricToYaml } from "../src/mpo/rubric-file.js";
import { gradeItem } from "../src/mpo/scripted/dialect.js";
import { startScriptedServer } from "../src/mpo/scripted/server.js";
import { isBuilt } from "./support/built.js";
import { type ChatServer, chatServer } from "./support/chat-server.js";
import { runCli } from "./support/cli.js";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: ChatServer;
let scripted: Awaited<ReturnType<typeof startScriptedServer>>;
beforeAll(async () => {
  shop = await openWorkshop();
  server = await chatServer(() => "A");
  scripted = await startScriptedServer();
  await writeFile(
    shop.path("answers.jsonl"),
    '{"prompt":"1+1?","completion":"2","answer":"2","label":true}\n',
  );
  await writeFile(shop.path("gsm8k.jsonl"), '{"question":"1+1?","answer":"#### 2"}\n');
  await writeFile(
    shop.path("bench.jsonl"),
    '{"prompt":"a","chosen":"b","rejected":"c","subset":"alpacaeval-easy","id":1}\n',
  );
  await writeFile(shop.path("rules.yaml"), 'tasks:\n  all: { regex: ["."] }\n');
  const rubric = createRubric([gradeItem("Effort", [6, "at least 4 words"], [0, "otherwise"])]);
  await writeFile(shop.path("rubric.yaml"), rubricToYaml(rubric));
  const history = new RubricHistory(shop.path("rubrics", "rubrics", "writing"));
  await mkdir(shop.path("rubrics"), { recursive: true });
  await history.open(new Map([["", createRubric([gradeItem("Effort", [6, "4 words"], [0, "otherwise"])])]]));
  const align = {
    policy: shop.policy,
    output_dir: shop.path("bot"),
    steps: 1,
    warmup_steps: 0,
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { model: shop.reward },
        optimizer: { name: "reinforce", generations: 2, batch_prompts: 2, max_new_tokens: 4 },
      },
    ],
  };
  await shop.recipe("align.yaml", align);
  await shop.recipe("wrong.yaml", { ...align, stepps: 3 });
});
afterAll(async () => {
  await server.close();
  await scripted.close();
  await shop.remove();
});

type Case = (at: (name: string) => string) => { works?: string[]; fails: string[] };

const NOT_HERE = "no-such-thing";
const judge = () => ["--judge", `j@${server.baseUrl}`];
const train = (model: string, data: string, out: string) => [
  ...[
    "--model",
    model,
    "--data",
    data,
    "-o",
    out,
    "--steps",
    "1",
    "--batch-size",
    "4",
    "--set",
    "warmup_steps=0",
  ],
];

/** By the path of a verb; without `works` it runs longer than a test should, or serves until it is stopped (below). */
const CASES: Record<string, Case> = {
  init: (at) => ({
    works: ["init", "--model", shop.policy, "--data", shop.data("sft.jsonl"), "-o", at("init.yaml"), "--yes"],
    fails: ["init", "--model", shop.policy, "--data", NOT_HERE, "-o", at("other.yaml"), "--yes"],
  }),
  sft: (at) => ({
    works: ["sft", ...train(shop.policy, shop.data("sft.jsonl"), at("sft"))],
    fails: ["sft", ...train(shop.policy, NOT_HERE, at("no"))],
  }),
  reward: (at) => ({
    works: ["reward", ...train(shop.policy, shop.data("preferences.jsonl"), at("rm")), "--runs", "2"],
    fails: ["reward", ...train(NOT_HERE, shop.data("preferences.jsonl"), at("no"))],
  }),
  align: (at) => ({ works: ["align", at("align.yaml")], fails: ["align", at("wrong.yaml")] }),
  "warm average": (at) => ({
    works: ["warm", "average", shop.reward, shop.reward, "-o", at("merged")],
    fails: ["warm", "average", shop.reward, NOT_HERE, "-o", at("no")],
  }),
  "warm inspect": () => ({
    works: ["warm", "inspect", shop.reward, shop.reward, "--data", shop.data("validation.jsonl")],
    fails: ["warm", "inspect", shop.reward, "--data", shop.data("validation.jsonl")],
  }),
  "warm check": (at) => ({
    works: ["warm", "check", shop.reward, "--data", at("bench.jsonl")],
    fails: ["warm", "check", shop.reward, "--data", shop.data("sft.jsonl")],
  }),
  sample: () => ({
    works: ["sample", shop.data("prompts/writing.jsonl"), "--model", shop.policy, "--max-new-tokens", "4"],
    fails: ["sample", NOT_HERE, "--model", shop.policy],
  }),
  chat: () => ({ fails: ["chat", "--model", NOT_HERE] }),
  score: (at) => ({
    works: ["score", at("answers.jsonl"), "--model", shop.reward],
    fails: ["score", at("answers.jsonl"), "--model", shop.policy],
  }),
  logprobs: (at) => ({
    works: ["logprobs", at("answers.jsonl"), "--model", shop.policy],
    fails: ["logprobs", at("answers.jsonl"), "--model", shop.reward],
  }),
  convert: (at) => ({
    works: ["convert", shop.policy, at("bf16"), "--dtype", "bfloat16"],
    fails: ["convert", NOT_HERE, at("no")],
  }),
  export: (at) => ({
    works: ["export", shop.reward, at("onnx"), "--to", "onnx"],
    fails: ["export", shop.reward, at("no"), "--to", "onnx", "--dtype", "float16"],
  }),
  push: () => ({
    works: ["push", shop.policy, "me/bot", "--dry-run"],
    fails: ["push", NOT_HERE, "me/bot"],
  }),
  judge: (at) => ({
    works: ["judge", at("answers.jsonl"), "--judge", "math"],
    fails: ["judge", at("answers.jsonl"), "--judge", "maths"],
  }),
  eval: (at) => ({
    works: ["eval", "--model", shop.policy, "--task", `gsm8k=${at("gsm8k.jsonl")}`, "--max-new-tokens", "4"],
    fails: ["eval", "--model", shop.policy, "--task", `gsm8k=${shop.data("sft.jsonl")}`],
  }),
  elo: () => ({
    works: [
      ...["elo", "--model", `a=${shop.policy}`, "--model", `b=${shop.policy}`, "--max-new-tokens", "2"],
      ...["--prompts", shop.data("prompts/writing.jsonl"), "--limit", "2", "--temperature", "1", ...judge()],
    ],
    fails: ["elo", "--model", shop.policy, "--prompts", shop.data("prompts/writing.jsonl"), ...judge()],
  }),
  split: (at) => ({
    works: ["split", at("answers.jsonl"), "--rules", at("rules.yaml"), "-o", at("parts")],
    fails: ["split", at("answers.jsonl"), "--rules", at("align.yaml"), "-o", at("no")],
  }),
  "rubric show": () => ({ works: ["rubric", "show", "essay"], fails: ["rubric", "show", NOT_HERE] }),
  "rubric diff": () => ({
    works: ["rubric", "diff", "essay", "summary"],
    fails: ["rubric", "diff", "essay", NOT_HERE],
  }),
  "rubric history": (at) => ({
    works: ["rubric", "history", at("rubrics")],
    fails: ["rubric", "history", NOT_HERE],
  }),
  "rubric test": (at) => ({
    works: [
      ...["rubric", "test", at("rubric.yaml"), "--anchors", at("answers.jsonl")],
      ...["--judge", `rm@${scripted.baseUrl}`],
    ],
    fails: ["rubric", "test", "essay", "--anchors", NOT_HERE, ...judge()],
  }),
  serve: () => ({ fails: ["serve", "--reward", NOT_HERE, "--port", "0"] }),
  monitor: (at) => ({ works: ["monitor", at("bot")], fails: ["monitor", NOT_HERE] }),
  report: (at) => ({ works: ["report", at("bot")], fails: ["report", NOT_HERE] }),
  ui: () => ({ fails: ["ui", NOT_HERE] }),
  // test/reproduce.test.ts runs one with --json to its end.
  quickstart: () => ({ fails: ["quickstart", "--seed", "many"] }),
  reproduce: () => ({ fails: ["reproduce", "warm", "--seeds", "many"] }),
  doctor: () => ({ works: ["doctor"], fails: ["doctor", NOT_HERE] }),
};

/** These print text that a shell or a person reads. */
const TEXT = ["completion", "help"];

const leaves = (command: ReturnType<typeof createProgram>, path: readonly string[] = []): string[] =>
  command.commands.length === 0
    ? [path.join(" ")]
    : command.commands.flatMap((child) => leaves(child, [...path, child.name()]));

it("the table has every verb", () => {
  expect([...Object.keys(CASES), ...TEXT].sort()).toEqual(leaves(createProgram()).sort());
});

const PROGRESS = /\d+\/\d+|· took/;

describe("--json", () => {
  it.each(Object.keys(CASES))("%s", async (name) => {
    const { works, fails } = CASES[name]!((file) => shop.path(file));
    if (works) {
      const { code, out, err } = await run(...works, "--json");
      expect([code, err.match(PROGRESS)], err).toEqual([0, null]);
      expect(out).toMatch(/^\{.*\}\n$/s);
      expect(JSON.parse(out)).toBeTypeOf("object");
    }
    const failed = await run(...fails, "--json");
    expect([failed.code, failed.out], failed.err).toEqual([2, ""]);
    expect(failed.err).toMatch(/^(?!.*internal error)/s);
    expect(failed.err.trimEnd().split("\n").at(-1)).toMatch(/^(touchstone: |error: | {2})/);
  });

  it.each(["sft", "reward", "align"] as const)("%s --check, whatever it finds", async (verb) => {
    const { code, out, err } = await run(verb, shop.path("wrong.yaml"), "--check", "--json");
    expect([code, err]).toEqual([2, ""]);
    expect(JSON.parse(out)).toMatchObject({ ready: false });
  });

  it("chat, whose input is at its end", async () => {
    const { code, stdout, stderr } = await runCli(["chat", "--model", shop.policy, "--json"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toEqual({ model: shop.policy, conversations: [] });
  });

  it.each([
    ["serve", () => ["serve", "--reward", shop.reward, "--port", "0", "-o", shop.path("served")]],
    ["ui", () => ["ui", shop.root]],
  ] as const)("%s, which says where and then serves", async (name, argv) => {
    // The page of ui is made by a build.
    if (name === "ui" && !isBuilt()) return;
    const { stdout, stderr } = await runCli([...argv(), "--json"], {
      onStart: (child) => {
        child.stdout!.once("data", () => child.kill("SIGINT"));
      },
    });
    expect(JSON.parse(stdout)).toMatchObject({ url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+/) });
    expect(stderr).toBe("");
  });
});

describe("--quiet", () => {
  it.each(
    Object.keys(CASES).filter(
      (name) =>
        !["sft", "reward", "align", "warm average", "convert", "export", "split", "init"].includes(name),
    ),
  )("%s: the result, and no progress", async (name) => {
    const { works } = CASES[name]!((file) => shop.path(file));
    if (!works) return;
    const { code, out, err } = await run(...works, "--quiet");
    expect([code, err.match(PROGRESS)]).toEqual([0, null]);
    expect(out).not.toBe("");
  });
});
