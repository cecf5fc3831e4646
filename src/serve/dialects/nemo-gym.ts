// NeMo Gym's resources server (0.4 to 0.7), legacy and typed: an agent seeds a session, runs, and asks /verify for the reward
// of what came out. A judge that failed is `mask_sample` with a `failure_kind`, so that consumers leave the row out; the
// 0.0 beside it is the protocol's place-holder. python/nemo_gym has the folder that its launcher needs.
//   POST /seed_session   POST /verify   POST /close_session   POST /aggregate_metrics   GET /reverify_mode

import { randomUUID } from "node:crypto";
import { z } from "zod";
import { mean } from "../../base/statistics.js";
import type { Metadata, Text } from "../../data/rows.js";
import { Problem } from "../problem.js";
import { type Call, type Dialect, metadataField, type Reply, route } from "../route.js";
import type { ServedResult, ServedSample } from "../sample.js";
import { Sessions } from "../sessions.js";
import { resultJson } from "./native.js";

const content = z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]);
const createParams = z.looseObject({
  input: z.union([z.string(), z.array(z.looseObject({ content: content.optional() }))]),
});
const responseObject = z.looseObject({ output: z.array(z.looseObject({ type: z.string().optional() })) });
const episode = z.strictObject({ rollout_id: z.string(), attempt: z.int() });

const typedSeed = z.strictObject({
  resources_session_id: z.string().min(1),
  episode_id: episode,
  task_id: z.strictObject({ taskset: z.string(), task_id: z.string() }),
  task_data: metadataField,
});
const verifyBody = z.union(
  [
    z.looseObject({ responses_create_params: createParams, response: responseObject }),
    z.looseObject({
      episode_id: episode,
      verification_input: z.looseObject({ responses_create_params: createParams, response: responseObject }),
    }),
  ],
  {
    error:
      "must have responses_create_params.input and response.output, or verification_input with the two and episode_id",
  },
);
type VerifyBody = z.output<typeof verifyBody>;

interface Session {
  taskData: Metadata;
}

const cookieName = "touchstone_session";

const cookieOf = ({ headers }: Call<unknown>): string | undefined =>
  new RegExp(`(?:^|;\\s*)${cookieName}=([\\w-]+)`).exec(headers.get("cookie") ?? "")?.[1];

/** Text of a message, whatever its parts. */
function textOf(given: unknown): string {
  if (typeof given === "string") return given;
  const parts = (given as { text?: unknown }[] | undefined) ?? [];
  return parts.map(({ text }) => (typeof text === "string" ? text : "")).join("");
}

function promptOf(input: z.output<typeof createParams>["input"]): Text {
  if (typeof input === "string") return [{ role: "user", content: input }];
  return input.map((message) => ({ role: String(message.role ?? "user"), content: textOf(message.content) }));
}

/** What the policy said: the text of its messages, tool calls and their results left out. */
const answerIn = ({ output }: z.output<typeof responseObject>): string =>
  output
    .filter(({ type, role }) => type === "message" || (type === undefined && role === "assistant"))
    .map((item) => textOf(item.content))
    .join("\n");

const isCutOff = (response: Metadata): boolean =>
  (response.incomplete_details as { reason?: string } | null | undefined)?.reason === "max_output_tokens";

/** Columns of the row, those under `verifier_metadata` among them. */
function columnsOf(row: Metadata): Metadata {
  const { responses_create_params: _, response: __, verifier_metadata: nested, ...own } = row;
  return { ...own, ...(typeof nested === "object" && nested !== null ? (nested as Metadata) : {}) };
}

/** The sessions of one server. */
class Gym {
  private readonly sessions = new Sessions<Session>();
  /** Sessions that are over, which nobody may seed again. */
  private readonly closed = new Sessions<true>();

  seed(call: Call<Metadata>): Reply {
    const isTyped = "resources_session_id" in call.body;
    const cookie = cookieOf(call) ?? randomUUID();
    const headers = { "set-cookie": `${cookieName}=${cookie}; Path=/; HttpOnly; SameSite=Lax` };
    if (!isTyped) {
      this.sessions.set(cookie, { taskData: columnsOf(call.body) });
      return { headers, body: {} };
    }
    const parsed = typedSeed.safeParse(call.body);
    if (!parsed.success) throw new Problem("invalid", parsed.error.issues[0]!.message);
    const { resources_session_id, task_data } = parsed.data;
    if (this.closed.get(resources_session_id))
      throw new Problem("conflict", `the session ${resources_session_id} has been closed`);
    this.sessions.set(cookie, { taskData: columnsOf(task_data) });
    return { headers, body: { resources_session_id, resources_tools: null, sandbox_access: null } };
  }

