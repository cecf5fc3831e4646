// `report_to: mlflow` and `report --to mlflow` against a server that replies, and refuses, as a recorded one does.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { trackMlflow } from "../src/trackers/mlflow.js";
import { MlflowClient, mlflowName } from "../src/trackers/mlflow-client.js";
import type { TrackedStep } from "../src/trackers/steps.js";
import { runCli } from "./support/cli.js";
import { writeFakeRun } from "./support/fake-runs.js";
import { run } from "./support/in-process.js";
import { type FakeRun, type MlflowServer, mlflowServer } from "./support/mlflow-server.js";
import { expectSameBytes } from "./support/same-bytes.js";
import { smallRuns } from "./support/small-runs.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let server: MlflowServer;
const root = mkdtempSync(join(tmpdir(), "touchstone-mlflow-"));
beforeAll(async () => {
  shop = await openWorkshop();
  server = await mlflowServer();
});
afterEach(() => {
  server.behave = () => "well";
  server.runs.length = server.asked.length = 0;
});
afterAll(async () => {
  await server.down();
  rmSync(root, { recursive: true });
  await shop.remove();
});

type Row = { step: number; [name: string]: unknown };
const rowsOf = (file: string): Row[] =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

/** Every number of a run's files, as the server has to have it. */
const wantedOf = (dir: string, files = ["metrics.jsonl", "timings.jsonl"]): string[] =>
  files
    .flatMap((file) => rowsOf(join(dir, file)))
    .flatMap(({ step, ...row }) =>
      Object.entries(row).flatMap(([name, value]) =>
        typeof value === "number" ? [`${step} ${name} ${value}`] : [],
      ),
    )
    .sort();

const foundIn = ({ metrics }: FakeRun): string[] =>
  metrics.map(({ step, key, value }) => `${step} ${key} ${value}`).sort();

async function* stepsFrom(steps: TrackedStep[]): AsyncGenerator<TrackedStep> {
  yield* steps;
}
const step = (number: number, figures: Record<string, number> = { loss: number / 2 }): TrackedStep => ({
  step: number,
  seconds: 1_700_000_000 + number,
  figures: Object.entries(figures),
  samples: [],
});

/** A tracker of an empty run directory, and what it says. */
async function tracking(name: string, before: TrackedStep[] = []) {
  const dir = writeFakeRun(root, name, { steps: 1 });
  const notes: string[] = [];
  const tracker = await trackMlflow(
    { trackingUri: server.url },
    { dir, steps: stepsFrom(before), note: (line) => notes.push(line), isLive: true },
  );
  return { dir, notes, tracker };
}

it("an alignment that is killed and resumed is one MLflow run with each figure once", async () => {
  const dir = shop.path("run");
  const mlflow = { kind: "mlflow", tracking_uri: server.url, experiment: "bots", run_name: "first" };
  const plain = { output_dir: dir, ...smallRuns.align(shop) };
  const alone = await shop.recipe("plain.yaml", plain);
  expect(await runCli(["align", alone, "--quiet"])).toMatchObject({ code: 0, stderr: "" });
  await rename(dir, `${dir}-plain`);
  const recipe = await shop.recipe("align.yaml", { ...plain, report_to: [mlflow] });
  const argv = ["align", recipe, "--quiet"];
  for (const [i, kill] of ["append metrics.jsonl #4", "rename checkpoints/latest"].entries())
    expect(
      await runCli(i > 0 ? [...argv, "--resume"] : argv, { env: { TOUCHSTONE_TEST_KILL: kill } }),
    ).toMatchObject({ signal: "SIGKILL" });
  expect(server.runs.map(({ status }) => status)).toEqual(["RUNNING"]);
  expect(await runCli([...argv, "--resume"])).toMatchObject({ code: 0, stderr: "" });

  expect(server.runs).toHaveLength(1);
  const [tracked] = server.runs as [FakeRun];
  expect([tracked.name, tracked.status]).toEqual(["first", "FINISHED"]);
  expect(tracked.ended).toBeGreaterThan(1e12);
  const exact = new Set(wantedOf(dir, ["metrics.jsonl"]));
  expect(foundIn(tracked).filter((line) => exact.has(line))).toEqual([...exact].sort());
  // Wall-clock figures of a step that was repeated are those of its first time, and which there are depends on what was cached.
  const places = foundIn(tracked).map((line) => line.split(" ").slice(0, 2).join(" "));
  expect(new Set(places).size).toBe(places.length);
  const timed = (lines: string[]) =>
    lines.filter((line) => / step_time/.test(line)).map((line) => parseInt(line, 10));
  expect(timed(foundIn(tracked))).toEqual(timed(wantedOf(dir)));

  expect(tracked.params.get("tasks.sums.optimizer.name")).toBe("crpg");
  expect(tracked.params.get("learning_rate")).toBe("0.02");
  expect([...tracked.params.keys()].filter((key) => /report_to|output_dir/.test(key))).toEqual([]);
  expect(tracked.tags).toMatchObject({ "mlflow.source.name": "touchstone", "touchstone.directory": dir });

  for (const name of ["recipe.yaml", "mlflow.json"]) rmSync(join(dir, name));
  rmSync(join(`${dir}-plain`, "recipe.yaml"));
  await expectSameBytes(dir, `${dir}-plain`);
}, 300_000);

