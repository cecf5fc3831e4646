// A model directory to the Hub: one commit, the large files by LFS, nothing of a run beside the model itself.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { brief } from "../base/brief.js";
import { UserError } from "../base/errors.js";
import { hubAccess } from "./hub.js";
import { isPublishable } from "./hub-models.js";

export interface PushOptions {
  /** `owner/name`. It is made where it does not exist. */
  repo: string;
  /** README.md, where the directory has none. */
  card?: string;
  branch?: string;
  title?: string;
  /** For a repository that is made now. */
  isPrivate?: boolean;
  /** Default: HF_ENDPOINT, or https://huggingface.co. */
  endpoint?: string;
  /** Default: HF_TOKEN. */
  token?: string;
  signal?: AbortSignal;
  /** A file, and the share of it that is there. */
  onProgress?(path: string, share: number): void;
}

export interface Pushed {
  url: string;
  commit: string;
  files: string[];
}

/** The files of a model directory that are published: configuration, tokenizer, weights and card. */
export async function publishedFiles(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR")
      throw new UserError(`${dir} is no directory; give the directory of a model`);
    throw error;
  });
  const files = entries
    .filter((entry) => entry.isFile() && isPublishable(entry.name))
    .map(({ name }) => name);
  if (!files.some((name) => name === "config.json" || name === "adapter_config.json"))
    throw new UserError(
      `${dir} has no config.json or adapter_config.json; give the directory of a model, such as runs/bot/final`,
    );
  if (!files.some((name) => name.endsWith(".safetensors")))
    throw new UserError(`${dir} has no weights (*.safetensors)`);
  return files.sort();
}

interface Hub {
  repo: { type: "model"; name: string };
  hubUrl: string;
  accessToken: string;
}

/** Whom to send to, checked before anything is. */
function hubOf({ repo: name, ...options }: PushOptions): Hub {
  if (!/^\w[\w.-]*\/\w[\w.-]*$/.test(name))
    throw new UserError(`"${name}" is no name of a repository; give owner/name`);
  const { hubUrl, accessToken } = hubAccess(options);
  if (!accessToken)
    throw new UserError("HF_TOKEN is not set; it must hold an access token of the Hub that may write");
  return { repo: { type: "model", name }, hubUrl, accessToken };
}

/** What the Hub refuses, or that it cannot be reached, in its words. */
async function explained<T>({ hubUrl, repo }: Hub, work: () => Promise<T>): Promise<T> {
  const { HubApiError } = await import("@huggingface/hub");
  try {
    return await work();
  } catch (error) {
    if (error instanceof HubApiError) {
      const said = `${hubUrl} refused ${repo.name} (${error.statusCode}): ${brief(error.message, 300)}`;
      throw new UserError(said, { cause: error });
    }
    if (!(error instanceof TypeError)) throw error;
    const why = (error.cause as Error | undefined)?.message ?? error.message;
    throw new UserError(`${hubUrl} cannot be reached: ${why}`, { cause: error });
  }
}

/** Makes the repository unless it exists. */
async function createUnlessThere(hub: Hub, isPrivate: boolean): Promise<void> {
  const { createRepo, HubApiError } = await import("@huggingface/hub");
  try {
    await createRepo({ ...hub, visibility: isPrivate ? "private" : "public" });
  } catch (error) {
    if (!(error instanceof HubApiError && error.statusCode === 409)) throw error;
  }
}

/** Sends the files of `dir`. What the Hub refuses is a UserError with its words. */
export async function pushModel(dir: string, options: PushOptions): Promise<Pushed> {
  const { card, branch = "main", title = "Upload model", isPrivate = false, signal, onProgress } = options;
  const hub = hubOf(options);
  const files = await publishedFiles(dir);
  const operations = [
    ...files.map((path) => ({ path, content: pathToFileURL(join(dir, path)) })),
    ...(card === undefined || files.includes("README.md")
      ? []
      : [{ path: "README.md", content: new Blob([card]) }]),
  ].map((file) => ({ operation: "addOrUpdate" as const, ...file }));
  const output = await explained(hub, async () => {
    await createUnlessThere(hub, isPrivate);
    const { commitIter } = await import("@huggingface/hub");
    const abort = signal && { abortSignal: signal };
    const commit = commitIter({ ...hub, branch, title, operations, ...abort, useXet: false });
    for (;;) {
      const { value, done } = await commit.next();
      if (done) return value;
      if (value.event === "fileProgress" && value.state === "uploading")
        onProgress?.(value.path, value.progress);
    }
  });
  if (!output) throw new UserError(`${hub.hubUrl} did not say which commit it made`);
  return {
    url: `${hub.hubUrl}/${hub.repo.name}`,
    commit: output.commit.oid,
    files: operations.map(({ path }) => path).sort(),
  };
}
