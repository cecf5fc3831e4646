// The monitor in alignments: what a task measures beside its reward, what an alarm does, and that a paused run goes on as if
// it had not stopped.

import { readFile, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { alarmsOfRun } from "../src/monitor/run.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { InterruptedError } from "../src/run/context.js";
import { type MetricsRow, type Rollout, readJsonl } from "../src/run/metrics.js";
import { runAlignRecipe } from "../src/train/align/stages.js";
import { runCli } from "./support/cli.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
  // The reward pays for length; the measure does not like it.
  await writeFile(
    shop.path("longer.mjs"),
    "export default (inputs) => inputs.map(({ response }) => response.length);\n",
  );
  await writeFile(
    shop.path("shorter.mjs"),
    "export default (inputs) => inputs.map(({ response }) => -response.length);\n",
  );
});
afterAll(() => shop.remove());

const recipe = (dir: string, changes: object = {}, task: object = {}) => ({
  output_dir: shop.path(dir),
  engine: { threads: 1 },
  policy: shop.policy,
  steps: 24,
  learning_rate: 0.02,
  warmup_steps: 0,
  save_steps: 0,
  tasks: [
    {
      name: "writing",
      prompts: shop.data("prompts/writing.jsonl"),
      reward: { module: "./longer.mjs" },
      measures: [
        { name: "brevity", reward: { module: "./shorter.mjs" } },
        { name: "short", judge: { kind: "length", max_words: 2 }, every: 3 },
      ],
      optimizer: { name: "grpo", generations: 8, batch_prompts: 4, max_new_tokens: 12 },
      ...task,
    },
  ],
  ...changes,
});

async function align(dir: string, changes: object = {}, { resume = false, task = {} } = {}) {
  const notes: string[] = [];
  if (!resume) await rm(shop.path(dir), { recursive: true, force: true });
  const path = shop.path(`${dir}.yaml`);
  const text = stringify(recipe(dir, changes, task));
  await writeFile(path, text);
  const reporter = { note: (line: string) => void notes.push(line), begin() {}, step() {}, end() {} };
  const result = await runAlignRecipe(parseRecipe("align", text, path), {
    reporter,
    resume,
    baseDir: shop.path(),
  }).catch((error: Error) => error);
  return {
    notes,
    result,
    metrics: await readJsonl<MetricsRow>(shop.path(dir, "metrics.jsonl")),
    rollouts: await readJsonl<Rollout>(shop.path(dir, "rollouts.jsonl")),
  };
}

const sensitive = { window: 4, threshold: 2, signals: ["held_out"] };

describe("measures", () => {
  it("are in the metrics and beside every sample, and change nothing that is learned", async () => {
    const { metrics, rollouts } = await align("measured");
    for (const { step, ...row } of metrics) {
      const samples = rollouts.filter((sample) => sample.step === step);
      const mean = samples.reduce((sum, { response }) => sum - response.length, 0) / samples.length;
      expect(row["tasks/writing/measures/brevity"]).toBeCloseTo(mean, 10);
      expect("tasks/writing/measures/short" in row).toBe(step % 3 === 0);
      for (const { measures, response } of samples)
        expect(measures).toEqual({
          brevity: 0 - response.length,
          ...(step % 3 === 0 && { short: Number(response.split(/\s+/).filter(Boolean).length <= 2) }),
        });
      expect(row["tasks/writing/completions/repetition"]).toBeGreaterThanOrEqual(0);
      expect(row["tasks/writing/completions/entropy"]).toBeGreaterThan(0);
    }
    const without = await align("unmeasured", {}, { task: { measures: undefined } });
    const learned = ({ measures: _, ...rest }: Rollout) => rest;
    expect(without.rollouts).toEqual(rollouts.map(learned));
  });

  it("that fail are null, and enter no mean", async () => {
    await writeFile(
      shop.path("halting.mjs"),
      "let n = 0;\nexport default (inputs) => inputs.map(() => (n++ % 2 ? null : 5));\n",
    );
    const measures = [{ name: "half", reward: { module: "./halting.mjs" } }];
    const { metrics, rollouts } = await align("halting", { steps: 1 }, { task: { measures } });
    expect(metrics[0]!["tasks/writing/measures/half"]).toBe(5);
    expect(rollouts.filter(({ measures }) => (measures as { half: unknown }).half === null)).toHaveLength(16);
  });

  it("are asked before the first step like the reward", async () => {
    await writeFile(shop.path("broken.mjs"), "export default () => { throw new Error('no such model'); };\n");
    const path = shop.path("broken.yaml");
    const measures = [{ name: "gold", reward: { module: "./broken.mjs" } }];
    await writeFile(path, stringify(recipe("broken", {}, { measures })));
    const { code, stderr } = await runCli(["align", path]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /tried before the first step and failed: task writing: measure gold: .*no such model/,
    );
  });
});