  async verify(call: Call<VerifyBody>): Promise<Reply> {
    const { body, service } = call;
    const isTyped = "verification_input" in body && body.verification_input !== undefined;
    const given = (isTyped ? body.verification_input : body) as Metadata & {
      responses_create_params: z.output<typeof createParams>;
      response: z.output<typeof responseObject>;
    };
    const { responses_create_params, response } = given;
    const cookie = cookieOf(call);
    const seeded = (cookie === undefined ? undefined : this.sessions.get(cookie))?.taskData;
    const metadata = { ...seeded, ...(isTyped ? {} : columnsOf(body as Metadata)) };
    const sample: ServedSample = {
      ...(typeof metadata.id === "string" && { id: metadata.id }),
      prompt: promptOf(responses_create_params.input),
      response: answerIn(response),
      truncated: isCutOff(response),
      metadata,
    };
    const names = service.tasks.map(({ name }) => name);
    const named = [metadata.touchstone_task, metadata.task].find((name) => names.includes(name as string));
    const [result] = await call.score([sample], (named as string | undefined) ?? call.task);
    const echo = isTyped ? { responses_create_params, response } : body;
    return { body: { ...echo, ...rewardOf(result!, service.options.onFailed, isTyped) } };
  }

  close(call: Call<Metadata>): Reply {
    const cookie = cookieOf(call);
    if (cookie !== undefined) this.sessions.delete(cookie);
    const { resources_session_id: id } = call.body;
    if (typeof id !== "string") return { body: {} };
    this.closed.set(id, true);
    return { body: { resources_session_id: id } };
  }
}

/** A dialect with sessions of its own. */
export function nemoGym(): Dialect {
  const gym = new Gym();
  return {
    name: "nemo_gym",
    routes: [
      route({
        method: "GET",
        path: "/",
        summary: "Whether the server can be reached.",
        isOpen: true,
        handle: () => ({ body: { status: "ok" } }),
      }),
      route({
        method: "POST",
        path: "/seed_session",
        summary: "Begins a session.",
        body: metadataField,
        handle: (call) => gym.seed(call),
      }),
      route({
        method: "POST",
        path: "/verify",
        summary: "The reward of a response.",
        body: verifyBody,
        handle: (call) => gym.verify(call),
      }),
      route({
        method: "POST",
        path: "/close_session",
        summary: "Ends a session.",
        body: metadataField,
        handle: (call) => gym.close(call),
      }),
      route({
        method: "POST",
        path: "/sandbox_access",
        summary: "There is no sandbox.",
        handle() {
          throw new Problem("not_found", "there is no sandbox");
        },
      }),
      route({
        method: "POST",
        path: "/aggregate_metrics",
        summary: "Means over verified rows, masked ones left out.",
        body: z.looseObject({ verify_responses: z.array(metadataField) }),
        handle: ({ body }) => ({ body: aggregate(body.verify_responses) }),
      }),
      route({
        method: "GET",
        path: "/reverify_mode",
        summary: "Rows may be verified again.",
        handle: () => ({ headers: { "content-type": "application/json" }, body: '"stateless"' }),
      }),
    ],
    error: ({ message }) => ({ body: { detail: message } }),
  };
}

/** The reward, or why the row is no measurement. */
function rewardOf(result: ServedResult, onFailed: "own" | "unavailable" | number, isTyped: boolean): object {
  const touchstone = resultJson(result);
  if (result.value !== null)
    return { reward: result.value, mask_sample: false, failure_kind: null, failure_reason: null, touchstone };
  if (typeof onFailed === "number")
    return {
      reward: onFailed,
      mask_sample: false,
      failure_kind: null,
      failure_reason: result.reason,
      touchstone,
    };
  // Only the typed dialect tries an episode again for it; in the other it would end the collection.
  if (onFailed === "unavailable" && isTyped)
    throw new Problem("unavailable", result.reason ?? "the sample could not be judged");
  const kind = result.reason?.startsWith("judge ") ? "judge_failed" : "verifier_error";
  return {
    reward: 0,
    mask_sample: true,
    failure_kind: kind,
    failure_reason: result.reason,
    _ng_failure_class: "judge_failed",
    _ng_failure_judge_error: result.reason,
    touchstone,
  };
}

/** Means by task index and over all rows. */
function aggregate(rows: readonly Metadata[]) {
  const measured = rows.filter(
    ({ mask_sample, reward }) => mask_sample !== true && typeof reward === "number",
  );
  const groups = new Map<unknown, number[]>();
  for (const { _ng_task_index: index, reward } of measured)
    groups.set(index, [...(groups.get(index) ?? []), reward as number]);
  const all = measured.map(({ reward }) => reward as number);
  const overall = all.length > 0 ? { "mean/reward": mean(all) } : {};
  return {
    group_level_metrics: [...groups].map(([index, rewards]) => ({
      _ng_task_index: index ?? null,
      "mean/reward": mean(rewards),
    })),
    agent_metrics: { ...overall, masked: rows.length - measured.length },
    key_metrics: overall,
  };
}
