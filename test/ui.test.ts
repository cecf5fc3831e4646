// The server of `touchstone ui`: what it answers, and what it does not serve.

import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { uiApp } from "../src/ui/app.js";
import { RolloutIndex } from "../src/ui/rollout-index.js";
import { fakeRollout, writeFakeRun } from "./support/fake-runs.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "touchstone-ui-"));
  writeFakeRun(root, "done");
  writeFakeRun(root, "deep/seed-2", { seed: 2, finished: false });
  writeFileSync(
    join(root, "deep/seed-2/ending.json"),
    JSON.stringify({ how: "failed", reason: "401 incorrect key" }),
  );
  writeFileSync(join(root, "secret.txt"), "secret");
});
afterAll(() => rmSync(root, { recursive: true }));

const app = () => uiApp({ root, token: "t0ken", hosts: ["127.0.0.1"], assets: new Map() });
const get = (path: string, headers: Record<string, string> = { authorization: "Bearer t0ken" }) =>
  app().request(`http://127.0.0.1${path}`, { headers });
const json = async (path: string) => (await get(path)).json() as Promise<any>;

describe("alarms", () => {
  it("are those of the monitor, by what the run's recipe says of it, and none without metrics", async () => {
    const dir = writeFakeRun(root, "alarmed");
    const rows = Array.from({ length: 40 }, (_, i) => ({
      step: i + 1,
      "tasks/chat/rewards/mean": i / 40,
      "tasks/chat/constraints/satisfied_rate": i < 20 ? 0.9 : 0.4,
    }));
    writeFileSync(join(dir, "metrics.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const [alarm, ...more] = await json("/api/alarms?run=alarmed");
    expect(alarm).toMatchObject({ task: "chat", signal: "feasible", since: 20, step: 21 });
    expect(more).toEqual([]);
    writeFileSync(join(dir, "recipe.yaml"), "steps: 40\nmonitor: { signals: [length] }\n");
    expect(await json("/api/alarms?run=alarmed")).toEqual([]);
    writeFileSync(join(dir, "metrics.jsonl"), "");
    expect(await json("/api/alarms?run=alarmed")).toEqual([]);
    rmSync(join(dir, "metrics.jsonl"));
    expect(await json("/api/alarms?run=alarmed")).toEqual([]);
    expect((await get("/api/alarms?run=../alarmed")).status).toBe(400);
    rmSync(dir, { recursive: true });
  });
});

describe("who is answered", () => {
  it("nobody without the token, nor with another one", async () => {
    expect((await get("/api/runs", {})).status).toBe(401);
    expect((await get("/api/runs", { authorization: "Bearer other" })).status).toBe(401);
    expect((await get("/?token=other", {})).status).toBe(401);
  });

  it("the token in the address becomes a cookie, and leaves the address", async () => {
    const response = await get("/?token=t0ken", {});
    expect(response.status).toBe(302);
    expect(response.headers.get("location")).toBe("/");
    const cookie = response.headers.get("set-cookie")!;
    expect(cookie).toContain("HttpOnly");
    expect(cookie).toContain("SameSite=Strict");
    expect((await get("/api/runs", { cookie: cookie.split(";")[0]! })).status).toBe(200);
  });

  it("no page of another name that resolves to this machine", async () => {
    const response = await app().request("http://evil.example/api/runs", {
      headers: { authorization: "Bearer t0ken" },
    });
    expect(response.status).toBe(403);
  });

  it("no request that would change something", async () => {
    const response = await app().request("http://127.0.0.1/api/runs", {
      method: "POST",
      headers: { authorization: "Bearer t0ken" },
    });
    expect(response.status).toBe(405);
  });

  it("with a policy that loads nothing from elsewhere", async () => {
    expect((await get("/api/runs")).headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});

describe("what lies outside the runs", () => {
  it.each(["../../etc", "..%2f..%2fetc", "/etc", "done/../../..", "secret.txt", "done%00"])(
    "%s is no run",
    async (run) => {
      for (const path of ["run", "metrics", "rollouts", "rubrics", "judges", "prompt"]) {
        const response = await get(`/api/${path}?run=${run}`);
        expect(response.status).toBe(400);
        expect(await response.text()).not.toContain("root:");
      }
    },
  );

  it("a link out of the directory is not followed", async () => {
    const outside = mkdtempSync(join(tmpdir(), "touchstone-outside-"));
    writeFakeRun(outside, "run");
    mkdirSync(join(root, "linked"));
    writeFileSync(join(root, "linked/recipe.yaml"), "seed: 1\n");
    symlinkSync(join(outside, "run/rollouts.jsonl"), join(root, "linked/rollouts.jsonl"));
    symlinkSync(join(outside, "run"), join(root, "whole"));
    const { runs } = await json("/api/runs").catch(() => ({ runs: [] }));
    expect(runs.map(({ id }: { id: string }) => id)).not.toContain("whole");
    const response = await get("/api/rollouts?run=linked");
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("leads out of");
    rmSync(join(root, "linked"), { recursive: true });
    rmSync(join(root, "whole"));
    rmSync(outside, { recursive: true });
  });
});

describe("runs", () => {
  it("are listed with state, reason and progress", async () => {
    const { runs } = await json("/api/runs");
    expect(runs).toMatchObject([
      {
        id: "deep/seed-2",
        state: "failed",
        reason: "401 incorrect key",
        step: 40,
        steps: 40,
        seed: 2,
        kind: "align",
      },
      { id: "done", state: "finished", step: 40, hasRollouts: true },
    ]);
  });

  it("metrics by columns; a torn last line is left out", async () => {
    appendFileSync(join(root, "deep/seed-2/metrics.jsonl"), '{"step": 41, "lo');
    const { steps, values } = await json("/api/metrics?run=deep/seed-2");
    expect(steps).toHaveLength(40);
    expect(values.loss[1]).toBe(0.5);
  });

  it("events: the list, then the rows that arrive", async () => {
    const response = await get("/api/events?run=done");
    const reader = response.body!.getReader();
    let text = "";
    const until = async (what: string) => {
      while (!text.includes(what)) text += new TextDecoder().decode((await reader.read()).value);
    };
    await until("event: metrics");
    appendFileSync(join(root, "done/metrics.jsonl"), `${JSON.stringify({ step: 41, loss: 123.5 })}\n`);
    await until("123.5");
    expect(text).toContain("event: runs");
    await reader.cancel();
  });
});

describe("rollouts", () => {
  const page = (query: string) => json(`/api/rollouts?run=done&${query}`);

  it("come in pages", async () => {
    const first = await page("limit=50");
    expect(first).toMatchObject({ matching: 320, count: 320, next: 50, progress: 1, unreadable: 0 });
    expect(first.rows[9]).toMatchObject({ row: 9, step: 2, response: "Answer 1 of step 2" });
    expect((await page("limit=50&from=300")).next).toBeNull();
  });

  it.each([
    ["task=math", (row: any) => row.task === "math", 160],
    ["outcome=violated", (row: any) => row.outcome === "violated", 120],
    ["judge=brief&verdict=violated", (row: any) => row.verdicts.brief.verdict === "violated", 120],
    ["verdict=failed", (row: any) => row.verdicts.polite.verdict === "failed", 40],
    ["finish=length", (row: any) => row.finish_reason === "length", 80],
    ["step_from=3&step_to=5", (row: any) => row.step >= 3 && row.step <= 5, 24],
    ["reward_from=0", (row: any) => row.reward !== null, 280],
    ["task=nobody", () => false, 0],
    ["text=Answer 5 of", (row: any) => row.response.includes("Answer 5 of"), 40],
    ["text=words&judge=brief", () => true, 320],
    ["text=step (7|8)$&regex=1", (row: any) => /step (7|8)$/.test(row.response), 14],
  ])("%s", async (query, fits, count) => {
    const { rows } = await page(`limit=500&${query}`);
    expect(rows).toHaveLength(count);
    expect(rows.every(fits)).toBe(true);
  });

  it("are sorted, those without a value last either way", async () => {
    for (const descending of ["0", "1"]) {
      const { rows } = await page(`limit=500&sort=reward&descending=${descending}`);
      const rewards = rows.map(({ reward }: { reward: number | null }) => reward);
      const known = rewards.filter((reward: number | null) => reward !== null);
      expect(rewards.slice(known.length).every((reward: null) => reward === null)).toBe(true);
      const sorted = [...known].sort((a, b) => (descending === "1" ? b - a : a - b));
      expect(known).toEqual(sorted);
    }
  });

  it.each([
    ["text=(&regex=1", "not a regular expression"],
    ["limit=-1", "limit"],
    ["outcome=maybe", "outcome"],
    ["nobody=1", "nobody"],
    ["sort=verdicts", "sort"],
  ])("%s is a mistake", async (query, sentence) => {
    const response = await get(`/api/rollouts?run=done&${query}`);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: string }).error).toContain(sentence);
  });

  it("one prompt through all steps", async () => {
    const { rows } = await json(`/api/prompt?run=done&prompt=${encodeURIComponent("math\np1")}`);
    expect(rows).toHaveLength(80);
    expect(rows.map(({ step }: { step: number }) => step)).toEqual(
      [...rows.keys()].map((i: number) => 1 + Math.floor(i / 2)),
    );
  });

  it("spread: standard errors of the steps' means over their prompts", async () => {
    const spread = await json("/api/spread?run=done");
    expect(Object.keys(spread["tasks/chat/reward"])).toHaveLength(40);
    // Chat has the prompts p0 and p2, of two samples each, and a sample's columns are those of the index.
    const { rows } = await json("/api/rollouts?run=done&task=chat&step_from=1&step_to=1");
    expect(rows[0].token_texts).toBeUndefined();
    const means = ["p0", "p2"].map((id) => {
      const of = rows.filter((row: any) => row.prompt_id === id).map((row: any) => row.reward);
      return of.reduce((sum: number, x: number) => sum + x, 0) / of.length;
    });
    expect(spread["tasks/chat/rewards/mean"][1]).toBeCloseTo(Math.abs(means[0]! - means[1]!) / 2, 3);
  });

  it("judges: counts, reasons of one kind together, and what two judges say differently", async () => {
    const { judges, disagreements } = await json("/api/judges?run=done");
    expect(judges).toMatchObject([
      { judge: "brief", satisfied: 200, violated: 120, failed: 0 },
      { judge: "polite", satisfied: 280, violated: 0, failed: 40 },
    ]);
    expect(judges[0].reasons.violated).toEqual([{ reason: expect.stringContaining("words"), count: 120 }]);
    expect(judges[1].reasons.failed[0].reason).toBe("the server said 500");
    expect([judges[0].expense, judges[1].expense]).toEqual([
      {},
      { latency: 0.75, calls: 120, prompt_tokens: 28_000 },
    ]);
    expect((await json("/api/judges?run=done&task=math")).judges[1].expense).toEqual({});
    expect(disagreements).toEqual([{ judges: ["brief", "polite"], both: 280, differ: 120 }]);
  });
});

describe("the index", () => {
  const fresh = () => join(mkdtempSync(join(tmpdir(), "touchstone-index-")), "rollouts.jsonl");

  it("grows with its file, and begins anew when the file was cut", async () => {
    const path = fresh();
    const random = new RandomStream(1, "fake");
    const line = (step: number) => `${JSON.stringify(fakeRollout(step, 1, random))}\n`;
    writeFileSync(path, line(1) + line(2) + line(3).slice(0, 20));
    const index = new RolloutIndex(path);
    await index.grow(5000);
    expect(index.count).toBe(2);
    writeFileSync(path, line(1));
    await index.grow(5000);
    expect([index.count, index.generation]).toEqual([1, 1]);
    appendFileSync(path, line(2));
    await index.grow(5000);
    expect((await index.read(index.select({}))).map(({ step }) => step)).toEqual([1, 2]);
  });

  it("counts lines that are no samples, and reads lines longer than its buffer", async () => {
    const path = fresh();
    const long = { ...fakeRollout(1, 1, new RandomStream(1, "fake")), response: "x".repeat(5 << 20) };
    writeFileSync(path, `nonsense\n[1]\n17\n${JSON.stringify(long)}\n`);
    const index = new RolloutIndex(path);
    await index.grow(5000);
    expect(index.unreadable).toBe(3);
    expect((await index.read([0]))[0]!.response).toHaveLength(5 << 20);
  });
});
