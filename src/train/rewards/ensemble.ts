// An ensemble of reward models as the reward of a task: their predictions combined, sample by sample.

import { standardDeviation } from "../../base/statistics.js";
import type { EnsembleRecipe } from "../../recipe/recipe.js";
import {
  ensembleMean,
  type MemberScores,
  uncertaintyWeighted,
  votesWithinPrompts,
  worstCase,
  zScoreMembers,
} from "../../reward/ensemble.js";
import type { RewardFunction, RewardSource, ScoredAs, ScoredResponse, Scores } from "./source.js";

export class EnsembleSource implements RewardSource {
  /** The members' scores of the first samples, the start policy's: the scale of each member, where it is asked for. */
  private reference: number[][] | undefined;

  constructor(
    private readonly members: readonly RewardFunction[],
    private readonly options: Omit<EnsembleRecipe, "models">,
  ) {}

  /** Scales come from the first batch, and votes from all responses to a prompt, which a batch may have twice. */
  get scoresApart(): boolean {
    const { normalise, combine } = this.options;
    return !normalise && combine !== "vote";
  }

  versionFor(): string {
    return "fixed";
  }

  async score(responses: readonly ScoredResponse[], as: ScoredAs): Promise<Scores> {
    const raw: Float64Array[] = [];
    for (const member of this.members) raw.push(await member(responses.map(({ tokens }) => tokens)));
    if (this.options.normalise && as === "samples")
      this.reference ??= raw.map((scores) => Array.from(scores));
    const scores = this.reference ? zScoreMembers(raw, this.reference) : raw;
    return {
      rewards: this.combine(scores, responses),
      failed: responses.map(() => false),
      violated: responses.map(() => false),
      notes: responses.map((_, i) =>
        scores.length < 2 ? {} : { spread: standardDeviation(scores.map((member) => member[i]!)) },
      ),
    };
  }

  private combine(scores: MemberScores, responses: readonly ScoredResponse[]): Float64Array {
    const { combine, uwoLambda } = this.options;
    switch (combine) {
      case "mean":
        return ensembleMean(scores);
      case "min":
        return worstCase(scores);
      case "uwo":
        return uncertaintyWeighted(scores, uwoLambda);
      case "vote":
        return votesWithinPrompts(
          scores,
          responses.map(({ row }) => row.id),
        );
    }
  }

  async afterStep() {
    return {};
  }

  state() {
    return this.reference;
  }

  restore(reference: number[][] | undefined): void {
    this.reference = reference;
  }
}
