// The quickstart: the whole story on the miniature world in a few minutes. Reward models are trained on noisy
// preferences and averaged (WARM); one policy is optimised with CRPG under judges against the average (CGPO), another
// by plain policy gradient against a single reward model; both are measured by the true reward, which neither saw.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { writeFileAtomic } from "../base/atomic.js";
import { makeDirectory } from "../base/files.js";
import { percent } from "../base/percent.js";
import type { Interval } from "../base/statistics.js";
import { tInterval } from "../base/statistics.js";
import { parseRecipe, type Verb } from "../recipe/recipe.js";
import { averageCheckpoints } from "../reward/average.js";
import { InterruptedError, type RunContext } from "../run/context.js";
import type { MetricsRow } from "../run/metrics.js";
import { readMetrics } from "../run/metrics.js";
import { runAlignRecipe } from "../train/align/stages.js";
import { openPolicy, openScalarModel } from "../train/models.js";
import { runReward } from "../train/reward-model/runs.js";
import { lastValues } from "../train/rewards/fixed.js";
import type { RewardFunction } from "../train/rewards/source.js";
import { type Answer, evaluatePolicy, goldInterval, goldWinRate, labMetrics } from "./evaluate.js";
import { quickstartReport } from "./quickstart-report.js";
import { maxNewTokens } from "./world/base-model.js";
import type { FamilyName } from "./world/family.js";
import { writeWorld } from "./world/files.js";
import { buildWorld, type PromptRow, type World } from "./world/world.js";

/** The base model that the repository carries. */
export const baseModelDir = fileURLToPath(new URL("../../lab/model", import.meta.url));

const families = ["writing", "arithmetic", "code"] as const satisfies readonly FamilyName[];

/** Everything that decides how long the quickstart takes and how far it goes. */
const settings = {
  rewardModels: { members: 4, steps: 120, batch: 32, learningRate: 3e-4 },
  align: {
    steps: 50,
    promptsPerTask: 8,
    generations: 8,
    learningRate: 3e-4,
    plainKlCoefficient: 0.1,
    evaluateEvery: 10,
  },
  /** Held-out prompts of each family: along the way, and for the final table. */
  heldout: { along: 24, final: 100 },
};

/** The engine of the measurements; the recipes leave it at its default, which is the same. */
const engine = { kind: "local", device: "cpu", maxBatchTokens: 4096 } as const;

/** A judge of the user's own: no pair of words twice. Written beside the recipes as an example to copy. */
const noRepeats = `// A judge is one function. This one asks that no pair of words comes twice.
export default function noRepeats({ response }) {
  const words = response.toLowerCase().match(/[a-z]+/g) ?? [];
  const seen = new Set();
  for (let i = 1; i < words.length; i++) {
    const pair = words[i - 1] + " " + words[i];
    if (words[i - 1] !== "the" && seen.has(pair)) {
      return { verdict: "violated", reason: 'the words "' + pair + '" come twice' };
    }
    seen.add(pair);
  }
  return { verdict: "satisfied", reason: "no pair of words comes twice" };
}
`;

/** What a user of the tool would write down without knowing the true reward. */
const judges = (recipes: string): Record<(typeof families)[number], object[]> => ({
  writing: [
    { kind: "length", max_words: 32 },
    { kind: "regex", name: "no_shouting", must_not_match: "![\\s\\S]*!" },
    { module: join(recipes, "no-repeats.js"), name: "no_repeats" },
  ],
  arithmetic: [{ kind: "math" }],
  code: [{ kind: "code" }],
});

export interface QuickstartOptions extends RunContext {
  out: string;
  seed: number;
}

/** One of the two policies, as measured. */
export interface PolicyOutcome {
  name: "plain" | "touchstone";
  title: string;
  model: string;
  /** metrics.jsonl of the run; `lab/...` at step 0 and at every evaluation. */
  metrics: MetricsRow[];
  answers: Answer[];
  trueReward: Interval;
}

