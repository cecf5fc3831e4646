// OpenRLHF's remote reward model (0.11, `--reward.remote_url`, `utils/agent.py`): one sample a request, by concurrency.
//   POST /get_reward {"query":[prompt + response], "prompts":[...], "labels":[...]}  ->  {"rewards","scores","extra_logs"}
// It sends no header: a token stands in the path, /get_reward/<token> or /t/<token>/get_reward. What is no 2xx it asks
// five times, and then trains without the sample's reward; so a sample that failed is a 503, never a 0.

import { z } from "zod";
import { labelOf } from "../labels.js";
import { Problem } from "../problem.js";
import { type Call, type Dialect, route, valueOrUnavailable } from "../route.js";
import type { ServedResult, ServedSample } from "../sample.js";
import type { ServedTask } from "../task.js";

const body = z.looseObject({
  query: z.array(z.string()),
  prompts: z.array(z.string()),
  labels: z.array(z.unknown()).default([]),
});

type Body = z.output<typeof body>;

/** The response in a query, which keeps all special tokens: without those that end it. */
function responseOf(query: string, prompt: string, { codec }: ServedTask): string {
  const head = query.startsWith(prompt) ? prompt.length : 0;
  let response = query.slice(head);
  const ends = (codec?.stopIds ?? []).flatMap((id) => codec!.tokenizer.tokenOf(id) ?? []);
  for (let end = lastOf(response, ends); end; end = lastOf(response, ends))
    response = response.slice(0, -end.length);
  return response;
}

const lastOf = (text: string, ends: readonly string[]): string | undefined =>
  ends.find((end) => end !== "" && text.endsWith(end));

/** The prompt without the mark that begins a text, which our own tokenizer writes again. */
function promptOf(prompt: string, { codec }: ServedTask): string {
  const begin = codec?.tokenizer.frame.before.map((id) => codec.tokenizer.tokenOf(id) ?? "").join("") ?? "";
  return begin !== "" && prompt.startsWith(begin) ? prompt.slice(begin.length) : prompt;
}

async function getReward({ body, service, score, task: hint }: Call<Body>) {
  const { query, prompts, labels } = body;
  if (prompts.length !== query.length || (labels.length > 0 && labels.length !== query.length))
    throw new Problem(
      "invalid",
      `query, prompts and labels must be of one length, not ${query.length}, ${prompts.length} and ${labels.length}`,
    );
  const asked = query.map((text, i) => {
    const { task, id, metadata } = labelOf(labels[i]);
    const served = service.taskOf(task ?? hint);
    const sample: ServedSample = {
      id,
      prompt: promptOf(prompts[i]!, served),
      response: responseOf(text, prompts[i]!, served),
      metadata,
    };
    return { task: served.name, sample };
  });
  const results = await Promise.all(asked.map(async ({ task, sample }) => (await score([sample], task))[0]!));
  return {
    body: {
      rewards: results.map((result) => valueOrUnavailable(result, service.options)),
      // 0 to 1, for dynamic filtering: whether the constraints hold.
      scores: results.map(({ feasible, value }) => (feasible === null ? value : Number(feasible))),
      extra_logs: logsOf(
        results,
        asked.map(({ task }) => service.taskOf(task)),
      ),
    },
  };
}

/** One number for each sample under every key; the keys are the same for all samples of a task, whatever became of them. */
function logsOf(results: readonly ServedResult[], tasks: readonly ServedTask[]): Record<string, number[]> {
  const judges = new Set(tasks.flatMap(({ judges: { members } }) => members.map(({ judge }) => judge.name)));
  const isSaid = (result: ServedResult, judge: string, verdict: string) => {
    const said = result.verdicts[judge];
    return Number(typeof said === "object" && said.verdict === verdict);
  };
  const columns: Record<string, (result: ServedResult) => number> = {
    "touchstone/feasible": ({ feasible }) => Number(feasible === true),
    "touchstone/failed": ({ outcome }) => Number(outcome === "failed"),
    "touchstone/rubric_version": ({ notes }) =>
      (notes.rubric as { version?: number } | undefined)?.version ?? 0,
  };
  for (const judge of judges) {
    columns[`judges/${judge}/violated`] = (result) => isSaid(result, judge, "violated");
    columns[`judges/${judge}/failed`] = (result) => isSaid(result, judge, "failed");
  }
  return Object.fromEntries(Object.entries(columns).map(([name, of]) => [name, results.map(of)]));
}

export const openrlhf: Dialect = {
  name: "openrlhf",
  routes: [
    route({
      method: "POST",
      path: "/get_reward",
      summary: "OpenRLHF's remote reward model.",
      body,
      handle: getReward,
    }),
  ],
  error: ({ message }) => ({ body: { error: message } }),
};
