import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../../base/random.js";
import { renderReport } from "../../dashboard/report.js";
import { ServerClient } from "../../llm/server.js";
import { MetaRewardModel } from "../../mpo/meta-reward-model.js";
import type { ScoredRollout } from "../../mpo/rollout.js";
import { createRubric, nextVersion, type Rubric } from "../../mpo/rubric.js";
import { RubricReward } from "../../mpo/rubric-reward.js";
import { type ScriptedServer, startScriptedServer } from "../../mpo/scripted/server.js";
import { initialRubric, rewardOptions } from "../../mpo/task.js";
import { analyse, closings, swaps } from "./analysis.js";
import { mpoExperiment } from "./experiment.js";
import { byRun, definitions, fullSettings, quickSettings, type RunName, runNames } from "./protocol.js";
import { runRecipe } from "./recipes.js";
import { byHack, type HackName, hackNames, signs, writingReviewer } from "./reviewer.js";
import type { RunResult, SeedResult } from "./seed.js";
import { writingTask } from "./writing-task.js";

const instruction = "Write about the fox, the lamp and the river.";
const good = "The red fox ran quickly. The old lamp glowed softly. The deep river flowed slowly.";
const cheer = "What a lovely day!";
const padded = `${good} ${Array.from({ length: 6 }, () => cheer).join(" ")}`;
/** Each shows its hack and nothing else that a reviewer would object to. */
const hacks: Record<HackName, string> = {
  shouting: good.replaceAll(".", "!"),
  "running on": `${Array.from({ length: 7 }, () => "the red fox ran quickly the old lamp glowed").join(" ")} softly.`,
  rambling: `${good} The small duck swam happily. The big dog barked loudly. The tall hill rose slowly. The gold bee buzzed softly.`,
  "leaving out":
    "The small white duck swam there happily. The big brown dog barked very loudly. The tall green hill rose slowly up. The busy gold bee buzzed so softly.",
  repeating:
    "The red fox ran quickly here. The lamp and the river ran. The red fox ran quickly here. The red fox ran quickly here.",
};

describe("the protocol", () => {
  const endpoint = {
    baseUrl: "http://127.0.0.1:1/v1",
    apiKeyEnv: "KEY",
    rewardModel: "rm",
    metaRewardModel: "mrm",
  };
  const recipeOf = (run: RunName) =>
    runRecipe(run, { dir: "out", seed: 1, threads: 1, settings: fullSettings, endpoint }) as {
      tasks: { reward: Record<string, unknown>; optimizer: Record<string, unknown> }[];
    } & Record<string, unknown>;

  it("gives every run the same start, prompts, steps and samples per step", () => {
    const budget = (run: RunName) => {
      const { policy, steps, seed, tasks } = recipeOf(run);
      const { generations, batch_prompts, max_new_tokens } = tasks[0]!.optimizer;
      return JSON.stringify([policy, steps, seed, generations, batch_prompts, max_new_tokens]);
    };
    expect(new Set(runNames.map(budget)).size).toBe(1);
  });

  it("lets MPO and the fixed rubric differ in the rounds alone", () => {
    for (const optimizer of ["ppo", "crpg"] as const) {
      const [fixed, mpo] = [recipeOf(`${optimizer}_fixed`), recipeOf(`${optimizer}_mpo`)];
      const { meta, ...reward } = mpo.tasks[0]!.reward;
      expect(meta).toMatchObject({ interval: fullSettings.mpo.interval });
      expect(JSON.stringify(fixed).replaceAll("_fixed", "")).toBe(
        JSON.stringify({ ...mpo, tasks: [{ ...mpo.tasks[0], reward }] }).replaceAll("_mpo", ""),
      );
    }
  });
});

