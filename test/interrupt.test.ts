// Every verb stops when told, whatever it is doing: exit code 130 and one sentence, nothing torn left behind, and for what
// trains a checkpoint from which the same command goes on to the same bytes.

import type { ChildProcess } from "node:child_process";
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type ChatServer, chatServer } from "./support/chat-server.js";
import { type CliResult, runCli } from "./support/cli.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { smallRuns } from "./support/small-runs.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: ChatServer;
/** The command that the next request to the server interrupts, and by what. */
let waiting: { child: ChildProcess; signal: NodeJS.Signals } | undefined;
beforeAll(async () => {
  shop = await openWorkshop();
  server = await chatServer(() => {
    waiting?.child.kill(waiting.signal);
    // A server that is told nothing of the end takes its time.
    return waiting ? { status: 503 } : "yes";
  });
  await writeFile(
    shop.path("slow.js"),
    `// In a thread of its own, so that it reads for itself what test/support/signal-at.js reads.
    const [signal, what, count] = (process.env.TOUCHSTONE_TEST_SIGNAL ?? "").split(" ");
    let left = Number(count?.slice(1) ?? 1);
    export default async function slow({ response }) {
      if (what === "judge" && --left === 0) process.kill(process.pid, signal);
      await new Promise((resolve) => setTimeout(resolve, signal ? 30 : 1));
      return { verdict: response.length % 3 === 0 ? "violated" : "satisfied", reason: "by its length" };
    }`,
  );
  // It answers the trial before the first step, and never again.
  await writeFile(
    shop.path("stuck.js"),
    `let asked = 0;
    export default () => (asked++ === 0 ? { verdict: "satisfied", reason: "" } : new Promise(() => {}));`,
  );
});
afterAll(async () => {
  await server?.close();
  await shop?.remove();
});

/** Without a bug, a torn file or a lock. */
async function expectClean({ stderr }: CliResult, dir: string): Promise<void> {
  expect(stderr).not.toMatch(/internal error|AbortError|aborted| {4}at /);
  for (const at of [dir, `${dir}/checkpoints`]) {
    const names = await readdir(at).catch((): string[] => []);
    expect(names.filter((name) => name.startsWith(".") || name.startsWith("lock"))).toEqual([]);
  }
}

const judged = () => {
  const recipe = smallRuns.align(shop) as { tasks: { judges: object[] }[] };
  recipe.tasks[0]!.judges.push(
    { module: shop.path("slow.js") },
    { kind: "yes_no", name: "asked", question: "Is it fine?", model: "m", base_url: server.baseUrl },
  );
  return recipe;
};

/** The signals of one command after the other, each resuming what the one before it left. */
const signals: Record<"align" | "sft" | "reward", readonly string[]> = {
  align: [
    "SIGTERM sample #1",
    "SIGHUP judge #8",
    "SIGINT request",
    "SIGTERM logprobs #5",
    "SIGHUP step #1",
    "SIGINT loadState",
    "SIGINT saveState",
    "SIGINT rename #4",
  ],
  sft: ["SIGINT backward #1", "SIGTERM logprobs #1", "SIGHUP step", "SIGTERM saveState", "SIGINT save #2"],
  reward: ["SIGTERM values #2", "SIGINT step", "SIGHUP backward #3", "SIGINT values #5", "SIGTERM save"],
};

