// The server's own protocol: everything that is known of every sample. Failed samples are null with a reason.
//   POST /v1/reward {"task"?, "samples":[{"prompt","response","id"?,"truncated"?,"baseline"?,"metadata"?}]}
//   POST /v1/judge  the same, without the reward
// One sample may stand alone, without `samples`.

import { z } from "zod";
import type { SampleJudgement } from "../../judges/mixture.js";
import { outcomeOf } from "../../objectives/index.js";
import { Problem } from "../problem.js";
import { type Call, type Dialect, metadataField, promptField, route, valueOrNull } from "../route.js";
import type { ServedResult, ServedSample } from "../sample.js";

const sample = z.looseObject({
  id: z.union([z.string(), z.number()]).optional(),
  prompt: promptField,
  response: z.string(),
  truncated: z.boolean().optional(),
  baseline: z.string().optional(),
  metadata: metadataField.optional(),
});

const body = z.union(
  [
    z.strictObject({ task: z.string().optional(), samples: z.array(sample) }),
    sample.extend({ task: z.string().optional() }),
  ],
  {
    error: "must be { task?, samples: [{ prompt, response, ... }] }, or one sample { prompt, response, ... }",
  },
);

type Body = z.output<typeof body>;

const samplesOf = (given: Body): ServedSample[] =>
  ("samples" in given && Array.isArray(given.samples) ? given.samples : [given]).map((one) => {
    const { id, prompt, response, truncated, baseline, metadata } = one as z.output<typeof sample>;
    return {
      ...(id !== undefined && { id: String(id) }),
      prompt,
      response,
      truncated,
      baseline,
      metadata: metadata ?? {},
    };
  });

const isMany = (given: Body): boolean => "samples" in given && Array.isArray(given.samples);

/** A result in the words of the wire. */
export const resultJson = (result: ServedResult) => ({
  id: result.promptId,
  outcome: result.outcome,
  value: result.value,
  reward: result.reward,
  baseline_reward: result.baselineReward,
  calibrated_reward: result.calibratedReward,
  regularised_reward: result.regularisedReward,
  feasible: result.feasible,
  verdicts: result.verdicts,
  ...(result.reason !== undefined && { reason: result.reason }),
  ...result.notes,
});

async function reward({ body, service, score, task: hint }: Call<Body>) {
  const name = body.task ?? hint;
  const { name: task } = service.taskOf(name);
  const results = (await score(samplesOf(body), task)).map((result) => ({
    ...resultJson(result),
    value: valueOrNull(result, service.options),
  }));
  return { body: isMany(body) ? { task, results } : { task, ...results[0] } };
}

async function judge({ body, service, task: hint }: Call<Body>) {
  const { name: task } = service.taskOf(body.task ?? hint);
  const judgements = await service.judge(samplesOf(body), { dialect: "native", task });
  const results = judgements.map((found: SampleJudgement) => ({
    feasible: found.feasible ?? null,
    outcome: outcomeOf(found.feasible),
    verdicts: found.verdicts,
  }));
  return { body: isMany(body) ? { task, results } : { task, ...results[0] } };
}

const rollBackBody = z.strictObject({
  version: z.int().min(0),
  cluster: z.string().default(""),
});

export const native: Dialect = {
  name: "native",
  routes: [
    route({ method: "POST", path: "/v1/reward", summary: "Rewards of samples.", body, handle: reward }),
    route({ method: "POST", path: "/v1/judge", summary: "Verdicts on samples.", body, handle: judge }),
    route({
      method: "GET",
      path: "/v1/tasks",
      summary: "The tasks, their judges and what they return.",
      handle: ({ service }) => ({
        body: {
          tasks: service.tasks.map(({ name, value, judges, reward, window }) => ({
            task: name,
            value,
            has_reward: reward !== undefined,
            judges: judges.members.map(({ judge }) => ({ name: judge.name, version: judge.version })),
            ...(reward?.rubrics && { rubric: true, window }),
          })),
        },
      }),
    }),
    route({
      method: "GET",
      path: "/v1/rubrics/:task",
      summary: "The versions of a rubric that score now.",
      handle: ({ service, params }) => ({ body: service.rubricStatus(params.task) }),
    }),
    route({
      method: "GET",
      path: "/v1/rubrics/:task/history",
      summary: "Every version of a rubric (?cluster=), oldest first.",
      handle: async ({ service, params, query }) => ({
        body: await service.rubricHistory(params.task, query.get("cluster") ?? ""),
      }),
    }),
    route({
      method: "POST",
      path: "/v1/rubrics/:task/rollback",
      summary: "Publishes an earlier version as the next one.",
      body: rollBackBody,
      handle: async ({ service, params, body }) => ({
        body: await service.rollBack(params.task, body.cluster, body.version),
      }),
    }),
    route({
      method: "POST",
      path: "/v1/rubrics/:task/freeze",
      summary: "Ends the rounds of a rubric, or lets them go on.",
      body: z.strictObject({ frozen: z.boolean() }),
      handle: async ({ service, params, body }) => ({ body: await service.freeze(params.task, body.frozen) }),
    }),
    route({
      method: "GET",
      path: "/metrics",
      summary: "Counters for Prometheus.",
      handle: ({ service }) => ({
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
        body: service.metricsText(),
      }),
    }),
    route({
      method: "GET",
      path: "/health",
      summary: "Whether the server answers.",
      isOpen: true,
      handle: ({ service }) => ({ status: service.closing ? 503 : 200, body: service.health() }),
    }),
  ],
  error: ({ kind, message }) => ({ body: { error: { type: kind, message } } }),
};

/** For whoever knows no such path. */
export const unknownPath = (path: string): Problem =>
  new Problem("not_found", `there is nothing at ${path}; GET /openapi.json lists what there is`);
