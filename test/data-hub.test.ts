// The Hub client against a local server that speaks the Hub's HTTP API and fails on any request it does not expect.

import { createHash } from "node:crypto";
import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type DownloadProgress,
  fetchModel,
  loadPreferences,
  loadPrompts,
  resolveModel,
} from "../src/data/index.js";

const commit = "c0ffee".padEnd(40, "0");
const later = "decade".padEnd(40, "0");

interface Repo {
  /** Content by path; a Buffer is an LFS file, served by another host. */
  files: Record<string, string | Buffer>;
  gated?: boolean;
  commit?: string;
}

const repos: Record<string, Repo> = {};
let hub: Server;
let cdn: Server;
let requests: string[] = [];
let unexpected: string[] = [];
/** Cuts the next LFS bodies after so many bytes. */
let cuts: number[] = [];
let cacheDir: string;

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");
const gitSha1 = (data: Buffer) =>
  createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");
const url = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** Serves `data`, or the part of it that the request's Range asks for; breaks off after `cut` bytes. */
function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  data: Buffer,
  headers: Record<string, string>,
  cut?: number,
): void {
  const [, from, to] = request.headers.range?.match(/^bytes=(\d+)-(\d+)$/) ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(Number(to ?? data.length), data.length - 1);
  const part = data.subarray(start, end + 1);
  const range = from ? { "content-range": `bytes ${start}-${end}/${data.length}` } : {};
  response.writeHead(from ? 206 : 200, { ...headers, ...range, "content-length": part.length });
  if (cut === undefined) response.end(part);
  else response.write(part.subarray(0, cut), () => setTimeout(() => response.destroy(), 50));
}

function serveHub(request: IncomingMessage, response: ServerResponse): unknown {
  const { pathname, searchParams } = new URL(request.url!, "http://hub");
  requests.push(`${request.method} ${pathname}${request.headers.range ? ` ${request.headers.range}` : ""}`);
  const authorized = request.headers.authorization === "Bearer hf_good";
  const api = pathname.match(/^\/api\/(models|datasets)\/(\w+\/[\w-]+)\/(revision|tree)\/([\w-]+)$/);
  const file = pathname.match(/^\/(datasets\/)?(\w+\/[\w-]+)\/resolve\/([0-9a-f]{40})\/(.+)$/);
  if (api) {
    const [, type, name, verb, revision] = api;
    const repo = repos[`${type}/${name}`];
    const current = repo?.commit ?? commit;
    if (!repo) return answer(response, 401, { error: "Invalid username or password." });
    if (verb === "revision") {
      if (!["main", current].includes(revision!)) {
        return answer(response, 404, { error: "Invalid rev id" }, { "x-error-code": "RevisionNotFound" });
      }
      return answer(response, 200, { _id: "1", id: name, sha: current });
    }
    if (revision === current && searchParams.get("recursive") === "true") {
      // Two entries a page, to make the client follow the Link header.
      const entries = listing(repo);
      const start = Number(searchParams.get("cursor") ?? 0);
      const next = `${url(hub)}${pathname}?recursive=true&expand=false&cursor=${start + 2}`;
      const link = start + 2 < entries.length ? { link: `<${next}>; rel="next"` } : undefined;
      return answer(response, 200, entries.slice(start, start + 2), link);
    }
  } else if (file) {
    const [, prefix, name, revision, path] = file;
    const repo = repos[`${prefix ?? "models/"}${name}`];
    const content = repo?.files[decodeURIComponent(path!)];
    if (repo && content !== undefined && revision === (repo.commit ?? commit)) {
      if (repo.gated && !authorized) {
        const status = request.headers.authorization ? 403 : 401;
        return answer(response, status, { error: "Access is restricted." }, { "x-error-code": "GatedRepo" });
      }
      const headers = { "x-repo-commit": revision!, etag: `"${gitSha1(Buffer.from(content))}"` };
      if (typeof content === "string") return sendBytes(request, response, Buffer.from(content), headers);
      const linked = { "x-linked-etag": `"${sha256(content)}"`, "x-linked-size": String(content.length) };
      const location = `${url(cdn)}/${sha256(content)}`;
      response.writeHead(302, { ...headers, ...linked, location });
      return response.end();
    }
  }
  unexpected.push(requests.at(-1)!);
  return answer(response, 500, { error: "unexpected request" });
}

