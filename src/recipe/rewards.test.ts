// The rewards of a recipe: rubrics, sums, and which strings are paths.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type AlignRecipe, parseRecipe, toYaml } from "./recipe.js";

const MINIMAL = `
output_dir: run
policy: owner/policy
steps: 2
tasks:
  - name: math
    prompts: data.jsonl
    judges: [math]
`;
const withReward = (reward: string) => MINIMAL.replace("judges: [math]", `reward: ${reward}`);

/** A recipe without stages. */
function parseAlign(yaml: string, file = "/recipes/bot.yaml"): AlignRecipe {
  const recipe = parseRecipe("align", yaml, file);
  if ("stages" in recipe) throw new Error("the recipe has stages");
  return recipe;
}

describe("the reward of a task", () => {
  it("resolves a rubric with its meta reward model, and refuses what goes with neither", () => {
    const rubric = "rubric: ./r.yaml, judge_model: small";
    const { reward } = parseAlign(
      withReward(
        `{ ${rubric}, scale: raw, meta: { model: large, k: 5, shows: [items], triggers: { saturation: 0.9 } } }`,
      ),
    ).tasks[0]!;
    expect(reward).toEqual({
      rubric: "/recipes/r.yaml",
      judgeModel: "small",
      scale: "raw",
      meta: { model: "large", interval: 5, shows: ["items"], triggers: { saturation: 0.9 } },
    });
    const intervalOf = (interval: string) =>
      parseAlign(withReward(`{ ${rubric}, meta: { model: large, interval: ${interval} } }`)).tasks[0]!.reward;
    expect(intervalOf("never")).toMatchObject({ meta: { interval: Number.POSITIVE_INFINITY } });
    expect(intervalOf(".inf")).toMatchObject({ meta: { interval: Number.POSITIVE_INFINITY } });
    expect(intervalOf("once")).toMatchObject({ meta: { interval: "once" } });
    const whole = parseAlign(
      withReward(`{ sum: [{ warm: ./a, weight: 2 }, { ${rubric}, meta: { model: large, k: .inf } }] }`),
    );
    expect(whole.tasks[0]!.reward).toMatchObject({ sum: [{ warm: "/recipes/a", weight: 2 }, { weight: 1 }] });
    expect(parseAlign(toYaml(whole))).toEqual(whole);
    for (const [given, problem] of [
      ["{ rubric: ./r.yaml }", "reward.judge_model is missing; give a name listed under llm"],
      ["{ warm: ./a, judge_model: small }", "reward.judge_model only goes with rubric"],
      ["{ warm: ./a, scoring: dialogue }", "reward.scoring only goes with rubric"],
      [
        `{ ${rubric}, meta: { model: large, interval: 0 } }`,
        "interval must be a whole number of at least 1, never or once, not 0",
      ],
      [`{ ${rubric}, scroing: plan }`, 'is not a known key (did you mean "scoring"?)'],
      ["{ sum: [{ warm: ./a }], model: ./b }", "reward.model belongs to one of the rewards in sum"],
      [`{ sum: [{ ${rubric} }, { ${rubric} }] }`, "reward.sum has two rubrics"],
      [
        "{ sum: [{ weight: 2 }] }",
        "reward.sum[0] must give exactly one of warm, model, models, rubric, module, url",
      ],
    ] as const)
      expect(() => parseAlign(withReward(given)), given).toThrow(problem);
  });

  it("a model that is a name is no path, even where a file of that name lies beside the recipe", async () => {
    const dir = await mkdtemp(join(tmpdir(), "recipe-"));
    for (const name of ["large", "guard", "gpt"]) await mkdir(join(dir, name));
    const yaml = MINIMAL.replace(
      "judges: [math]",
      "reward: { rubric: r.yaml, judge_model: guard, meta: { model: large } }\n    judges: [{ kind: safety, model: guard }]",
    );
    const llm = "llm: { large: { model: gpt, base_url: http://127.0.0.1/v1 }, guard: { model: gpt } }\n";
    const recipe = parseAlign(llm + yaml, join(dir, "recipe.yaml"));
    expect(recipe.tasks[0]).toMatchObject({
      reward: { meta: { model: "large" } },
      judges: [{ model: "guard" }],
    });
    expect(recipe.llm).toMatchObject({ large: { model: "gpt" }, guard: { model: join(dir, "gpt") } });
    await rm(dir, { recursive: true });
  });
});
