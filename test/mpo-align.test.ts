// MPO inside align: a tiny policy, rewarded by a rubric over real HTTP, with the scripted models on the other side.

import type { ChildProcess } from "node:child_process";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { readRounds } from "../src/mpo/history.js";
import { createRubric } from "../src/mpo/rubric.js";
import { historyClusters, readHistory } from "../src/mpo/rubric-file.js";
import { executeItem, gradeItem, type Hack, type Reviewer } from "../src/mpo/scripted/dialect.js";
import type { Fault } from "../src/mpo/scripted/faults.js";
import {
  type ScriptedServer,
  type ScriptedServerOptions,
  startScriptedServer,
} from "../src/mpo/scripted/server.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { silent } from "../src/run/context.js";
import { type MetricsRow, type Rollout, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { runCli } from "./support/cli.js";
import { contentsOf, openWorkshop, type Workshop } from "./support/workshop.js";

/** Counts words; a random policy gets some points now and then. */
const effort = gradeItem("Effort", [6, "at least 4 words"], [5, "at least 3 words"], [0, "otherwise"]);

const hack = (name: string, shows: (share: number) => boolean, points: number): Hack => ({
  name,
  shows: ({ share }) => shows(share),
  remedy: [gradeItem(name, [points, "distinct-word ratio at least 0.99"], [0, "otherwise"])],
});
/** Finds a loophole in the first rubric and another one in the second. */
const reviewer: Reviewer = {
  hacks: [
    hack("Variety", (share) => [5 / 6, 1].includes(share), 1),
    hack("Care", (share) => [1 / 7, 5 / 7, 6 / 7].includes(share), 2),
  ],
  mergeShare: 0,
};

let shop: Workshop;
let server: ScriptedServer | undefined;
beforeAll(async () => {
  shop = await openWorkshop();
  await shop.recipe("rubric.yaml", { items: [effort] });
});
afterAll(() => shop.remove());
beforeEach(() => start());
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(options: ScriptedServerOptions = {}) {
  await server?.close();
  server = await startScriptedServer({ reviewer, slowMs: 1500, ...options });
}

const meta = {
  model: "mrm",
  interval: 2,
  samples: 12,
  refinement: "single-shot",
  sampling: "uniform",
  flagged_score_lower: false,
};

interface Changes {
  reward?: object;
  task?: object;
  optimizer?: object;
  endpoint?: object;
  [key: string]: unknown;
}

function recipeOf({ reward = {}, task = {}, optimizer = {}, endpoint = {}, ...changes }: Changes = {}) {
  const llm = (model: string) => ({
    model,
    base_url: server!.baseUrl,
    max_retries: 0,
    retry_seconds: 0,
    ...endpoint,
  });
  return {
    output_dir: shop.path("run"),
    policy: shop.policy,
    steps: 6,
    learning_rate: 0.01,
    engine: { threads: 1 },
    llm: { rm: llm("rm"), mrm: llm("mrm") },
    tasks: [
      {
        name: "writing",
        prompts: shop.data("prompts/writing.jsonl"),
        reward: { rubric: shop.path("rubric.yaml"), judge_model: "rm", meta, ...reward },
        optimizer: { name: "crpg", generations: 3, batch_prompts: 2, max_new_tokens: 10, ...optimizer },
        // These tests look at what a run does with failures.
        max_failed_rate: 1,
        ...task,
      },
    ],
    ...changes,
  };
}

type RubricRollout = Rollout & {
  rubric: { version: number; hash: string; total?: number; failed?: string };
};

/** `isEmpty`: no step of the run learns anything, which ends in an error. */
async function align(
  changes: Changes = {},
  { isEmpty = false, ...options }: { replay?: string; isEmpty?: boolean } = {},
) {
  const recipe = parseRecipe("align", stringify(recipeOf(changes)), shop.path("recipe.yaml"));
  if ("stages" in recipe) throw new Error("no stages here");
  const dir = recipe.outputDir;
  await rm(dir, { recursive: true, force: true });
  const run = runAlignRecipe(recipe, { reporter: silent, resume: false, ...options });
  if (isEmpty) await expect(run).rejects.toThrow(/^no step learned anything/);
  else await run;
  return {
    metrics: await readJsonl<MetricsRow>(`${dir}/metrics.jsonl`),
    rollouts: await readJsonl<RubricRollout>(`${dir}/rollouts.jsonl`),
    rubrics: `${dir}/rubrics/writing`,
    dir,
  };
}

const metric = (rows: readonly MetricsRow[], key: string) => rows.map((row) => row[`tasks/writing/${key}`]);

/** The version that scored each step; a step with two of them is [0, 1]. */
function versionsByStep(rollouts: readonly RubricRollout[]) {
  const steps = [...new Set(rollouts.map(({ step }) => step))];
  return steps.map((step) => {
    const versions = new Set(rollouts.filter((row) => row.step === step).map(({ rubric }) => rubric.version));
    return versions.size === 1 ? [...versions][0] : [...versions];
  });
}

/** Everything that must not differ between equal runs: not wall-clock times, nor the order in which replies came. */
async function exactContents(dir: string): Promise<Record<string, string>> {
  const files = Object.entries(await contentsOf(dir)).filter(([name]) => !name.endsWith("timings.jsonl"));
  return Object.fromEntries(
    files.map(([name, bytes]) => {
      const text = bytes.toString("latin1").replace(/^output_dir: .*$/m, "");
      if (name.endsWith("state.json")) return [name, text.replace(/"timings":\d+/, "")];
      return [name, name.startsWith("llm/") ? text.split("\n").sort().join("\n") : text];
    }),
  );
}

async function expectSameRun(dir: string, wanted: string) {
  const [found, undisturbed] = [await exactContents(dir), await exactContents(wanted)];
  expect(Object.keys(found)).toEqual(Object.keys(undisturbed));
  for (const [name, content] of Object.entries(undisturbed))
    expect(found[name] === content, `${name} is the same`).toBe(true);
}

describe("rounds", () => {
  it("a version published after update k scores from update k + 1 on; no step mixes two", async () => {
    const { metrics, rollouts } = await align();
    expect(versionsByStep(rollouts)).toEqual([0, 0, 1, 1, 2, 2]);
    expect(metric(metrics, "rubric/version")).toEqual([0, 0, 1, 1, 2, 2]);
    expect(metric(metrics, "rubric/max_total")).toEqual([6, 6, 7, 7, 9, 9]);
    expect(metric(metrics, "mpo/published")).toEqual([undefined, 1, undefined, 1, undefined, 0]);
    expect(metric(metrics, "mpo/buffer")).toEqual([6, 0, 6, 0, 6, 0]);
  });

  it("the history is on disk: versions with parent and reason, and every round", async () => {
    const { rollouts, rubrics } = await align();
    const history = await readHistory(rubrics);
    expect(history.map(({ rubric }) => [rubric.version, rubric.items.map(({ name }) => name)])).toEqual([
      [0, ["Effort"]],
      [1, ["Effort", "Variety"]],
      [2, ["Effort", "Variety", "Care"]],
    ]);
    expect(history[2]!.rubric.parent).toBe(history[1]!.rubric.hash);
    expect(history[1]!.reason).toMatch(/^update 2 \(interval\): of 12 responses \d+ had inflated scores$/);
    expect(new Set(rollouts.map(({ rubric }) => rubric.hash))).toEqual(
      new Set(history.map(({ rubric }) => rubric.hash)),
    );
    expect((await readRounds(rubrics)).map(({ step, outcome, version }) => [step, outcome, version])).toEqual(
      [
        [2, "published", 1],
        [4, "published", 2],
        [6, "kept", 2],
      ],
    );
  });

  it("baseline responses are scored again after a swap, and not before", async () => {
    // Four steps go through the eight prompts once.
    const fixed = await align({ reward: { meta: { ...meta, interval: "never" } }, steps: 8 });
    expect(metric(fixed.metrics, "rubric/calls")).toEqual([8, 8, 8, 8, 6, 6, 6, 6]);
    const evolving = await align({ steps: 8 });
    expect(metric(evolving.metrics, "rubric/calls")).toEqual([8, 8, 8, 8, 8, 8, 8, 8]);
  });

  it("once revises the rubric before the first update, and then never", async () => {
    const { rollouts, rubrics, metrics } = await align({ reward: { meta: { ...meta, interval: "once" } } });
    expect(versionsByStep(rollouts)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(metric(metrics, "mpo/rounds")).toEqual([1, 1, 1, 1, 1, 1]);
    expect((await readRounds(rubrics)).map(({ step }) => step)).toEqual([0]);
  });

  it("in depth mode every cluster has a rubric of its own, and only those with rollouts change", async () => {
    const lines = [0, 1, 2, 3].map((i) =>
      JSON.stringify({ prompt: `Write about the sea ${i}.`, subject: i < 3 ? "sea" : "sky" }),
    );
    await writeFile(shop.path("clusters.jsonl"), `${lines.join("\n")}\n`);
    const depth = {
      reward: { cluster_column: "subject", meta: { ...meta, mode: "depth", interval: 1 } },
      task: { prompts: shop.path("clusters.jsonl") },
      optimizer: { batch_prompts: 1 },
      steps: 1,
    };
    const { rubrics, rollouts } = await align(depth);
    const [first] = rollouts;
    const seen = Number(/\d/.exec(first!.prompt)![0]) < 3 ? "sea" : "sky";
    const versionsOf = async (cluster: string) =>
      (await readHistory(rubrics, cluster)).map(({ rubric }) => rubric.version);
    expect(await versionsOf(seen)).toEqual([0, 1]);
    expect(await versionsOf(seen === "sea" ? "sky" : "sea")).toEqual([0]);
    await expect(align({ ...depth, reward: { meta: { ...meta, mode: "depth" } } })).rejects.toThrow(
      "give cluster_column, the column that names the cluster, or clusters",
    );
    await expect(align({ ...depth, reward: { ...depth.reward, cluster_column: "colour" } })).rejects.toThrow(
      /clusters\.jsonl:1: the row has no "colour"/,
    );
  });
});

describe("clusters that are found", () => {
  it("are the same for a seed, and each has a rubric of its own", async () => {
    const changes = { reward: { clusters: 2, meta: { ...meta, mode: "depth", interval: 1 } }, steps: 2 };
    const { rollouts, rubrics } = await align(changes);
    const names = await historyClusters(rubrics);
    expect(names).toEqual(["prompts 1", "prompts 2"]);
    const clusterOf = ({ rubric }: RubricRollout) => (rubric as { cluster?: string }).cluster;
    for (const row of rollouts) expect(names).toContain(clusterOf(row));
    expect((await align(changes)).rollouts.map(clusterOf)).toEqual(rollouts.map(clusterOf));
  });
});

describe("every optimizer", () => {
  it.each([
    { name: "crpg" },
    { name: "crraft" },
    { name: "codpo" },
    { name: "grpo" },
    { name: "rloo" },
    { name: "reinforce" },
    { name: "raft" },
    { name: "online_dpo" },
    { name: "ppo", ppo_epochs: 2 },
  ])("$name learns under an evolving rubric", async (optimizer) => {
    const judges = [{ kind: "length", max_words: 4 }];
    const { metrics, rollouts } = await align({ optimizer, steps: 4, task: { judges } });
    expect(versionsByStep(rollouts)).toEqual([0, 0, 1, 1]);
    expect(metrics.some(({ grad_norm }) => (grad_norm as number) > 0)).toBe(true);
  });
});

describe("the plain trainer", () => {
  it("is what an interval of infinity is, bit for bit", async () => {
    const without = await align({ reward: { meta: undefined }, steps: 4 });
    await rename(without.dir, shop.path("plain"));
    for (const interval of ["never", Number.POSITIVE_INFINITY]) {
      const never = await align({ reward: { meta: { ...meta, interval } }, steps: 4 });
      const [found, plain] = [await exactContents(never.dir), await exactContents(shop.path("plain"))];
      for (const name of Object.keys(plain).filter(
        (file) => !/recipe\.yaml|state\.json|manifest\.json/.test(file),
      ))
        expect(found[name] === plain[name], `${name} is the same`).toBe(true);
    }
    await rm(shop.path("plain"), { recursive: true });
  });
});

describe("replay", () => {
  it("repeats a run bit for bit, without a server, failures included", async () => {
    let index = 0;
    await start({ fault: () => (index++ % 7 === 3 ? "no-tags" : undefined) });
    const unreliable = { seed: 3, reward: { attempts: 1 } };
    const first = await align(unreliable);
    expect(metric(first.metrics, "rubric/failed_rate").some((rate) => (rate as number) > 0)).toBe(true);
    const { baseUrl } = server!;
    await rename(first.dir, shop.path("first"));
    await server!.close();
    server = { ...server!, baseUrl, close: async () => {} };
    for (let i = 0; i < 2; i++) {
      const again = await align(unreliable, { replay: shop.path("first") });
      await expectSameRun(again.dir, shop.path("first"));
    }
    await expect(align({ ...unreliable, seed: 4 }, { replay: shop.path("first") })).rejects.toThrow(
      /holds no reply to a request of this run/,
    );
    await rm(shop.path("first"), { recursive: true });
  });
});

describe("a killed run", () => {
  it("goes on with the same version and buffer when it dies in the middle of a round", async () => {
    const dir = shop.path("killed");
    let child: ChildProcess | undefined;
    let rounds = 0;
    // In the second round, one analysis and its refinement are answered and logged; the first request of all asks whether
    // the model is there.
    const fault = ({ model }: { model: string }): Fault | undefined => {
      if (model === "mrm" && ++rounds === 1 + 25 + 4) child?.kill("SIGKILL");
      return undefined;
    };
    await start({ fault, latencyMs: 5 });
    const path = await shop.recipe(
      "killed.yaml",
      recipeOf({ output_dir: dir, save_steps: 3, save_total_limit: 9, endpoint: { concurrency: 1 } }),
    );
    const argv = ["align", path, "--quiet"];
    const onStart = (started: ChildProcess) => {
      child = started;
    };
    expect(await runCli(argv, { onStart })).toMatchObject({ signal: "SIGKILL", stderr: "" });
    const asked = server!.requests.length;
    expect(await runCli([...argv, "--resume"])).toMatchObject({ code: 0, stderr: "" });
    const resumed = server!.requests.length - asked;
    await rename(dir, shop.path("resumed"));

    rounds = Number.NaN;
    const before = server!.requests.length;
    expect(await runCli(argv)).toMatchObject({ code: 0, stderr: "" });
    await expectSameRun(shop.path("resumed"), dir);
    // All that was asked twice is what was under way when the process died.
    expect(asked + resumed).toBe(server!.requests.length - before + 1);

    const all = server!.requests.length;
    const replayed = shop.path("replayed");
    expect(await runCli([...argv, "-o", replayed, "--replay", dir])).toMatchObject({ code: 0, stderr: "" });
    await expectSameRun(replayed, dir);
    expect(server!.requests).toHaveLength(all);
  }, 120_000);
});

describe("calls", () => {
  it.each([
    ["one-reply", 1],
    ["item-reply", 2],
    ["dialogue", 2 * 2],
    ["plan", 3],
  ])("%s takes the calls of 2.1 for a response and two items", async (scoring, calls) => {
    await shop.recipe("two.yaml", {
      items: [effort, gradeItem("Length", [2, "at least 2 words"], [0, "otherwise"])],
    });
    const { metrics } = await align({
      reward: { rubric: shop.path("two.yaml"), scoring, meta: undefined },
      endpoint: { prices: { prompt: 2, completion: 10 } },
      steps: 1,
    });
    expect(metric(metrics, "rubric/calls_per_response")).toEqual([calls]);
    const [row] = metrics;
    const of = (key: string) => row![`tasks/writing/rubric/${key}`] as number;
    expect(of("cost")).toBeCloseTo((2 * of("prompt_tokens") + 10 * of("completion_tokens")) / 1e6, 12);
    // The plan is made once for a prompt, everything else for each of its 3 samples and its baseline.
    expect(of("calls")).toBe(scoring === "plan" ? 2 * (1 + 2 * 4) : 2 * 4 * calls);
  });

  it.each([
    ["single-shot", 2 * 3 + 1],
    // N_i = 2 items of each refinement, and of the merged rubric.
    ["count-first", 3 * (2 + 2) + 1 + 2],
  ])("a %s round over 3 samples takes the calls of 2.1", async (refinement, calls) => {
    await start({ reviewer: { hacks: [hack("Care", () => true, 2)], mergeShare: 0 } });
    const { metrics } = await align({ reward: { meta: { ...meta, refinement, samples: 3 } }, steps: 2 });
    expect(metric(metrics, "mpo/calls")).toEqual([undefined, calls]);
    expect(metric(metrics, "mpo/sampled")).toEqual([undefined, 3]);
    expect(metric(metrics, "mpo/validation_calls")).toEqual([undefined, 0]);
  });

  it("what validation asks of the reward model is counted apart", async () => {
    const { metrics } = await align({ reward: { meta: { ...meta, flagged_score_lower: true } }, steps: 2 });
    expect(metric(metrics, "mpo/validation_calls")[1]).toBeGreaterThan(0);
    expect(metric(metrics, "mpo/calls")[1]).toBe(2 * 12 + 1);
  });

  it("scoring keeps the configured concurrency busy", async () => {
    await start({ latencyMs: 50 });
    await align({ endpoint: { concurrency: 5 }, steps: 1, optimizer: { batch_prompts: 4 } });
    expect(server!.peak()).toBe(5);
  });

  it("a used-up budget ends the run with a sentence", async () => {
    await expect(align({ endpoint: { budget: { calls: 10 } } })).rejects.toThrow(
      "the budget of 10 calls is used up",
    );
  });
});

const transport: Fault[] = ["500", "429", "closed-socket", "slow", "invalid-json", "empty-choices"];
const badScores: Fault[] = [
  "no-tags",
  "cut-off",
  "score-999",
  "score-minus-3",
  "score-4/5",
  "non-ascii-digits",
];
const badRubrics: Fault[] = ["no-tags", "cut-off", "zero-items", "500-items"];
const patience = { endpoint: { timeout_seconds: 0.7, concurrency: 30 }, steps: 1 };

describe("faults", () => {
  it.each([...transport, ...badScores])(
    "a reward model that always fails (%s) teaches nothing",
    async (fault) => {
      await start({ fault: ({ model }) => (model === "rm" ? fault : undefined) });
      const { metrics, rollouts } = await align(patience, { isEmpty: true });
      for (const row of metrics)
        expect(row).toMatchObject({
          "tasks/writing/rubric/failed_rate": 1,
          "tasks/writing/rewards/mean": null,
          grad_norm: 0,
        });
      for (const { reward, advantage, rubric } of rollouts)
        expect([reward, advantage, rubric.version, typeof rubric.failed]).toEqual([null, null, 0, "string"]);
    },
  );

  it.each([...transport, ...badScores])(
    "a reward model that fails now and then (%s) invents no score",
    async (fault) => {
      const isBad = new Set<number>();
      await start({
        fault: ({ model, index }) =>
          model === "rm" && index % 3 === 1 && isBad.add(index) ? fault : undefined,
      });
      const { metrics, rollouts } = await align({ ...patience, reward: { attempts: 1, meta: undefined } });
      const { items } = createRubric([effort]);
      for (const { response, prompt, rubric, reward } of rollouts) {
        if (rubric.failed !== undefined) expect(reward).toBeNull();
        else expect(rubric.total).toBe(executeItem(items[0]!, response, prompt));
      }
      const failed = rollouts.filter(({ rubric }) => rubric.failed !== undefined).length;
      expect(failed).toBeGreaterThan(0);
      expect(failed).toBeLessThan(rollouts.length);
      const rates = metric(metrics, "rubric/failed_rate") as number[];
      expect(rates.reduce((sum, rate) => sum + 6 * rate, 0)).toBeCloseTo(failed, 9);
    },
  );

  it.each([...transport, ...badRubrics])(
    "a meta reward model that always fails (%s) stops nothing",
    async (fault) => {
      await start({ fault: ({ model }) => (model === "mrm" ? fault : undefined) });
      const { metrics, rollouts, rubrics } = await align({ ...patience, steps: 3 });
      expect(versionsByStep(rollouts)).toEqual([0, 0, 0]);
      expect(metric(metrics, "rubric/failed_rate")).toEqual([0, 0, 0]);
      const rounds = await readRounds(rubrics);
      expect(rounds.map(({ step, outcome }) => [step, outcome])).toEqual([[2, "kept"]]);
      expect(rounds[0]!.reason).not.toBe("");
    },
  );

  it("a baseline response that could not be scored fails the samples of its prompt, and is tried again", async () => {
    const good = await align({ steps: 1, reward: { meta: undefined } });
    const said = new Set(good.rollouts.map(({ response }) => response));
    const isBaseline = (messages: readonly { content: string }[]) =>
      ![...said].some((response) => messages.some(({ content }) => content.includes(response.trim())));
    const broken = server!.requests
      .filter(({ messages }) => isBaseline(messages))
      .map(({ messages }) => JSON.stringify(messages));
    expect(broken).toHaveLength(2);
    let failures = 0;
    await start({
      fault: ({ messages }) =>
        JSON.stringify(messages) === broken[0] && failures++ === 0 ? "500" : undefined,
    });
    const { metrics, rollouts } = await align({
      steps: 8,
      learning_rate: 0,
      reward: { attempts: 1, meta: undefined },
    });
    const first = rollouts.filter(({ step }) => step === 1);
    for (const { reward } of first) expect(reward).toEqual(expect.any(Number));
    expect(first.filter(({ advantage }) => advantage === null)).toHaveLength(3);
    expect(metric(metrics, "failed_samples")).toEqual([3, 0, 0, 0, 0, 0, 0, 0]);
    expect(failures).toBe(2);
  });

  it("a model that is not listed is a mistake", async () => {
    await expect(align({ reward: { judge_model: "mr" } })).rejects.toThrow(
      'a reward names the model "mr", which is not listed under llm (did you mean',
    );
  });
});

describe("gates of a rubric", () => {
  it("violate a constraint, and leave nothing of the reward", async () => {
    const gate = {
      name: "Repetition",
      kind: "gate",
      levels: [
        { points: 0, text: "at least 3 words" },
        { points: 1, text: "otherwise" },
      ],
    };
    const points = gradeItem("Effort", [6, "at least 2 words"], [0, "otherwise"]);
    await shop.recipe("gated.yaml", { items: [points, gate] });
    const { metrics, rollouts } = await align({
      reward: { rubric: shop.path("gated.yaml"), meta: undefined },
      steps: 2,
    });
    const gated = rollouts.filter(({ rubric }) => rubric.total === 6 && rubric.failed === undefined);
    expect(gated.some(({ reward }) => reward === 0)).toBe(true);
    const rates = metric(metrics, "rubric/gate_violation_rate") as number[];
    const satisfied = metric(metrics, "satisfied_rate") as number[];
    for (const [i, rate] of rates.entries()) expect(rate + satisfied[i]!).toBeCloseTo(1, 9);
    expect(Math.max(...rates)).toBeGreaterThan(0);
  });
});

describe("all three methods in one task", () => {
  it("a WARM reward model and a rubric add up on one scale, judges gate, the rubric evolves", async () => {
    const { judge_model, rubric } = { judge_model: "rm", rubric: shop.path("rubric.yaml") };
    const sum = [
      { warm: shop.reward, weight: 0.5 },
      { rubric, judge_model, meta, weight: 2 },
    ];
    const { metrics, rollouts } = await align({
      task: { reward: { sum }, judges: [{ kind: "length", max_words: 5 }] },
      seed: 1,
    });
    expect(versionsByStep(rollouts)).toEqual([0, 0, 1, 1, 2, 2]);
    // The first batch by hand: standardised by its own mean and deviation.
    const first = rollouts.filter(({ step }) => step === 1);
    const parts = first.map((row) => row.reward_parts as { warm: number; rubric: number });
    const standardised = (values: number[]) => {
      const mean = values.reduce((a, b) => a + b) / values.length;
      const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
      return values.map((v) => (deviation > 0 ? (v - mean) / deviation : 0));
    };
    const warm = standardised(parts.map((part) => part.warm));
    const byRubric = standardised(parts.map((part) => part.rubric));
    for (const [i, { reward }] of first.entries())
      expect(reward).toBeCloseTo(0.5 * warm[i]! + 2 * byRubric[i]!, 9);
    expect(metric(metrics, "rewards/rubric/mean")[0]).toBe(metric(metrics, "rubric/score")[0]);
    expect(Math.max(...(metrics.map(({ grad_norm }) => grad_norm) as number[]))).toBeGreaterThan(0);
  });

  it("so does the recipe of docs/combining.md", async () => {
    const page = await readFile(new URL("../docs/combining.md", import.meta.url), "utf8");
    const recipe = parse(/```yaml\n([\s\S]*?)```/.exec(page)![1]!) as ReturnType<typeof recipeOf>;
    const [task] = recipe.tasks as unknown as {
      prompts: string;
      reward: { sum: [{ warm: string }, { rubric: string; meta: object }] };
      optimizer: { batch_prompts: number; max_new_tokens: number };
    }[];
    const [warm, rubric] = task!.reward.sum;
    const { rm: scorer, mrm: reviewer } = recipeOf().llm;
    Object.assign(recipe, {
      output_dir: shop.path("run"),
      policy: shop.policy,
      steps: 3,
      engine: { threads: 1 },
    });
    Object.assign(recipe.llm, { scorer, reviewer });
    task!.prompts = shop.data("prompts/writing.jsonl");
    warm.warm = shop.reward;
    rubric.rubric = shop.path("rubric.yaml");
    Object.assign(rubric.meta, { interval: 2, samples: 4, flagged_score_lower: false });
    Object.assign(task!.optimizer, { batch_prompts: 2, max_new_tokens: 10 });
    await rm(shop.path("run"), { recursive: true, force: true });
    const parsed = parseRecipe("align", stringify(recipe), shop.path("recipe.yaml"));
    await runAlignRecipe(parsed, { reporter: silent, resume: false });
    const rollouts = await readJsonl<RubricRollout>(shop.path("run", "rollouts.jsonl"));
    expect(versionsByStep(rollouts)).toEqual([0, 0, 1]);
    for (const { reward_parts, verdicts } of rollouts) {
      expect(reward_parts).toEqual({ warm: expect.any(Number), rubric: expect.any(Number) });
      expect(Object.keys(verdicts).length).toBeGreaterThan(0);
    }
  });
});
