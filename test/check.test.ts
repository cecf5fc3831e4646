// `--check`: everything that is wrong at once, and nothing written.

import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Finding } from "../src/run/finding.js";
import { Findings } from "../src/train/check/findings.js";
import { checkMemory } from "../src/train/check/memory.js";
import { chatServer } from "./support/chat-server.js";
import { run } from "./support/in-process.js";
import { TinkerService } from "./support/tinker-service.js";
import { contentsOf, openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
  await writeFile(
    shop.path("broken.mjs"),
    'export default () => { throw new Error("the database is away"); };\n',
  );
});
afterAll(() => shop.remove());

/** The findings of a check, which has left every file as it was. */
async function check(...argv: string[]): Promise<{ code: number; ready: boolean; findings: Finding[] }> {
  const before = await contentsOf(shop.root);
  const { code, out, err } = await run(...argv, "--check", "--json");
  expect(err).toBe("");
  expect(await contentsOf(shop.root)).toEqual(before);
  const { ready, findings } = JSON.parse(out);
  expect(code).toBe(ready ? 0 : 2);
  return { code, ready, findings };
}

const problems = (findings: readonly Finding[]) =>
  findings.filter(({ status }) => status === "problem").map(({ name, detail }) => `${name}: ${detail}`);

const named = (findings: readonly Finding[], name: string) =>
  findings.filter((finding) => finding.name === name).map(({ status, detail }) => `${status} ${detail}`);

const alignment = (changes: object = {}, task: object = {}) => ({
  output_dir: shop.path("run"),
  policy: shop.policy,
  steps: 20,
  tasks: [
    {
      name: "writing",
      prompts: shop.data("prompts/writing.jsonl"),
      reward: { model: shop.reward },
      judges: [{ kind: "length", max_words: 100 }],
      optimizer: { name: "reinforce", generations: 2, batch_prompts: 2, max_new_tokens: 6 },
      ...task,
    },
  ],
  ...changes,
});

