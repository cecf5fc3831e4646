// What `touchstone align --check` looks at: everything that a run opens, and one sample of each task judged and scored.

import { loadPreferences, loadPrompts } from "../../data/index.js";
import type { PromptRow } from "../../data/rows.js";
import { checkNamedJudges } from "../../judges/applicability.js";
import { createMixture, type MixtureMember } from "../../judges/mixture.js";
import { createMember } from "../../judges/registry.js";
import type { DpoOptions, SamplingOptimizer } from "../../recipe/optimizers.js";
import { optimizerRow } from "../../recipe/optimizers.js";
import type { AlignRecipe, JudgeRecipe, StagedRecipe, TaskRecipe } from "../../recipe/recipe.js";
import { fitPairs } from "../align/dpo.js";
import { fitPrompts } from "../align/fit.js";
import { judgeContext, openCritic } from "../align/open.js";
import { type Trial, tolerated, tryMetaModels, tryTask } from "../align/preflight.js";
import { judgeRemarks, taskRemarks } from "../align/remarks.js";
import { stageRecipe } from "../align/stages.js";
import { longestTokens, memoryOfAlign, waysToNeedLess } from "../memory.js";
import { type OpenedPolicy, openCodec, openPolicy, windowOf } from "../models.js";
import { RewardOpener } from "../rewards/open.js";
import type { RewardSource } from "../rewards/source.js";
import type { TextCodec } from "../text.js";
import type { Findings } from "./findings.js";
import { checkMemory } from "./memory.js";
import { checkDisk, checkPlace } from "./place.js";
import { checkRows, tellFit } from "./rows.js";
import { checkSchedule } from "./schedule.js";
import { openOnService } from "./service.js";

export interface AlignCheck {
  resume: boolean;
  /** Directory that relative paths of judges start from. */
  baseDir?: string;
}

export async function checkAlign(
  recipe: AlignRecipe | StagedRecipe,
  findings: Findings,
  options: AlignCheck,
): Promise<void> {
  await checkPlace(findings, recipe.outputDir, recipe, options.resume);
  const { model } = recipe.policy;
  const codec = await findings.attempt("policy", () =>
    openCodec(model, { ...recipe.policy, engine: recipe.engine }),
  );
  if (codec) findings.ok("ends", `responses end at ${codec.describeStops()}`);
  const stages =
    "stages" in recipe
      ? recipe.stages.map(({ name }, i) => ({
          prefix: `stage ${name}: `,
          stage: stageRecipe(recipe, i, model),
        }))
      : [{ prefix: "", stage: recipe }];
  const prepared: Prepared[] = [];
  for (const { prefix, stage } of stages) prepared.push(await prepare(stage, { findings, codec, prefix }));
  // What does not fit is not opened either; without a policy, data, judges and rewards are still looked at.
  const fits = prepared.every((stage) => stage.fits);
  const opened =
    codec &&
    fits &&
    (recipe.engine.kind === "tinker"
      ? await openOnService(findings, "policy", { ...recipe, ...recipe.policy }, codec)
      : await findings.attempt("policy", async () => {
          const found = await openPolicy(model, {
            ...recipe.policy,
            engine: recipe.engine,
            codec,
            frozen: true,
          });
          findings.ok("policy", `${model}: opens, reads ${found.policy.limits.maxTokens} tokens`);
          return found;
        }));
  for (const stage of prepared)
    await checkStage(stage, { findings, options, codec, opened: opened || undefined });
  if (opened) opened.policy.dispose();
}

/** A stage, or an alignment without stages, whose rows were read. */
interface Prepared {
  /** "stage warmup: " */
  prefix: string;
  recipe: AlignRecipe;
  /** Of the tasks that sample, by name. */
  prompts: Map<string, PromptRow[] | undefined>;
  /** The machine has the memory that it needs. */
  fits: boolean;
}

