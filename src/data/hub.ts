// Models and data sets of the Hugging Face Hub by name: pinned to a commit, checked against the Hub's hashes, kept in
// the shared local cache and used from there when the network is away.

import { createWriteStream } from "node:fs";
import { rename, rm, stat, writeFile } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { setTimeout as sleep } from "node:timers/promises";
import {
  datasetInfo,
  downloadFile,
  fileDownloadInfo,
  HubApiError,
  listFiles,
  modelInfo,
} from "@huggingface/hub";
import { explainDiskError } from "../base/atomic.js";
import { brief } from "../base/brief.js";
import { UserError } from "../base/errors.js";
import { type Entry, isCommit, isEntry, isIntact, RepoCache, type RepoId } from "./hub-cache.js";
import { hubFetch } from "./hub-fetch.js";

export interface DownloadProgress {
  /** The file that is under way. */
  path: string;
  /** Bytes so far, over all files of this download. */
  received: number;
  /** Bytes that all files of this download have together. */
  total: number;
}

export interface HubOptions {
  /** Branch, tag or commit. Default "main". */
  revision?: string;
  /** Default: HF_ENDPOINT, or https://huggingface.co. */
  endpoint?: string;
  /** Default: HF_TOKEN. */
  token?: string | undefined;
  /** Default: HF_HUB_CACHE, or `hub` in HF_HOME, or ~/.cache/huggingface/hub. */
  cacheDir?: string;
  /** Use the cache only. Default: HF_HUB_OFFLINE. */
  offline?: boolean;
  /** How long a server may say nothing. Default 30. */
  idleSeconds?: number;
  onProgress?: (progress: DownloadProgress) => void;
  /** Told, in a sentence, what a person should know: that the copy in use may be old. */
  onNotice?: (sentence: string) => void;
}

/** A repository at one commit. */
export interface HubRepo {
  commit: string;
  /** Every file of the commit (offline, perhaps only those in the cache). */
  paths: string[];
  /** Makes sure that these files are in the cache, and returns the folder that holds them under their paths. */
  fetch(paths: readonly string[]): Promise<string>;
}

interface Connection {
  repo: RepoId;
  revision: string;
  hubUrl: string;
  accessToken: string | undefined;
  idleSeconds: number;
  cache: RepoCache;
}

/** What the Hub says about a repository: one answer, and all pages of a list of files. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;
const MAX_PAGES = 1000;
const MAX_LISTING_SECONDS = 300;
/** Twice what the Hub itself advises for a repository. */
const MAX_FILES = 200_000;

/** Times that a download is tried before a failing network stops it; each try goes on where the last one ended. */
const tries = 4;

export async function openRepo(repo: RepoId, options: HubOptions = {}): Promise<HubRepo> {
  const { revision = "main", onNotice = () => {} } = options;
  const connection = connect(repo, revision, options);
  if (options.offline ?? isSet(process.env.HF_HUB_OFFLINE)) return openCached(connection, "offline");
  try {
    return await openOnline(connection, options);
  } catch (error) {
    if (!isTransient(error)) throw explain(error, connection);
    const cached = await openCached(connection, "unreachable").catch(() => null);
    if (!cached) throw explain(error, connection);
    onNotice(
      `${connection.hubUrl} cannot be reached; using the cached copy of ${repo.name} (${cached.commit.slice(0, 8)}).`,
    );
    return cached;
  }
}

/** Which Hub, and with which token. */
export function hubAccess({ endpoint, token }: Pick<HubOptions, "endpoint" | "token">) {
  const hubUrl = (endpoint ?? process.env.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, "");
  const accessToken = (token ?? process.env.HF_TOKEN) || undefined;
  if (accessToken && !accessToken.startsWith("hf_")) {
    throw new UserError('HF_TOKEN does not hold an access token of the Hub: those start with "hf_".');
  }
  return { hubUrl, accessToken };
}

function connect(repo: RepoId, revision: string, options: HubOptions): Connection {
  const { hubUrl, accessToken } = hubAccess(options);
  const cache = new RepoCache(repo, options.cacheDir);
  return { repo, revision, hubUrl, accessToken, idleSeconds: options.idleSeconds ?? 30, cache };
}

async function openOnline(connection: Connection, { onProgress = () => {} }: HubOptions): Promise<HubRepo> {
  const { cache, revision, hubUrl } = connection;
  const { commit, entries } = await shared(`${hubUrl} ${cache.snapshot(revision)}`, () => pin(connection));
  const fetch = async (paths: readonly string[]) => {
    const wanted = entries.filter((entry) => paths.includes(entry.path));
    const held = await Promise.all(wanted.map(({ path, size }) => cache.holds(commit, path, size)));
    const missing = wanted.filter((_, index) => !held[index]);
    const total = missing.reduce((sum, { size }) => sum + size, 0);
    let before = 0;
    for (const entry of missing) {
      const onBytes = (done: number) => onProgress({ path: entry.path, received: before + done, total });
      await obtain(connection, commit, entry, onBytes);
      before += entry.size;
    }
    return cache.snapshot(commit);
  };
  return { commit, paths: entries.map(({ path }) => path), fetch };
}

