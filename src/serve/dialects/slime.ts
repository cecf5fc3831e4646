// The remote reward model of slime and miles (`--rm-type remote_rm --rm-url`): one sample a request, and the whole JSON
// reply is its reward. POST /rm gives a number; POST /rm/details an object, of which `--reward-key` selects a key.
// slime asks ten times with growing pauses (miles once) and then raises: a sample that failed is a 503.

import { z } from "zod";
import { labelOf } from "../labels.js";
import { type Call, type Dialect, promptField, route, valueOrUnavailable } from "../route.js";
import { resultJson } from "./native.js";

const body = z.looseObject({ prompt: promptField, response: z.string(), label: z.unknown().optional() });

type Body = z.output<typeof body>;

async function rewardOf({ body: given, score, task: hint, service }: Call<Body>) {
  const { prompt, response, label } = given;
  const { task, id, metadata } = labelOf(label);
  const [result] = await score([{ id, prompt, response, metadata }], task ?? hint);
  return { result: result!, value: valueOrUnavailable(result!, service.options) };
}

export const slime: Dialect = {
  name: "slime",
  routes: [
    route({
      method: "POST",
      path: "/rm",
      summary: "slime's and miles' remote reward model: a number.",
      body,
      handle: async (call) => ({
        headers: { "content-type": "application/json" },
        body: JSON.stringify((await rewardOf(call)).value),
      }),
    }),
    route({
      method: "POST",
      path: "/rm/details",
      summary: "The same as an object, for --reward-key.",
      body,
      async handle(call) {
        const { result, value } = await rewardOf(call);
        return { body: { ...resultJson(result), value } };
      },
    }),
  ],
  error: ({ message }) => ({ body: { error: message } }),
};
