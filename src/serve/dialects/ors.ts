// The Open Reward Standard (`ors-sdk` 0.1, `openreward` 0.1; TRL's and Inspect's adapters): every task is an environment with
// one tool, submit(answer), whose result has the reward and ends the episode. A reward that could not be had is null.

import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { PromptRow } from "../../data/rows.js";
import { promptText } from "../../data/rows.js";
import { rowAt, shown, split, toldOf } from "../environment.js";
import { Problem } from "../problem.js";
import {
  type Call,
  type Dialect,
  metadataField,
  type Reply,
  type Route,
  route,
  valueOrNull,
} from "../route.js";
import { Sessions } from "../sessions.js";
import type { ServedTask } from "../task.js";

const tools = [
  {
    name: "submit",
    description: "Submits the answer, which is judged; the episode ends with it.",
    input_schema: {
      type: "object",
      properties: { answer: { type: "string", description: "The whole answer." } },
      required: ["answer"],
    },
  },
];

const splitBody = z.looseObject({ split: z.string() });
const taskBody = z.looseObject({ split: z.string(), index: z.int() });
const rangeBody = z.looseObject({ split: z.string(), start: z.int().nullish(), stop: z.int().nullish() });
const createBody = z.looseObject({
  env_name: z.string().nullish(),
  task_spec: metadataField.nullish(),
  split: z.string().nullish(),
  index: z.int().nullish(),
});
const callBody = z.looseObject({
  name: z.string(),
  input: metadataField.default({}),
  task_id: z.string().nullish(),
});

interface Episode {
  task: string;
  row: PromptRow;
  /** Results by the id of the call, which is repeated when its stream broke. */
  results: Map<string, Promise<string>>;
}

/** Characters of one event. */
const pieceLength = 4096;

const event = (name: string, data: string): string =>
  `event: ${name}\n${data
    .split("\n")
    .map((line) => `data: ${line}\n`)
    .join("")}\n`;

const eventStream = (body: string | ReadableStream<Uint8Array>): Response =>
  new Response(body, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });

function requireSplit(name: string): void {
  if (name !== split.name) throw new Problem("invalid", `Invalid split: there is ${split.name} alone`);
}

const specOf = ({ id, prompt }: PromptRow, index: number) => ({ index, id, prompt: promptText(prompt) });

function sessionId({ headers }: Call<unknown>): string {
  const id = headers.get("x-session-id");
  if (id) return id;
  throw new Problem("invalid", "X-Session-ID header is missing");
}

/** The episodes of one server. */
class Episodes {
  private readonly episodes = new Sessions<Episode>({ idleSeconds: 900 });
  private readonly deleted = new Sessions<true>({ idleSeconds: 900 });

  episodeOf(call: Call<unknown>): Episode {
    const id = sessionId(call);
    const found = this.episodes.get(id);
    if (found) return found;
    if (this.deleted.get(id)) throw new Problem("gone", `Session ${id} was deleted`);
    throw new Problem("not_found", `Session ${id} not found`);
  }

  create(call: Call<z.output<typeof createBody>>): Reply {
    const { env_name, task_spec, split: name, index } = call.body;
    const id = sessionId(call);
    if (this.episodes.get(id)) throw new Problem("invalid", "Session already exists");
    const task = call.service.taskOf(env_name ?? call.task);
    const hasIndex = typeof name === "string" && typeof index === "number";
    if (hasIndex === Boolean(task_spec))
      throw new Problem("invalid", "give either task_spec, or split and index");
    if (hasIndex) requireSplit(name);
    const at = hasIndex ? index : Number((task_spec as { index?: unknown }).index ?? Number.NaN);
    if (!Number.isSafeInteger(at))
      throw new Problem("invalid", "task_spec has no index; take one that this server gave");
    this.episodes.set(id, { task: task.name, row: rowAt(task, at), results: new Map() });
    return { body: { sid: id } };
  }

  /** The tool's output as JSON. */
  private async submit(call: Call<z.output<typeof callBody>>, { task, row }: Episode): Promise<string> {
    const { name, input } = call.body;
    if (name !== "submit")
      return JSON.stringify({ ok: false, error: `there is no tool "${name}"; there is submit` });
    if (typeof input.answer !== "string")
      return JSON.stringify({ ok: false, error: "submit: answer must be a text" });
    const { id, prompt, metadata } = row;
    const sample = { id, prompt, response: input.answer, metadata };
    const [result] = await call.score([sample], task);
    const reward = valueOrNull(result!, call.service.options);
    const told = toldOf(result!);
    const text = reward === null ? `not judged: ${result!.reason}` : `reward ${reward}`;
    const output = { blocks: [{ type: "text", text, detail: null }], metadata: told, reward, finished: true };
    return JSON.stringify({ ok: true, output });
  }

