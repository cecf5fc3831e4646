// Before a candidate rubric is published it must pass these checks; the paper (MPO, 2504.20157) has none.

import { dropTags } from "./markup.js";
import { normalised, type ScoredRollout, words } from "./rollout.js";
import {
  itemsHash,
  loosenedGates,
  type Rubric,
  type RubricItem,
  type RubricLimits,
  rubricFault,
} from "./rubric.js";
import type { RewardSample, RubricScore } from "./rubric-reward.js";
import { renderItems } from "./rubric-text.js";

/** Two responses to one prompt, the first better than the second by a person's word. */
export interface Anchor {
  prompt: string;
  good: string;
  bad: string;
  reference?: string;
}

export type Scorer = (sample: RewardSample, rubric: Rubric) => Promise<RubricScore>;

export interface ValidationOptions {
  limits: RubricLimits;
  /** Pairs that the current rubric orders rightly must stay in order. */
  anchors?: readonly Anchor[];
  /** Samples that the analysis called inflated must score lower than before. */
  flaggedScoreLower?: boolean;
  /** No run of so many words may come from a sampled prompt, response or reference. Infinity is off. */
  copiedWords?: number;
  /** A person allows the gates to be changed. */
  allowLooserGates?: boolean;
}

export interface Candidate {
  current: Rubric;
  next: Rubric;
  /** What the meta reward model saw. */
  sampled: readonly ScoredRollout[];
  /** Those that it called inflated. */
  flagged: readonly ScoredRollout[];
  taskDescription: string;
}

const sameItems = (a: readonly RubricItem[], b: readonly RubricItem[]): boolean => {
  const hashes = (items: readonly RubricItem[]) =>
    items
      .map((item) => itemsHash([item]))
      .sort()
      .join();
  return hashes(a) === hashes(b);
};

/** What a candidate with the same items is rejected with. */
export const unchangedFault = "it is identical to the current rubric";

/** The checks that need no model, in the order in which they are cheap. */
export function formalFault(
  current: Rubric,
  items: readonly RubricItem[],
  { limits, allowLooserGates = false }: Pick<ValidationOptions, "limits" | "allowLooserGates">,
): string | undefined {
  const fault = rubricFault(items, limits);
  if (fault !== undefined) return fault;
  if (sameItems(current.items, items)) return unchangedFault;
  const [loosened] = allowLooserGates ? [] : loosenedGates(current, items);
  return loosened === undefined ? undefined : `it drops or changes the gate "${loosened}"`;
}

function runs(text: string, length: number): Set<string> {
  const all = words(dropTags(text));
  const found = new Set<string>();
  for (let i = 0; i + length <= all.length; i++) found.add(all.slice(i, i + length).join(" "));
  return found;
}

/** A run of words that the candidate took from a sample, or undefined. Wording of the task or of two prompts is no copy. */
function copiedRun(
  { current, next, sampled, taskDescription }: Omit<Candidate, "flagged">,
  length: number,
): string | undefined {
  const allowed = new Set([...runs(taskDescription, length), ...runs(renderItems(current.items), length)]);
  const seenInPrompts = new Set<string>();
  for (const prompt of new Set(sampled.map(({ prompt }) => prompt))) {
    for (const run of runs(prompt, length)) (seenInPrompts.has(run) ? allowed : seenInPrompts).add(run);
  }
  const fresh = new Set([...runs(renderItems(next.items), length)].filter((run) => !allowed.has(run)));
  if (fresh.size === 0) return undefined;
  for (const { prompt, response, reference = "" } of sampled) {
    for (const text of [prompt, response, reference]) {
      for (const run of runs(text, length)) if (fresh.has(run)) return run;
    }
  }
  return undefined;
}

async function anchorFault(
  { current, next }: Candidate,
  anchors: readonly Anchor[],
  score: Scorer,
): Promise<string | undefined> {
  const margin = async ({ prompt, good, bad, reference }: Anchor, rubric: Rubric, index: number) => {
    const sample = { promptId: `anchor-${index}`, prompt, ...(reference === undefined ? {} : { reference }) };
    const [a, b] = await Promise.all([good, bad].map((response) => score({ ...sample, response }, rubric)));
    if (a!.status === "failed" || b!.status === "failed") return undefined;
    return normalised(a!) - normalised(b!);
  };
  const faults = await Promise.all(
    anchors.map(async (anchor, i) => {
      const [before, after] = await Promise.all([margin(anchor, current, i), margin(anchor, next, i)]);
      if (after === undefined) return `anchor ${i + 1} could not be scored by it`;
      if (before !== undefined && before > 0 && after <= 0)
        return `it no longer ranks anchor ${i + 1} rightly`;
      return undefined;
    }),
  );
  return faults.find((fault) => fault !== undefined);
}

async function flaggedFault({ next, flagged }: Candidate, score: Scorer): Promise<string | undefined> {
  const suspects = flagged.filter(({ score }) => score.source === "rubric" && normalised(score) > 0);
  if (suspects.length === 0) return undefined;
  const scores = await Promise.all(suspects.map((rollout) => score(rollout, next)));
  const pairs = scores.flatMap((after, i) =>
    after.status === "scored" ? [normalised(after) - normalised(suspects[i]!.score)] : [],
  );
  if (pairs.length === 0) return "none of the inflated samples could be scored by it";
  const change = pairs.reduce((sum, d) => sum + d, 0) / pairs.length;
  return change < 0 ? undefined : "the samples with inflated scores do not score lower under it";
}

/** Why a candidate must not be published, or undefined. */
export async function candidateFault(
  candidate: Candidate,
  options: ValidationOptions,
  score?: Scorer,
): Promise<string | undefined> {
  const { anchors = [], flaggedScoreLower = true, copiedWords = 8 } = options;
  const formal = formalFault(candidate.current, candidate.next.items, options);
  if (formal !== undefined) return formal;
  const copied = copiedRun(candidate, copiedWords);
  if (copied !== undefined) return `it copies "${copied}" from a sample`;
  if (!score) return undefined;
  return (
    (await anchorFault(candidate, anchors, score)) ??
    (flaggedScoreLower ? await flaggedFault(candidate, score) : undefined)
  );
}
