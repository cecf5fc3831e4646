// OpenEnv's environment server (0.3 to 0.10): an environment of one turn. The clients hold a session over a WebSocket (/ws,
// openenv-socket.ts); over HTTP every call stands alone, so that a step names its prompt. Its task API is that of ORS.
//   POST /reset {"seed"?,"episode_id"?,"task"?,"prompt_id"?}   POST /step {"action":{"response","prompt_id"?,"prompt"?,"task"?}}

import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { PromptRow } from "../../data/rows.js";
import { rowAt, rowOfSeed, shown, split, toldOf } from "../environment.js";
import { Problem } from "../problem.js";
import { type Call, type Dialect, metadataField, promptField, route, valueOrNull } from "../route.js";
import type { RewardService } from "../service.js";
import type { ServedTask } from "../task.js";

export const actionSchema = z.strictObject({
  response: z.string(),
  task: z.string().optional(),
  prompt_id: z.string().optional(),
  prompt: promptField.optional(),
  /** Columns for the judges. */
  metadata: metadataField.optional(),
});

export const resetSchema = z.looseObject({
  seed: z.int().min(0).nullish(),
  episode_id: z.string().nullish(),
  task: z.string().optional(),
  prompt_id: z.string().optional(),
  split: z.string().optional(),
  index: z.int().min(0).optional(),
});

export interface OpenEnvEpisode {
  id: string;
  task: string;
  row: PromptRow | undefined;
  steps: number;
}

/** Begins an episode: the prompt that is named, or one by the seed. */
export function resetEpisode(
  service: RewardService,
  { seed, episode_id, task: name, prompt_id, split: splitName, index }: z.output<typeof resetSchema>,
  hint?: string,
) {
  const task = service.taskOf(name ?? hint);
  if (splitName !== undefined && splitName !== split.name)
    throw new Problem("invalid", `Invalid split: there is ${split.name} alone`);
  const row = rowFor(task, { seed, prompt_id, index });
  const episode: OpenEnvEpisode = { id: episode_id ?? randomUUID(), task: task.name, row, steps: 0 };
  const observation = { ...(row ? shown(task.name, row) : { task: task.name }), done: false, metadata: {} };
  return { episode, reply: { observation, reward: null, done: false } };
}

function rowFor(
  task: ServedTask,
  {
    seed,
    prompt_id,
    index,
  }: { seed?: number | null | undefined; prompt_id?: string | undefined; index?: number | undefined },
): PromptRow | undefined {
  if (prompt_id !== undefined) return namedRow(task, prompt_id);
  if (index !== undefined) return rowAt(task, index);
  return task.rows.length === 0 ? undefined : rowOfSeed(task, seed);
}

function namedRow({ name, rows }: ServedTask, id: string): PromptRow {
  const row = rows.find((one) => one.id === id);
  if (row) return row;
  throw new Problem("invalid", `task ${name} has no prompt "${id}"`);
}

/** Judges an answer; the episode ends with it. */
export async function stepEpisode(
  service: RewardService,
  { response, task: name, prompt_id, prompt, metadata = {} }: z.output<typeof actionSchema>,
  score: Call<unknown>["score"],
  episode?: OpenEnvEpisode,
) {
  const task = service.taskOf(name ?? episode?.task);
  const row = prompt_id === undefined ? episode?.row : namedRow(task, prompt_id);
  const asked = prompt ?? row?.prompt;
  if (asked === undefined)
    throw new Problem(
      "invalid",
      "the action must name its prompt (prompt_id or prompt): over HTTP there is no session",
    );
  const sample = {
    ...(row && { id: row.id }),
    prompt: asked,
    response,
    metadata: { ...row?.metadata, ...metadata },
  };
  const [result] = await score([sample], task.name);
  const reward = valueOrNull(result!, service.options);
  return {
    observation: { task: task.name, ...toldOf(result!), done: true, metadata: {} },
    reward,
    done: true,
  };
}

export const stateOf = (episode: OpenEnvEpisode | undefined) => ({
  episode_id: episode?.id ?? null,
  step_count: episode?.steps ?? 0,
  ...(episode && { task: episode.task, prompt_id: episode.row?.id ?? null }),
});

const schema = (of: z.ZodType) => z.toJSONSchema(of, { io: "input", unrepresentable: "any" });

export const openenv: Dialect = {
  name: "openenv",
  routes: [
    route({
      method: "POST",
      path: "/reset",
      summary: "A prompt.",
      body: resetSchema,
      handle: ({ service, body, task }) => ({ body: resetEpisode(service, body, task).reply }),
    }),
    route({
      method: "POST",
      path: "/step",
      summary: "The reward of an answer.",
      body: z.looseObject({
        action: actionSchema,
        timeout_s: z.number().nullish(),
        request_id: z.string().nullish(),
      }),
      handle: async ({ service, body, score, task }) => ({
        body: await stepEpisode(service, { task, ...body.action }, score),
      }),
    }),
    route({
      method: "GET",
      path: "/state",
      summary: "No session, no state.",
      handle: () => ({ body: stateOf(undefined) }),
    }),
    route({
      method: "GET",
      path: "/schema",
      summary: "What actions and observations look like.",
      handle: () => ({
        body: {
          action: schema(actionSchema),
          observation: { type: "object", additionalProperties: true },
          state: { type: "object", additionalProperties: true },
        },
      }),
    }),
    route({
      method: "GET",
      path: "/metadata",
      summary: "What this environment is.",
      handle: ({ service }) => ({
        body: {
          name: "touchstone",
          description: `Answers judged and rewarded by the tasks ${service.tasks.map(({ name }) => name).join(", ")}.`,
          version: "1",
        },
      }),
    }),
  ],
  error: ({ kind, message }) => ({ ...(kind === "invalid" && { status: 422 }), body: { detail: message } }),
};