async function prepare(
  recipe: AlignRecipe,
  { findings, codec, prefix }: { findings: Findings; codec: TextCodec | undefined; prefix: string },
): Promise<Prepared> {
  const prompts: Prepared["prompts"] = new Map();
  for (const { name, optimizer, prompts: source } of recipe.tasks)
    if (optimizerRow(optimizer).learns !== "pairs")
      prompts.set(name, await checkRows(findings, `${prefix}task ${name}: prompts`, source, loadPrompts));
  const rows = [...prompts.values()].flatMap((found) => found ?? []);
  const tokensOf = ({ prompt, metadata }: PromptRow) => codec!.prompt(prompt, metadata);
  const fits =
    !codec ||
    recipe.engine.kind === "tinker" ||
    (await checkMemory(findings, `${prefix}memory`, {
      estimate: async () => memoryOfAlign(recipe, longestTokens(rows, tokensOf)),
      change: waysToNeedLess("align", recipe),
    }));
  return { prefix, recipe, prompts, fits };
}

interface Surroundings {
  findings: Findings;
  options: AlignCheck;
  codec: TextCodec | undefined;
  opened: OpenedPolicy | undefined;
}

async function checkStage(stage: Prepared, around: Surroundings): Promise<void> {
  const { findings, codec, opened } = around;
  const { prefix, recipe, prompts, fits } = stage;
  checkSchedule(findings, `${prefix}steps`, recipe.steps, recipe);
  const reference = recipe.reference;
  if (reference?.startsWith("tinker://")) {
    if (recipe.engine.kind === "tinker") findings.ok(`${prefix}reference`, `${reference}: on the service`);
    else
      findings.fail(
        `${prefix}reference`,
        `${reference} is on a service, which needs engine: { kind: tinker }`,
      );
  } else if (reference !== undefined && fits)
    await findings.attempt(`${prefix}reference`, async () => {
      const { policy } = await openPolicy(reference, {
        engine: recipe.engine,
        frozen: true,
        quantise: recipe.policy.quantise,
      });
      findings.ok(`${prefix}reference`, `${reference}: opens, reads ${policy.limits.maxTokens} tokens`);
      policy.dispose();
    });
  const critic =
    codec && fits && (await findings.attempt(`${prefix}critic`, () => openCritic(recipe, codec)));
  if (critic) findings.ok(`${prefix}critic`, `opens, reads ${critic.model.limits.maxTokens} tokens`);
  const trained = [
    { head: "language" as const, ...recipe.policy },
    ...(critic ? [{ model: recipe.policy.model, head: "scalar" as const, lora: recipe.policy.lora }] : []),
  ];
  if (recipe.engine.kind === "local")
    await checkDisk(findings, recipe.outputDir, { trained, steps: recipe.steps, saving: recipe });
  const rewards = new RewardOpener(recipe, codec, {
    reporter: { note: (line) => tellWarning(findings, `${prefix}rewards`, line) },
    keepsReplies: false,
    ...(around.options.baseDir !== undefined && { baseDir: around.options.baseDir }),
    embed: async (rows) => {
      const { policy, codec: own } = opened!;
      return policy.features(rows.map(({ prompt, metadata }) => own.prompt(prompt, metadata)));
    },
  });
  try {
    const windows = {
      ...(critic && { critic: critic.model.limits.maxTokens }),
      ...(await windowsOf(recipe)),
    };
    for (const task of recipe.tasks)
      if (optimizerRow(task.optimizer).learns === "pairs")
        await checkPairs(task, { ...around, prefix, windows });
      else
        await checkTask(task, prompts.get(task.name), {
          ...around,
          ...{ prefix, windows, fits, rewards, seed: recipe.seed, steps: recipe.steps },
        });
    tellTrials(findings, prefix, await tryMetaModels(recipe.tasks, rewards.llm, findings.signal));
  } finally {
    if (critic) critic.model.dispose();
    rewards.dispose();
  }
}

/** Tokens that policy and reference read, as far as they can be found. */
async function windowsOf({
  policy,
  reference,
  engine,
}: AlignRecipe): Promise<Record<string, number | undefined>> {
  const of = (model: string, where?: AlignRecipe["engine"]) => windowOf(model, where).catch(() => undefined);
  const isHere = reference !== undefined && !reference.startsWith("tinker://");
  return {
    policy: await of(policy.model, engine),
    ...(isHere && { reference: await of(reference) }),
  };
}

interface TaskSurroundings extends Surroundings {
  prefix: string;
  windows: Record<string, number | undefined>;
}

