// `report_to`: what a run shows in other tools is what it writes into its own files, each step once however often the run is
// killed, and a run with it is the run that it is without.

import { cpSync } from "node:fs";
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseRecipe } from "../src/recipe/recipe.js";
import { runCli } from "./support/cli.js";
import { readEventFile } from "./support/event-file.js";
import { readOfflineRun } from "./support/offline-run.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { smallRuns } from "./support/small-runs.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
});
afterAll(() => shop.remove());

/** By name: step and value, in order, of the numbers in a run's files. */
async function figuresIn(dir: string): Promise<Record<string, [number, number][]>> {
  const figures: Record<string, [number, number][]> = {};
  for (const file of ["metrics.jsonl", "timings.jsonl"])
    for (const line of (await readFile(join(dir, file), "utf8")).trimEnd().split("\n")) {
      const { step, ...row } = JSON.parse(line) as { step: number; [name: string]: unknown };
      for (const [name, value] of Object.entries(row))
        if (typeof value === "number") (figures[name] ??= []).push([step, value]);
    }
  return figures;
}

const asFloats = (figures: Record<string, [number, number][]>) =>
  Object.fromEntries(
    Object.entries(figures).map(([name, points]) => [
      name,
      points.map(([step, value]) => [step, Math.fround(value)]),
    ]),
  );

it("an alignment that is killed and resumed shows each step once, and computes what it computes alone", async () => {
  const dir = shop.path("run");
  const recipe = await shop.recipe("align.yaml", { output_dir: dir, ...smallRuns.align(shop) });
  const plain = await runCli(["align", recipe, "--quiet"]);
  expect(plain).toMatchObject({ code: 0, stderr: "" });
  await rename(dir, `${dir}-plain`);
  const argv = ["align", recipe, "--quiet", "--report-to", "[tensorboard, wandb]"];
  const resume = [...argv, "--resume"];
  for (const [i, kill] of ["append metrics.jsonl #3", "rename checkpoints/latest"].entries())
    expect(await runCli(i > 0 ? resume : argv, { env: { TOUCHSTONE_TEST_KILL: kill } }), kill).toMatchObject({
      signal: "SIGKILL",
    });
  const early = readEventFile(join(dir, "tensorboard"));
  expect(early.scalars.reward!.length).toBeGreaterThan(0);
  expect(await runCli(resume)).toMatchObject({ code: 0, stderr: "" });

  const { scalars, texts, starts } = readEventFile(join(dir, "tensorboard"));
  expect(starts).toEqual([0]);
  expect(scalars).toEqual(asFloats(await figuresIn(dir)));
  expect(scalars.reward!.map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  for (const name of ["writing", "sums"].flatMap((task) => [1, 2].map((k) => `samples/${task}/${k}`)))
    expect(
      texts[name]!.map(([step]) => step),
      name,
    ).toEqual([1, 2, 3, 4, 5, 6]);

  const offline = readOfflineRun(join(dir, "wandb"));
  expect(offline.history).toEqual(await figuresIn(dir));
  expect(offline.exitCode).toBe(0);

  // The event files apart, and the key in recipe.yaml, it is the same directory.
  await rename(join(dir, "tensorboard"), shop.path("events"));
  await rename(join(dir, "wandb"), shop.path("offline"));
  expect(await readFile(join(dir, "recipe.yaml"), "utf8")).toContain("report_to:");
  cpSync(join(`${dir}-plain`, "recipe.yaml"), join(dir, "recipe.yaml"));
  await expectSameBytes(dir, `${dir}-plain`);
}, 300_000);

it.each(["sft", "reward"] as const)(
  "%s shows what it writes, evaluations and every member included",
  async (verb) => {
    const dir = shop.path(`run-${verb}`);
    const recipe = await shop.recipe(`${verb}.yaml`, {
      output_dir: dir,
      ...smallRuns[verb](shop),
      report_to: "tensorboard",
    });
    expect(await runCli([verb, recipe, "--quiet"])).toMatchObject({ code: 0, stderr: "" });
    const runs = verb === "sft" ? [dir] : [join(dir, "member-1"), join(dir, "member-2")];
    for (const run of runs) {
      const { scalars } = readEventFile(join(run, "tensorboard"));
      expect(scalars).toEqual(asFloats(await figuresIn(run)));
      expect(scalars.loss!.length).toBeGreaterThan(3);
      expect(scalars["eval/loss"]!.length).toBeGreaterThan(0);
    }
  },
  120_000,
);

it("a run may be resumed with other tools than it was begun with", async () => {
  const dir = shop.path("run-change");
  const recipe = await shop.recipe("change.yaml", { output_dir: dir, ...smallRuns.sft(shop) });
  const kill = { env: { TOUCHSTONE_TEST_KILL: "append metrics.jsonl #3" } };
  expect(await runCli(["sft", recipe, "--quiet"], kill)).toMatchObject({ signal: "SIGKILL" });
  const resumed = await runCli(["sft", recipe, "--quiet", "--resume", "--report-to", "tensorboard"]);
  expect(resumed).toMatchObject({ code: 0, stderr: "" });
  const { scalars } = readEventFile(join(dir, "tensorboard"));
  expect(scalars.loss!.map(([step]) => step)).toEqual([1, 2, 3, 4, 5]);
}, 120_000);

it("is written as other trainers write it, and says what is wrong with it", () => {
  const parse = (value: string) =>
    parseRecipe("sft", `model: m\ndata: d\noutput_dir: o\nreport_to: ${value}\n`, "r.yaml").reportTo;
  expect(parse("tensorboard")).toEqual([{ kind: "tensorboard" }]);
  expect(parse("[tensorboard]")).toEqual([{ kind: "tensorboard" }]);
  expect(parse("{ kind: tensorboard }")).toEqual([{ kind: "tensorboard" }]);
  expect(parse("none")).toEqual([]);
  expect(parse("tensorboard, wandb")).toEqual([{ kind: "tensorboard" }, { kind: "wandb" }]);
  expect(
    parse("[{ kind: mlflow, tracking_uri: 'http://x', run_name: a }, { kind: wandb, project: p }]"),
  ).toEqual([
    { kind: "mlflow", trackingUri: "http://x", runName: "a" },
    { kind: "wandb", project: "p" },
  ]);
  expect(() => parse("[tensorbord]")).toThrow(
    /^r\.yaml:4: report_to\[0\]\S* must be one of tensorboard, mlflow, wandb, not "tensorbord" \(did you mean "tensorboard"\?\)$/,
  );
  expect(() => parse("tensorboard, tensorboard")).toThrow("names tensorboard twice");
  expect(() => parse("3")).toThrow(/report_to/);
});
