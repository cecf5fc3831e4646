import { spawnSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NonFiniteError, UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { parseOverride } from "../recipe/file.js";
import { parseRecipe } from "../recipe/recipe.js";
import { checkpointSteps, RunDirectory, readCheckpoint } from "./directory.js";
import { examineRun } from "./doctor.js";
import { metricsLine, readJsonl } from "./metrics.js";

let root: string;
let dir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-run-"));
  dir = join(root, "run");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const recipe = (...sets: string[]) =>
  parseRecipe("sft", "output_dir: run\nmodel: org/m\ndata: org/d\n", "/r.yaml", {
    overrides: sets.map(parseOverride),
  });

/** A loop of `steps` steps that logs, and saves every second step; stops without closing after `dieAt`. */
async function loop(steps: number, { resume = false, dieAt = Number.POSITIVE_INFINITY } = {}): Promise<void> {
  const run = await RunDirectory.open<{ sum: number }>(dir, recipe(), { resume });
  let sum = run.resumeFrom?.state.sum ?? 0;
  for (let step = (run.resumeFrom?.step ?? 0) + 1; step <= steps; step++) {
    sum += Math.sqrt(step);
    run.metrics.log(step, { "train/sum": sum, "train/absent": undefined, step_time: Math.random() });
    run.logRollouts([
      {
        step,
        task: "t",
        prompt: "p",
        response: "r",
        finish_reason: "stop",
        tokens: 1,
        reward: sum,
        verdicts: {},
      },
    ]);
    if (step === dieAt) {
      await run.close();
      return;
    }
    if (step % 2 === 0) {
      await run.saveCheckpoint(step, { sum }, (at) => writeFile(join(at, "weights"), String(sum)));
    }
  }
  await run.close();
}

const contents = async () => ({
  metrics: await readFile(join(dir, "metrics.jsonl"), "utf8"),
  rollouts: await readFile(join(dir, "rollouts.jsonl"), "utf8"),
  recipe: await readFile(join(dir, "recipe.yaml"), "utf8"),
  weights: await readFile(join(dir, "checkpoints", "step-6", "weights"), "utf8"),
  checkpoints: (await readdir(join(dir, "checkpoints"))).sort(),
});

describe("RunDirectory", () => {
  it("leaves the same bytes after a kill and a resume as after an undisturbed run", async () => {
    await loop(6);
    const undisturbed = await contents();
    expect(undisturbed.checkpoints).toEqual(["latest", "step-4", "step-6"]);
    for (const dieAt of [1, 2, 3, 5]) {
      await rm(dir, { recursive: true });
      await loop(6, { dieAt });
      appendFileSync(join(dir, "metrics.jsonl"), '{"step":9,"torn');
      await mkdir(join(dir, "checkpoints", ".step-5.4711.tmp"), { recursive: true });
      await loop(6, { resume: true });
      expect(await contents()).toEqual(undisturbed);
    }
  });

  it("refuses a checkpoint that is not whole, and continues from the one before when it is deleted", async () => {
    await loop(4);
    const newest = join(dir, "checkpoints", "step-4");
    await rm(join(newest, "state.json"));
    const open = () => RunDirectory.open(dir, recipe(), { resume: true });
    await expect(open()).rejects.toThrow(
      /step-4.state\.json is missing; step-4 is damaged; delete .*step-4 to continue from step 2$/,
    );
    await rm(newest, { recursive: true });
    const run = await open();
    expect(run.resumeFrom?.step).toBe(2);
    expect((await readJsonl(join(dir, "metrics.jsonl"))).map(({ step }) => step)).toEqual([1, 2]);
    expect((await readJsonl(join(dir, "timings.jsonl"))).map(({ step }) => step)).toEqual([1, 2]);
    await run.close();
  });

  it("notices any byte of a checkpoint that is not what it was", async () => {
    await loop(2);
    const at = join(dir, "checkpoints", "step-2");
    const random = new RandomStream(4, "flips");
    for (const name of ["weights", "state.json", "manifest.json"]) {
      const bytes = await readFile(join(at, name));
      // Every byte of every file, to one other value each.
      for (let i = 0; i < bytes.length; i++) {
        const damaged = Buffer.from(bytes);
        damaged[i] = damaged[i]! ^ (1 + Math.floor(255 * random.uniform()));
        await writeFile(join(at, name), damaged);
        const error = await readCheckpoint(dir, 2).then(
          () => "",
          (thrown: unknown) => thrown,
        );
        expect(error, `${name}, byte ${i}`).toBeInstanceOf(UserError);
      }
      await writeFile(join(at, name), bytes);
    }
    await writeFile(join(at, "stranger"), "x");
    await expect(readCheckpoint(dir, 2)).rejects.toThrow(/stranger was not there when/);
    await rm(join(at, "stranger"));
    expect((await readCheckpoint(dir, 2)).step).toBe(2);
  });

  it("puts back what a kill left renamed, and removes what it left half removed", async () => {
    await loop(4);
    const checkpoints = join(dir, "checkpoints");
    await rename(join(checkpoints, "step-2"), join(checkpoints, ".step-2.4711.tmp"));
    await rm(join(checkpoints, ".step-2.4711.tmp", "state.json"));
    await rename(join(checkpoints, "step-4"), join(checkpoints, ".step-4.4711.tmp.old"));
    const run = await RunDirectory.open(dir, recipe(), { resume: true });
    expect(run.resumeFrom?.step).toBe(4);
    await run.close();
    expect((await readdir(checkpoints)).sort()).toEqual(["latest", "step-4"]);
  });

  it("keeps checkpoints of an interruption until the next one only", async () => {
    const run = await RunDirectory.open(dir, recipe());
    const save = (step: number) =>
      run.saveCheckpoint(step, {}, async () => {}, { keep: 2, isDue: (at) => at % 10 === 0 });
    for (const step of [10, 20]) await save(step);
    for (const step of [23, 25]) await save(step);
    expect(await checkpointSteps(dir)).toEqual([20, 25]);
    await save(30);
    expect(await checkpointSteps(dir)).toEqual([20, 30]);
    await run.close();
  });

  it("keeps the last checkpoint when the next one does not fit on the disk", async () => {
    const run = await RunDirectory.open(dir, recipe());
    await run.saveCheckpoint(1, {}, (at) => writeFile(join(at, "weights"), "1"));
    const full = run.saveCheckpoint(2, {}, async (at) => {
      await writeFile(join(at, "weights"), "torn");
      throw Object.assign(new Error("write"), { code: "ENOSPC" });
    });
    await expect(full).rejects.toThrow(/step-2: the disk is full; what was there before is unchanged/);
    await run.close();
    expect(await checkpointSteps(dir)).toEqual([1]);
    expect((await readdir(join(dir, "checkpoints"))).sort()).toEqual(["latest", "step-1"]);
  });

  it("refuses what it would overwrite, and changes nothing", async () => {
    await loop(2);
    const before = await readFile(join(dir, "metrics.jsonl"), "utf8");
    const attempt = (options: { resume?: boolean }, ...sets: string[]) =>
      RunDirectory.open(dir, recipe(...sets), options);
    await expect(attempt({})).rejects.toThrow(
      /already holds a run of this recipe; continue it with --resume/,
    );
    await expect(attempt({}, "seed=3")).rejects.toThrow(/already holds another run \(seed differs\)/);
    await expect(attempt({ resume: true }, "adam_beta1=0.5")).rejects.toThrow(
      /cannot be resumed.*adam_beta1 differs/,
    );
    expect(await readFile(join(dir, "metrics.jsonl"), "utf8")).toBe(before);
    expect(await readdir(dir)).not.toContain("lock");

    const other = join(root, "home");
    await mkdir(other);
    await writeFile(join(other, "thesis.txt"), "x");
    await expect(RunDirectory.open(other, recipe())).rejects.toThrow(
      /already holds other files \(thesis.txt\)/,
    );
    await writeFile(join(root, "file"), "x");
    await expect(RunDirectory.open(join(root, "file"), recipe())).rejects.toThrow(UserError);
  });

  it("is used by one process at a time, and a dead process's lock is stale", async () => {
    const run = await RunDirectory.open(dir, recipe());
    await expect(RunDirectory.open(dir, recipe(), { resume: true })).rejects.toThrow(/in use by process \d+/);
    await run.close();

    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    await writeFile(join(dir, "lock"), JSON.stringify({ pid: dead, host: hostname(), started: null }));
    await (await RunDirectory.open(dir, recipe(), { resume: true })).close();

    // A container restarts with the same process id: same pid, other start.
    await writeFile(join(dir, "lock"), JSON.stringify({ pid: process.pid, host: hostname(), started: "1" }));
    await (await RunDirectory.open(dir, recipe(), { resume: true })).close();

    await writeFile(join(dir, "lock"), JSON.stringify({ pid: 1, host: "elsewhere", started: null }));
    await expect(RunDirectory.open(dir, recipe(), { resume: true })).rejects.toThrow(
      /process 1 on elsewhere/,
    );
  });
});

describe("metrics", () => {
  it("have a stable key order, null for what has no value, and no number that is not finite", () => {
    expect(metricsLine(3, { b: 1, a: undefined, "c/d": "x" })).toBe('{"step":3,"a":null,"b":1,"c/d":"x"}\n');
    expect(() => metricsLine(3, { loss: Number.NaN })).toThrow(
      new NonFiniteError("metric loss is NaN at step 3"),
    );
  });

  it("that measure the machine go to timings.jsonl", async () => {
    const run = await RunDirectory.open(dir, recipe());
    run.metrics.log(1, {
      loss: 2,
      step_time: 0.5,
      "judges/math/latency": 0.1,
      "tasks/chat/judges/safety/cost": 0.2,
      "rubric/cost": 0.3,
      "time/sample": 3,
      "generate/tokens_per_second": 4,
      lifetime: 7,
    });
    await run.close();
    expect(await readJsonl(join(dir, "metrics.jsonl"))).toEqual([
      { step: 1, lifetime: 7, loss: 2, "rubric/cost": 0.3 },
    ]);
    expect(Object.keys((await readJsonl(join(dir, "timings.jsonl")))[0]!)).toHaveLength(6);
  });
});

describe("doctor of a run", () => {
  it("names the file of a checkpoint that is not what it was", async () => {
    await loop(4);
    const statuses = async () => (await examineRun(dir)).map(({ name, status }) => [name, status]);
    expect(await statuses()).toEqual([
      ["recipe.yaml", "ok"],
      ["metrics.jsonl", "ok"],
      ["rollouts.jsonl", "ok"],
      ["checkpoints/step-2", "ok"],
      ["checkpoints/step-4", "ok"],
    ]);
    const weights = join(dir, "checkpoints", "step-2", "weights");
    const bytes = await readFile(weights);
    bytes[0]! ^= 1;
    await writeFile(weights, bytes);
    await appendFile(join(dir, "metrics.jsonl"), "{]\n");
    const problems = (await examineRun(dir)).filter(({ status }) => status === "problem");
    expect(problems.map(({ name }) => name)).toEqual(["metrics.jsonl", "checkpoints/step-2"]);
    expect(problems[1]!.detail).toMatch(/step-2.weights does not hold what it held .*SHA-256 differs/);
    await expect(examineRun(join(dir, "checkpoints"))).rejects.toThrow(/is not the directory of a run/);
  });
});
