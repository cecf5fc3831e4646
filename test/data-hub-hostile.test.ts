// The Hub client against servers that mean harm: every one ends in a sentence, soon, and nothing large is left behind.

import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { fetchModel } from "../src/data/index.js";

const commit = "c0ffee".padEnd(40, "0");
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const files = { "config.json": "{}", "model.safetensors": "x".repeat(1000) };

let cacheDir: string;
let servers: Server[];
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "touchstone-hostile-"));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(cacheDir, { recursive: true });
});

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

async function serve(handler: Handler): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const json = (response: ServerResponse, value: unknown, headers: object = {}) => {
  response.writeHead(200, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(value));
};
const listing = Object.entries(files).map(([path, text]) => ({
  type: "file",
  path,
  size: text.length,
  oid: "0".repeat(40),
  lfs: { oid: sha256(text), size: text.length, pointerSize: 130 },
}));

/** A Hub that behaves but where `wrong` handles the request: it then returns true. */
const hub =
  (
    wrong: (
      kind: "revision" | "tree" | "file",
      request: IncomingMessage,
      response: ServerResponse,
    ) => unknown,
  ): Handler =>
  (request, response) => {
    const path = new URL(request.url!, "http://hub").pathname;
    const kind = path.includes("/revision/") ? "revision" : path.includes("/tree/") ? "tree" : "file";
    if (wrong(kind, request, response)) return;
    if (kind === "revision") return json(response, { _id: "1", id: "acme/tiny", sha: commit });
    if (kind === "tree") return json(response, listing);
    const text = files[path.split("/").at(-1) as keyof typeof files];
    const [, from, to] = request.headers.range?.match(/^bytes=(\d+)-(\d+)$/) ?? [];
    const part = from ? text.slice(Number(from), Number(to) + 1) : text;
    const range = from ? { "content-range": `bytes ${from}-${to}/${text.length}` } : {};
    response.writeHead(from ? 206 : 200, { etag: '"x"', "content-length": part.length, ...range });
    response.end(part);
  };

/** Sends without end, until nobody listens. */
const pour = (response: ServerResponse, chunk: Buffer) => {
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", more);
  more();
  return true;
};

async function refused(handler: Handler, token?: string): Promise<string> {
  const endpoint = await serve(handler);
  const error = await fetchModel("acme/tiny", { endpoint, cacheDir, token, idleSeconds: 1 }).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  expect(error?.name).toBe("UserError");
  for (const name of await readdir(cacheDir, { recursive: true }))
    expect((await stat(join(cacheDir, name))).size).toBeLessThan(100_000);
  return error!.message;
}

it("a server that behaves is served", async () => {
  const endpoint = await serve(hub(() => false));
  const folder = await fetchModel("acme/tiny", { endpoint, cacheDir, token: undefined });
  expect((await stat(join(folder, "model.safetensors"))).size).toBe(1000);
});

const megabyte = Buffer.alloc(2 ** 20);
const manyFiles = JSON.stringify(Array.from({ length: 70_000 }, () => listing[0]));
const packed = gzipSync(Buffer.alloc(64 * 2 ** 20));

it.each<[string, Handler, RegExp]>([
  [
    "a file that is longer than it is listed",
    hub((kind, request, response) => {
      if (kind !== "file" || request.headers.range === "bytes=0-0") return false;
      response.writeHead(200, { etag: '"x"' });
      return pour(response, megabyte);
    }),
    /sends more than the \d+ bytes that are due/,
  ],
  [
    "a file that is packed",
    hub((kind, request, response) => {
      if (kind !== "file" || request.headers.range === "bytes=0-0") return false;
      response.writeHead(200, { etag: '"x"', "content-encoding": "gzip" });
      return pour(response, packed);
    }),
    /sends more than the \d+ bytes that are due/,
  ],
  [
    "a list of files that is packed",
    hub((kind, _, response) => {
      if (kind !== "tree") return false;
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
      return pour(response, packed);
    }),
    /sends more than the 33554432 bytes that are due|was not finished in 2 s/,
  ],
  [
    "pages without end",
    hub((kind, request, response) => {
      if (kind !== "tree") return false;
      const next = `http://${request.headers.host}${request.url}`;
      json(response, listing.slice(0, 1), { link: `<${next}>; rel="next"` });
      return true;
    }),
    /answers without end \(1000 pages were read\)/,
  ],
  ["a server that says nothing", () => {}, /did not answer in 1 s/],
  [
    "a server that falls silent",
    hub((kind, _, response) => {
      if (kind !== "tree") return false;
      response.writeHead(200, { "content-type": "application/json" });
      response.write("[");
      return true;
    }),
    /sent nothing for 1 s/,
  ],
  [
    "a file that comes a byte at a time",
    hub((kind, request, response) => {
      const isLarge = request.url!.includes("model.safetensors");
      if (kind !== "file" || !isLarge || request.headers.range === "bytes=0-0") return false;
      response.writeHead(200, { etag: '"x"' });
      const timer = setInterval(() => response.write("x"), 50);
      response.on("close", () => clearInterval(timer));
      return true;
    }),
    /the server sent \d+ bytes in 1 s/,
  ],
  [
    "more files than a repository has",
    hub((kind, request, response) => {
      if (kind !== "tree") return false;
      const next = `http://${request.headers.host}${request.url}`;
      response.writeHead(200, { "content-type": "application/json", link: `<${next}>; rel="next"` });
      response.end(manyFiles);
      return true;
    }),
    /lists the files of acme\/tiny without end|was not finished in 2 s/,
  ],
  [
    "a path of a megabyte without its size",
    hub((kind, _, response) => {
      if (kind !== "tree") return false;
      json(response, [{ type: "file", path: "x".repeat(2 ** 20) }]);
      return true;
    }),
    /^.{0,400}without its size or its hash\.$/,
  ],
  [
    "a list without hashes",
    hub((kind, _, response) => {
      if (kind !== "tree") return false;
      json(response, [{ type: "file", path: "config.json", size: 2 }]);
      return true;
    }),
    /lists "config.json" of acme\/tiny without its size or its hash/,
  ],
  [
    "a revision that is no commit",
    hub((kind, _, response) => {
      if (kind !== "revision") return false;
      json(response, { _id: "1", id: "acme/tiny", sha: "../../etc" });
      return true;
    }),
    /does not say which commit "main" of acme\/tiny is/,
  ],
  [
    "another size than was listed",
    hub((kind, request, response) => {
      if (kind !== "file" || request.headers.range !== "bytes=0-0") return false;
      response.writeHead(206, { etag: '"x"', "content-range": "bytes 0-0/999999", "content-length": 1 });
      response.end("x");
      return true;
    }),
    /with \d+ bytes and sends 999999/,
  ],
])("%s is a sentence", async (_, handler, sentence) => {
  expect(await refused(handler)).toMatch(sentence);
});

it("the token goes to the Hub's own host, whatever its pages name", async () => {
  const seen: (string | undefined)[] = [];
  const other = await serve((request, response) => {
    seen.push(request.headers.authorization);
    json(response, listing);
  });
  const own: (string | undefined)[] = [];
  const endpoint = await serve(
    hub((kind, request, response) => {
      own.push(request.headers.authorization);
      if (kind !== "tree") return false;
      json(response, [], { link: `<${other}/api/models/acme/tiny/tree/x>; rel="next"` });
      return true;
    }),
  );
  await fetchModel("acme/tiny", { endpoint, cacheDir, token: "hf_secret" });
  expect(seen).toEqual([undefined]);
  expect(new Set(own)).toEqual(new Set(["Bearer hf_secret"]));
});