function serveCdn(request: IncomingMessage, response: ServerResponse): unknown {
  requests.push(`CDN${request.headers.range ? ` ${request.headers.range}` : ""}`);
  const blobs = Object.values(repos).flatMap((repo) => Object.values(repo.files).filter(Buffer.isBuffer));
  const blob = blobs.find((data) => request.url === `/${sha256(data)}`);
  // The Hub's token is none of the CDN's business.
  if (!blob || request.headers.authorization) {
    unexpected.push(`CDN ${request.url}`);
    return answer(response, 500, { error: "unexpected request" });
  }
  const cut = request.headers.range === "bytes=0-0" ? undefined : cuts.shift();
  return sendBytes(request, response, blob, { etag: `"${sha256(blob)}"` }, cut);
}

function listing(repo: Repo): unknown[] {
  const folders = new Set(
    Object.keys(repo.files).flatMap((path) => (path.includes("/") ? [path.split("/")[0]] : [])),
  );
  const files = Object.entries(repo.files).map(([path, content]) => {
    const data = Buffer.from(content);
    const entry = { type: "file", path, size: data.length, oid: gitSha1(data) };
    if (typeof content === "string") return entry;
    return {
      ...entry,
      oid: "0".repeat(40),
      lfs: { oid: sha256(content), size: data.length, pointerSize: 130 },
    };
  });
  return [
    ...[...folders].map((path) => ({ type: "directory", path, size: 0, oid: "0".repeat(40) })),
    ...files,
  ];
}

async function listen(handler: typeof serveHub): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

const weights = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) % 251));
const options = () => ({ endpoint: url(hub), cacheDir, token: undefined as string | undefined });

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "touchstone-hub-"));
  for (const key of Object.keys(repos)) delete repos[key];
  repos["models/acme/tiny"] = {
    files: {
      "config.json": '{"model_type":"llama"}',
      "tokenizer.json": "{}",
      "model.safetensors": weights,
      "pytorch_model.bin": Buffer.from("pickle"),
      "onnx/model.onnx": Buffer.from("onnx"),
      "README.md": "# tiny",
    },
  };
  repos["datasets/acme/prefs"] = {
    files: {
      "README.md": "---\nlicense: mit\n---\n",
      "data/train-00000-of-00001.jsonl": '{"prompt":"p","chosen":"a","rejected":"b"}\n',
      "data/test-00000-of-00001.jsonl": '{"prompt":"q","chosen":"a","rejected":"b"}\n',
    },
  };
  requests = [];
  unexpected = [];
  cuts = [];
  [hub, cdn] = [await listen(serveHub), await listen(serveCdn)];
});

afterEach(async () => {
  await Promise.all([close(hub), close(cdn)]);
  await rm(cacheDir, { recursive: true });
  expect(unexpected).toEqual([]);
});