async function checkPairs(
  task: TaskRecipe,
  { findings, codec, prefix, windows }: TaskSurroundings,
): Promise<void> {
  const { name, prompts, optimizer } = task;
  const at = `${prefix}task ${name}`;
  tellRemarks(findings, at, taskRemarks(task, 1));
  const pairs = await checkRows(findings, `${at}: prompts`, prompts, loadPreferences);
  if (!pairs || !codec) return;
  const { beta, batchPrompts: batchPairs, maxLength, maxPromptLength, overlong } = optimizer as DpoOptions;
  const { applyChatTemplate } = prompts;
  const parts = { name, pairs, beta, batchPairs, maxLength, maxPromptLength, overlong, applyChatTemplate };
  const window = Math.min(...Object.values(windows).filter((tokens) => tokens !== undefined));
  const fitted = await findings.attempt(`${at}: lengths`, () => fitPairs(parts, codec, window, prompts.path));
  if (fitted) tellFit(findings, `${at}: lengths`, fitted.fit);
}

async function checkTask(
  task: TaskRecipe,
  rows: PromptRow[] | undefined,
  around: TaskSurroundings & { rewards: RewardOpener; fits: boolean; seed: number; steps: number },
): Promise<void> {
  const { findings, codec, opened, prefix, rewards, windows, options, fits, seed } = around;
  const { name } = task;
  const at = `${prefix}task ${name}`;
  tellRemarks(findings, at, taskRemarks(task, around.steps));
  const members: MixtureMember[] = [];
  for (const entry of task.judges) {
    const context = judgeContext({ codec, baseDir: options.baseDir, llm: rewards.llm });
    const member = await findings.attempt(`${at}: judge ${nameOf(entry)}`, () =>
      createMember(entry, context),
    );
    if (member) members.push(member);
  }
  if (rows && members.length === task.judges.length)
    await findings.attempt(`${at}: judges`, () =>
      checkNamedJudges(
        rows,
        members.map(({ judge }) => judge),
      ),
    );
  // Those that have nothing to do are told by the trial of each; all of them together with no reward are a mistake.
  if (rows && members.length === task.judges.length)
    await findings.attempt(at, () =>
      judgeRemarks(
        task,
        members.map(({ judge }) => judge),
        rows,
      ),
    );
  const hasJudges = task.judges.length > 0;
  const reward = fits
    ? await findings.attempt(`${at}: reward`, () =>
        rewards.open(task.reward, { name, rows: rows ?? [], hasJudges }),
      )
    : undefined;
  if (!rows || !codec) return;
  const optimizer = task.optimizer as SamplingOptimizer;
  const fitted = await findings.attempt(`${at}: lengths`, () =>
    fitPrompts(rows, {
      source: task.prompts.path,
      codec,
      optimizer,
      applyChatTemplate: task.prompts.applyChatTemplate,
      windows: { ...windows, "reward model": reward?.maxTokens },
    }),
  );
  if (fitted) tellFit(findings, `${at}: lengths`, fitted.fit);
  if (!opened) return findings.warn(at, "no sample was judged or scored, for the policy does not open");
  const trials = await findings.attempt(at, () =>
    rewards.llm.aside(() =>
      tryTask(
        {
          name,
          prompts: fitted?.prompts ?? rows,
          limits: { ...optimizer, maxPromptTokens: fitted?.maxPromptTokens },
          judges: createMixture(members),
          ...(reward && task.reward && { reward: reward as RewardSource }),
        },
        { ...opened, seed, signal: findings.signal },
      ),
    ),
  );
  if (trials) tellTrials(findings, prefix, task.maxFailedRate === 1 ? trials.map(tolerated) : trials);
}

const tellRemarks = (findings: Findings, name: string, remarks: readonly string[]): void => {
  for (const remark of remarks) findings.warn(name, remark.replace(/^warning: (task [^:]+: )?/, ""));
};

/** What else openers say is for a run. */
function tellWarning(findings: Findings, name: string, line: string): void {
  if (line.startsWith("warning: ")) findings.warn(name, line.slice("warning: ".length));
}

const nameOf = ({ name, kind, module }: JudgeRecipe): string => String(name ?? kind ?? module);

function tellTrials(findings: Findings, prefix: string, trials: readonly Trial[]): void {
  for (const { who, said, ok, isNote } of trials)
    findings.add(`${prefix}${who}`, ok ? (isNote ? "warning" : "ok") : "problem", said);
}
