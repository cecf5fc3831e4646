// Whether a response refuses: by a judge model's verdict (CGPO's false-refusal judge), or by the regular expressions that
// stand in for one.

import { createMember } from "../judges/registry.js";
import { refusalIn } from "../judges/rules/refusal.js";
import { verdictFrom } from "../judges/verdict.js";
import { LlmModels, type ServerModel } from "../llm/models.js";
import type { RefusalTest } from "./benchmark.js";

/** Characters from the start in which the regular expressions look. */
const window = 300;

export async function refusalTest(
  judge: ServerModel | undefined,
  out: string | undefined,
): Promise<{ name: string; test: RefusalTest }> {
  if (!judge)
    return { name: "refusal_regex", test: async (response) => refusalIn(response, window) !== undefined };
  const { model, baseUrl, apiKeyEnv } = judge;
  const { judge: classifier } = await createMember(
    {
      kind: "false_refusal",
      model,
      base_url: baseUrl,
      ...(apiKeyEnv !== undefined && { api_key_env: apiKeyEnv }),
    },
    { baseDir: process.cwd(), llm: new LlmModels({}, { outputDir: out }) },
  );
  return {
    name: `false_refusal by ${model}`,
    async test(response) {
      const input = { prompt: "", response, truncated: false, metadata: {} };
      const verdict = await verdictFrom(classifier, input);
      if (!verdict || verdict.verdict === "failed")
        throw new Error(verdict?.reason ?? "the judge does not apply");
      return verdict.verdict === "violated";
    },
  };
}