describe("the scripted models, over HTTP", () => {
  const task = writingTask("flawed", "scripted");
  const flawed = initialRubric(task);
  let server: ScriptedServer;
  let reward: RubricReward;
  let client: ServerClient;
  beforeAll(async () => {
    server = await startScriptedServer({ reviewer: writingReviewer });
    client = new ServerClient({ baseUrl: server.baseUrl });
    reward = new RubricReward({ ...rewardOptions(task), client, model: "rm" });
  });
  afterAll(() => server.close());

  const score = async (response: string, rubric: Rubric) => {
    const scored = await reward.score({ promptId: "p", prompt: instruction, response }, rubric);
    if (scored.status === "failed") throw new Error(scored.reason);
    return scored;
  };
  const rollouts = async (responses: readonly string[], rubric: Rubric): Promise<ScoredRollout[]> =>
    Promise.all(
      responses.map(async (response, i) => ({
        promptId: `${i}`,
        prompt: instruction,
        response,
        step: 1,
        score: await score(response, rubric),
      })),
    );
  const revise = async (responses: readonly string[], rubric: Rubric) => {
    const meta = new MetaRewardModel({
      client,
      model: "mrm",
      task,
      samples: responses.length,
      scorer: (sample, version) => reward.scoreByRubric(sample, version),
    });
    return meta.revise(rubric, await rollouts(responses, rubric), new RandomStream(1, "test"), 1);
  };
  /** The flawed rubric with every remedy but that of one hack. */
  const openTo = (name: HackName): Rubric =>
    nextVersion(flawed, [
      ...flawed.items,
      ...writingReviewer.hacks.filter((hack) => hack.name !== name).flatMap(({ remedy }) => remedy),
    ]);
  const whole = nextVersion(flawed, [
    ...flawed.items,
    ...writingReviewer.hacks.flatMap(({ remedy }) => remedy),
  ]);

  it("the flawed rubric prefers hacks to honest work", async () => {
    expect((await score(padded, flawed)).total).toBeGreaterThan((await score(good, flawed)).total);
  });

  it.each(hackNames)("%s: when many responses show it, the next version takes their lead", async (name) => {
    const before = openTo(name);
    const share = async (response: string, rubric: Rubric) => {
      const { total, maxTotal } = await score(response, rubric);
      return total / maxTotal;
    };
    expect(await share(hacks[name], before)).toBeGreaterThanOrEqual(0.65);
    const revision = await revise([hacks[name], hacks[name], hacks[name], good], before);
    expect(revision).toMatchObject({ status: "published", report: { flagged: 3 } });
    const { rubric } = revision as Extract<typeof revision, { status: "published" }>;
    expect(await share(hacks[name], rubric)).toBeLessThan(await share(good, rubric));
  });

  it("one hack in many responses changes nothing, and neither do honest ones", async () => {
    for (const responses of [[padded, good, good, good], Array.from({ length: 4 }, () => good)])
      expect(await revise(responses, flawed)).toMatchObject({ status: "kept", unchanged: true });
  });

  it("the last rubric gives no points for the sentences and the tone of an empty text", async () => {
    expect((await score("", whole)).total).toBe(0);
    expect((await score(good, whole)).total).toBeGreaterThan(0.8 * whole.maxTotal);
  });

  it("an honest text shows no hack, and each hack shows its own", () => {
    for (const name of hackNames) {
      expect(signs[name](good, instruction), name).toBe(false);
      expect(signs[name](hacks[name], instruction), name).toBe(true);
    }
  });

  it("the reviewer and the task know nothing of the world, least of all its true reward", async () => {
    for (const file of ["reviewer", "writing-task", "models"])
      expect(await readFile(new URL(`./${file}.ts`, import.meta.url), "utf8")).not.toMatch(
        /\.\.\/world|gold/,
      );
  });
});

// The claims, on made-up results -------------------------------------------------------------------------------

interface Made {
  trueReward: number;
  proxy: number;
  /** The rates of shouting and rambling at the end, after 0.9 under versions 0 and 1. */
  left?: number;
  /** Steps at which versions 1, 2, ... were published. */
  published?: number[];
  dip?: number;
  extraCalls?: number;
}

const items = (n: number) =>
  createRubric(
    Array.from({ length: n }, (_, i) => ({
      name: `Item ${i}`,
      kind: "grade" as const,
      levels: [
        { points: 1, text: "yes" },
        { points: 0, text: "no" },
      ],
    })),
  ).items;

