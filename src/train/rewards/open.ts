// From the `reward:` of a recipe to a source: reward models (a WARM average is one), an ensemble of them, a rubric, or a
// weighted sum. Each model is opened once, and none that does not read the policy's tokens.

import { resolve } from "node:path";
import { UserError } from "../../base/errors.js";
import { limiter } from "../../base/requests.js";
import type { PromptRow } from "../../data/rows.js";
import type { ScalarModel } from "../../engine/contract.js";
import { checkpointClient } from "../../llm/checkpoint.js";
import { LlmModels } from "../../llm/models.js";
import type { Storage } from "../../model/stored.js";
import {
  type AlignRecipe,
  REWARD_SOURCES,
  type RewardSourceRecipe,
  type SingleRewardRecipe,
} from "../../recipe/recipe.js";
import type { Reporter } from "../../run/context.js";
import { openCodec, openPolicy, openRewardModel, openTokenizer } from "../models.js";
import { plainRewardRemarks } from "../plain-prompts.js";
import type { TextCodec } from "../text.js";
import { EnsembleSource } from "./ensemble.js";
import { openModuleReward, openUrlReward } from "./external.js";
import { lastValues, noReward, rewardOfTokens } from "./fixed.js";
import { openRubricSource } from "./rubric.js";
import type { RewardFunction, RewardSource } from "./source.js";
import { sumOf, type WeightedSource } from "./sum.js";

/** What surrounds the rewards of a run. */
export interface RewardContext {
  reporter: Pick<Reporter, "note">;
  /** Directory of a run whose replies of language models are repeated. */
  replay?: string;
  /** Whether what language models say is kept in the run's directory, and in memory. Default true. */
  keepsReplies?: boolean;
  /** Directory that a module's relative path starts from. Default: the working directory. */
  baseDir?: string;
  /** The policy's last hidden state at the end of every prompt, before training. */
  embed(rows: readonly PromptRow[]): Promise<Float32Array[]>;
}

/** What of a recipe the rewards of its tasks depend on. */
export type RewardSettings = Pick<AlignRecipe, "llm" | "engine" | "seed" | "outputDir"> & {
  policy: Pick<AlignRecipe["policy"], "model">;
};

/** The task that a reward is for. */
export interface RewardedTask {
  name: string;
  rows: readonly PromptRow[];
  hasJudges: boolean;
}

/** A reward model reads conversations to where its own template ends them, beyond the token that ends a sample. */
const closing = (
  codec: Pick<TextCodec, "closed">,
  source: RewardSource,
  models: readonly ScalarModel[],
): RewardSource => ({
  maxTokens: Math.min(...models.map(({ limits }) => limits.maxTokens)),
  scoresApart: source.scoresApart,
  versionFor: (row) => source.versionFor(row),
  score: (responses, as) =>
    source.score(
      responses.map((response) => ({
        ...response,
        tokens: codec.closed(response.row.prompt, response.tokens),
      })),
      as,
    ),
  afterStep: (step, rollouts) => source.afterStep(step, rollouts),
  state: () => source.state(),
  restore: (state) => source.restore(state),
});

/** Opens the rewards of the tasks of a recipe. */
export class RewardOpener {
  private readonly opened = new Map<string, Promise<ScalarModel>>();
  /** The engine computes one thing at a time, whatever several tasks or prompts ask. */
  private readonly inTurn = limiter(1);
  /** The language models of the run, for the judges too. */
  readonly llm: LlmModels;
  readonly outputDir: string;

  constructor(
    private readonly recipe: RewardSettings,
    private readonly codec: TextCodec | undefined,
    private readonly context: RewardContext,
  ) {
    const { llm, engine, outputDir } = recipe;
    this.outputDir = outputDir;
    this.llm = new LlmModels(llm, {
      outputDir: (context.keepsReplies ?? true) ? outputDir : undefined,
      replay: context.replay,
      openCheckpoint: async (model) => checkpointClient(await openPolicy(model, { engine, frozen: true })),
    });
  }

  async open(source: RewardSourceRecipe | undefined, task: RewardedTask): Promise<RewardSource> {
    if (source === undefined) return noReward;
    if (!("sum" in source)) return this.openSingle(source, task);
    const parts: WeightedSource[] = [];
    const names = source.sum.map((part) => REWARD_SOURCES.find((name) => name in part)!);
    for (const [i, { weight, ...part }] of source.sum.entries()) {
      const nth = names.slice(0, i).filter((name) => name === names[i]).length + 1;
      const name = nth === 1 ? names[i]! : `${names[i]}_${nth}`;
      parts.push({ name, weight, source: await this.openSingle(part, task) });
    }
    return sumOf(parts);
  }

  private async openSingle(source: SingleRewardRecipe, task: RewardedTask): Promise<RewardSource> {
    if ("rubric" in source) {
      const { seed, outputDir } = this.recipe;
      return openRubricSource(source, {
        task: task.name,
        rows: task.rows,
        hasJudges: task.hasJudges,
        seed,
        models: this.llm,
        outputDir,
        embed: this.context.embed,
        note: (line) => this.context.reporter.note(line),
      });
    }
    if ("models" in source) {
      const members = await Promise.all(source.models.map((dir) => this.model(dir, source.quantise)));
      const codecs = await Promise.all(source.models.map((dir) => this.codecOf(dir, task)));
      return closing(
        codecs[0]!,
        new EnsembleSource(
          members.map(
            (member): RewardFunction =>
              (sequences) =>
                this.inTurn(() => lastValues(member, sequences)),
          ),
          source,
        ),
        members,
      );
    }
    if ("module" in source) {
      const path = resolve(this.context.baseDir ?? ".", source.module);
      return openModuleReward({ ...source, module: path });
    }
    if ("url" in source) return openUrlReward(source);
    const dir = "warm" in source ? source.warm : source.model;
    const model = await this.model(dir, source.quantise);
    return closing(
      await this.codecOf(dir, task),
      rewardOfTokens((sequences) => this.inTurn(() => lastValues(model, sequences))),
      [model],
    );
  }

  private async codecOf(model: string, { name, rows }: RewardedTask): Promise<TextCodec> {
    const codec = await openCodec(model);
    for (const remark of plainRewardRemarks(rows, codec, { source: `task ${name}`, model }))
      this.context.reporter.note(remark);
    return codec;
  }

  /** Tokens that all models opened so far can read; undefined: there are none. */
  async maxTokens(): Promise<number | undefined> {
    const models = await Promise.all(this.opened.values());
    return models.length === 0 ? undefined : Math.min(...models.map(({ limits }) => limits.maxTokens));
  }

  private model(name: string, quantise: Storage | undefined): Promise<ScalarModel> {
    const key = JSON.stringify([name, quantise]);
    let model = this.opened.get(key);
    if (!model) this.opened.set(key, (model = this.load(name, quantise)));
    return model;
  }

  private async load(name: string, quantise: Storage | undefined): Promise<ScalarModel> {
    const tokenizer = await openTokenizer(name);
    if (this.codec && tokenizer.hash !== this.codec.tokenizer.hash)
      throw new UserError(
        `the reward model ${name} has another vocabulary than the policy ${this.recipe.policy.model} (their tokenizer.json differ); train the reward model from a checkpoint with the policy's tokenizer`,
      );
    return openRewardModel(name, { engine: this.recipe.engine, frozen: true, quantise });
  }

  dispose(): void {
    for (const model of this.opened.values())
      void model.then(
        (opened) => opened.dispose(),
        () => {},
      );
    this.llm.dispose();
  }
}