export interface QuickstartResult {
  seed: number;
  report: string;
  seconds: number;
  start: { answers: Answer[]; trueReward: Interval };
  plain: PolicyOutcome;
  touchstone: PolicyOutcome;
  rewardModels: { name: string; validation: number; shifted: number }[];
  winRates: { ours: string; theirs: string; winRate: Interval }[];
}

export async function runQuickstart(options: QuickstartOptions): Promise<QuickstartResult> {
  const started = performance.now();
  const { out, seed, reporter } = options;
  await makeDirectory(join(out, "recipes"));
  const world = buildWorld(seed, { families, sizes: { corpus: 0, sft: 0 } });
  const data = join(out, "data");
  await writeWorld(world, data);

  const recipes = makeRecipes(out, data, seed);
  await writeFile(join(out, "recipes", "no-repeats.js"), noRepeats);
  for (const [name, recipe] of Object.entries(recipes))
    await writeFile(join(out, "recipes", `${name}.yaml`), stringify(recipe));

  const { members } = await runReward(resolve("reward", recipes.reward), options);
  const merged = join(out, "reward-models", "warm");
  await averageCheckpoints({ members: members.map(({ model }) => ({ dir: model })), out: merged });
  const warmName = `WARM of ${members.length}`;
  const rewardModels = await rewardModelTable(world, [
    ...members.map(({ model }, i) => ({ name: `reward model ${i + 1}`, dir: model })),
    { name: warmName, dir: merged },
  ]);
  reporter.note(
    rewardModels
      .map(
        ({ name, validation, shifted }) =>
          `${name}: accuracy ${percent(validation)}, shifted ${percent(shifted)}`,
      )
      .join("\n"),
  );

  const plain = await alignOne(
    "plain",
    "policy gradient, one reward model",
    members[0]!.model,
    recipes.plain,
    world,
    options,
  );
  const touchstone = await alignOne(
    "touchstone",
    "CRPG, WARM, judges",
    merged,
    recipes.touchstone,
    world,
    options,
  );

  const start = await startAnswers(world, merged);
  const compare = (ours: string, a: Answer[], theirs: string, b: Answer[]) => ({
    ours,
    theirs,
    winRate: goldWinRate(a, b),
  });
  const result: Omit<QuickstartResult, "report"> = {
    seed,
    seconds: (performance.now() - started) / 1000,
    start: { answers: start, trueReward: goldInterval(start) },
    plain,
    touchstone,
    rewardModels,
    winRates: [
      compare("CRPG + WARM + judges", touchstone.answers, "plain policy gradient", plain.answers),
      compare("CRPG + WARM + judges", touchstone.answers, "start policy", start),
      compare("plain policy gradient", plain.answers, "start policy", start),
    ],
  };
  const report = join(out, "report.html");
  await writeFileAtomic(report, quickstartReport(result, recipes, families.length * settings.heldout.along));
  return { ...result, report };
}

const resolve = <V extends Verb>(verb: V, recipe: object) =>
  parseRecipe(verb, stringify(recipe), `${verb}.yaml`);

type Recipes = Record<"reward" | "plain" | "touchstone", Record<string, unknown>>;

