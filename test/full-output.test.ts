// Every verb that prints, into a standard output that takes nothing: one sentence and a failing exit code, never a silent 0.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isBuilt } from "./support/built.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
beforeAll(async () => {
  shop = await openWorkshop();
  await mkdir(shop.path("run"));
  await writeFile(shop.path("run/recipe.yaml"), "steps: 1\n");
  await writeFile(shop.path("run/metrics.jsonl"), '{"step":1,"reward":1}\n');
  await writeFile(shop.path("run/rollouts.jsonl"), "");
  await writeFile(shop.path("rules.yaml"), "tasks: { a: { keywords: [sea] } }\ndefault: a\n");
  await writeFile(
    shop.path("sft.yaml"),
    `output_dir: ${shop.path("sft")}\nmodel: ${shop.policy}\ndata: ${shop.data("sft.jsonl")}\nsteps: 1\nbatch_size: 1\n`,
  );
});
afterAll(() => shop.remove());

const fixture = (name: string) => join(import.meta.dirname, "fixtures", name);
const program = isBuilt()
  ? [join(import.meta.dirname, "../bin/touchstone.js")]
  : ["--import", import.meta.resolve("tsx"), join(import.meta.dirname, "support/main.ts")];

/** The command with its standard output at /dev/full. */
function intoNothing(argv: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const shell = ["-c", 'exec "$@" > /dev/full', "sh", process.execPath, ...program, ...argv];
  const child = spawn("sh", shell, { env: { ...process.env, TOUCHSTONE_THREADS: "1" } });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stderr })));
}

const verbs: [name: string, argv: () => string[]][] = [
  ["--help", () => ["--help"]],
  ["--version", () => ["--version"]],
  ["help", () => ["help", "sft"]],
  ["completion", () => ["completion", "bash"]],
  ["doctor", () => ["doctor"]],
  ["init", () => ["init", "--help"]],
  ["sft --check", () => ["sft", shop.path("sft.yaml"), "--check"]],
  ["sft", () => ["sft", shop.path("sft.yaml"), "--quiet"]],
  ["sample", () => ["sample", shop.data("sft.jsonl"), "--model", shop.policy, "--max-new-tokens", "2"]],
  ["score", () => ["score", shop.data("sft.jsonl"), "--model", shop.reward]],
  ["logprobs", () => ["logprobs", shop.data("sft.jsonl"), "--model", shop.policy]],
  ["judge", () => ["judge", shop.data("sft.jsonl"), "--judge", "{kind: length, max_words: 3}"]],
  [
    "eval",
    () => [
      ...["eval", "--model", shop.policy, "--task", fixture("eval/arc.jsonl"), "--max-new-tokens", "2"],
      "--quiet",
    ],
  ],
  [
    "split",
    () => ["split", shop.data("sft.jsonl"), "--rules", shop.path("rules.yaml"), "-o", shop.path("split")],
  ],
  ["rubric show", () => ["rubric", "show", "essay"]],
  ["rubric diff", () => ["rubric", "diff", "essay", "summary"]],
  ["report", () => ["report", shop.path("run"), "-o", shop.path("page.html")]],
  ["convert", () => ["convert", fixture("gguf/llama.gguf"), shop.path("converted")]],
  ["warm", () => ["warm", shop.reward, shop.reward, "-o", shop.path("warm")]],
];

describe.runIf(existsSync("/dev/full"))("a standard output that is full", () => {
  it.each(verbs)(
    "%s",
    async (_, argv) => {
      const { code, stderr } = await intoNothing(argv());
      expect(stderr).toMatch(/touchstone: could not write to the standard output: the disk is full\n$/);
      expect(stderr).not.toMatch(/internal error| {4}at /);
      expect(code).toBe(2);
    },
    60_000,
  );
});
