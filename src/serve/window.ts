// MPO for a trainer elsewhere: the samples that were scored, gathered into updates after each of which the meta reward
// model may publish the next version of the rubric. Serving goes on meanwhile, by the version that is there.

import { errorMessage } from "../judges/verdict.js";
import type { Metrics } from "../run/metrics.js";
import type { RewardSource, ScoredRollouts, Scores } from "../train/rewards/source.js";
import type { Evidence } from "./scorer.js";

export interface WindowState {
  update: number;
  isFrozen: boolean;
  /** Of the reward. */
  // biome-ignore lint/suspicious/noExplicitAny: every source knows the shape of its own state
  reward: any;
}

export interface WindowOptions {
  /** Samples of one update. */
  size: number;
  /** After every update. */
  onUpdate(update: number, metrics: Metrics): Promise<void> | void;
  onError(sentence: string): void;
}

/** Samples that may wait while a round runs, in updates; the oldest go first. */
const backlog = 4;

export class UpdateWindow {
  private samples: Evidence[] = [];
  private update = 0;
  private isFrozen = false;
  private running: Promise<void> | undefined;

  constructor(
    private readonly source: RewardSource,
    private readonly options: WindowOptions,
  ) {}

  get frozen(): boolean {
    return this.isFrozen;
  }

  get updates(): number {
    return this.update;
  }

  get waiting(): number {
    return this.samples.length;
  }

  push(evidence: Evidence): void {
    if (this.isFrozen) return;
    const { size } = this.options;
    this.samples.push(evidence);
    if (this.samples.length > backlog * size) this.samples.splice(0, size);
    this.go();
  }

  private go(): void {
    if (this.running || this.isFrozen || this.samples.length < this.options.size) return;
    this.running = this.next().finally(() => {
      this.running = undefined;
      this.go();
    });
  }

  private async next(): Promise<void> {
    const rollouts = rolloutsOf(this.samples.splice(0, this.options.size));
    try {
      if (this.update === 0 && this.source.hasPreview) await this.source.afterStep(0, rollouts);
      const metrics = await this.source.afterStep(this.update + 1, rollouts);
      this.update++;
      await this.options.onUpdate(this.update, metrics);
    } catch (error) {
      this.options.onError(errorMessage(error));
    }
  }

  /** No more rounds, or rounds again; what was gathered is forgotten. */
  freeze(isFrozen: boolean): void {
    this.isFrozen = isFrozen;
    this.samples = [];
  }

  /** When no round runs any more. */
  async settled(): Promise<void> {
    while (this.running) await this.running;
  }

  state(): WindowState {
    return { update: this.update, isFrozen: this.isFrozen, reward: this.source.state() };
  }

  restore({ update, isFrozen, reward }: WindowState): void {
    this.update = update;
    this.isFrozen = isFrozen;
    this.source.restore(reward);
  }
}

function rolloutsOf(samples: readonly Evidence[]): ScoredRollouts {
  const scores: Scores = {
    rewards: Float64Array.from(samples, ({ piece }) => piece.reward),
    failed: samples.map(({ piece }) => piece.failed),
    reasons: samples.map(({ piece }) => piece.reason),
    violated: samples.map(({ piece }) => piece.violated),
    notes: samples.map(({ piece }) => piece.note),
  };
  return {
    rows: samples.map(({ row }) => row),
    completions: samples.map((_, promptIndex) => ({ promptIndex })),
    responses: samples.map(({ response }) => response),
    judgements: samples.map(({ judgement }) => judgement),
    scores,
    // The trainer's own matter.
    metrics: {},
  };
}