function makeRecipes(out: string, data: string, seed: number): Recipes {
  const { rewardModels, align } = settings;
  const sampling = {
    generations: align.generations,
    batch_prompts: align.promptsPerTask,
    max_new_tokens: maxNewTokens,
  };
  const common = {
    seed,
    policy: baseModelDir,
    steps: align.steps,
    learning_rate: align.learningRate,
    warmup_steps: 5,
    save_steps: 0,
  };
  return {
    reward: {
      seed,
      output_dir: join(out, "reward-models"),
      model: baseModelDir,
      data: join(data, "preferences.jsonl"),
      eval_data: join(data, "validation.jsonl"),
      runs: rewardModels.members,
      steps: rewardModels.steps,
      batch_size: rewardModels.batch,
      learning_rate: rewardModels.learningRate,
      save_steps: 0,
    },
    plain: {
      ...common,
      output_dir: join(out, "plain"),
      tasks: families.map((name) => ({
        name,
        prompts: join(data, "prompts", `${name}.jsonl`),
        reward: { model: join(out, "reward-models", "member-1", "final") },
        optimizer: { name: "reinforce", kl_coef: settings.align.plainKlCoefficient, ...sampling },
      })),
    },
    touchstone: {
      ...common,
      output_dir: join(out, "touchstone"),
      tasks: families.map((name) => ({
        name,
        prompts: join(data, "prompts", `${name}.jsonl`),
        reward: { warm: join(out, "reward-models", "warm") },
        judges: judges(join(out, "recipes"))[name],
        optimizer: { name: "crpg", kl_max: name === "writing" ? 10 : 20, ...sampling },
      })),
    },
  };
}

/** The first `count` held-out prompts of every family. */
function heldout(world: World, count: number): PromptRow[] {
  return families.flatMap((family) => world.heldout.filter((row) => row.family === family).slice(0, count));
}

async function alignOne(
  name: PolicyOutcome["name"],
  title: string,
  rewardModel: string,
  recipe: Record<string, unknown>,
  world: World,
  options: QuickstartOptions,
): Promise<PolicyOutcome> {
  const resolved = resolve("align", recipe);
  const proxy = await scorer(rewardModel);
  const along = heldout(world, settings.heldout.along);
  const { model } = await runAlignRecipe(resolved, {
    ...options,
    observe: async (step, models) =>
      step % settings.align.evaluateEvery === 0
        ? labMetrics(await evaluatePolicy({ ...models, proxy, rows: along }))
        : {},
  });
  if (options.signal?.aborted)
    throw new InterruptedError("the quickstart was stopped; run it again to continue");
  const { policy, codec } = await openPolicy(model, { engine, frozen: true });
  const { policy: reference } = await openPolicy(baseModelDir, { engine, frozen: true });
  const answers = await evaluatePolicy({
    policy,
    reference,
    codec,
    proxy,
    rows: heldout(world, settings.heldout.final),
  });
  return {
    name,
    title,
    model,
    metrics: await readMetrics(join(resolved.outputDir, "metrics.jsonl")),
    answers,
    trueReward: goldInterval(answers),
  };
}

async function startAnswers(world: World, rewardModel: string): Promise<Answer[]> {
  const { policy, codec } = await openPolicy(baseModelDir, { engine, frozen: true });
  const proxy = await scorer(rewardModel);
  return evaluatePolicy({
    policy,
    reference: policy,
    codec,
    proxy,
    rows: heldout(world, settings.heldout.final),
  });
}

async function scorer(dir: string): Promise<RewardFunction> {
  const model = await openScalarModel(dir, { engine, frozen: true });
  return (sequences) => lastValues(model, sequences);
}

/** Accuracy on clean pairs, of the usual kind and from beyond the training range. */
async function rewardModelTable(world: World, models: readonly { name: string; dir: string }[]) {
  const { codec } = await openPolicy(baseModelDir, { engine, frozen: true });
  const table: QuickstartResult["rewardModels"] = [];
  for (const { name, dir } of models) {
    const score = await scorer(dir);
    const accuracy = async (pairs: World["validation"]): Promise<number> => {
      const sequences = pairs.flatMap(({ task, chosen, rejected }) =>
        [chosen, rejected].map((text) =>
          codec.scored([{ role: "user", content: task.prompt }], [{ role: "assistant", content: text }]),
        ),
      );
      const rewards = await score(sequences);
      return tInterval(pairs.map((_, i) => Number(rewards[2 * i]! > rewards[2 * i + 1]!))).estimate;
    };
    table.push({
      name,
      validation: await accuracy(world.validation),
      shifted: await accuracy(world.shifted),
    });
  }
  return table;
}
