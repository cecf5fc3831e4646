// A tracking server of MLflow as a test sees it: it keeps experiments and runs, replies in the shapes of a real one
// (test/fixtures/mlflow/replies.json), and refuses what that refuses. It can be away, lose its replies, and ask for a user.

import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

const replies = JSON.parse(
  readFileSync(join(import.meta.dirname, "../fixtures/mlflow/replies.json"), "utf8"),
) as Record<string, { path: string; status: number; reply: Record<string, object> }>;

interface Metric {
  key: string;
  value: number;
  timestamp: number;
  step: number;
}

export interface FakeRun {
  id: string;
  experiment: string;
  name: string;
  status: string;
  ended: number | undefined;
  lifecycle: "active" | "deleted";
  metrics: Metric[];
  params: Map<string, string>;
  tags: Record<string, string>;
}

export interface MlflowServer {
  readonly url: string;
  readonly runs: FakeRun[];
  /** Paths that were asked for, in order, with the authorization that came along. */
  readonly asked: { path: string; authorization: string | undefined }[];
  /** What stands in for the reply; `lost`: the request is done, the connection closed. */
  behave: (path: string) => "well" | "lost" | { status: number; text: string };
  /** Listens no more; `up` listens at the same port again. */
  down(): Promise<void>;
  up(): Promise<void>;
}

class Refused extends Error {
  constructor(readonly as: string) {
    super(as);
  }
}

export async function mlflowServer(): Promise<MlflowServer> {
  const experiments: string[] = ["Default"];
  const runs: FakeRun[] = [];
  let server: Server;
  let port = 0;

  const runOf = (id: unknown): FakeRun => {
    const run = runs.find((one) => one.id === id);
    if (!run) throw new Refused("no run");
    return run;
  };
  const infoOf = (run: FakeRun) => ({
    ...(replies["create run"]!.reply.run as { info: object }).info,
    run_uuid: run.id,
    run_id: run.id,
    experiment_id: run.experiment,
    run_name: run.name,
    status: run.status,
    ...(run.ended !== undefined && { end_time: run.ended }),
    lifecycle_stage: run.lifecycle,
  });
  /** As the real one computes them: of each metric that of the largest step. */
  const latest = (run: FakeRun): Metric[] => {
    const byKey = new Map<string, Metric>();
    for (const metric of run.metrics)
      if ((byKey.get(metric.key)?.step ?? Number.NEGATIVE_INFINITY) <= metric.step)
        byKey.set(metric.key, metric);
    return [...byKey.values()];
  };
  const pairs = (map: Map<string, string>) => [...map].map(([key, value]) => ({ key, value }));

  // biome-ignore lint/suspicious/noExplicitAny: requests are JSON
  const answers: Record<string, (body: any) => object> = {
    "experiments/search": () => replies.search!.reply,
    "experiments/get-by-name": ({ experiment_name }) => {
      const id = experiments.indexOf(experiment_name);
      if (id < 0) throw new Refused("no experiment");
      const { experiment } = replies.experiment!.reply;
      return { experiment: { ...experiment, experiment_id: String(id), name: experiment_name } };
    },
    "experiments/create": ({ name }) => {
      if (experiments.includes(name)) throw new Refused("experiment exists");
      return { experiment_id: String(experiments.push(name) - 1) };
    },
    "runs/create": ({ experiment_id, run_name, tags }) => {
      const run: FakeRun = {
        id: `run${runs.length}`,
        experiment: experiment_id,
        name: run_name,
        status: "RUNNING",
        ended: undefined,
        lifecycle: "active",
        metrics: [],
        params: new Map(),
        tags: Object.fromEntries(tags.map((tag: { key: string; value: string }) => [tag.key, tag.value])),
      };
      runs.push(run);
      return { run: { info: infoOf(run), data: { tags } } };
    },
    "runs/get": ({ run_id }) => {
      const run = runOf(run_id);
      // The real one leaves out what is empty.
      const data = { metrics: latest(run), params: pairs(run.params) };
      const there = Object.fromEntries(Object.entries(data).filter(([, items]) => items.length > 0));
      return { run: { info: infoOf(run), data: there } };
    },
    "runs/log-batch": ({ run_id, metrics = [], params = [] }) => {
      const run = runOf(run_id);
      if (run.lifecycle === "deleted") throw new Refused("log to deleted");
      if (metrics.length > 1000) throw new Refused("too many metrics");
      if (params.length > 100) throw new Refused("too many params");
      for (const { key } of [...metrics, ...params])
        if (!/^[/\p{L}\p{N}_.\- :]{1,250}$/u.test(key) || /(^|\/)\.{0,2}(\/|$)/.test(key))
          throw new Refused("bad name");
      for (const { key, value } of params) {
        if (value.length > 6000 || (run.params.get(key) ?? value) !== value)
          throw new Refused("param changed");
        run.params.set(key, value);
      }
      run.metrics.push(...metrics);
      return replies["log batch"]!.reply;
    },
    "runs/update": ({ run_id, status, end_time }) => {
      const run = runOf(run_id);
      Object.assign(run, { status, ended: end_time });
      return { run_info: infoOf(run) };
    },
  };

  const fake: MlflowServer = {
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    runs,
    asked: [],
    behave: () => "well",
    down: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    up: async () => {
      server = createServer(async (request, response) => {
        let text = "";
        for await (const chunk of request) text += chunk;
        const url = new URL(request.url!, fake.url);
        const path = url.pathname.replace("/api/2.0/mlflow/", "");
        fake.asked.push({ path, authorization: request.headers.authorization });
        const send = (status: number, body: string) => {
          response.writeHead(status, { "content-type": "application/json" });
          response.end(body);
        };
        const behaviour = fake.behave(path);
        if (typeof behaviour !== "string") return send(behaviour.status, behaviour.text);
        try {
          const answer = answers[path];
          if (!answer) throw new Error(`${request.method} ${request.url} is nothing that a run asks for`);
          const reply = answer(
            request.method === "GET" ? Object.fromEntries(url.searchParams) : JSON.parse(text),
          );
          if (behaviour === "lost") request.socket.destroy();
          else send(200, JSON.stringify(reply));
        } catch (error) {
          const { status, reply } =
            error instanceof Refused
              ? replies[error.as]!
              : { status: 501, reply: { message: String(error) } };
          send(status, JSON.stringify(reply));
        }
      });
      await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
      ({ port } = server.address() as AddressInfo);
    },
  };
  await fake.up();
  return fake;
}