describe("models", () => {
  it("fetches configuration, tokenizer and safetensors into the shared cache layout, and nothing else", async () => {
    const progress: DownloadProgress[] = [];
    const folder = await fetchModel("acme/tiny", {
      ...options(),
      onProgress: (event) => progress.push(event),
    });
    expect(folder).toBe(join(cacheDir, "models--acme--tiny", "snapshots", commit));
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(weights);
    expect((await lstat(join(folder, "model.safetensors"))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(cacheDir, "models--acme--tiny", "blobs", sha256(weights)))).toEqual(weights);
    expect(await readFile(join(cacheDir, "models--acme--tiny", "refs", "main"), "utf8")).toBe(commit);
    expect(progress.at(-1)).toMatchObject({ received: progress[0]!.total, total: weights.length + 24 });
    expect(requests.join()).not.toMatch(/pytorch|onnx|README/);
  });

  it("asks a second time only for the commit, and not at all when it is pinned or offline", async () => {
    const folder = await fetchModel("acme/tiny", options());
    requests = [];
    expect(await fetchModel("acme/tiny", options())).toBe(folder);
    expect(requests).toEqual(["GET /api/models/acme/tiny/revision/main"]);
    requests = [];
    expect(await resolveModel(`acme/tiny@${commit}`, options())).toBe(folder);
    expect(await resolveModel("hub:acme/tiny", { ...options(), offline: true })).toBe(folder);
    expect(requests).toEqual([]);
  });

  it("follows a branch to its new commit and downloads only what changed", async () => {
    await fetchModel("acme/tiny", options());
    repos["models/acme/tiny"]!.commit = later;
    repos["models/acme/tiny"]!.files["config.json"] = '{"model_type":"qwen2"}';
    requests = [];
    const folder = await fetchModel("acme/tiny", options());
    expect(folder).toContain(later);
    expect(await readFile(join(folder, "config.json"), "utf8")).toContain("qwen2");
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(weights);
    expect(requests.filter((request) => request.includes("resolve"))).toEqual([
      `GET /acme/tiny/resolve/${later}/config.json bytes=0-0`,
      `GET /acme/tiny/resolve/${later}/config.json`,
    ]);
  });

  it("resumes a download that broke off where it broke off", async () => {
    cuts = [40_000];
    const folder = await fetchModel("acme/tiny", options());
    expect(await readFile(join(folder, "model.safetensors"))).toEqual(weights);
    expect(requests.filter((request) => request.startsWith("CDN") && !request.endsWith("0-0"))).toEqual([
      "CDN",
      expect.stringMatching(/^CDN bytes=[1-9]\d*-99999$/),
    ]);
  });

  it("takes over what a killed process left half done, and drops it when it is damaged", async () => {
    const hash = sha256(weights);
    await fetchModel("acme/tiny", options());
    const blobs = join(cacheDir, "models--acme--tiny", "blobs");
    const half = weights.subarray(0, 60_000);
    for (const [content, ranges] of [
      [half, ["CDN bytes=60000-99999"]],
      [Buffer.alloc(60_000), ["CDN bytes=60000-99999", "CDN"]],
    ] as const) {
      await rm(join(blobs, hash));
      // Process ids end well below this one.
      await writeFile(join(blobs, `${hash}.999999999.incomplete`), content);
      requests = [];
      const folder = await fetchModel("acme/tiny", options());
      expect(await readFile(join(folder, "model.safetensors"))).toEqual(weights);
      expect(requests.filter((request) => request.startsWith("CDN") && !request.endsWith("0-0"))).toEqual(
        ranges,
      );
      expect((await readdir(blobs)).filter((file) => file.endsWith(".incomplete"))).toEqual([]);
    }
  });

  it("fetches one file once for two callers at the same time", async () => {
    const folders = await Promise.all([
      fetchModel("acme/tiny", options()),
      fetchModel("acme/tiny", options()),
    ]);
    expect(await readFile(join(folders[1]!, "model.safetensors"))).toEqual(weights);
    expect(requests.filter((request) => request === "CDN")).toHaveLength(1);
  });

  it("refuses pickles and repositories without weights or configuration", async () => {
    repos["models/acme/pickled"] = { files: { "config.json": "{}", "pytorch_model.bin": Buffer.from("x") } };
    repos["models/acme/empty"] = { files: { "config.json": "{}" } };
    repos["models/acme/gguf"] = { files: { "m.gguf": "x" } };
    await expect(fetchModel("acme/pickled", options())).rejects.toThrow(/pytorch_model\.bin only, a pickle/);
    await expect(fetchModel("acme/empty", options())).rejects.toThrow(/has no model\.safetensors/);
    await expect(fetchModel("acme/gguf", options())).rejects.toThrow(/has no config\.json/);
    expect(requests.filter((request) => request.includes("resolve"))).toEqual([]);
  });

  it("never writes outside the cache, whatever the repository calls its files", async () => {
    repos["models/acme/evil"] = {
      files: { "config.json": "{}", "model.safetensors": weights, "../../../../../evil.json": "x" },
    };
    await fetchModel("acme/evil", options());
    const { openRepo } = await import("../src/data/index.js");
    const repo = await openRepo({ type: "model", name: "acme/evil" }, options());
    await expect(repo.fetch(["../../../../../evil.json"])).rejects.toMatchObject({ name: "UserError" });
  });
});