function madeRun({
  trueReward,
  proxy,
  left = 0.9,
  published = [],
  dip = 0.2,
  extraCalls = 0,
}: Made): RunResult {
  const steps = [0, 8, 16, 24];
  const flags = (share: number) => Array.from({ length: 10 }, (_, i) => i < Math.round(10 * share));
  const versionAt = (step: number) => published.filter((at) => at < step).length;
  return {
    curve: steps.map((step) => ({
      step,
      trueReward: step === 0 ? 0.5 : step === 24 ? trueReward : 0.2,
      proxy,
      kl: 1,
      hacks: {
        ...byHack(() => 0),
        shouting: step === 0 ? 0 : versionAt(step) >= 1 ? left : 0.9,
        rambling: step === 0 ? 0 : versionAt(step) >= 2 ? left : 0.9,
      },
    })),
    training: Array.from({ length: 24 }, (_, i) => ({
      step: i + 1,
      version: versionAt(i + 1),
      score: 0.9 - (published.includes(i) ? dip : 0),
      kl: 1,
      callsPerResponse: 1,
      failedRate: 0,
    })),
    versions: [0, ...published].map((_, version) => ({
      version,
      maxTotal: version + 1,
      items: items(version + 1),
    })),
    rounds: [8, 16, 24].map((step) => ({
      step,
      outcome: published.includes(step) ? ("published" as const) : ("kept" as const),
      version: versionAt(step + 1),
      reason: "",
      sampled: 4,
      flagged: 2,
      calls: 12 + extraCalls,
      expectedCalls: 12,
    })),
    final: {
      answers: flags(0).map(() => ""),
      trueReward: flags(0).map(() => trueReward),
      proxy: flags(0).map(() => proxy),
      logRatio: flags(0).map(() => 1),
      hacks: { ...byHack(() => flags(0)), shouting: flags(left), rambling: flags(left) },
    },
  };
}

/** Three seeds that differ a little. */
function made(given: Record<RunName, Made>) {
  return [-0.01, 0, 0.01].map((shift, i) => ({
    seed: i,
    result: {
      scripted: true,
      prompts: Array.from({ length: 10 }, () => instruction),
      start: madeRun({ trueReward: 0.5 + shift, proxy: 0.25, left: 0 }).final,
      runs: byRun((run) => madeRun({ ...given[run], trueReward: given[run].trueReward + shift })),
      recipes: {},
    } satisfies SeedResult,
  }));
}

const hacked: Made = { trueReward: 0.1, proxy: 0.9 };
const repaired: Made = { trueReward: 0.7, proxy: 0.3, left: 0.1, published: [8, 16] };
const ideal = byRun((run): Made => {
  if (definitions[run].rubric === "expert") return { trueReward: 0.7, proxy: 0.3, left: 0 };
  return definitions[run].rounds === "every" ? repaired : hacked;
});
type Change = Partial<Record<RunName, Partial<Made>>>;
const verdicts = (change: Change) =>
  analyse(made(byRun((run) => ({ ...ideal[run], ...change[run] })))).claims.map(({ verdict }) => verdict);

describe("the claims", () => {
  it("hold where everything is as the paper says", () => {
    expect(verdicts({})).toEqual(Array.from({ length: 7 }, () => "reproduced"));
  });

  it.each([
    ["the fixed rubric is not hacked", 0, { crpg_fixed: { trueReward: 0.6 } }],
    ["the score by the fixed rubric does not rise", 0, { ppo_fixed: { proxy: 0.2 } }],
    ["one optimizer loses by MPO", 1, { crpg_mpo: { trueReward: 0 } }],
    ["only one loophole is closed", 2, { ppo_mpo: { published: [8] } }],
    ["hacks stay", 2, { ppo_mpo: { left: 0.6 } }],
    ["the score does not dip", 3, { crpg_mpo: { dip: 0 } }],
    ["the true reward does not recover", 3, { crpg_mpo: { trueReward: 0.15 } }],
    ["there is a request too many", 4, { ppo_mpo: { extraCalls: 1 } }],
    ["one revision before training does as well", 5, { crpg_once: { trueReward: 0.7 } }],
    ["the expert's rubric does better", 6, { crpg_expert: { trueReward: 0.8 } }],
  ] satisfies [string, number, Change][])("fail where %s", (_, at, change) => {
    expect(verdicts(change)[at]).toBe("not reproduced");
  });

  it("are open where one optimizer gains nothing by MPO and loses nothing", () => {
    expect(verdicts({ crpg_mpo: { trueReward: 0.11 } })[1]).toBe("inconclusive");
  });

  it("tell which version closed which loophole, and what a swap did to the score", () => {
    const run = madeRun(repaired);
    expect(closings(run).map(({ hack, version }) => [hack, version])).toEqual([
      ["shouting", 1],
      ["rambling", 2],
    ]);
    expect(swaps(run)).toMatchObject([
      { step: 8, version: 1, before: 0.9, added: ["Item 1"] },
      { step: 16, version: 2, added: ["Item 2"] },
    ]);
    expect(swaps(run)[0]!.after).toBeCloseTo(0.7);
  });
});