  callTool(call: Call<z.output<typeof callBody>>): Response {
    const episode = this.episodeOf(call);
    const id = call.body.task_id ?? randomUUID();
    let result = episode.results.get(id);
    if (!result) episode.results.set(id, (result = this.submit(call, episode)));
    const encoder = new TextEncoder();
    const send = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      const say = (text: string) => controller.enqueue(encoder.encode(text));
      say(event("task_id", id));
      const ping = setInterval(() => say(": ping\n\n"), 10_000);
      try {
        const text = await result;
        for (let from = 0; from === 0 || from < text.length; from += pieceLength)
          say(
            event(from + pieceLength < text.length ? "chunk" : "end", text.slice(from, from + pieceLength)),
          );
      } catch (error) {
        episode.results.delete(id);
        say(event("error", (error as Error).message));
      } finally {
        clearInterval(ping);
        controller.close();
      }
    };
    return eventStream(
      new ReadableStream({
        start: (controller) => send(controller).catch(() => {}),
      }),
    );
  }

  delete(call: Call<unknown>): Reply {
    const id = sessionId(call);
    if (this.episodes.get(id)) this.deleted.set(id, true);
    this.episodes.delete(id);
    return { body: { sid: id } };
  }
}

const taskOf = (call: Call<unknown>): ServedTask => call.service.taskOf(call.params.env ?? call.task);

/** What needs no session. */
const taskRoutes: readonly Route[] = [
  route({
    method: "GET",
    path: "/list_environments",
    summary: "The tasks.",
    handle: ({ service }) => ({ body: service.tasks.map(({ name }) => name) }),
  }),
  route({
    method: "GET",
    path: "/:env/tools",
    summary: "The tools of an environment.",
    handle(call) {
      taskOf(call);
      return { body: { tools } };
    },
  }),
  route({
    method: "GET",
    path: "/:env/splits",
    summary: "The splits of an environment.",
    handle(call) {
      taskOf(call);
      return { body: [split] };
    },
  }),
  route({
    method: "POST",
    path: "/:env/tasks",
    summary: "The prompts of a split.",
    body: splitBody,
    handle(call) {
      requireSplit(call.body.split);
      const { name, rows } = taskOf(call);
      return { body: { tasks: rows.map(specOf), env_name: name } };
    },
  }),
  route({
    method: "POST",
    path: "/:env/num_tasks",
    summary: "How many prompts a split has.",
    body: splitBody,
    handle(call) {
      requireSplit(call.body.split);
      return { body: { num_tasks: taskOf(call).rows.length } };
    },
  }),
  route({
    method: "POST",
    path: "/:env/task",
    summary: "A prompt of a split.",
    body: taskBody,
    handle(call) {
      requireSplit(call.body.split);
      return { body: { task: specOf(rowAt(taskOf(call), call.body.index), call.body.index) } };
    },
  }),
  route({
    method: "POST",
    path: "/:env/task_range",
    summary: "Some prompts of a split.",
    body: rangeBody,
    handle(call) {
      requireSplit(call.body.split);
      const { start, stop } = call.body;
      const all = taskOf(call).rows.map(specOf);
      return { body: { tasks: all.slice(start ?? 0, stop ?? undefined) } };
    },
  }),
];

const episodeRoutes = (episodes: Episodes): Route[] => [
  route({
    method: "GET",
    path: "/:env/task_tools",
    summary: "The tools of an episode.",
    handle(call) {
      episodes.episodeOf(call);
      return { body: { tools } };
    },
  }),
  route({
    method: "POST",
    path: "/create_session",
    summary: "Names a session.",
    handle: () => eventStream(event("task_id", randomUUID()) + event("end", "")),
  }),
  route({
    method: "POST",
    path: "/create",
    summary: "Begins an episode.",
    body: createBody,
    handle: (call) => episodes.create(call),
  }),
  route({
    method: "GET",
    path: "/:env/prompt",
    summary: "The prompt of an episode.",
    handle(call) {
      const { task, row } = episodes.episodeOf(call);
      return { body: [{ type: "text", text: shown(task, row).prompt, detail: null }] };
    },
  }),
  route({
    method: "POST",
    path: "/:env/call",
    summary: "Calls a tool.",
    body: callBody,
    handle: (call) => episodes.callTool(call),
  }),
  route({
    method: "POST",
    path: "/ping",
    summary: "Keeps an episode.",
    handle(call) {
      episodes.episodeOf(call);
      return { body: { status: "ok" } };
    },
  }),
  ...["/delete", "/delete_session"].map((path) =>
    route({ method: "POST", path, summary: "Ends an episode.", handle: (call) => episodes.delete(call) }),
  ),
];

/** A dialect with sessions of its own. */
export const ors = (): Dialect => ({
  name: "ors",
  routes: [...taskRoutes, ...episodeRoutes(new Episodes())],
  error: ({ message }) => ({ body: { detail: message } }),
});
