import { describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { stageRecipe } from "../train/align/stages.js";
import { parseOverride } from "./file.js";
import { type AlignRecipe, parseRecipe, type StagedRecipe, tasksOf, toYaml, type Verb } from "./recipe.js";

const FILE = "/recipes/support-bot.yaml";

const FULL = `
output_dir: runs/support-bot
seed: 7
engine: { kind: local, device: cpu }
policy: { model: ./models/smollm2-135m, lora: { r: 16, alpha: 32 } }
steps: 200
tasks:
  - name: chat
    weight: 1.0
    prompts: ./data/chat.jsonl
    reward: { warm: ./runs/rm/merged }
    judges: [false_refusal, { kind: factuality, model: local-judge }]
    optimizer: { name: crpg, kl_max: 5, generations: 4, batch_prompts: 16, max_new_tokens: 128 }
  - name: math
    prompts: ./data/gsm8k.parquet
    reward: { warm: ./runs/rm/merged }
    judges: [math]
    optimizer: { name: crraft, kl_max: 20, generations: 8, batch_prompts: 16, max_new_tokens: 256 }
llm: { local-judge: { base_url: "http://127.0.0.1:11434/v1", model: qwen3:8b } }
`;

const MINIMAL = `
output_dir: run
policy: HuggingFaceTB/SmolLM2-135M
steps: 2
tasks:
  - name: math
    prompts: data.jsonl
    judges: [math]
`;

const message = (verb: Verb, yaml: string, ...sets: string[]): string => {
  try {
    parseRecipe(verb, yaml, FILE, { overrides: sets.map(parseOverride) });
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  throw new Error("the recipe was accepted");
};

/** A recipe without stages. */
const parseAlign = (yaml: string, ...sets: string[]): AlignRecipe => {
  const recipe = parseRecipe("align", yaml, FILE, { overrides: sets.map(parseOverride) });
  if ("stages" in recipe) throw new Error("the recipe has stages");
  return recipe;
};

describe("an align recipe", () => {
  it("resolves the recipe of the design page", () => {
    const recipe = parseAlign(FULL);
    expect(recipe.outputDir).toBe("/recipes/runs/support-bot");
    expect(recipe.policy.model).toBe("/recipes/models/smollm2-135m");
    expect(recipe.policy.lora).toEqual({ r: 16, alpha: 32, targetModules: "all-linear" });
    expect(recipe.learningRate).toBe(1e-5);
    const [chat, math] = recipe.tasks;
    expect(chat!.prompts).toEqual({ path: "/recipes/data/chat.jsonl", skipInvalid: false });
    expect(chat!.reward).toEqual({ warm: "/recipes/runs/rm/merged" });
    expect(chat!.judges).toEqual([{ kind: "false_refusal" }, { kind: "factuality", model: "local-judge" }]);
    expect(chat!.optimizer).toEqual({
      name: "crpg",
      klMax: 5,
      generations: 4,
      batchPrompts: 16,
      maxNewTokens: 128,
      overlong: "stop",
      temperature: 1,
      topP: 1,
      topK: 0,
      baseline: "batch",
      lengthNormalization: "constant",
    });
    expect(math!.optimizer).toMatchObject({ name: "crraft", klMax: 20, fallbackWeight: 0.5 });
    expect(recipe.llm["local-judge"]).toMatchObject({ model: "qwen3:8b", concurrency: 8 });
  });

  it("fills in every default of a minimal recipe and leaves Hub names alone", () => {
    const recipe = parseAlign(MINIMAL);
    expect(recipe.policy.model).toBe("HuggingFaceTB/SmolLM2-135M");
    expect(recipe.learningRate).toBe(1e-6);
    expect(recipe.engine).toEqual({ kind: "local", device: "cpu", maxBatchTokens: 4096 });
    expect(recipe.tasks[0]).toMatchObject({
      weight: 1,
      baselineResponse: "auto",
      optimizer: { name: "crpg", klMax: 5 },
    });
    expect(recipe).toMatchObject({
      maxGradNorm: 1,
      weightDecay: 0,
      warmupSteps: 10,
      lrSchedulerType: "constant",
    });
  });

  it("is read back from its own YAML unchanged", () => {
    for (const yaml of [FULL, MINIMAL]) {
      const recipe = parseRecipe("align", yaml, FILE);
      const again = parseRecipe("align", toYaml(recipe), "/elsewhere/recipe.yaml");
      expect(again).toEqual(recipe);
    }
  });

  it("leaves a judge's options as written, but finds its module", () => {
    const yaml = MINIMAL.replace("[math]", "[{ module: ./polite.js, on_failed: stop }]");
    const { judges } = parseAlign(yaml).tasks[0]!;
    expect(judges).toEqual([{ module: "/recipes/polite.js", on_failed: "stop" }]);
    expect(message("align", MINIMAL.replace("[math]", "[{ name: x }]"))).toContain(
      "tasks[0].judges[0] must be the kind",
    );
  });

  it("accepts names from other trainers", () => {
    const yaml = MINIMAL.replace(
      "judges: [math]",
      "reward: { model: ./rm }\n    optimizer: { name: grpo, num_generations: 6 }",
    );
    const recipe = parseAlign(yaml.replace("steps:", "max_steps:"));
    expect(recipe.steps).toBe(2);
    expect(recipe.tasks[0]!.optimizer).toMatchObject({ name: "grpo", generations: 6 });
  });

  it("refuses what an optimizer cannot use", () => {
    const task = (lines: string) => MINIMAL.replace("judges: [math]", lines);
    expect(message("align", task("judges: [math]\n    optimizer: rloo"))).toContain(
      "tasks[0] has no reward, and rloo does not see the judges; give a reward, or judge_gate: {}",
    );
    expect(message("align", task("judges: [math]\n    judge_gate: {}"))).toContain(
      "tasks[0].judge_gate is not for crpg",
    );
    const gate = "judges: [math]\n    optimizer: rloo\n    judge_gate: ";
    expect(parseAlign(task(`${gate}{}`)).tasks[0]!.judgeGate).toEqual({
      calibrated: true,
      violatedReward: 0,
    });
    expect(message("align", task(`${gate}{ calibrated: false }`))).toContain(
      "tasks[0].judge_gate.violated_reward is missing; raw rewards have no least value",
    );
    const voting = "reward: { models: [./a, ./b], combine: vote }\n    optimizer: ";
    expect(message("align", task(`${voting}ppo`))).toContain(
      "tasks[0].reward.combine compares the responses",
    );
    expect(parseAlign(task(`${voting}grpo`)).tasks[0]!.reward).toMatchObject({ combine: "vote" });
  });

  it("wants one critic for all PPO tasks", () => {
    const ppo = (name: string, rate: number) =>
      `  - { name: ${name}, prompts: d, reward: { model: m }, optimizer: { name: ppo, critic_learning_rate: ${rate} } }`;
    const yaml = (rate: number) =>
      ["output_dir: run", "policy: p", "steps: 1", "tasks:", ppo("a", 1), ppo("b", rate)].join("\n");
    expect(parseAlign(yaml(1)).tasks).toHaveLength(2);
    expect(message("align", yaml(2))).toBe(
      `${FILE}:6: tasks[1].optimizer.critic_learning_rate is not that of task a; all PPO tasks share one critic, so give them the same`,
    );
  });

  it("resolves an ensemble and refuses two rewards", () => {
    const withReward = (reward: string) => MINIMAL.replace("judges: [math]", `reward: ${reward}`);
    const { reward } = parseAlign(withReward("{ models: [./a, ./b], combine: uwo }")).tasks[0]!;
    expect(reward).toEqual({
      models: ["/recipes/a", "/recipes/b"],
      combine: "uwo",
      uwoLambda: 0.1,
      normalise: false,
    });
    expect(message("align", withReward("{ warm: ./a, model: ./b }"))).toBe(
      `${FILE}:8: tasks[0].reward must give exactly one of warm, model, models, rubric, module, url, sum, not warm and model`,
    );
    expect(message("align", withReward("{ warm: ./a, combine: min }"))).toBe(
      `${FILE}:8: tasks[0].reward.combine only goes with models (an ensemble)`,
    );
  });
});

describe("mistakes", () => {
  const swap = (from: string, to: string) => FULL.replace(from, to);

  it.each([
    [
      swap("kl_max: 5", "kl_mx: 5"),
      `${FILE}:13: tasks[0].optimizer.kl_mx is not a known key (did you mean "kl_max"?)`,
    ],
    [swap("steps: 200", "stepz: 200"), `${FILE}:6: stepz is not a known key (did you mean "steps"?)`],
    [swap("seed: 7", "zebra: 7"), `${FILE}:3: zebra is not a known key; known here: `],
    [swap("steps: 200", "steps: many"), `${FILE}:6: steps must be a whole number of at least 1, not "many"`],
    [swap("steps: 200\n", ""), `${FILE}: steps is missing; give a whole number of at least 1`],
    [
      swap("name: crpg", "name: cprg"),
      `${FILE}:13: tasks[0].optimizer.name must be one of crpg, crraft, codpo,`,
    ],
    [
      swap("kl_max: 20", "kl_max: -1"),
      `${FILE}:18: tasks[1].optimizer.kl_max must be a number above 0, not -1`,
    ],
    [swap("name: math", "name: chat"), `${FILE}:14: tasks[1].name "chat" is used twice`],
    [
      swap("kl_max: 5", "learning_rate: 1"),
      "tasks[0].optimizer.learning_rate belongs at the top level of the recipe",
    ],
    [swap("device: cpu", "device: gpu"), `${FILE}:4: engine.device must be one of cpu, webgpu, not "gpu"`],
    [swap("weight: 1.0", "weight: 1\n    task_weight: 2"), "tasks[0].task_weight is another name of weight"],
    ["a: [1,", `${FILE}:1: not valid YAML`],
    ["- 1", `${FILE}: a recipe is a mapping`],
    [MINIMAL.replace("judges: [math]", ""), "tasks[0] has neither a reward nor judges"],
  ])("%# are one sentence that says where and what", (yaml, expected) => {
    expect(message("align", yaml)).toContain(expected);
    expect(message("align", yaml)).not.toContain("\n");
  });

  it("in an override name the flag", () => {
    expect(message("align", FULL, "policy.lora.r=lots")).toBe(
      '--set policy.lora.r=lots: policy.lora.r must be a whole number of at least 1, not "lots"',
    );
    expect(message("align", FULL, "tasks.code.weight=2")).toContain(
      'there is no item "code"; there are chat, math',
    );
    expect(() => parseOverride("nonsense")).toThrow(/key\.path=value/);
  });
});

describe("overrides", () => {
  it("win over the file, reach into lists by name or place, and add sections", () => {
    const overrides = ["seed=9", "tasks.math.weight=2", "tasks[0].optimizer.kl_max=3", "policy.lora.r=8"];
    const recipe = parseAlign(FULL, ...overrides);
    expect(recipe.seed).toBe(9);
    expect(recipe.tasks[1]!.weight).toBe(2);
    expect(recipe.tasks[0]!.optimizer).toMatchObject({ klMax: 3 });
    expect(recipe.policy.lora!.r).toBe(8);
    const minimal = parseAlign(MINIMAL, "policy.lora.r=4");
    expect(minimal.policy).toMatchObject({ model: "HuggingFaceTB/SmolLM2-135M", lora: { r: 4, alpha: 8 } });
  });
});

describe("the other verbs", () => {
  it("sft", () => {
    const recipe = parseRecipe(
      "sft",
      "output_dir: o\nmodel: ./m\ndata: ./d.jsonl\nnum_train_epochs: 2\n",
      FILE,
    );
    expect(recipe).toMatchObject({
      model: "/recipes/m",
      data: { path: "/recipes/d.jsonl" },
      epochs: 2,
      learningRate: 1e-5,
      lrSchedulerType: "cosine",
      completionOnlyLoss: true,
    });
    expect(parseRecipe("sft", toYaml(recipe), FILE)).toEqual(recipe);
    expect(message("sft", "output_dir: o\nmodel: m\ndata: d\ngradient_accumulation_steps: 4\n")).toContain(
      "batch_size is the whole batch of one step",
    );
  });

  it("reward draws from lists", () => {
    const yaml =
      "output_dir: o\nmodel: [./sft-8k, ./sft-12k]\ndata: ./d.jsonl\nruns: 6\nlearning_rate: [1e-5, 4e-5]\ndropout: 0.1\n";
    const recipe = parseRecipe("reward", yaml, FILE);
    expect(recipe).toMatchObject({
      model: ["/recipes/sft-8k", "/recipes/sft-12k"],
      runs: 6,
      learningRate: [1e-5, 4e-5],
      dropout: [0.1],
      head: "probe",
    });
    expect(parseRecipe("reward", toYaml(recipe), FILE)).toEqual(recipe);
  });
});

describe("a recipe with stages", () => {
  const STAGED = `
output_dir: run
policy: p
learning_rate: 3e-6
warmup_steps: 7
stages:
  - name: warmup
    steps: 30
    warmup_steps: 2
    tasks: [{ name: pairs, prompts: pairs.jsonl, optimizer: dpo }]
  - name: cgpo
    steps: 60
    learning_rate: 1e-6
    tasks: [{ name: math, prompts: data.jsonl, judges: [math] }]
`;
  const staged = (...sets: string[]): StagedRecipe => {
    const recipe = parseRecipe("align", STAGED, FILE, { overrides: sets.map(parseOverride) });
    if (!("stages" in recipe)) throw new Error("the recipe has no stages");
    return recipe;
  };

  it("gives every stage its tasks, and what it does not name itself from above", () => {
    const recipe = staged("stages.cgpo.tasks.math.weight=2");
    const [warmup, cgpo] = recipe.stages.map((_, i) => stageRecipe(recipe, i, `model ${i}`));
    expect(warmup).toMatchObject({
      outputDir: "/recipes/run/warmup",
      policy: { model: "model 0" },
      steps: 30,
      learningRate: 3e-6,
      warmupSteps: 2,
      tasks: [{ name: "pairs", optimizer: { name: "dpo" } }],
    });
    expect(cgpo).toMatchObject({ learningRate: 1e-6, warmupSteps: 7, tasks: [{ name: "math", weight: 2 }] });
    for (const one of [warmup!, cgpo!]) expect(parseRecipe("align", toYaml(one), FILE)).toEqual(one);
    expect(parseRecipe("align", toYaml(recipe), FILE)).toEqual(recipe);
    expect(tasksOf(recipe).map(({ name }) => name)).toEqual(["pairs", "math"]);
  });

  it("says where a key belongs, and what a stage may be called", () => {
    expect(message("align", STAGED, "steps=20")).toBe(
      "--set steps=20: steps belongs to each of the stages: --set stages.<name>.steps=20",
    );
    expect(message("align", STAGED.replace("name: cgpo", "name: warmup"))).toContain(
      'stages[1].name "warmup" is used twice',
    );
    for (const name of ["final", "a/b", "..", "''"])
      expect(message("align", STAGED.replace("name: cgpo", `name: ${name}`))).toContain(
        "stages[1].name must be",
      );
  });
});