it("every one of several reward models is a run of its own", async () => {
  const recipe = await shop.recipe("reward.yaml", {
    output_dir: shop.path("members"),
    ...smallRuns.reward(shop),
  });
  const flags = ["--quiet", "--report-to", "mlflow", "--jobs", "2"];
  const env = { MLFLOW_TRACKING_URI: server.url };
  expect(await runCli(["reward", recipe, ...flags], { env })).toMatchObject({ code: 0, stderr: "" });
  expect(server.runs.map(({ name, status }) => [name, status]).sort()).toEqual([
    ["members/member-1", "FINISHED"],
    ["members/member-2", "FINISHED"],
  ]);
  for (const one of server.runs) expect(foundIn(one)).toEqual(wantedOf(shop.path(one.name)));
}, 120_000);

it("a server that is down at the start is one sentence, and nothing is begun", async () => {
  const closed = await mlflowServer();
  await closed.down();
  const dir = shop.path("not-begun");
  const recipe = await shop.recipe("down.yaml", { output_dir: dir, ...smallRuns.sft(shop) });
  const { code, err } = await run(
    "sft",
    recipe,
    "--report-to",
    `[{ kind: mlflow, tracking_uri: "${closed.url}" }]`,
  );
  expect(code).toBe(2);
  expect(err).toMatch(
    new RegExp(
      `^touchstone: report_to: mlflow: no answer from the server at ${closed.url}: .*address of an MLflow tracking server\\?\\n$`,
    ),
  );
  expect(() => readFileSync(join(dir, "recipe.yaml"))).toThrow("ENOENT");
});

it("says what is wrong with an address, a user and an experiment", async () => {
  const trackingUri = server.url;
  expect(() => new MlflowClient({})).toThrow("give tracking_uri, or set MLFLOW_TRACKING_URI");
  expect(() => new MlflowClient({ trackingUri: "./mlruns" })).toThrow('not "./mlruns"');
  server.behave = () => ({ status: 401, text: "You are not authenticated." });
  const dir = writeFakeRun(root, "refused", { steps: 1 });
  const options = { dir, steps: stepsFrom([]), note: () => {}, isLive: true };
  await expect(trackMlflow({ trackingUri }, options)).rejects.toThrow(
    /^report_to: mlflow: 401 You are not authenticated\. .*MLFLOW_TRACKING_TOKEN$/,
  );
  server.behave = () => ({ status: 200, text: "<html>" });
  await expect(trackMlflow({ trackingUri }, options)).rejects.toThrow(
    /^report_to: mlflow: the reply is not JSON/,
  );
});

it("sends who it is as MLflow's own client does", async () => {
  const ask = async (env: Record<string, string>, ...address: [undefined?]) => {
    Object.assign(process.env, env);
    server.asked.length = 0;
    await new MlflowClient(address.length > 0 ? {} : { trackingUri: server.url }).check();
    for (const name of Object.keys(env)) delete process.env[name];
    return server.asked[0]!.authorization;
  };
  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;
  expect(await ask({})).toBeUndefined();
  expect(await ask({ MLFLOW_TRACKING_TOKEN: "a-token-of-mine" })).toBe("Bearer a-token-of-mine");
  const user = { MLFLOW_TRACKING_USERNAME: "ada", MLFLOW_TRACKING_PASSWORD: "secret-word" };
  expect(await ask({ ...user, MLFLOW_TRACKING_TOKEN: "a-token-of-mine" })).toBe(basic("ada:secret-word"));
  const address = server.url.replace("//", "//bob:pass%20word@");
  expect(await ask({ MLFLOW_TRACKING_URI: address }, undefined)).toBe(basic("bob:pass word"));
  expect(() => new MlflowClient({ trackingUri: address })).toThrow(
    /^report_to: mlflow: tracking_uri has a password in it/,
  );
});