describe("an alarm", () => {
  it("is said while the run goes on, and said of the finished run again with its samples", async () => {
    const { notes, metrics } = await align("noted", { monitor: sensitive });
    const said = notes.filter((line) => line.startsWith("alarm at step "));
    expect(said[0]).toMatch(/^alarm at step \d+: task writing: the held-out measure brevity fell from -\d/);
    expect(metrics).toHaveLength(24);
    const { alarms, steps } = await alarmsOfRun(shop.path("noted"));
    expect(steps).toBe(24);
    expect(alarms.map(({ step, sentence }) => `alarm at step ${step}: ${sentence}`)).toEqual(said);
    const lengths = alarms[0]!.samples.map(({ response }) => response.length);
    expect(lengths).toHaveLength(5);
    expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
  });

  it("reaches a program as JSON, and one that fails only gets a note", async () => {
    const taken = shop.path("taken.json");
    const command = [
      "node",
      "-e",
      `process.stdin.pipe(require("fs").createWriteStream(${JSON.stringify(taken)}))`,
    ];
    await align("told", { monitor: { ...sensitive, command } });
    const alarm = JSON.parse(await readFile(taken, "utf8"));
    expect(alarm).toMatchObject({
      run: shop.path("told"),
      signal: "held_out",
      task: "writing",
      step: expect.any(Number),
    });
    expect(alarm.samples[0]).toMatchObject({ prompt_id: expect.any(String), response: expect.any(String) });
    const { notes } = await align("untold", { monitor: { ...sensitive, command: ["/nowhere/program"] } });
    expect(notes).toContainEqual(expect.stringMatching(/^alarm: the command did not take it: .*ENOENT/));
  });

  it("pauses at a checkpoint, and the resumed run is the one that did not pause", async () => {
    const paused = await align("paused", { monitor: { ...sensitive, action: "pause" } });
    expect(paused.result).toBeInstanceOf(InterruptedError);
    const at = paused.metrics.length;
    expect((paused.result as Error).message).toBe(`paused after step ${at} of 24; continue with --resume`);
    let run = paused;
    for (let i = 0; run.result instanceof Error && i < 5; i++)
      run = await align("paused", { monitor: { ...sensitive, action: "pause" } }, { resume: true });
    expect(run.result).not.toBeInstanceOf(Error);
    await align("whole", { monitor: sensitive });
    for (const name of ["metrics.jsonl", "rollouts.jsonl"])
      expect(await readFile(shop.path("paused", name), "utf8"), name).toBe(
        await readFile(shop.path("whole", name), "utf8"),
      );
    await expectSameBytes(shop.path("paused", "final"), shop.path("whole", "final"));
  });

  it("stops the run with the model as it is", async () => {
    const { result, metrics, notes } = await align("stopped", { monitor: { ...sensitive, action: "stop" } });
    expect(result).toMatchObject({ model: shop.path("stopped", "final") });
    expect(metrics.length).toBeLessThan(24);
    expect(notes).toContain(`ended after step ${metrics.length} of 24, with the model as it is`);
  });

  it("is none where the monitor is off", async () => {
    const { notes } = await align("silent", { monitor: false });
    expect(notes.filter((line) => line.startsWith("alarm"))).toEqual([]);
    expect((await alarmsOfRun(shop.path("silent"))).alarms).toEqual([]);
  });
});

describe("touchstone monitor", () => {
  it("prints a run's alarms, as JSON too, and fails where it is asked to", async () => {
    const plain = await runCli(["monitor", shop.path("noted")]);
    expect(plain.code).toBe(0);
    expect(plain.stdout).toMatch(
      /noted: \d alarms? in 24 steps\n {2}step \d+: task writing: the held-out measure/,
    );
    const json = await runCli(["monitor", shop.path("noted"), "--json", "--fail"]);
    expect(json.code).toBe(3);
    expect(JSON.parse(json.stdout).runs[0].alarms[0].samples).toHaveLength(5);
    const none = await runCli(["monitor", shop.path("noted"), "--threshold", "1000", "--fail"]);
    expect(none).toMatchObject({ code: 0, stdout: expect.stringContaining("no alarm in 24 steps") });
    const missing = await runCli(["monitor", shop.path("nothing")]);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toMatch(
      /nothing has no metrics.jsonl with a step in it; give the directory of a run/,
    );
  });
});

describe("a recipe", () => {
  const parse = (changes: object, task: object = {}) =>
    parseRecipe("align", stringify(recipe("parsed", changes, task)), "r.yaml");

  it.each([
    [{ monitor: { signals: ["held out"] } }, /monitor\.signals.*must be one of held_out, .*not "held out"/s],
    [{ monitor: { action: "halt" } }, /monitor\.action.*note, pause, stop/s],
    [{ monitor: { window: 1 } }, /monitor\.window.*at least 2/s],
    [{ monitor: { threshhold: 3 } }, /threshhold.*did you mean "threshold"/s],
  ])("%j is explained", (changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });

  it.each([
    [[{ name: "a" }], /measures.*exactly one of reward and judge/s],
    [[{ name: "a", judge: "math", reward: { model: "x" } }], /exactly one of reward and judge/],
    [[{ name: "a b", judge: "math" }], /must be a name of letters/],
    [
      [
        { name: "a", judge: "math" },
        { name: "a", judge: "math" },
      ],
      /"a" is used twice/,
    ],
    [[{ name: "a", reward: { rubric: "essay", judge_model: "m" } }], /cannot be a rubric/],
  ])("measures %j are explained", (measures, message) => {
    expect(() => parse({}, { measures })).toThrow(message);
  });
});