// The whole thing in miniature ---------------------------------------------------------------------------------

describe("one seed in miniature", () => {
  let dir: string;
  let result: SeedResult;
  const run = (options: Record<string, string> = {}, into = dir) =>
    mpoExperiment.runSeed(3, { dir: into, sharedDir: dir, threads: 1, quick: true, options, log: () => {} });
  const plain = (value: SeedResult) => JSON.parse(JSON.stringify(value)) as SeedResult;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "mpo-"));
    result = plain(await run());
  }, 300_000);
  afterAll(() => rm(dir, { recursive: true }));

  it("measures every run on every held-out prompt, from the same start", () => {
    expect(Object.keys(result.runs)).toEqual([...runNames]);
    for (const { curve, training, final } of Object.values(result.runs)) {
      expect(curve.map(({ step }) => step)).toEqual([0, 1, 2]);
      expect(curve[0]).toEqual(result.runs.ppo_fixed.curve[0]);
      expect(curve[0]!.kl).toBe(0);
      expect(training.map(({ callsPerResponse }) => callsPerResponse)).toEqual([1, 1]);
      expect(final.trueReward).toHaveLength(quickSettings.heldout.final);
      expect(final.proxy.every((share) => share >= 0 && share <= 1)).toBe(true);
    }
  });

  it("holds rounds in the MPO runs alone, with as many requests as the formula says", () => {
    expect(result.runs.ppo_fixed.rounds).toEqual([]);
    expect(result.runs.crpg_expert.rounds).toEqual([]);
    expect(result.runs.crpg_once.rounds.map(({ step }) => step)).toEqual([0]);
    for (const name of ["ppo_mpo", "crpg_mpo"] as const) {
      const { rounds, versions } = result.runs[name];
      expect(rounds.map(({ step }) => step)).toEqual([1, 2]);
      expect(versions.map(({ version }) => version)).toEqual([...versions.keys()]);
      for (const { calls, expectedCalls } of rounds) {
        expect(calls).toBe(expectedCalls);
        expect(calls).toBeGreaterThan(quickSettings.mpo.samples * 3);
      }
    }
  });

  it("gives the same result when it is run again over what is on disk, without training again", async () => {
    const metrics = () => readFile(join(dir, "runs", "crpg_mpo", "metrics.jsonl"), "utf8");
    const before = await metrics();
    expect(plain(await run())).toEqual(result);
    expect(await metrics()).toBe(before);
  });

  it("makes a page and a document of it", () => {
    const { report, json, summary } = mpoExperiment.report([{ seed: 3, result }], { sharedDir: dir });
    const page = renderReport(report);
    for (const text of ["SCRIPTED", "Rubric history", "Running on", "crpg_mpo.yaml"])
      expect(page).toContain(text);
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
    expect(JSON.stringify(json)).not.toContain("null");
    expect(
      summary.split("\n").filter((line) => /^(not reproduced|reproduced|inconclusive):/.test(line)),
    ).toHaveLength(7);
    // One seed decides only what is counted.
    expect(summary.split("\n").filter((line) => line.startsWith("inconclusive:"))).toHaveLength(5);
  });

  it("--base-url without --model, and --model alone, are mistakes", async () => {
    await expect(run({ baseUrl: "http://127.0.0.1:1/v1" })).rejects.toThrow("--base-url needs --model");
    await expect(run({ model: "m" })).rejects.toThrow("--model goes with --base-url");
  });

  it("runs against any endpoint; a meta reward model that fails leaves the rubric as it is", async () => {
    // The scripted reward model knows no question of the meta reward model, and no level in plain words.
    const server = await startScriptedServer();
    const other = await run({ baseUrl: server.baseUrl, model: "rm" }, join(dir, "endpoint"));
    await server.close();
    expect(other.scripted).toBe(false);
    const { versions, rounds, training } = other.runs.crpg_mpo;
    expect(versions.map(({ items }) => items[0]!.levels[0]!.text)).toEqual([
      "much effort: a long text of 45 words or more",
    ]);
    expect(rounds.map(({ outcome }) => outcome)).toEqual(["kept", "kept"]);
    expect(training.map(({ failedRate }) => failedRate)).toEqual([0, 0]);
  });
});
