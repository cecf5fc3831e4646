// MPO as a step hook of a trainer: it keeps the rubric version that scores, gathers rollouts, and after every k-th update
// lets the meta reward model revise the rubric (MPO, 2504.20157, section 2.3).

import { type RandomState, RandomStream } from "../base/random.js";
import type { MetaRewardModel, Revision } from "./meta-reward-model.js";
import type { MpoRollout, ScoredRollout } from "./rollout.js";
import {
  countWords,
  createRubric,
  nextVersion,
  type Rubric,
  type RubricItem,
  type RubricLimits,
} from "./rubric.js";
import { renderItems } from "./rubric-text.js";
import {
  addToBaseline,
  emptyBaseline,
  firedTrigger,
  stepSigns,
  type Trigger,
  type TriggerBaseline,
  type TriggerOptions,
} from "./triggers.js";

export interface MpoOptions {
  /** Absent: the rubric is fixed. */
  meta?: Pick<MetaRewardModel, "revise">;
  /**
   * k: a round after every k-th update. Infinity is the plain trainer with a fixed rubric; `once` is a single round over
   * the rollouts of "update 0", which are the initial policy's (automatic prompt optimisation).
   */
  interval?: number | "once";
  /** Rounds out of turn; off unless given. */
  triggers?: TriggerOptions;
  /** Fewest updates from a round to a triggered one. */
  cooldown?: number;
  /** No more rounds after so many in a row left the rubric unchanged. */
  stopAfterUnchanged?: number;
  /** Oldest rollouts leave a fuller buffer. */
  maxBuffer?: number;
  limits?: RubricLimits;
}

export interface MpoRound {
  /** u: the round came after this update, and what it published scores from the next one on. */
  step: number;
  /** 1 for the first round. */
  round: number;
  trigger: Trigger;
  /** One for each cluster that had rollouts; the empty name is the whole task. */
  revisions: { cluster: string; revision: Revision }[];
}

interface RubricState {
  version: number;
  parent: string | null;
  items: readonly RubricItem[];
}

/** JSON-serialisable. */
export interface MpoState {
  rubrics: Record<string, RubricState>;
  buffer: ScoredRollout[];
  round: number;
  lastRoundStep: number;
  /** Rounds in a row that left every rubric unchanged. */
  unchanged: number;
  baseline: TriggerBaseline;
  random: RandomState;
}

/** The cluster of a task that has one rubric. */
const wholeTask = "";

export class MpoHook {
  private readonly options: Required<Omit<MpoOptions, "meta" | "limits">> &
    Pick<MpoOptions, "meta" | "limits">;
  private rubrics: ReadonlyMap<string, Rubric>;
  private buffer: ScoredRollout[] = [];
  private round = 0;
  private lastRoundStep = 0;
  private unchanged = 0;
  private baseline = emptyBaseline();
  private random: RandomStream;

  /** `rubric`: one for the whole task, or one for each cluster by its name. */
  constructor(rubric: Rubric | Readonly<Record<string, Rubric>>, seed: number, options: MpoOptions = {}) {
    this.options = {
      interval: 10,
      triggers: {},
      cooldown: 5,
      stopAfterUnchanged: Number.POSITIVE_INFINITY,
      maxBuffer: 10_000,
      ...options,
    };
    this.rubrics = new Map(isRubric(rubric) ? [[wholeTask, rubric]] : Object.entries(rubric));
    this.random = new RandomStream(seed, "mpo");
  }

  /** The version that scores the responses of the coming update; a cluster without a rubric of its own uses the task's. */
  rubricFor(cluster: string = wholeTask): Rubric {
    const rubric = this.rubrics.get(cluster) ?? this.rubrics.get(wholeTask);
    if (!rubric) throw new Error(`there is no rubric for cluster "${cluster}"`);
    return rubric;
  }

  /**
   * To be called after update `step` (1 for the first) with its rollouts. Those that were not scored teach nothing. Returns
   * the round that took place, if one did.
   */
  async onRollouts(
    step: number,
    rollouts: readonly MpoRollout[],
    { kl, signal }: { kl?: number; signal?: AbortSignal } = {},
  ): Promise<MpoRound | undefined> {
    const { meta } = this.options;
    if (!meta || !this.isWatching()) return undefined;
    const scored = rollouts.filter((rollout): rollout is ScoredRollout => rollout.score.status === "scored");
    this.buffer = [...this.buffer, ...scored].slice(-this.options.maxBuffer);
    const trigger = this.trigger(step, scored, kl);
    return trigger === undefined ? undefined : await this.runRound(meta, step, trigger, signal);
  }

  /** A hook that no round can come from gathers nothing. */
  private isWatching(): boolean {
    const { interval, triggers, stopAfterUnchanged } = this.options;
    if (interval === "once") return this.round === 0;
    const canFire = Number.isFinite(interval) || Object.values(triggers).some((t) => t !== undefined);
    return canFire && this.unchanged < stopAfterUnchanged;
  }

