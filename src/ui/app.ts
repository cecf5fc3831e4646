// The routes of the page: everything is read from run directories, nothing is written and no process is asked anything.

import { createHash, timingSafeEqual } from "node:crypto";
import { stat } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { type Context, Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { streamSSE } from "hono/streaming";
import { UserError } from "../base/errors.js";
import { alarmsIn } from "../monitor/run.js";
import type { Alarm } from "../monitor/watch.js";
import { type MetricsRow, type Rollout, readJsonl } from "../run/metrics.js";
import { SpreadTally, type StandardErrors } from "../run/spread.js";
import { metricsTable } from "./metrics-table.js";
import { parseRolloutQuery } from "./queries.js";
import { RolloutIndex, type RolloutQuery } from "./rollout-index.js";
import { rubricsOf } from "./rubrics.js";
import { findRuns, pathInside, type RunSummary, readInside, summarize } from "./run-list.js";
import { Tail } from "./tail.js";

export interface UiOptions {
  /** The directory whose runs are shown. */
  root: string;
  /** Without it nothing is shown. */
  token: string;
  /** Hosts by which the server may be called; a page of another name that resolves to it is refused. */
  hosts: readonly string[];
  /** The page's files by their path. */
  assets: ReadonlyMap<string, { body: Uint8Array<ArrayBuffer>; type: string }>;
}

const COOKIE = "touchstone_ui";

/** Nothing is loaded from elsewhere, and what a model wrote can be nothing but text. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** How long a request waits for an index that is still reading its file. */
const PATIENCE_MS = 400;
/** How long a search may look before it answers with what it has. */
const SEARCH_MS = 1500;
/** How often files are looked at for a page that follows them. */
const POLL_MS = 1000;
/** Indices that are kept; the one unused for longest goes. */
const INDICES = 8;

const isSame = (a: string, b: string): boolean => {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
};

/** The web application; `app.fetch` answers requests. */
export function uiApp(options: UiOptions): Hono {
  const app = new Hono();
  guard(app, options);
  assets(app, options);
  const runs = new Runs(options.root);
  app.get("/api/runs", async (c) => c.json({ root: options.root, runs: await runs.list() }));
  app.get("/api/run", async (c) => {
    const id = await runs.require(c.req.query("run"));
    return c.json({
      ...(await summarize(options.root, id)),
      recipeText: await readInside(options.root, id, "recipe.yaml"),
    });
  });
  app.get("/api/metrics", async (c) => {
    const id = await runs.require(c.req.query("run"));
    // A torn last line is left out.
    return c.json(metricsTable(await readJsonl(await pathInside(options.root, id, "metrics.jsonl"))));
  });
  app.get("/api/alarms", async (c) => c.json(await runs.alarms(await runs.require(c.req.query("run")))));
  app.get("/api/spread", async (c) => c.json(await runs.spread(c.req.query("run"))));
  app.get("/api/rubrics", async (c) =>
    c.json(await rubricsOf(options.root, await runs.require(c.req.query("run")))),
  );
  app.get("/api/rollouts", async (c) => c.json(await rolloutPage(runs, c.req.query())));
  app.get("/api/rollout", async (c) => {
    const index = await runs.index(c.req.query("run"));
    const [row] = await index.read([Number(c.req.query("row"))]);
    return row ? c.json(row) : c.json({ error: "there is no such row" }, 404);
  });
  app.get("/api/prompt", async (c) => c.json(await promptPage(runs, c.req.query())));
  app.get("/api/judges", async (c) => c.json(await judgePage(runs, c.req.query())));
  app.get("/api/events", (c) => follow(c, options.root, runs));
  return app;
}

function guard(app: Hono, { token, hosts }: UiOptions): void {
  app.use(async (c, next) => {
    const host = new URL(c.req.url).hostname.replace(/^\[|\]$/g, "");
    if (!hosts.includes(host)) return c.text(`this server does not answer to the name ${host}`, 403);
    if (c.req.method !== "GET" && c.req.method !== "HEAD") return c.text("read-only", 405);
    const given = c.req.query("token");
    if (given !== undefined && isSame(given, token)) {
      setCookie(c, COOKIE, token, { httpOnly: true, sameSite: "Strict", path: "/" });
      return c.redirect(c.req.path);
    }
    const bearer = c.req.header("authorization")?.replace(/^Bearer /, "");
    if (!isSame(getCookie(c, COOKIE) ?? bearer ?? "", token))
      return c.text("open the address that `touchstone ui` printed: it has a token\n", 401);
    await next();
    c.header("content-security-policy", POLICY);
    c.header("x-content-type-options", "nosniff");
    c.header("referrer-policy", "no-referrer");
    c.header("cross-origin-resource-policy", "same-origin");
    if (c.req.path.startsWith("/api/")) c.header("cache-control", "no-store");
    return;
  });
  app.onError((error, c) => {
    if (error instanceof UserError) return c.json({ error: error.message }, 400);
    return c.json({ error: `internal error: ${error.message}` }, 500);
  });
}

function assets(app: Hono, { assets }: UiOptions): void {
  app.get("/", (c) => serve(c, "/index.html"));
  app.get("/assets/:name", (c) => serve(c, c.req.path));
  const serve = (c: Context, path: string) => {
    const file = assets.get(path);
    if (!file) return c.notFound();
    return c.body(file.body, 200, { "content-type": file.type });
  };
}

/** The runs below the root, and the indices of those that were looked into. */
class Runs {
  private readonly indices = new Map<string, RolloutIndex>();

  /** The alarms of runs as their files were: pages ask again and again, and most runs have not changed. */
  private readonly alarmed = new Map<string, { state: string; alarms: Alarm[] }>();

  private readonly spreads = new WeakMap<
    RolloutIndex,
    { generation: number; rows: number; tally: SpreadTally }
  >();

  constructor(private readonly root: string) {}

  async alarms(run: string): Promise<Alarm[]> {
    const path = await pathInside(this.root, run, "metrics.jsonl");
    const text = await readInside(this.root, run, "recipe.yaml");
    // A run that has logged nothing yet may have no such file.
    const file = await stat(path).catch(() => undefined);
    const state = JSON.stringify([file?.size, file?.mtimeMs, text]);
    const known = this.alarmed.get(run);
    if (known?.state === state) return known.alarms;
    const alarms = alarmsIn(await readJsonl(path), { text, path: "recipe.yaml" });
    this.alarmed.set(run, { state, alarms });
    return alarms;
  }

  async timings(id: string | undefined): Promise<MetricsRow[]> {
    return await readJsonl(await pathInside(this.root, await this.require(id), "timings.jsonl"));
  }

  /** How sure the means of the steps are, as far as the rollouts have been read. */
  async spread(id: string | undefined): Promise<StandardErrors> {
    const index = await this.index(id);
    let known = this.spreads.get(index);
    if (known?.generation !== index.generation)
      this.spreads.set(index, (known = { generation: index.generation, rows: 0, tally: new SpreadTally() }));
    const from = known.rows;
    known.rows = index.count;
    for (let row = from; row < known.rows; row++) {
      known.tally.add(index.sample(row));
      // Others are answered meanwhile.
      if (row % SPREAD_ROWS === 0) await setImmediate();
    }
    return known.tally.errors();
  }

  async list(): Promise<RunSummary[]> {
    const ids = await findRuns(this.root);
    return await Promise.all(ids.map((id) => summarize(this.root, id)));
  }

  /** The id, if there is such a run: no path is ever made from a request that the listing does not hold. */
  async require(id: string | undefined): Promise<string> {
    if (id === undefined || !(await findRuns(this.root)).includes(id))
      throw new UserError(`run: there is no run "${id ?? ""}"`);
    return id;
  }

  async index(id: string | undefined): Promise<RolloutIndex> {
    const run = await this.require(id);
    const index =
      this.indices.get(run) ?? new RolloutIndex(await pathInside(this.root, run, "rollouts.jsonl"));
    this.indices.delete(run);
    this.indices.set(run, index);
    for (const old of [...this.indices.keys()].slice(0, -INDICES)) this.indices.delete(old);
    await index.grow(PATIENCE_MS);
    return index;
  }
}

/** Rows whose spread is tallied at a time. */
const SPREAD_ROWS = 20_000;

/** Characters of a text that a list shows. */
const EXCERPT = 600;
const excerpt = (text: unknown): string => String(text ?? "").slice(0, EXCERPT);

/** A row of a list: what is long of it is shown when it is opened. */
function listed({ token_texts, token_log_ratios, token_values, ...row }: Rollout): Rollout {
  return { ...row, prompt: excerpt(row.prompt), response: excerpt(row.response) };
}

async function rolloutPage(runs: Runs, given: Record<string, string>): Promise<object> {
  const { run, query, search, from, limit } = parseRolloutQuery(given);
  const index = await runs.index(run);
  const rows = index.select(query);
  const { found, next } = search
    ? await index.search(rows, { ...search, from, limit, milliseconds: SEARCH_MS })
    : { found: [...rows.slice(from, from + limit)], next: Math.min(rows.length, from + limit) };
  const read = await index.read(found);
  return {
    rows: read.map(listed),
    /** Rows that the columns' filters leave; a search looks among these. */
    matching: rows.length,
    next: next < rows.length ? next : null,
    count: index.count,
    unreadable: index.unreadable,
    progress: index.progress,
    tasks: index.tasks.list,
    judges: index.judges.list,
  };
}

/** Samples of one prompt that a page shows. */
const OF_PROMPT = 400;

async function promptPage(runs: Runs, { run, prompt }: Record<string, string>): Promise<object> {
  const index = await runs.index(run);
  const rows = index.select({ promptKey: prompt, sort: "step" });
  return {
    matching: rows.length,
    progress: index.progress,
    rows: await index.read(rows.slice(0, OF_PROMPT)),
  };
}

/** Rows that are read for the most frequent reasons of a judge. */
const OF_REASONS = 500;

/** Figures of a judge that a run writes at every step. */
const PER_STEP = ["latency", "cache_hits", "calls", "prompt_tokens", "completion_tokens", "cost"] as const;
type JudgeExpense = Partial<Record<(typeof PER_STEP)[number], number>>;

/**
 * What judges took, from timings.jsonl: the mean latency of the steps, seconds, and the sums of what else is counted. A run
 * that was resumed counts what it asked again.
 */
function expensesOf(rows: readonly MetricsRow[], task: string | undefined): Map<string, JudgeExpense> {
  const found = new Map<string, Map<string, number[]>>();
  for (const row of rows)
    for (const [key, value] of Object.entries(row)) {
      const [, of, judge, figure] = /^tasks\/([^/]+)\/judges\/(.+)\/([a-z_]+)$/.exec(key) ?? [];
      if (typeof value !== "number" || !judge || !figure || (task && of !== task)) continue;
      const figures = found.get(judge) ?? new Map<string, number[]>();
      const values = figures.get(figure);
      if (values) values.push(value);
      else figures.set(figure, [value]);
      found.set(judge, figures);
    }
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  return new Map(
    [...found].map(([judge, figures]) => [
      judge,
      Object.fromEntries(
        PER_STEP.flatMap((figure) => {
          const values = figures.get(figure);
          if (!values) return [];
          return [[figure, figure === "latency" ? sum(values) / values.length : sum(values)]];
        }),
      ),
    ]),
  );
}

async function judgePage(runs: Runs, { run, task }: Record<string, string>): Promise<object> {
  const index = await runs.index(run);
  const expenses = expensesOf(await runs.timings(run), task);
  const query: RolloutQuery = task ? { task } : {};
  const all = index.select(query).slice();
  const counts = index.counts(all);
  const judges = [];
  for (const judge of index.judges.list) {
    const reasons: Record<string, { reason: string; count: number }[]> = {};
    for (const verdict of ["violated", "failed"] as const) {
      const rows = index.select({ ...query, judge, verdict }).slice(-OF_REASONS);
      const said = (await index.read(rows)).map(({ verdicts }) => String(verdicts[judge]?.reason ?? ""));
      reasons[verdict] = mostFrequent(said);
    }
    judges.push({ judge, ...counts[judge], reasons, expense: expenses.get(judge) ?? {} });
  }
  return {
    judges,
    disagreements: index.disagreements(all),
    progress: index.progress,
    tasks: index.tasks.list,
  };
}

/** Reasons that differ in figures and quoted text only are one. */
function mostFrequent(reasons: readonly string[]): { reason: string; count: number }[] {
  const counts = new Map<string, { reason: string; count: number }>();
  for (const reason of reasons) {
    const kind = reason.replace(/"[^"]*"/g, '"…"').replace(/\d+(\.\d+)?/g, "#");
    const entry = counts.get(kind) ?? { reason: reason.slice(0, EXCERPT), count: 0 };
    counts.set(kind, { ...entry, count: entry.count + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count).slice(0, 5);
}

/** Server-sent events: the list of runs when it changes, and the new rows of metrics of the runs that a page looks at. */
function follow(c: Context, root: string, runs: Runs): Response {
  return streamSSE(c, async (stream) => {
    const followed = await Promise.all((c.req.queries("run") ?? []).map((id) => runs.require(id)));
    const tails = await Promise.all(
      followed.map(async (id) => ({ id, tail: new Tail(await pathInside(root, id, "metrics.jsonl")) })),
    );
    let known = "";
    while (!stream.aborted && !stream.closed) {
      const list = JSON.stringify({ root, runs: await runs.list() });
      if (list !== known) await stream.writeSSE({ event: "runs", data: (known = list) });
      for (const { id, tail } of tails) {
        const { rows, restarted } = await tail.read();
        if (rows.length > 0 || restarted)
          await stream.writeSSE({ event: "metrics", data: JSON.stringify({ run: id, rows, restarted }) });
      }
      await stream.sleep(POLL_MS);
    }
  });
}
