// A reward server in the test's own process, and ways to ask it.

import { stringify } from "yaml";
import { parseRecipe } from "../../src/recipe/recipe.js";
import { silent } from "../../src/run/context.js";
import { allDialects } from "../../src/serve/dialects/index.js";
import { serveSockets } from "../../src/serve/dialects/openenv-socket.js";
import { type HttpOptions, serveHttp } from "../../src/serve/http.js";
import { RewardService } from "../../src/serve/service.js";
import { type FlagChoice, openChoice, openRecipe, type ServedTasks } from "../../src/serve/task.js";

export interface RewardServer {
  url: string;
  service: RewardService;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Reply>;
  get(path: string, headers?: Record<string, string>): Promise<Reply>;
  close(): Promise<void>;
}

export interface Reply {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what a test expects of it, it says itself
  body: any;
  headers: Headers;
}

export async function serveTasks(
  served: ServedTasks,
  options: Partial<HttpOptions> = {},
  note: (line: string) => void = silent.note,
): Promise<RewardServer> {
  const service = await RewardService.open(served, { ...silent, note });
  const { url, close } = await serveHttp(service, allDialects(), {
    port: 0,
    version: "test",
    onServer: (http, guard) => serveSockets(http, guard, service),
    ...options,
  });
  const ask = async (path: string, init: RequestInit): Promise<Reply> => {
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json");
    return {
      status: response.status,
      body: isJson && text !== "" ? JSON.parse(text) : text,
      headers: response.headers,
    };
  };
  return {
    url,
    service,
    post: (path, body, headers = {}) =>
      ask(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    get: (path, headers = {}) => ask(path, { headers }),
    close,
  };
}

/** Serves an align recipe. */
export const serveRecipe = async (recipe: object, file: string, options?: Partial<HttpOptions>) =>
  serveTasks(await openRecipe(parseRecipe("align", stringify(recipe), file), { reporter: silent }), options);

/** Serves a reward model and judges. */
export const serveChoice = async (
  choice: Partial<FlagChoice> & Pick<FlagChoice, "outputDir">,
  options?: Partial<HttpOptions>,
) =>
  serveTasks(
    await openChoice(
      { judges: [], engine: { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 }, ...choice },
      { reporter: silent },
    ),
    options,
  );
