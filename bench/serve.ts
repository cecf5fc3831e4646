// `touchstone serve` under load, client included: verdicts a second in batches, the latency of single requests at a fixed
// rate, a reward model at concurrency 64 against `touchstone score`, and a soak with an LLM judge of which a share of the
// calls fails. Every answer is checked; a wrong one ends the benchmark. Needs `npm run build`.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { RandomStream } from "../src/base/random.js";
import { sortedQuantile } from "../src/base/statistics.js";
import { writeRandomModel } from "../src/lab/base.js";
import { baseModelDir } from "../src/lab/quickstart.js";
import { openCodec } from "../src/train/models.js";
import { commonConfig, shapes } from "./workload.js";

const bin = fileURLToPath(new URL("../bin/touchstone.js", import.meta.url));
const agent = new Agent({ keepAlive: true, maxSockets: 1024 });

// biome-ignore lint/suspicious/noExplicitAny: replies, which the benchmarks check
type Json = any;

interface Served {
  url: string;
  pid: number;
  stop(): void;
}

async function serve(out: string, ...flags: string[]): Promise<Served> {
  const argv = [bin, "serve", "--port", "0", "--json", "--out", out, ...flags];
  const child: ChildProcess = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for (;;) {
    const [chunk] = (await Promise.race([
      once(child.stdout!, "data"),
      once(child, "exit").then(() => []),
    ])) as Buffer[];
    if (chunk === undefined)
      throw new Error("touchstone serve has ended before it answered; run npm run build");
    text += chunk.toString();
    const url = /"url":\s*"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return { url, pid: child.pid!, stop: () => void child.kill() };
  }
}