describe("errors", () => {
  const rejects = (promise: Promise<unknown>, message: RegExp) =>
    expect(promise).rejects.toMatchObject({ name: "UserError", message: expect.stringMatching(message) });

  it("names HF_TOKEN where a token is missing or not enough", async () => {
    repos["models/acme/tiny"]!.gated = true;
    await rejects(fetchModel("acme/tiny", options()), /private or gated.*HF_TOKEN/);
    await rejects(
      fetchModel("acme/tiny", { ...options(), token: "hf_other" }),
      /restricted: ask for it on .*acme\/tiny/,
    );
    await rejects(fetchModel("acme/tiny", { ...options(), token: "secret" }), /start with "hf_"/);
    expect(await fetchModel("acme/tiny", { ...options(), token: "hf_good" })).toContain(commit);
  });

  it("tells a wrong name from a wrong revision", async () => {
    await rejects(fetchModel("acme/nothing", options()), /has no public model "acme\/nothing"/);
    await rejects(
      fetchModel("acme/tiny", { ...options(), revision: "v9" }),
      /no model "acme\/tiny" at revision "v9"/,
    );
    await rejects(resolveModel("acme/nothing", options()), /Nor is there a local path "acme\/nothing"/);
    await rejects(resolveModel("./acme/nothing", options()), /no folder ".\/acme\/nothing"/);
  });

  it("uses the cached copy when the Hub is away, and says so; without one it says why", async () => {
    const folder = await fetchModel("acme/tiny", options());
    const away = { ...options(), endpoint: "http://127.0.0.1:9" };
    const notices: string[] = [];
    expect(await fetchModel("acme/tiny", { ...away, onNotice: (text) => notices.push(text) })).toBe(folder);
    expect(notices).toEqual([
      expect.stringMatching(/cannot be reached; using the cached copy of acme\/tiny \(c0ffee00\)/),
    ]);
    await rejects(fetchModel("acme/other", away), /model "acme\/other" could not be fetched from http/);
    await rejects(fetchModel("acme/other", { ...options(), offline: true }), /not in the cache.*offline/);
    await rm(join(folder, "model.safetensors"));
    await rejects(
      fetchModel("acme/tiny", { ...options(), offline: true }),
      /model\.safetensors is not in the cache/,
    );
  });
});

describe("data sets", () => {
  it("reads a split by name", async () => {
    const train = await loadPreferences("acme/prefs", { hub: options() });
    expect(train.rows).toMatchObject([{ id: "data/train-00000-of-00001.jsonl:1", prompt: "p" }]);
    const test = await loadPrompts("hub:acme/prefs:test", { hub: options() });
    expect(test.rows).toMatchObject([{ prompt: "q" }]);
    await expect(loadPrompts("acme/prefs:dev", { hub: options() })).rejects.toThrow(
      /acme\/prefs has no split "dev"; it has test, train/,
    );
  });

  it("follows the configurations in the README", async () => {
    const card = [
      "---",
      "configs:",
      "- config_name: hard",
      "  data_files: [{split: train, path: 'b/*.jsonl'}]",
      "- config_name: easy",
      "  default: true",
      "  data_files: a/x.jsonl",
      "---",
    ].join("\n");
    repos["datasets/acme/two"] = {
      files: { "README.md": card, "a/x.jsonl": '{"prompt":"easy"}', "b/1.jsonl": '{"prompt":"hard"}' },
    };
    expect((await loadPrompts("acme/two", { hub: options() })).rows[0]!.prompt).toBe("easy");
    expect((await loadPrompts("acme/two:hard/train", { hub: options() })).rows[0]!.prompt).toBe("hard");
    expect((await loadPrompts("acme/two", { hub: options(), config: "hard" })).rows[0]!.prompt).toBe("hard");
    await expect(loadPrompts("acme/two", { hub: options(), config: "odd" })).rejects.toThrow(
      /no configuration "odd"; choose one of hard, easy/,
    );
  });
});