  private isDue(step: number): boolean {
    const { interval } = this.options;
    return interval === "once" ? step === 0 : Number.isFinite(interval) && step % interval === 0;
  }

  private trigger(step: number, scored: readonly ScoredRollout[], kl?: number): Trigger | undefined {
    const { triggers, cooldown } = this.options;
    const isDue = this.isDue(step);
    if (scored.length === 0) return isDue ? "interval" : undefined;
    const signs = stepSigns(scored, kl);
    const fired =
      step - this.lastRoundStep >= cooldown ? firedTrigger(triggers, signs, this.baseline) : undefined;
    this.baseline = addToBaseline(this.baseline, signs);
    return isDue ? "interval" : fired;
  }

  /** The buffer is cleared whatever comes of the round. A cluster without new rollouts keeps its rubric. */
  private async runRound(
    meta: Pick<MetaRewardModel, "revise">,
    step: number,
    trigger: Trigger,
    signal?: AbortSignal,
  ): Promise<MpoRound> {
    const rubrics = new Map(this.rubrics);
    const revisions: MpoRound["revisions"] = [];
    for (const [cluster, rubric] of this.rubrics) {
      const evidence = this.buffer.filter((rollout) => this.clusterOf(rollout) === cluster);
      if (evidence.length === 0 && this.rubrics.size > 1) continue;
      const revision = await meta.revise(rubric, evidence, this.random, step, signal);
      if (revision.status === "published") rubrics.set(cluster, revision.rubric);
      revisions.push({ cluster, revision });
    }
    this.rubrics = rubrics;
    this.buffer = [];
    this.round++;
    this.lastRoundStep = step;
    this.baseline = emptyBaseline();
    const isUnchanged = revisions.every(({ revision }) => revision.status === "kept" && revision.unchanged);
    this.unchanged = revisions.length > 0 && isUnchanged ? this.unchanged + 1 : 0;
    return { step, round: this.round, trigger, revisions };
  }

  private clusterOf({ cluster = wholeTask }: ScoredRollout): string {
    return this.rubrics.has(cluster) ? cluster : wholeTask;
  }

  /** The version that scores each cluster; the empty name is the whole task. */
  current(): ReadonlyMap<string, Rubric> {
    return this.rubrics;
  }

  /** The next version of a cluster's rubric, which is a person's and not a round's. It scores from now on. */
  publish(cluster: string, items: readonly RubricItem[]): Rubric {
    const rubric = nextVersion(this.rubricFor(cluster), items, this.options.limits);
    this.rubrics = new Map(this.rubrics).set(this.rubrics.has(cluster) ? cluster : wholeTask, rubric);
    return rubric;
  }

  /** Of the versions that score now; version numbers are summed over clusters. */
  rubricMetrics(): Record<string, number> {
    const rubrics = [...this.rubrics.values()];
    const sum = (of: (rubric: Rubric) => number) => rubrics.reduce((total, rubric) => total + of(rubric), 0);
    return {
      "rubric/version": sum(({ version }) => version),
      "rubric/items": sum(({ items }) => items.length) / rubrics.length,
      "rubric/max_total": sum(({ maxTotal }) => maxTotal) / rubrics.length,
      "rubric/words": sum(({ items }) => countWords(renderItems(items))) / rubrics.length,
    };
  }

  roundMetrics(): Record<string, number> {
    return { "mpo/rounds": this.round, "mpo/buffer": this.buffer.length };
  }

  state(): MpoState {
    const { buffer, round, lastRoundStep, unchanged, baseline, random } = this;
    const rubrics = Object.fromEntries(
      [...this.rubrics].map(([cluster, { version, parent, items }]) => [cluster, { version, parent, items }]),
    );
    return structuredClone({
      rubrics,
      buffer,
      round,
      lastRoundStep,
      unchanged,
      baseline,
      random: random.state(),
    });
  }

  /** Continues from a state that `state` gave. */
  restore(state: MpoState): void {
    const { limits } = this.options;
    const { rubrics, buffer, round, lastRoundStep, unchanged, baseline, random } = structuredClone(state);
    this.rubrics = new Map(
      Object.entries(rubrics).map(([cluster, { items, version, parent }]) => [
        cluster,
        createRubric(items, { version, parent, ...(limits ? { limits } : {}) }),
      ]),
    );
    this.buffer = buffer;
    this.round = round;
    this.lastRoundStep = lastRoundStep;
    this.unchanged = unchanged;
    this.baseline = baseline;
    this.random = RandomStream.restore(random);
  }
}

const isRubric = (value: Rubric | Readonly<Record<string, Rubric>>): value is Rubric =>
  typeof value.version === "number" && Array.isArray(value.items);
