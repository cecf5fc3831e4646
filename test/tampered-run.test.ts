// Run directories that somebody else has written into: `report`, `doctor` and `--resume` end with a page or with one sentence,
// and nothing of what was written becomes markup.

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "./support/in-process.js";
import { smallRuns } from "./support/small-runs.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

async function doctor(dir: string) {
  const { code, out } = await run("doctor", dir);
  // Of this process, which goes on.
  process.exitCode = undefined;
  return { code, out };
}

const sentence = /^touchstone: [^\n]+\n$/;

describe("logs of a run that are not what a run writes", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "touchstone-tampered-"));
    await writeFile(join(dir, "recipe.yaml"), "steps: 1\n");
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  /** The page, or the sentence. */
  async function report(metrics: string, rollouts = ""): Promise<{ page?: string; problem?: string }> {
    await writeFile(join(dir, "metrics.jsonl"), metrics);
    await writeFile(join(dir, "rollouts.jsonl"), rollouts);
    const { code, err } = await run("report", dir, "-o", join(dir, "page.html"), "--json");
    if (code === 0) return { page: await readFile(join(dir, "page.html"), "utf8") };
    expect(code, err).toBe(2);
    expect(err).toMatch(sentence);
    return { problem: err };
  }

  const rollout = {
    step: 1,
    task: "t",
    prompt: "p",
    response: "r",
    finish_reason: "stop",
    tokens: 1,
    reward: 1,
    verdicts: {},
  };
  const lines = (...rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

  it.each([
    ["huge numbers", lines({ step: 1, reward: 1e308 }, { step: 2, reward: -1e308 })],
    ["numbers too small to be apart", lines({ step: 1, reward: 5e-324 }, { step: 2, reward: 1e-323 })],
    ["neighbouring numbers", lines({ step: 1, reward: 1 }, { step: 2, reward: 1 + 2e-16 })],
    ["huge percentages", lines({ step: 1, accuracy: 1e308 }, { step: 2, accuracy: -1e308 })],
    ["no lines", ""],
    ["text in place of a number", lines({ step: 1, reward: "<b>1</b>" })],
    ["names of built-in properties", '{"step":1,"constructor":1,"__proto__":2,"tasks/__proto__/reward":3}\n'],
    [
      "markup in names",
      lines({ step: 1, "<script>alert(1)</script>": 1, "constraints/<img src=x>/violation_rate": 0.5 }),
    ],
  ])("report draws %s", async (_, metrics) => {
    const { page } = await report(metrics);
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/<script|<img|<b>1/);
  });

  it.each([
    ["a negative step", lines({ step: -1 })],
    ["a step that is no number", lines({ step: "1" })],
    ["an object in place of a number", lines({ step: 1, reward: {} })],
    ["a list", lines([1])],
    ["null", lines(null)],
    ["no JSON", "{\n"],
    ["depth", `{"step":1,"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}\n`],
  ])("report and doctor name the line with %s", async (_, metrics) => {
    expect((await report(metrics)).problem).toMatch(/metrics\.jsonl:1: /);
    const { code, out } = await doctor(dir);
    expect(code).toBe(1);
    expect(out).toMatch(/✗ metrics\.jsonl\s+.*metrics\.jsonl:1: /);
  });

  it.each([
    ["a verdict that is none", { verdicts: { a: { verdict: '"><script>', reason: "" } } }],
    ["a verdict that is null", { verdicts: { a: null } }],
    ["a prompt that is an object", { prompt: {} }],
    ["a response that is a number", { response: 1 }],
  ])("report names the sample with %s", async (_, wrong) => {
    expect((await report("", lines({ ...rollout, ...wrong }))).problem).toMatch(/rollouts\.jsonl:1: /);
  });

  it("report shows hostile samples as text", async () => {
    const hostile = "</div><script>alert(1)</script><img src=x onerror=alert(1)>\u202e";
    const verdicts = { [hostile]: { verdict: "violated", reason: hostile } };
    const { page } = await report(
      "",
      lines({ ...rollout, prompt: hostile, response: hostile, task: hostile, verdicts }),
    );
    expect(page).toContain("&lt;script&gt;");
    expect(page).not.toMatch(/<script|<img|\u202e/);
  });

  it("report draws 20,000 steps and 2,000 metrics in a page that can be opened", async () => {
    const steps = Array.from({ length: 20_000 }, (_, i) => ({ step: i, reward: i, loss: -i }));
    const wide = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`m${i}`, i]));
    const { page } = await report(lines(...steps, { step: 20_000, ...wide }));
    expect(page!.length).toBeLessThan(2e6);
    expect(page).toContain("The first 200 of 2001.");
  });
});