function post(url: string, path: string, body: object): Promise<Json> {
  return new Promise((resolve, reject) => {
    const content = JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(content) };
    const asked = request(`${url}${path}`, { method: "POST", agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => void chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${path}: ${response.statusCode} ${text.slice(0, 300)}`));
      });
    });
    asked.on("error", reject);
    asked.end(content);
  });
}

/** Resident memory of a process, MiB; null where the system does not tell. */
function residentMb(pid: number): number | null {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
  } catch {
    return null;
  }
}

async function inFolder<T>(work: (root: string) => Promise<T>): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), "touchstone-bench-serve-"));
  try {
    return await work(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const ruleJudges = ["--judge", "{kind: length, max_words: 8}", "--judge", "{kind: regex, must_match: river}"];

/** A response that no other request has, and whether the rule judges are satisfied with it. */
function ruleSample(i: number): { sample: object; feasible: boolean } {
  const words = [
    ...`${i} stones lay beside the river`.split(" "),
    ...(i % 3 === 0 ? ["and", "the", "old", "mill"] : []),
  ];
  const response = i % 5 === 0 ? words.join(" ").replace("river", "road") : words.join(" ");
  return { sample: { prompt: "Write.", response }, feasible: i % 3 !== 0 && i % 5 !== 0 };
}

function check(result: Json, feasible: boolean, i: number): void {
  if (result?.feasible !== feasible)
    throw new Error(
      `sample ${i} is ${feasible ? "" : "not "}feasible, and the server says ${JSON.stringify(result)}`,
    );
}

/** Verdicts on batches, `connections` at a time; a sample has two judges, and a violation of the first skips the second. */
export const benchVerdicts = (options: { seconds: number; batch: number; connections: number }) =>
  inFolder(async (root) => {
    const { seconds, batch, connections } = options;
    const served = await serve(root, ...ruleJudges);
    try {
      let [next, verdicts, samples] = [0, 0, 0];
      const one = async (): Promise<void> => {
        const from = next;
        next += batch;
        const asked = Array.from({ length: batch }, (_, i) => ruleSample(from + i));
        const { results } = await post(served.url, "/v1/judge", {
          samples: asked.map(({ sample }) => sample),
        });
        asked.forEach(({ feasible }, i) => void check(results[i], feasible, from + i));
        samples += batch;
        for (const { verdicts: said } of results)
          verdicts += Object.values(said).filter((verdict) => typeof verdict === "object").length;
      };
      for (let i = 0; i < 20; i++) await one();
      [verdicts, samples] = [0, 0];
      const start = performance.now();
      const loop = async () => {
        while (performance.now() - start < 1000 * seconds) await one();
      };
      await Promise.all(Array.from({ length: connections }, loop));
      const took = (performance.now() - start) / 1000;
      return {
        ...options,
        samples,
        samples_per_second: samples / took,
        verdicts_per_second: verdicts / took,
      };
    } finally {
      served.stop();
    }
  });

/** Single samples at a fixed rate, each on time whether others have been answered or not. Latencies count from then, ms. */
export const benchLatency = (options: { seconds: number; rate: number }) =>
  inFolder(async (root) => {
    const served = await serve(root, ...ruleJudges);
    try {
      const ask = async (i: number) => {
        const { sample, feasible } = ruleSample(i);
        check(await post(served.url, "/v1/judge", sample), feasible, i);
      };
      for (let i = 0; i < 500; i++) await ask(i);
      const count = Math.round(options.rate * options.seconds);
      const latencies: number[] = [];
      const asked: Promise<void>[] = [];
      const start = performance.now();
      for (let i = 0; i < count; i++) {
        const due = start + (1000 * i) / options.rate;
        const wait = due - performance.now();
        if (wait > 1) await pause(wait);
        asked.push(ask(1000 + i).then(() => void latencies.push(performance.now() - due)));
      }
      await Promise.all(asked);
      const took = (performance.now() - start) / 1000;
      latencies.sort((a, b) => a - b);
      const at = (share: number) => sortedQuantile(latencies, share);
      return {
        ...options,
        requests: count,
        requests_per_second: count / took,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: latencies.at(-1)!,
      };
    } finally {
      served.stop();
    }
  });

/**
 * The same texts scored by `touchstone score` and by the server, `concurrency` requests at a time. What a process takes to
 * start and to load is taken out by scoring half of them as well.
 */
export const benchScoring = (options: { shape: string; rows: number; concurrency: number }) =>
  inFolder(async (root) => {
    const { shape, rows: count, concurrency } = options;
    const model = join(root, "reward");
    const codec = await openCodec(baseModelDir);
    const classifier = {
      model_type: "llama",
      architectures: ["LlamaForSequenceClassification"],
      num_labels: 1,
    };
    const config = {
      ...classifier,
      ...commonConfig,
      ...shapes[shape],
      vocab_size: codec.tokenizer.vocabSize,
    };
    await writeRandomModel(model, config, 1, baseModelDir);
    const random = new RandomStream(1, "serve bench");
    const words = ["river", "stone", "boat", "old", "miller", "carries", "seven", "sacks", "the", "and"];
    const rows = Array.from({ length: count }, (_, i) => ({
      prompt: `Write ${i}.`,
      completion: Array.from(
        { length: 20 + random.integer(60) },
        () => words[random.integer(words.length)],
      ).join(" "),
    }));
    const tokens = rows.reduce(
      (sum, { prompt, completion }) => sum + codec.tokenizer.encode(prompt + completion).length,
      0,
    );

    const scored = async (part: typeof rows): Promise<number> => {
      const file = join(root, "rows.jsonl");
      await writeFile(file, part.map((row) => `${JSON.stringify(row)}\n`).join(""));
      const start = performance.now();
      const argv = [
        bin,
        "score",
        file,
        "--model",
        model,
        "--quiet",
        "--no-chat",
        "-o",
        join(root, "scored.jsonl"),
      ];
      await promisify(execFile)(process.execPath, argv);
      return (performance.now() - start) / 1000;
    };
    const half = rows.slice(0, Math.floor(count / 2));
    const [ofHalf, ofAll] = [await scored(half), await scored(rows)];
    const expected = readFileSync(join(root, "scored.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { reward: number }).reward);

    const served = await serve(join(root, "out"), "--reward", model, "--no-chat");
    try {
      for (let i = 0; i < 20; i++)
        await post(served.url, "/v1/reward", { prompt: "?", response: `warm ${i}` });
      let next = 0;
      const start = performance.now();
      const loop = async () => {
        while (next < count) {
          const i = next++;
          const { prompt, completion } = rows[i]!;
          const { reward } = await post(served.url, "/v1/reward", { prompt, response: completion });
          if (!(Math.abs(reward - expected[i]!) < 1e-4))
            throw new Error(`row ${i}: the server gives ${reward}, touchstone score ${expected[i]}`);
        }
      };
      await Promise.all(Array.from({ length: concurrency }, loop));
      const took = (performance.now() - start) / 1000;
      const score = (tokens * (1 - half.length / count)) / (ofAll - ofHalf);
      return {
        ...options,
        tokens,
        serve_tokens_per_second: tokens / took,
        score_tokens_per_second: score,
        ratio: tokens / took / score,
      };
    } finally {
      served.stop();
    }
  });

/** What the judge's model is asked again before it counts as failed: twice by its client, and that twice by the server. */
const attempts = 4;

/** Whether a call fails: decided by its text and by how often it was made. */
const fails = (text: string, attempt: number, share: number): boolean =>
  createHash("sha256").update(`${attempt} ${text}`).digest().readUInt32LE() / 2 ** 32 < share;

/** A model that answers whether a text says yes, where its call does not fail: by a status, by nonsense, by silence. */
async function flakyModel(share: number) {
  const asked = new Map<string, number>();
  let [calls, failed] = [0, 0];
  const server = createServer(async (incoming, response) => {
    let text = "";
    for await (const chunk of incoming) text += chunk;
    const said = /sample (\d+) says (yes|no)/.exec(text);
    const key = said?.[1] ?? "";
    const attempt = asked.get(key) ?? 0;
    asked.set(key, attempt + 1);
    calls++;
    if (fails(key, attempt, share)) {
      failed++;
      if (calls % 3 === 0) return void response.destroy();
      response.writeHead(calls % 3 === 1 ? 500 : 200, { "content-type": "application/json" });
      return void response.end(calls % 3 === 1 ? "{}" : "no JSON");
    }
    asked.delete(key);
    response.writeHead(200, { "content-type": "application/json" });
    const content = said?.[2] === "yes" ? "Yes" : "No";
    response.end(
      JSON.stringify({
        choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
        usage: { prompt_tokens: 9, completion_tokens: 1 },
      }),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    counts: () => ({ calls, failed }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export interface SoakProgress {
  requests: number;
  rss_mb: number | null;
}

/** Requests with an LLM judge of which a share of the calls fails. Every reply has to be the one that these calls allow. */
export const benchSoak = (
  options: { requests: number; concurrency: number; share: number },
  onProgress: (progress: SoakProgress) => void,
) =>
  inFolder(async (root) => {
    const { requests, concurrency, share } = options;
    const model = await flakyModel(share);
    const judge = `{kind: yes_no, name: says, question: "Does it say yes?", model: flaky, base_url: "${model.url}", max_retries: 1, retry_seconds: 0, concurrency: ${concurrency}}`;
    const served = await serve(root, "--judge", judge);
    try {
      const counts = { satisfied: 0, violated: 0, failed: 0 };
      const memory: SoakProgress[] = [];
      let [next, done] = [0, 0];
      const tenth = Math.max(1, Math.floor(requests / 10));
      const start = performance.now();
      const loop = async () => {
        while (next < requests) {
          const i = next++;
          const says = i % 2 === 0 ? "yes" : "no";
          const isLost = Array.from({ length: attempts }, (_, k) => fails(String(i), k, share)).every(
            Boolean,
          );
          const expected = isLost ? "failed" : says === "yes" ? "satisfied" : "violated";
          const { outcome } = await post(served.url, "/v1/judge", {
            prompt: "?",
            response: `sample ${i} says ${says}`,
          });
          if (outcome !== expected)
            throw new Error(`sample ${i} is ${expected}, and the server says ${outcome}`);
          counts[expected]++;
          if (++done % tenth === 0) {
            memory.push({ requests: done, rss_mb: residentMb(served.pid) });
            onProgress(memory.at(-1)!);
          }
        }
      };
      await Promise.all(Array.from({ length: concurrency }, loop));
      const seconds = (performance.now() - start) / 1000;
      const { calls, failed } = model.counts();
      return { ...options, seconds, ...counts, calls, failed_calls: failed, memory };
    } finally {
      served.stop();
      model.close();
    }
  });
