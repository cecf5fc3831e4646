// Has the real TensorBoard, MLflow (a server on this machine, and its client) and wandb read a run that reported to all three
// while it was killed twice and resumed and the MLflow server was away for some of its steps, and compares every figure with
// the run's own files. At the end `wandb sync` uploads it to a stand-in for W&B's servers, which compares what it gets.
//   sh test/clients/trackers-setup.sh && npx tsx test/clients/trackers.ts

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { runCli } from "../support/cli.js";
import { offlineFile } from "../support/offline-run.js";
import { smallRuns } from "../support/small-runs.js";
import { openWorkshop } from "../support/workshop.js";

const here = import.meta.dirname;
const bin = process.env.TRACKERS_BIN ?? join(here, ".trackers/bin");
const shop = await openWorkshop();
const run = shop.path("run");
const listen = async (server: Server | ReturnType<typeof createServer>, port = 0): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

/** A port that nobody listens at. */
async function freePort(): Promise<number> {
  const server = createTcpServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The way to the MLflow server, which can be cut. */
async function openDoor(to: number) {
  const sockets = new Set<Socket>();
  let server: Server;
  let port = 0;
  const open = async () => {
    server = createTcpServer((from) => {
      const onward = connect(to, "127.0.0.1");
      for (const socket of [from, onward]) {
        sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => sockets.delete(socket));
      }
      from.pipe(onward);
      onward.pipe(from);
    });
    port = await listen(server, port);
  };
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  await open();
  return { url: `http://127.0.0.1:${port}`, open, close };
}

// The MLflow server.
const port = await freePort();
const store = [
  "--backend-store-uri",
  `sqlite:///${shop.path("mlflow.db")}`,
  "--default-artifact-root",
  shop.path("artifacts"),
];
const mlflow = spawn(
  join(bin, "mlflow"),
  ["server", "--host", "127.0.0.1", "--port", `${port}`, "--workers", "1", ...store],
  {
    cwd: shop.root,
    stdio: "ignore",
    detached: true,
  },
);
process.on("exit", () => {
  try {
    process.kill(-mlflow.pid!, "SIGKILL");
  } catch {
    // It is gone already.
  }
});
const answers = () =>
  fetch(`http://127.0.0.1:${port}/health`).then(
    ({ ok }) => ok,
    () => false,
  );
for (let i = 0; i < 300 && !(await answers()); i++) await delay(1000);
const door = await openDoor(port);

// The run: killed twice, then resumed to its end while the server goes away and comes back.
const STEPS = 150;
const recipe = await shop.recipe("align.yaml", {
  output_dir: run,
  ...smallRuns.align(shop),
  steps: STEPS,
  save_steps: 10,
  report_to: ["tensorboard", { kind: "mlflow", tracking_uri: door.url, experiment: "clients" }, "wandb"],
});
const argv = ["align", recipe];
for (const [i, kill] of ["append metrics.jsonl #14", "rename checkpoints/latest"].entries()) {
  const env = { TOUCHSTONE_TEST_KILL: kill };
  assert.equal((await runCli(i > 0 ? [...argv, "--resume"] : argv, { env })).signal, "SIGKILL");
}
const steps = () => readFileSync(join(run, "metrics.jsonl"), "utf8").split("\n").length - 1;
const reached = async (step: number) => {
  while (steps() < step) await delay(20);
};
const ended = runCli([...argv, "--resume"]);
await reached(50);
await door.close();
await reached(90);
await door.open();
const { code, stderr } = await ended;
assert.equal(code, 0, stderr);
assert.match(stderr, /mlflow: no answer .*; the run goes on, and its figures are kept and sent later/);
assert.match(stderr, /mlflow: all figures were sent/);

// What the run's own files have.
const wanted = (files: readonly string[]): Record<string, [number, number][]> => {
  const figures: Record<string, [number, number][]> = {};
  for (const file of files)
    for (const line of readFileSync(join(run, file), "utf8").trimEnd().split("\n")) {
      const { step, ...row } = JSON.parse(line) as { step: number };
      for (const [name, value] of Object.entries(row))
        if (typeof value === "number") (figures[name] ??= []).push([step, value]);
    }
  return figures;
};
const exact = wanted(["metrics.jsonl"]);
const all = wanted(["metrics.jsonl", "timings.jsonl"]);
assert.equal(exact.reward!.length, STEPS);