describe("align", () => {
  it("says that a run would start, with a sample of each task judged and scored", async () => {
    const recipe = await shop.recipe("good.yaml", alignment());
    const { ready, findings } = await check("align", recipe);
    expect([ready, problems(findings)]).toEqual([true, []]);
    expect(named(findings, "ends")).toEqual([expect.stringMatching(/^ok responses end at "/)]);
    expect(named(findings, "disk")).toEqual([
      expect.stringMatching(/^ok about 1 MB for 1 checkpoint and the final model, of \d.* free$/),
    ]);
    expect(named(findings, "memory")).toEqual([
      expect.stringMatching(/^ok about 0\.\d+ GB: .* GB are free of /),
    ]);
    expect(named(findings, "task writing: lengths")).toEqual([expect.stringMatching(/^ok all \d+ rows fit/)]);
    expect(named(findings, "task writing: judge length")).toEqual([expect.stringMatching(/^ok satisfied: /)]);
    expect(named(findings, "task writing: reward")).toEqual([expect.stringMatching(/^ok -?\d/)]);
    const { out } = await run("align", recipe, "--check");
    expect(out).toMatch(/^✓ recipe: .*good\.yaml\n(. .+\n)+the run would start\n$/);
  });

  it("says all that is wrong at once", async () => {
    const data = shop.path("prompts.jsonl");
    await writeFile(data, '{"prompt":"I am"}\n{"prompt":""}\n{"prompt":"I am glad"}\n{"prompt":" "}\n');
    const tasks = [
      {
        ...alignment().tasks[0],
        prompts: data,
        judges: [
          { kind: "lenght" },
          { module: "broken.mjs", name: "house" },
          { kind: "length", max_wrods: 3 },
        ],
        reward: { model: shop.path("nowhere") },
        optimizer: { name: "reinforce", genrations: 2, max_new_tokens: 6, overlong: "never" },
      },
      { name: "second", prompts: "no-such-file.jsonl", judges: ["safety"], optimizer: {} },
    ];
    const recipe = await shop.recipe("bad.yaml", {
      ...alignment({ tasks }),
      stepps: 5,
      steps: "many",
      reference: shop.reward,
    });
    const { ready, findings } = await check("align", recipe);
    expect(ready).toBe(false);
    const said = problems(findings).join("\n");
    for (const sentence of [
      /recipe: .*bad\.yaml:\d+: stepps is not a known key \(did you mean "steps"\?\)/,
      /recipe: .*bad\.yaml:\d+: steps must be a whole number of at least 1, not "many"/,
      /recipe: .*bad\.yaml:\d+: tasks\[0\]\.optimizer\.genrations is not a known key \(did you mean "generations"\?\)/,
      /recipe: .*bad\.yaml:\d+: tasks\[0\]\.optimizer\.overlong must be one of stop, skip, truncate_left/,
      /reference: .* is a reward model/,
      /task writing: prompts: .*prompts\.jsonl, row 2: the prompt \("prompt"\) is empty/,
      /task writing: prompts: .*prompts\.jsonl, row 4: the prompt \("prompt"\) is empty/,
      /task writing: judge lenght: there is no judge "lenght" \(did you mean "length"\?\)/,
      /task writing: judge length: .*max_wrods/,
      /task writing: judge house: the database is away/,
      /task writing: reward: .*nowhere/,
      /task second: prompts: .*no-such-file\.jsonl/,
      /task second: judge safety: judge "safety", option "model": is missing/,
    ])
      expect(said).toMatch(sentence);
    expect(said).not.toContain("is missing; give");
  });

  it.each([
    [
      "JSONL",
      "broken.jsonl",
      '{"prompt":"I am"}\n{"prompt":"I\n[1]\n{"promt":"I am"}\n{"prompt":""}\n{"prompt":"a"}{\n{"prompt":[1]}\n{"x":1}\n',
      [
        /row 2: not valid JSON/,
        /row 3: expected an object/,
        /row 6: not valid JSON/,
        /row 4: "prompt" is missing/,
      ],
      "2 more rows",
    ],
    [
      "CSV",
      "broken.csv",
      "prompt,level:number\nI am,1\nI am\nI am,x\n,3\nI am,4\n",
      [
        /row 2 \(line 3\): has 1 values/,
        /row 3 \(line 4\): "level" must be a number/,
        /row 4: "prompt" is missing|row 4: the prompt/,
      ],
      undefined,
    ],
    ["all rows", "none.jsonl", "{\n{\n", [/row 1: not valid JSON/, /row 2: not valid JSON/], undefined],
  ] as const)("names the rows of a file that cannot be read: %s", async (_, name, text, said, more) => {
    const data = shop.path(name);
    await writeFile(data, text);
    const recipe = await shop.recipe("rows.yaml", alignment({}, { prompts: data }));
    const { findings } = await check("align", recipe);
    const told = problems(findings).join("\n");
    for (const sentence of said) expect(told).toMatch(sentence);
    if (more) expect(told).toContain(`${more} are wrong`);
    // A run stops at the first, or leaves them out where the recipe says so.
    const skipping = alignment({ steps: 1 }, { prompts: { path: data, skip_invalid: true } });
    const { code, err } = await run("align", await shop.recipe("skip.yaml", skipping));
    if (name === "none.jsonl")
      expect([code, err]).toEqual([2, expect.stringMatching(/row 1: not valid JSON/)]);
    else expect([code, err]).toEqual([0, expect.stringMatching(/ left out, the first: .*row 2/)]);
    await rm(shop.path("run"), { recursive: true, force: true });
  });

  it("asks the service of engine tinker instead of the weights here, and makes nothing on it", async () => {
    const service = await TinkerService.start({ base: shop.policy, slots: 50, clips: true });
    // The policy's directory without its weights, as of a model that the service has alone.
    await cp(shop.policy, shop.path("files"), { recursive: true });
    await rm(shop.path("files", "model.safetensors"));
    const engine = { kind: "tinker", base_url: service.url, base_model: shop.policy };
    const policy = { model: shop.path("files"), lora: { r: 2 } };
    const remote = alignment({ engine, policy, max_grad_norm: 0 });
    try {
      const { findings, ready } = await check("align", await shop.recipe("remote.yaml", remote));
      expect([ready, problems(findings)]).toEqual([true, []]);
      expect(named(findings, "policy")[0]).toMatch(/^ok .* has it and samples from it, reads 256 tokens$/);
      expect(named(findings, "memory")).toEqual([expect.stringMatching(/^ok .* on the service/)]);
      expect(named(findings, "task writing: reward")).toEqual([expect.stringMatching(/^ok -?\d/)]);
      expect(service.requests.filter((path) => /create_model|forward|optim|save/.test(path))).toEqual([]);
      const other = { engine: { ...engine, base_model: "another" }, policy };
      const unknown = await check("align", await shop.recipe("other.yaml", alignment(other)));
      expect(problems(unknown.findings)).toEqual([expect.stringMatching(/^policy: .* has no model another/)]);
      const rows = { model: shop.path("files"), data: shop.data("sft.jsonl"), output_dir: shop.path("run") };
      const sft = await check(
        "sft",
        await shop.recipe("sft-remote.yaml", { ...rows, engine, lora: { r: 2 } }),
      );
      expect(problems(sft.findings)).toEqual([]);
      expect(named(sft.findings, "model")[0]).toMatch(/^ok .* has it and samples from it/);
    } finally {
      await service.stop();
    }
    const away = await check("align", await shop.recipe("remote.yaml", remote));
    expect(problems(away.findings)).toEqual([expect.stringMatching(/^policy: .*(refused|ECONNREFUSED)/)]);
  });

  it("asks every endpoint", async () => {
    const server = await chatServer((body) => (body.model === "wrong" ? { status: 401 } : "ready"));
    try {
      const llm = {
        judge: { model: "wrong", base_url: server.baseUrl, max_retries: 0 },
        reviser: { model: "wrong", base_url: server.baseUrl, max_retries: 0 },
        down: { model: "m", base_url: "http://127.0.0.1:9/v1", max_retries: 0 },
      };
      const reward = {
        rubric: "essay",
        judge_model: "judge",
        meta: { model: "reviser", interval: 1, mode: "breadth" },
      };
      const judges = [{ kind: "safety", model: "down", name: "safe" }];
      const { findings } = await check(
        "align",
        await shop.recipe("llm.yaml", alignment({ llm }, { reward, judges })),
      );
      expect(problems(findings)).toEqual([
        expect.stringMatching(/^task writing: judge safe: .*no answer from the server/),
        expect.stringMatching(/^task writing: reward: .*401/),
        expect.stringMatching(/^llm reviser: .*401/),
      ]);
    } finally {
      await server.close();
    }
  });

  it("checks every stage of a staged recipe", async () => {
    const { tasks, steps: _, ...shared } = alignment();
    const stages = [
      {
        name: "warmup",
        steps: 20,
        tasks: [
          {
            name: "pairs",
            prompts: shop.data("preferences.jsonl"),
            optimizer: { name: "dpo", max_length: 8 },
          },
        ],
      },
      { name: "cgpo", steps: 20, tasks },
    ];
    const { findings } = await check("align", await shop.recipe("staged.yaml", { ...shared, stages }));
    expect(problems(findings)).toEqual([
      expect.stringMatching(/^stage warmup: task pairs: lengths: .*all 24 rows are longer than max_length 8/),
    ]);
    expect(named(findings, "stage cgpo: task writing: judge length")).toHaveLength(1);
  });

  it("refuses a directory that holds something else, and finds what goes on", async () => {
    await writeFile(shop.path("data", "note.txt"), "mine");
    const recipe = await shop.recipe("occupied.yaml", alignment({ output_dir: shop.path("data") }));
    const { findings } = await check("align", recipe);
    expect(problems(findings)).toEqual([expect.stringMatching(/^output_dir: .* already holds other files/)]);
  });
});

describe("sft and reward", () => {
  it("say that a run would start", async () => {
    const out = ["-o", shop.path("run")];
    const sft = await check("sft", "--model", shop.policy, "--data", shop.data("sft.jsonl"), ...out);
    expect([sft.ready, named(sft.findings, "model")]).toEqual([
      true,
      [expect.stringMatching(/^ok .* opens, reads 256 tokens; loss of sft\.jsonl:1 is \d/)],
    ]);
    const reward = await check(
      "reward",
      "--model",
      shop.policy,
      "--data",
      shop.data("preferences.jsonl"),
      ...out,
    );
    expect([reward.ready, problems(reward.findings)]).toEqual([true, []]);
    expect(named(reward.findings, "eval_split")).toEqual([
      expect.stringMatching(/^ok 2\d pairs to train on/),
    ]);
  });

  it("say all that is wrong at once", async () => {
    const { findings } = await check(
      ...[
        "sft",
        "--model",
        shop.reward,
        "--data",
        shop.data("sft.jsonl"),
        "--eval-data",
        shop.data("none.jsonl"),
      ],
      ...["-o", shop.path("data"), "--set", "max_length=4", "--set", "overlong=stop", "--set", "batchsize=3"],
      ...["--set", "epochs=-1"],
    );
    const said = problems(findings).join("\n");
    for (const sentence of [
      /recipe: --set batchsize=3: batchsize is not a known key \(did you mean "batch_size"\?\)/,
      /recipe: --set epochs=-1: epochs must be a number above 0, not -1/,
      /output_dir: .* already holds other files/,
      /eval_data: .*none\.jsonl/,
      /lengths: .*longer than max_length 4/,
      /model: .* is a reward model/,
    ])
      expect(said).toMatch(sentence);
    const { findings: others } = await check(
      ...["reward", "--model", shop.path("nowhere"), "--data", shop.data("sft.jsonl"), "--runs", "2"],
    );
    expect(problems(others).join("\n")).toMatch(/recipe: .*output_dir is missing/);
    expect(problems(others).length).toBeGreaterThanOrEqual(1);
  });

  it("a file that is no YAML is one sentence", async () => {
    await writeFile(shop.path("torn.yaml"), "model: [a\n");
    const { findings } = await check("sft", shop.path("torn.yaml"));
    expect(problems(findings)).toEqual([expect.stringMatching(/^recipe: .*torn\.yaml/)]);
    expect(await readFile(shop.path("torn.yaml"), "utf8")).toBe("model: [a\n");
  });
});

it("what needs more memory than the machine has is not opened", async () => {
  const findings = new Findings(() => {});
  const estimate = async () => ({ parts: [{ what: "weights", bytes: 8e9 }], bytes: 8e9 });
  const check = (free: number, total: number) =>
    checkMemory(findings, "memory", { estimate, change: "take a smaller model" }, { free, total });
  expect([await check(9e9, 16e9), await check(5e9, 16e9), await check(3e9, 4e9)]).toEqual([
    true,
    true,
    false,
  ]);
  expect(findings.all.map(({ status }) => status)).toEqual(["ok", "warning", "problem"]);
  expect(findings.all[2]!.detail).toBe(
    "about 8.0 GB: weights 8.0; 3.0 GB are free of 4.0 GB, which is more than this machine has: to need less, take a smaller model",
  );
});
