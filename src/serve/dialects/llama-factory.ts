// LLaMA-Factory's remote reward model (`--stage ppo --reward_model_type api --reward_model URL`, `train/ppo/ppo_utils.py`):
// whole texts of prompt and response together, a list of scores back. The client looks at no status, so that a batch with a
// sample that failed is a reply without `scores`, which ends its step rather than teach it a number.

import { z } from "zod";
import { Problem } from "../problem.js";
import { type Call, type Dialect, route, valueOrUnavailable } from "../route.js";

const body = z.looseObject({
  model: z.string().optional(),
  messages: z.array(z.string()),
  max_length: z.number().optional(),
});

type Body = z.output<typeof body>;

async function scoresOf({ body: given, score, service }: Call<Body>): Promise<number[]> {
  const samples = given.messages.map((response) => ({ prompt: "", response, metadata: {} }));
  return (await score(samples)).map((result) => valueOrUnavailable(result, service.options));
}

export const llamaFactory: Dialect = {
  name: "llama_factory",
  routes: [
    route({
      method: "POST",
      path: "/llama_factory",
      summary: "LLaMA-Factory's reward model by API.",
      body,
      handle: async (call) => ({ body: { scores: await scoresOf(call) } }),
    }),
    route({
      method: "POST",
      path: "/v1/score/evaluation",
      summary: "LLaMA-Factory's own scoring server.",
      body,
      async handle(call) {
        if (call.body.messages.length === 0) throw new Problem("invalid", "messages must not be empty");
        const scores = await scoresOf(call);
        return {
          body: {
            id: `scoreval-${crypto.randomUUID()}`,
            object: "score.evaluation",
            model: call.body.model ?? "",
            scores,
          },
        };
      },
    }),
  ],
  error: ({ message }) => ({ body: { detail: message } }),
};