interface Found {
  figures: typeof exact;
  samples: Record<string, [number, string][]>;
}
const { stdout } = await promisify(execFile)(
  join(bin, "python"),
  [join(here, "trackers_read.py"), run, `http://127.0.0.1:${port}`],
  { maxBuffer: 2 ** 30 },
);
const found = JSON.parse(stdout) as {
  tensorboard: Found;
  mlflow: Found & { status: string; name: string; params: Record<string, string> };
  wandb: Found & {
    records: number;
    summary: { state: string; exit_code: number; summary: Record<string, unknown> };
  };
};
const points = (figures: typeof exact) => Object.values(figures).reduce((sum, { length }) => sum + length, 0);

const floats = Object.entries(all).map(([name, of]) => [name, of.map(([step, x]) => [step, Math.fround(x)])]);
assert.deepEqual(found.tensorboard.figures, Object.fromEntries(floats));
console.log(`tensorboard: ${points(found.tensorboard.figures)} figures of ${STEPS} steps, each once`);

for (const [name, of] of Object.entries(exact)) assert.deepEqual(found.mlflow.figures[name], of, name);
// Of a step that was repeated it has the wall-clock figures of the first time; which there are depends on what was cached.
for (const [name, of] of Object.entries(found.mlflow.figures))
  assert.equal(new Set(of.map(([step]) => step)).size, of.length, name);
const timed = found.mlflow.figures.step_time!.map(([step]) => step);
assert.deepEqual(
  timed,
  exact.reward!.map(([step]) => step),
);
assert.equal(found.mlflow.status, "FINISHED");
assert.equal(found.mlflow.params["tasks.sums.optimizer.name"], "crpg");
console.log(
  `mlflow: ${points(found.mlflow.figures)} figures, each once; run ${found.mlflow.name}, ${found.mlflow.status}`,
);

assert.deepEqual(found.wandb.figures, all);
assert.equal(found.wandb.summary.exit_code, 0);
for (const { samples } of [found.tensorboard, found.wandb]) {
  assert.deepEqual(Object.keys(samples).sort(), [
    "samples/sums/1",
    "samples/sums/2",
    "samples/writing/1",
    "samples/writing/2",
  ]);
  for (const texts of Object.values(samples)) assert.equal(texts.length, STEPS);
}
console.log(
  `wandb: ${points(found.wandb.figures)} figures, each once, in ${found.wandb.records} records; ${found.wandb.summary.state}`,
);

// wandb sync, to a stand-in that takes what comes.
const history: Record<string, unknown>[] = [];
const backend = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  let body = Buffer.concat(chunks);
  if (request.headers["content-encoding"] === "gzip") body = gunzipSync(body);
  const reply = (value: object) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };
  if (request.url!.endsWith("/file_stream")) {
    const { files } = JSON.parse(body.toString()) as {
      files?: Record<string, { offset: number; content: string[] }>;
    };
    const { offset, content } = files?.["wandb-history.jsonl"] ?? { offset: 0, content: [] };
    content.forEach((line, i) => {
      history[offset + i] = JSON.parse(line);
    });
    return reply({});
  }
  if (!request.url!.endsWith("/graphql")) return reply({});
  const { query, variables } = JSON.parse(body.toString()) as {
    query: string;
    variables: Record<string, string> & { files?: string[] };
  };
  if (query.includes("createRunFiles")) {
    const files = variables.files!.map((name) => ({ name, uploadUrl: `http://${request.headers.host}/put` }));
    return reply({ data: { createRunFiles: { runID: "b", uploadHeaders: [], files } } });
  }
  if (!query.includes("upsertBucket")) return reply({ data: {} });
  const bucket = {
    id: "b",
    name: variables.name,
    displayName: variables.displayName,
    project: { id: "p", name: variables.project, entity: { id: "e", name: "me" } },
    historyLineCount: 0,
  };
  reply({ data: { upsertBucket: { bucket, inserted: true } } });
});
const backendPort = await listen(backend);
await promisify(execFile)(join(bin, "wandb"), ["sync", "--yes", dirname(offlineFile(join(run, "wandb")))], {
  cwd: shop.root,
  env: {
    ...process.env,
    WANDB_BASE_URL: `http://127.0.0.1:${backendPort}`,
    WANDB_API_KEY: "0123456789".repeat(4),
  },
});
assert.equal(history.length, STEPS);
const uploaded: typeof exact = {};
for (const { _step, ...row } of history)
  for (const [name, value] of Object.entries(row))
    if (typeof value === "number" && !name.startsWith("_"))
      (uploaded[name] ??= []).push([_step as number, value]);
assert.deepEqual(uploaded, all);
console.log(`wandb sync: ${points(uploaded)} figures arrive`);

backend.closeAllConnections();
backend.close();
await door.close();
// Its own children end with it only where it may end by itself.
const gone = new Promise((resolve) => mlflow.on("exit", resolve));
process.kill(-mlflow.pid!, "SIGTERM");
await Promise.race([gone, delay(10_000)]);
await shop.remove();
process.exit();