describe("a signal in the middle of", () => {
  it.each(["align", "sft", "reward"] as const)(
    "%s ends it with a checkpoint, and --resume gives the same bytes",
    async (verb) => {
      const dir = shop.path(`run-${verb}`);
      const content = verb === "align" ? judged() : smallRuns[verb](shop);
      const recipe = await shop.recipe(`${verb}.yaml`, { output_dir: dir, ...content });
      const argv = [verb, recipe, "--quiet"];
      expect(await runCli(argv)).toMatchObject({ code: 0, stderr: "" });
      await rename(dir, `${dir}-undisturbed`);

      let stopped = 0;
      for (const what of signals[verb]) {
        const [signal, phase] = what.split(" ") as [NodeJS.Signals, string];
        const ended = await runCli([...argv, "--resume"], {
          env: phase === "request" ? {} : { TOUCHSTONE_TEST_SIGNAL: what },
          onStart: (child) => {
            waiting = phase === "request" ? { child, signal } : undefined;
          },
        });
        waiting = undefined;
        await expectClean(ended, dir);
        // What is told while it writes the final model is done.
        expect([0, 130], `${what}: ${ended.stderr}`).toContain(ended.code);
        if (ended.code === 130) {
          stopped++;
          // While it is only being tried whether the run can begin, there is no more to say.
          expect(ended.stderr, what).toMatch(/^touchstone: (reward model \d of \d: )?stopped( [^\n]+)?\n$/);
        }
      }
      expect(stopped).toBeGreaterThan(signals[verb].length / 2);
      expect(await runCli([...argv, "--resume"])).toMatchObject({ code: 0, stderr: "" });
      // Requests of one moment are answered in whatever order.
      for (const run of [dir, `${dir}-undisturbed`]) await rm(`${run}/llm`, { recursive: true, force: true });
      await expectSameBytes(dir, `${dir}-undisturbed`);
    },
    900_000,
  );

  it("align while a judge never answers", async () => {
    const dir = shop.path("run-stuck");
    const content = smallRuns.align(shop) as { tasks: { judges: object[] }[] };
    content.tasks[0]!.judges = [{ module: shop.path("stuck.js") }];
    const recipe = await shop.recipe("stuck.yaml", { output_dir: dir, ...content });
    const ended = await runCli(["align", recipe, "--quiet"], {
      env: { TOUCHSTONE_TEST_SIGNAL: "SIGTERM values #2" },
    });
    expect(ended).toMatchObject({ code: 130 });
    expect(ended.stderr).toMatch(/^touchstone: stopped before the first of 6 steps was done/);
    await expectClean(ended, dir);
  });

  it.each<[string, string, (out: string) => string[]]>([
    [
      "sample",
      "SIGINT sample",
      (out) => ["sample", shop.data("prompts/writing.jsonl"), "--model", shop.policy, "-o", out],
    ],
    [
      "score",
      "SIGTERM values",
      (out) => ["score", shop.data("sft.jsonl"), "--model", shop.reward, "-o", out],
    ],
    [
      "logprobs",
      "SIGHUP logprobs",
      (out) => ["logprobs", shop.data("sft.jsonl"), "--model", shop.policy, "-o", out],
    ],
    [
      "judge",
      "SIGINT judge #2",
      (out) => ["judge", shop.data("sft.jsonl"), "--judge", `{module: ${shop.path("slow.js")}}`, "-o", out],
    ],
    ["warm", "SIGTERM rename", (out) => ["warm", shop.reward, shop.reward, "-o", out]],
    [
      "eval",
      "SIGINT sample",
      (out) => [
        "eval",
        "--model",
        shop.policy,
        "--against",
        shop.policy,
        "--prompts",
        shop.data("prompts/writing.jsonl"),
        "--by",
        `reward:${shop.reward}`,
        "-o",
        out,
      ],
    ],
  ])("%s ends it, with all of its result or none", async (verb, what, argv) => {
    const out = shop.path("results", `${verb}-out`);
    const ended = await runCli(argv(out), { env: { TOUCHSTONE_TEST_SIGNAL: what } });
    expect(ended.stderr).not.toMatch(/internal error| {4}at /);
    expect([0, 130], ended.stderr).toContain(ended.code);
    const left = await readdir(shop.path("results")).catch((): string[] => []);
    expect(left.filter((name) => name !== `${verb}-out`)).toEqual([]);
    await rm(shop.path("results"), { recursive: true, force: true });
  });
});

it("a second Ctrl-C ends at once", async () => {
  const dir = shop.path("run-twice");
  const content = smallRuns.align(shop) as { tasks: { judges: object[] }[] };
  await writeFile(shop.path("recipe.yaml"), stringify({ output_dir: dir, ...content }));
  let told = 0;
  const ended = await runCli(["align", shop.path("recipe.yaml")], {
    env: { TOUCHSTONE_TEST_SIGNAL: "SIGINT backward" },
    onStart: (child) => {
      child.stderr!.on("data", (chunk: Buffer) => {
        if (chunk.toString().includes("press Ctrl-C again") && told++ === 0) child.kill("SIGINT");
      });
    },
  });
  expect(ended.code).toBe(130);
  await expectClean(ended, dir);
});