async function openCached(connection: Connection, why: "offline" | "unreachable"): Promise<HubRepo> {
  const { cache, repo, revision } = connection;
  const missing = (what: string) =>
    new UserError(
      `${what} is not in the cache, and ${why === "offline" ? "the Hub is switched off (offline)" : `${connection.hubUrl} cannot be reached`}.`,
    );
  const commit = await cache.commitOf(revision);
  if (!commit) throw missing(`${repo.name} (revision ${revision})`);
  const listing = await cache.listing(commit);
  const paths = listing?.map(({ path }) => path) ?? (await cache.filesInSnapshot(commit));
  if (paths.length === 0) throw missing(`${repo.name} (revision ${revision})`);
  const fetch = async (wanted: readonly string[]) => {
    for (const path of wanted) {
      const size = listing?.find((entry) => entry.path === path)?.size;
      if (!(await cache.holds(commit, path, size))) throw missing(`${repo.name}/${path}`);
    }
    return cache.snapshot(commit);
  };
  return { commit, paths, fetch };
}

/** Asks for the commit that the revision stands for now, and for its files, and notes both in the cache. */
async function pin(connection: Connection): Promise<{ commit: string; entries: Entry[] }> {
  const { cache, revision } = connection;
  const commit = isCommit(revision) ? revision : await currentCommit(connection);
  const known = await cache.listing(commit);
  const entries = known ?? (await listEntries(connection, commit));
  if (!known) await cache.setListing(commit, entries);
  await cache.setCommit(revision, commit);
  return { commit, entries };
}

/** For the Hub's answers about a repository. */
const askingFetch = ({ hubUrl, idleSeconds }: Connection) =>
  hubFetch(hubUrl, {
    maxBytes: MAX_ANSWER_BYTES,
    maxRequests: MAX_PAGES,
    idleSeconds,
    seconds: 2 * idleSeconds,
  });

async function currentCommit(connection: Connection): Promise<string> {
  const { repo, revision, hubUrl, accessToken } = connection;
  const fetch = askingFetch(connection);
  const question = { name: repo.name, revision, hubUrl, fetch, ...(accessToken && { accessToken }) };
  const info =
    repo.type === "model"
      ? await modelInfo({ ...question, additionalFields: ["sha"] })
      : await datasetInfo({ ...question, additionalFields: ["sha"] });
  if (typeof info.sha !== "string" || !isCommit(info.sha))
    throw new UserError(`${hubUrl} does not say which commit "${revision}" of ${repo.name} is.`);
  return info.sha;
}

async function listEntries(connection: Connection, commit: string): Promise<Entry[]> {
  const { repo, hubUrl, accessToken } = connection;
  const entries: Entry[] = [];
  const fetch = askingFetch(connection);
  const question = { repo, revision: commit, recursive: true, hubUrl, fetch };
  const started = performance.now();
  for await (const { type, path, size, oid, lfs } of listFiles({
    ...question,
    ...(accessToken && { accessToken }),
  })) {
    if (performance.now() - started > 1000 * MAX_LISTING_SECONDS || entries.length >= MAX_FILES)
      throw new UserError(`${hubUrl} lists the files of ${repo.name} without end.`);
    if (type !== "file") continue;
    const entry = { path, size, hash: String(lfs?.oid ?? oid).replace("sha256:", "") };
    if (!isEntry(entry))
      throw new UserError(
        `${hubUrl} lists ${brief(JSON.stringify(path) ?? "a file")} of ${repo.name} without its size or its hash.`,
      );
    entries.push(entry);
  }
  return entries;
}

/** Work under way in this process, by what it is about: two tasks that want one file share its download. */
const underWay = new Map<string, Promise<unknown>>();

function shared<T>(key: string, work: () => Promise<T>): Promise<T> {
  const running = underWay.get(key) as Promise<T> | undefined;
  if (running) return running;
  const started = work().finally(() => underWay.delete(key));
  underWay.set(key, started);
  return started;
}

/** Puts one file into the snapshot, its content downloaded unless another commit had it. */
async function obtain(
  connection: Connection,
  commit: string,
  entry: Entry,
  onBytes: (done: number) => void,
): Promise<void> {
  const { cache } = connection;
  const blob = cache.blob(entry);
  try {
    await shared(blob, async () => {
      const known = await stat(blob).catch(() => null);
      if (known?.size !== entry.size) await downloadBlob(connection, commit, entry, onBytes);
    });
    await shared(`${cache.snapshot(commit)} ${entry.path}`, () => cache.link(commit, entry));
  } catch (error) {
    throw explain(error, connection);
  }
}