it("a server that goes away costs nothing but the sending, which is made up for", async () => {
  const { notes, tracker } = await tracking("away");
  tracker.step(step(1));
  await tracker.sent();
  await server.down();
  for (let i = 2; i <= 40; i++) tracker.step(step(i));
  await delay(50);
  expect(notes).toEqual([
    expect.stringMatching(
      /^mlflow: no answer from the server at .*; the run goes on, and its figures are kept and sent later$/,
    ),
  ]);
  await server.up();
  await tracker.sent();
  expect(notes[1]).toBe("mlflow: the server answers again");
  await tracker.end("finished");
  expect(server.runs[0]!.metrics.map(({ step }) => step)).toEqual(
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  expect(server.runs[0]!.status).toBe("FINISHED");
  expect(notes[2]).toMatch(
    /^mlflow: all figures were sent; the server failed to take them \d times? before$/,
  );
}, 30_000);

it("what could not be sent is counted at the end, and report --to mlflow makes it whole", async () => {
  const { dir, notes, tracker } = await tracking("left");
  await server.down();
  for (let i = 1; i <= 7; i++) tracker.step(step(i));
  await tracker.end("interrupted");
  expect(notes.at(-1)).toMatch(
    new RegExp(
      `^warning: mlflow: figures of 7 steps were not sent \\(no answer .*\\); touchstone report ${dir} --to mlflow`,
    ),
  );
  await server.up();
  expect(server.runs.map(({ status }) => status)).toEqual(["RUNNING"]);
  const { code } = await run("report", dir, "--to", "mlflow", "--tracking-uri", server.url);
  expect(code).toBe(0);
  expect(server.runs).toHaveLength(1);
  expect(foundIn(server.runs[0]!)).toEqual(wantedOf(dir));
});

it("a reply that is lost doubles nothing", async () => {
  const { tracker } = await tracking("lost");
  let lost = 0;
  server.behave = (path) => (path === "runs/log-batch" && lost++ < 2 ? "lost" : "well");
  for (let i = 1; i <= 3; i++) tracker.step(step(i, { loss: i, reward: -i }));
  await tracker.end("failed");
  expect(foundIn(server.runs[0]!)).toEqual(
    [1, 2, 3].flatMap((i) => [`${i} loss ${i}`, `${i} reward ${-i}`]).sort(),
  );
  expect(server.runs[0]!.status).toBe("FAILED");
}, 30_000);

it("keeps to the limits: 1000 metrics and 100 parameters a call, and names that it takes", async () => {
  const dir = writeFakeRun(root, "large", { steps: 2 });
  const keys = Array.from({ length: 230 }, (_, i) => `  key_${i}: ${i === 7 ? "x".repeat(9000) : i}`);
  writeFileSync(
    join(dir, "recipe.yaml"),
    `monitor: { webhook: http://hook.example/secret, window: 5 }\nllm:\n${keys.join("\n")}\n`,
  );
  const figures = Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`m${i}`, i]));
  writeFileSync(
    join(dir, "metrics.jsonl"),
    [1, 2]
      .map(
        (number) =>
          `${JSON.stringify({ step: number, ...figures, "tasks/a%b//c/kl": 1, "tasks/a_b/c/kl": 2 })}\n`,
      )
      .join(""),
  );
  const { code, err } = await run(
    "report",
    dir,
    "--to",
    "mlflow",
    "--tracking-uri",
    server.url,
    "--experiment",
    "e",
  );
  expect([code, err]).toEqual([0, ""]);
  const [sent] = server.runs as [FakeRun];
  // Those of metrics.jsonl and of timings.jsonl, each once.
  const figureCount = ["metrics", "timings"]
    .flatMap((name) =>
      readFileSync(join(dir, `${name}.jsonl`), "utf8")
        .trim()
        .split("\n"),
    )
    .reduce((sum, line) => sum + Object.keys(JSON.parse(line) as object).length - 1, 0);
  expect(figureCount).toBeGreaterThan(2 * 1502);
  expect(sent.metrics.length).toBe(figureCount);
  expect(sent.params.size).toBe(231);
  expect(sent.params.get("monitor.window")).toBe("5");
  expect(sent.params.get("llm.key_7")).toBe(`${"x".repeat(497)}...`);
  expect(mlflowName("tasks/chat/reward")).toBe("tasks/chat/reward");
  const odd = ["a%b", "a&b", "../x", "/x", "x/", "", "..", "y".repeat(300), `${"y".repeat(300)}z`].map(
    mlflowName,
  );
  expect(new Set(odd).size).toBe(odd.length);
  // Sent again, nothing is doubled.
  await run("report", dir, "--to", "mlflow", "--tracking-uri", server.url);
  expect(server.runs.map(({ metrics }) => metrics.length)).toEqual([figureCount]);
});

it("what the server refuses for good is counted and said, and the rest is sent", async () => {
  const { notes, tracker } = await tracking("deleted");
  tracker.step(step(1));
  await tracker.sent();
  server.runs[0]!.lifecycle = "deleted";
  tracker.step(step(2));
  await tracker.end("finished");
  expect(notes.at(-1)).toMatch(
    /^warning: mlflow: the server refused 1 figures: 400 The run .* must be in the 'active' state/,
  );
  const again = await trackMlflow(
    { trackingUri: server.url },
    {
      dir: join(root, "deleted"),
      steps: stepsFrom([step(1), step(2)]),
      note: (line) => notes.push(line),
      isLive: true,
    },
  );
  await again.end("finished");
  expect(notes.at(-1)).toMatch(/is there no more; this one begins another$/);
  expect(server.runs[1]!.metrics.map(({ step }) => step)).toEqual([1, 2]);
});
