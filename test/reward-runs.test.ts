// Several reward models from one initialisation: what they share, and that spreading them over processes, stopping and
// resuming changes nothing.

import { readFile, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadPreferences } from "../src/data/index.js";
import { writeRandomModel } from "../src/lab/base.js";
import { SafetensorsReader } from "../src/model/safetensors.js";
import { parseRecipe } from "../src/recipe/recipe.js";
import { linearProbe } from "../src/reward/probe.js";
import { silent } from "../src/run/context.js";
import { openCodec, openScalarModel } from "../src/train/models.js";
import { runReward } from "../src/train/reward-model/runs.js";
import { runCli } from "./support/cli.js";
import { contentsOf, openWorkshop, tinyConfig, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

async function tensorsOf(dir: string): Promise<Map<string, Float32Array>> {
  const reader = await SafetensorsReader.open(`${dir}/model.safetensors`);
  const tensors = new Map<string, Float32Array>();
  for (const name of reader.tensors.keys()) tensors.set(name, await reader.readFloat32(name));
  await reader.close();
  return tensors;
}

describe("initialisation", () => {
  it("is one head, probed on the last checkpoint, and every member's own trunk, bit for bit", async () => {
    const { vocab_size } = JSON.parse(await readFile(`${shop.policy}/config.json`, "utf8"));
    const early = shop.path("early");
    await writeRandomModel(early, tinyConfig(vocab_size), 5, shop.path("tokenizer"));
    const data = shop.data("preferences.jsonl");
    // A learning rate of zero ends where training starts.
    const yaml = JSON.stringify({
      output_dir: shop.path("baklava"),
      model: [early, shop.policy],
      data,
      eval_data: shop.data("validation.jsonl"),
      runs: 3,
      steps: 1,
      batch_size: 4,
      learning_rate: 0,
      dropout: 0.1,
      engine: { kind: "local", threads: 1 },
    });
    const recipe = parseRecipe("reward", yaml, "recipe.yaml");
    const { members } = await runReward(recipe, { reporter: silent, resume: false });

    const trunks = await Promise.all([early, shop.policy].map(tensorsOf));
    const heads: Float32Array[] = [];
    for (const [index, { model }] of members.entries()) {
      const tensors = await tensorsOf(model);
      heads.push(tensors.get("score.weight")!);
      tensors.delete("score.weight");
      expect(tensors).toEqual(trunks[index % 2]);
    }
    expect(heads[1]).toEqual(heads[0]);
    expect(heads[2]).toEqual(heads[0]);

    await expectProbeOn(data, heads[0]!);
  });
});

/** The head is the linear probe of the workshop's policy on the pairs of a file. */
async function expectProbeOn(data: string, head: Float32Array): Promise<void> {
  const codec = await openCodec(shop.policy);
  const engine = { kind: "local", device: "cpu", maxBatchTokens: 4096, threads: 1 } as const;
  const model = await openScalarModel(shop.policy, { engine, frozen: true });
  const { rows } = await loadPreferences(data, {});
  const features = async (side: "chosen" | "rejected") =>
    model.features(rows.map((row) => codec.scored(row.prompt, row[side])));
  const [chosen, rejected] = [await features("chosen"), await features("rejected")];
  const differences = chosen.map((f, i) => f.map((value, d) => value - rejected[i]![d]!));
  const wanted = linearProbe(differences, { l2: 1e-3 });
  const largest = Math.max(...wanted.map(Math.abs));
  expect(Math.max(...wanted.map((value, d) => Math.abs(head[d]! - value)))).toBeLessThan(1e-4 * largest);
}

describe("flip_labels", () => {
  it("trains on wrong labels, the same for all runs, and leaves a file that says which", async () => {
    const file = await shop.recipe("noisy.yaml", {
      output_dir: shop.path("noisy"),
      model: shop.policy,
      data: shop.data("preferences.jsonl"),
      eval_data: shop.data("validation.jsonl"),
      flip_labels: 0.25,
      runs: 2,
      steps: 1,
      batch_size: 4,
      learning_rate: 0,
      engine: { kind: "local", threads: 1 },
    });
    expect(await runCli(["reward", file, "--quiet", "--jobs", "2"])).toMatchObject({
      code: 0,
      stderr: "warning: learning_rate is 0: nothing will be learned\n",
    });
    const train = shop.path("noisy/train.jsonl");
    const [before, after] = [
      await loadPreferences(shop.data("preferences.jsonl")),
      await loadPreferences(train),
    ];
    const turned = after.rows.filter(({ chosen }, i) => {
      expect(after.rows[i]!.prompt).toEqual(before.rows[i]!.prompt);
      return !isDeepStrictEqual(chosen, before.rows[i]!.chosen);
    });
    expect(turned).toHaveLength(Math.round(before.rows.length / 4));
    const wasFlipped = before.rows.map(({ metadata }) => metadata.flipped === true);
    after.rows.forEach((row, i) => {
      expect(row.metadata.flipped).toBe(wasFlipped[i] !== turned.includes(row));
    });
    for (const member of [1, 2]) {
      const tensors = await tensorsOf(shop.path(`noisy/member-${member}/final`));
      await expectProbeOn(train, tensors.get("score.weight")!);
    }
  });
});

const recipe = (name: string) =>
  shop.recipe(`${name}.yaml`, {
    output_dir: shop.path(name),
    model: shop.policy,
    data: shop.data("preferences.jsonl"),
    eval_data: shop.data("validation.jsonl"),
    runs: 3,
    steps: 60,
    save_steps: 20,
    batch_size: 4,
    learning_rate: [0.001, 0.01],
    dropout: [0.1, 0.3],
    engine: { kind: "local", threads: 1 },
  });

/** Everything but wall-clock times. */
async function exactContents(dir: string): Promise<Record<string, string>> {
  const files = Object.entries(await contentsOf(dir)).filter(([name]) => !name.endsWith("timings.jsonl"));
  return Object.fromEntries(
    files.map(([name, bytes]) => {
      const text = bytes.toString("latin1");
      return [name, name.endsWith("state.json") ? text.replace(/"timings":\d+/, "") : text];
    }),
  );
}

const linesOf = (file: string): Promise<number> =>
  readFile(file, "utf8").then(
    (text) => text.split("\n").length - 1,
    () => 0,
  );

describe("--jobs", () => {
  let undisturbed: Record<string, string>;
  let argv: string[];
  beforeAll(async () => {
    argv = ["reward", await recipe("runs"), "--quiet"];
    expect(await runCli(argv)).toMatchObject({ code: 0, stderr: "" });
    undisturbed = await exactContents(shop.path("runs"));
    await rm(shop.path("runs"), { recursive: true });
  });

  it("gives the bytes of one run after another, and shows all of them", async () => {
    const { code, stdout, stderr } = await runCli([...argv.slice(0, -1), "--jobs", "2"]);
    expect(code).toBe(0);
    expect(stdout).toContain("member-3/final: accuracy");
    for (const index of [1, 2, 3]) expect(stderr).toMatch(new RegExp(`reward model ${index} of 3: 60/60`));
    expect(stderr).toContain("3 reward models, 2 at a time: 180/180");
    expect(await exactContents(shop.path("runs"))).toEqual(undisturbed);
    await rm(shop.path("runs"), { recursive: true });
  });

  it("stops all of them on Ctrl-C after a checkpoint, and resumes to the same bytes", async () => {
    const stopped = await runCli([...argv, "--jobs", "2"], {
      onStart: async (child) => {
        while (child.exitCode === null && (await linesOf(shop.path("runs/member-1/metrics.jsonl"))) < 3)
          await delay(5);
        child.kill("SIGINT");
      },
    });
    expect(stopped).toMatchObject({ code: 130, stdout: "" });
    expect(stopped.stderr).toMatch(/stopped with [012] of 3 reward models finished; continue with --resume/);
    expect(await runCli([...argv, "--resume", "--jobs", "3"])).toMatchObject({ code: 0, stderr: "" });
    expect(await exactContents(shop.path("runs"))).toEqual(undisturbed);
    await rm(shop.path("runs"), { recursive: true });
  });

  it("tells which run failed in one sentence, and lets the others save", async () => {
    const { code, stderr } = await runCli([...argv, "--jobs", "2"], {
      env: { TOUCHSTONE_TEST_KILL: "rename member-2/checkpoints/step-20" },
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^touchstone: reward model 2 of 3: its process ended without a result \(SIGKILL\)/,
    );
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(await runCli([...argv, "--resume"])).toMatchObject({ code: 0, stderr: "" });
    expect(await exactContents(shop.path("runs"))).toEqual(undisturbed);
  });
});
