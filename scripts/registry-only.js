// Runs a command where the npm registry is the only host: in a network namespace of its own (Linux, root), whose one way
// out is a proxy that opens tunnels to the registry and to nothing else. Says on stderr which hosts were refused.
//
//   node scripts/registry-only.js npm i -g touchstone-0.1.0.tgz

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect, createServer as listener } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const self = fileURLToPath(import.meta.url);
const [mode, ...rest] = process.argv.slice(2);
if (mode === "--inside") inside(rest[0], rest.slice(1));
else outside([mode, ...rest]);

/** The proxy, and the namespace; both meet at a socket in the file system. */
function outside(command) {
  const registry = new URL(process.env.npm_config_registry ?? "https://registry.npmjs.org/").host;
  const dir = mkdtempSync(join(tmpdir(), "registry-only-"));
  const socket = join(dir, "proxy");
  const refused = new Set();
  const proxy = createServer((request, response) => {
    refused.add(request.url);
    response.writeHead(403).end();
  });
  proxy.on("connect", ({ url }, client) => {
    client.on("error", () => {});
    if (url !== `${registry}:443`) {
      refused.add(url);
      client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const upstream = connect(443, registry, () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
    upstream.on("error", () => client.destroy());
    upstream.pipe(client).pipe(upstream);
  });
  proxy.listen(socket, () => {
    const child = spawn("unshare", ["--net", process.execPath, self, "--inside", socket, ...command], {
      stdio: "inherit",
    });
    child.on("exit", (code) => {
      if (refused.size > 0) process.stderr.write(`refused: ${[...refused].join(", ")}\n`);
      rmSync(dir, { recursive: true });
      process.exit(code ?? 1);
    });
  });
}

/** In the namespace: loopback only, where a port leads to the proxy. */
function inside(socket, [program, ...args]) {
  const { status } = spawnSync("ip", ["link", "set", "lo", "up"], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
  const relay = listener((client) => {
    const upstream = connect(socket);
    for (const end of [client, upstream]) end.on("error", () => end.destroy());
    upstream.pipe(client).pipe(upstream);
  });
  relay.listen(0, "127.0.0.1", () => {
    const https_proxy = `http://127.0.0.1:${relay.address().port}`;
    const env = { ...process.env, https_proxy, http_proxy: https_proxy, no_proxy: "127.0.0.1,localhost" };
    spawn(program, args, { stdio: "inherit", env }).on("exit", (code) => process.exit(code ?? 1));
  });
}
