// The harness of `touchstone reproduce`: seeds in processes of their own, finished ones kept, settings never mixed.

import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { reproduce as reproduceHere } from "../src/lab/reproduce/harness.js";
import { InterruptedError, silent } from "../src/run/context.js";
import { runCli } from "./support/cli.js";

const dir = mkdtempSync(join(tmpdir(), "reproduce-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const out = join(dir, "mpo");

const reproduce = (...flags: string[]) =>
  runCli(["reproduce", "mpo", "--seeds", "1", "--out", out, ...flags]);

describe("touchstone reproduce", () => {
  it("runs a seed in its own process, keeps it, and never mixes settings", async () => {
    const first = await reproduce("--quick", "--json");
    expect(first).toMatchObject({ code: 0, stderr: "" });
    const document = JSON.parse(first.stdout);
    expect(document).toMatchObject({ experiment: "mpo", quick: true, seeds: [{ seed: 1 }] });
    expect(JSON.parse(readFileSync(join(out, "results.json"), "utf8"))).toEqual(document);
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain("<html");

    const result = join(out, "seed-1", "result.json");
    const made = statSync(result).mtimeMs;
    const again = await reproduce("--quick", "--quiet");
    expect(again.code).toBe(2);
    expect(again.stderr).toContain("--resume");
    const resumed = await reproduce("--quick", "--quiet", "--resume");
    expect(resumed.code).toBe(0);
    expect(resumed.stdout).toContain("report:");
    expect(resumed.stdout.trimEnd().split("\n").at(-1)).toContain("these figures mean nothing");
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain("The figures on this page mean nothing");
    expect(statSync(result).mtimeMs).toBe(made);

    const other = await reproduce("--quiet", "--resume");
    expect(other.code).toBe(2);
    expect(other.stderr).toContain("another experiment");
  }, 300_000);

  it("runs the parts of a seed side by side and goes on from those that are finished", async () => {
    const at = join(dir, "cgpo");
    const flags = ["reproduce", "cgpo", "--seeds", "1", "--quick", "--jobs", "2", "--out", at];
    const first = await runCli(flags);
    expect(first).toMatchObject({ code: 0 });
    expect(first.stderr).toContain("reproduce cgpo: 13/13");
    const result = join(at, "seed-1", "result.json");
    const made = readFileSync(result, "utf8");
    rmSync(result);
    rmSync(join(at, "seed-1", "measured", "crpg.json"));
    expect(await runCli([...flags, "--resume", "--quiet"])).toMatchObject({ code: 0 });
    const figures = (text: string) => ({ ...JSON.parse(text), seconds: 0 });
    expect(figures(readFileSync(result, "utf8"))).toEqual(figures(made));
  }, 300_000);

  it("says how to go on when it is stopped before the first seed", async () => {
    const controller = new AbortController();
    const stopped = reproduceHere({
      experiment: "warm",
      out: join(dir, "warm"),
      seeds: [1],
      quick: true,
      resume: false,
      reporter: { ...silent, note: () => controller.abort() },
      signal: controller.signal,
    });
    await expect(stopped).rejects.toThrow(new InterruptedError("stopped; continue with --resume"));
  }, 60_000);

  it("ends with one sentence when a seed cannot run", async () => {
    const failed = await reproduce(
      "--quick",
      "--quiet",
      "--base-url",
      "http://127.0.0.1:9/v1",
      "--out",
      join(dir, "x"),
    );
    expect(failed.code).toBe(2);
    expect(failed.stderr.trim().split("\n")).toHaveLength(1);
    expect(failed.stderr).toContain("seed 1");
  });
});