async function downloadBlob(
  connection: Connection,
  commit: string,
  entry: Entry,
  onBytes: (done: number) => void,
): Promise<void> {
  const partial = await connection.cache.partial(entry);
  for (let attempt = 1; ; attempt++) {
    try {
      await appendRest(connection, commit, entry, partial, onBytes);
      if (await isIntact(partial, entry)) break;
      await rm(partial);
      throw new Error(`${entry.path} arrived damaged (its hash is not the one that the Hub lists)`);
    } catch (error) {
      if (attempt === tries || !isTransient(error)) throw error;
      await sleep(250 * 2 ** attempt);
    }
  }
  await rename(partial, connection.cache.blob(entry));
}

/** Downloads what `partial` still lacks of the file. */
async function appendRest(
  { repo, hubUrl, accessToken, idleSeconds }: Connection,
  commit: string,
  entry: Entry,
  partial: string,
  onBytes: (done: number) => void,
): Promise<void> {
  let done = (await stat(partial).catch(() => null))?.size ?? 0;
  if (entry.size === 0) return writeFile(partial, "");
  if (done >= entry.size) return;
  const question = { repo, path: entry.path, revision: commit, hubUrl, ...(accessToken && { accessToken }) };
  const fetchPart = hubFetch(hubUrl, { maxBytes: entry.size - done, idleSeconds });
  const downloadInfo = await fileDownloadInfo({ ...question, fetch: headOnly(fetchPart) });
  if (!downloadInfo) throw new UserError(`${repo.name} no longer has the file ${entry.path}.`);
  if (downloadInfo.size !== entry.size)
    throw new UserError(
      `${hubUrl} lists ${entry.path} of ${repo.name} with ${entry.size} bytes and sends ${downloadInfo.size}.`,
    );
  const content = await downloadFile({ ...question, fetch: fetchPart, downloadInfo, xet: false });
  const counter = new Transform({
    transform(chunk: Buffer, _, pass) {
      done += chunk.length;
      onBytes(done);
      pass(null, chunk);
    },
  });
  const body = content!.slice(done).stream() as ReadableStream;
  await pipeline(Readable.fromWeb(body), counter, createWriteStream(partial, { flags: "a" }));
}

/** The head of an answer: a server that sends the whole file instead is not listened to. */
const headOnly =
  (fetch: typeof globalThis.fetch): typeof globalThis.fetch =>
  async (...request) => {
    const response = await fetch(...request);
    if (response.ok) await response.body?.cancel();
    return response;
  };

/** Whether trying again, or later, may help: the network failed, or the server said so. */
function isTransient(error: unknown): boolean {
  if (error instanceof UserError) return false;
  if (error instanceof HubApiError) return error.statusCode >= 500 || [408, 429].includes(error.statusCode);
  return !isDiskError(error);
}

function isDiskError(error: unknown): boolean {
  return explainDiskError(error, "") instanceof UserError;
}

function explain(error: unknown, { repo, revision, hubUrl, accessToken, cache }: Connection): unknown {
  if (error instanceof UserError) return error;
  if (isDiskError(error)) return explainDiskError(error, cache.snapshot(revision));
  const what = `${repo.type === "model" ? "model" : "data set"} "${repo.name}"`;
  const page = `${hubUrl}/${repo.type === "model" ? "" : "datasets/"}${repo.name}`;
  if (!(error instanceof HubApiError)) {
    return new UserError(`The ${what} could not be fetched from ${hubUrl}: ${reason(error)}.`, {
      cause: error,
    });
  }
  const sentences: Record<number, string> = {
    401: accessToken
      ? `${hubUrl} does not accept the token in HF_TOKEN for the ${what}; check both.`
      : `${hubUrl} has no public ${what}; if it is private or gated, put a token that may read it into HF_TOKEN.`,
    403: `Access to the ${what} is restricted: ask for it on ${page}, and put your token into HF_TOKEN.`,
    404: `${hubUrl} has no ${what} at revision "${revision}".`,
    429: `${hubUrl} asks for fewer requests; try again in some minutes, or with a token in HF_TOKEN.`,
  };
  const status = error.statusCode;
  const sentence = sentences[status] ?? `${hubUrl} answered ${status} when asked for the ${what}.`;
  return new UserError(sentence, { cause: error });
}

/** `fetch` says only "fetch failed"; the cause says why. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? error.message;
}

function isSet(variable: string | undefined): boolean {
  return ["1", "true", "yes", "on"].includes((variable ?? "").toLowerCase());
}