describe("a finished run", () => {
  let shop: Workshop;
  let argv: string[];
  let dir: string;
  beforeAll(async () => {
    shop = await openWorkshop();
    dir = shop.path("run");
    const recipe = await shop.recipe("sft.yaml", { output_dir: dir, ...smallRuns.sft(shop) });
    argv = ["sft", recipe, "--quiet", "--threads", "1"];
    expect(await run(...argv)).toMatchObject({ code: 0, err: "" });
  });
  afterAll(() => shop?.remove());

  const resumed = () => run(...argv, "--resume");

  it("has the digest of every file of its final model, which resume and doctor check", async () => {
    const manifest = JSON.parse(await readFile(join(dir, "final.manifest.json"), "utf8"));
    expect(Object.keys(manifest.files).sort()).toEqual((await readdir(join(dir, "final"))).sort());
    expect((await doctor(dir)).out).toMatch(/✓ final\s+every file is what it was/);
    const name = (await readdir(join(dir, "final"))).find((file) => file.endsWith(".safetensors"))!;
    const path = join(dir, "final", name);
    const bytes = await readFile(path);
    for (const change of [
      () => writeFile(path, Buffer.concat([bytes.subarray(0, -1), Buffer.from([bytes.at(-1)! ^ 1])])),
      () => truncate(path, bytes.length - 1),
      () => rm(path),
    ]) {
      await change();
      const { code, err } = await resumed();
      expect(code).toBe(2);
      expect(err).toMatch(
        /^touchstone: [^\n]+; delete [^\n]+final to have it saved again from the last checkpoint\n$/,
      );
      expect((await doctor(dir)).out).toMatch(/✗ final\s/);
      await writeFile(path, bytes);
    }
    // The advice works.
    await rm(join(dir, "final"), { recursive: true });
    expect((await doctor(dir)).out).toMatch(/! final\s+was saved and is gone/);
    expect(await resumed()).toMatchObject({ code: 0, err: "" });
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });

  it("whose log was emptied is a sentence", async () => {
    const log = join(dir, "metrics.jsonl");
    const text = await readFile(log, "utf8");
    await writeFile(log, "");
    const { code, err } = await resumed();
    expect(code).toBe(2);
    expect(err).toMatch(
      /metrics\.jsonl is shorter than the checkpoint to resume from says; was it edited\?\n$/,
    );
    await writeFile(log, text);
  });

  it("whose state is another's, digest included, is a sentence", async () => {
    await rm(join(dir, "final"), { recursive: true });
    const newest = join(dir, "checkpoints", "step-5");
    const [state, manifest] = await Promise.all(
      ["state.json", "manifest.json"].map((name) => readFile(join(newest, name), "utf8")),
    );
    const good = JSON.parse(state!);
    for (const text of [
      "",
      "{",
      "[]",
      "null",
      "[".repeat(100_000),
      JSON.stringify({ ...good, step: 4 }),
      JSON.stringify({ ...good, offsets: { metrics: -1, rollouts: 0 } }),
      JSON.stringify({ ...good, offsets: { metrics: 1e9, rollouts: 0 } }),
      JSON.stringify({ ...good, state: null }),
      JSON.stringify({ ...good, state: { loop: null } }),
      JSON.stringify({ ...good, state: { loop: "<script>" } }),
      JSON.stringify({ ...good, state: { loop: [] } }),
      JSON.stringify({ ...good, state: { loop: { cursor: { epoch: {}, at: "x" }, random: -1 } } }),
    ]) {
      await writeFile(join(newest, "state.json"), text);
      const forged = JSON.parse(manifest!);
      const sha256 = createHash("sha256").update(text).digest("hex");
      forged.files["state.json"] = { bytes: Buffer.byteLength(text), sha256 };
      await writeFile(join(newest, "manifest.json"), `${JSON.stringify(forged, undefined, 1)}\n`);
      const { code, err } = await resumed();
      expect(code, text.slice(0, 200)).toBe(2);
      expect(err, text.slice(0, 200)).toMatch(sentence);
      expect(err).not.toContain("internal error");
    }
    await writeFile(join(newest, "state.json"), state!);
    await writeFile(join(newest, "manifest.json"), manifest!);
  });

  it("of a version without manifests is refused, with what to do", async () => {
    await rm(join(dir, "final"), { recursive: true, force: true });
    const newest = join(dir, "checkpoints", "step-5");
    await rm(join(newest, "manifest.json"));
    const { code, err } = await resumed();
    expect(code).toBe(2);
    expect(err).toMatch(
      /manifest\.json is missing, .*an earlier version.*; delete .*step-5 to continue from step 4\n$/,
    );
    await mkdir(join(dir, "checkpoints"), { recursive: true });
  });
});
