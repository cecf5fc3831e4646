// The page's server: a token, a port of this machine, and the prebuilt page.

import { randomBytes } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { serve } from "@hono/node-server";
import { UserError } from "../base/errors.js";
import { uiApp } from "./app.js";

export interface UiServerOptions {
  root: string;
  /** Default 127.0.0.1. */
  host?: string;
  /** Default: any that is free. */
  port?: number;
  /** Default: a new one. */
  token?: string;
  /** The directory of the built page. Default: the package's. */
  page?: string;
}

export interface UiServer {
  /** The address to open, with the token. */
  url: string;
  close(): Promise<void>;
}

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Where `npm run build` puts the page: index.html and assets/. */
const PAGE = join(import.meta.dirname, "page");

async function readAssets(
  page: string,
): Promise<Map<string, { body: Uint8Array<ArrayBuffer>; type: string }>> {
  const names = await readdir(join(page, "assets")).catch(() => {
    throw new UserError(`the page is not built: ${page} is missing; run npm run build`);
  });
  const paths = ["/index.html", ...names.map((name) => `/assets/${name}`)];
  return new Map(
    await Promise.all(
      paths.map(async (path) => {
        const body = new Uint8Array(await readFile(join(page, path)));
        return [path, { body, type: TYPES[extname(path)] ?? "application/octet-stream" }] as const;
      }),
    ),
  );
}

/** Starts the server; it listens when this returns. */
export async function startUi({
  root,
  host = "127.0.0.1",
  port = 0,
  token = randomBytes(18).toString("base64url"),
  page = PAGE,
}: UiServerOptions): Promise<UiServer> {
  const entry = await stat(root).catch(() => undefined);
  if (!entry?.isDirectory()) throw new UserError(`${root} is no directory; name one that holds runs`);
  const hosts = ["127.0.0.1", "localhost", "::1", host];
  const app = uiApp({ root, token, hosts, assets: await readAssets(page) });
  const server = serve({ fetch: app.fetch, hostname: host, port });
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken =
        error.code === "EADDRINUSE" ? `port ${port} is in use; choose another with --port` : error.message;
      reject(new UserError(taken));
    });
  });
  const at = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${at.port}/?token=${token}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}
