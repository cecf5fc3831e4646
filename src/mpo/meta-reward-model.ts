// The meta reward model: an LLM reads scored rollouts and rewrites the rubric (MPO, section 2.3; the senior instructor) by
// meta-analysis, meta-refinement and meta-merging. Whatever goes wrong, the outcome is that the current rubric stays.

import type { RandomStream } from "../base/random.js";
import { BudgetError, type ChatClient, type ChatReply, endsRun, type Message } from "../llm/types.js";
import { stopMarker } from "./markup.js";
import {
  analysisPrompt,
  caseAnalysisPrompt,
  itemAsk,
  mergeCountPrompt,
  mergePrompt,
  refinementAsk,
  refinementCountAsk,
  type ScoredCase,
  type TaskPrompts,
} from "./prompts.js";
import type { ScoredRollout } from "./rollout.js";
import {
  countWords,
  dedupeItems,
  defaultLimits,
  keepGates,
  nextVersion,
  type Rubric,
  type RubricItem,
  type RubricLimits,
  rubricFault,
} from "./rubric.js";
import { parseRubric, renderItems } from "./rubric-text.js";
import { suspiciousSample, tertileSample, uniformSample } from "./sampling.js";
import {
  candidateFault,
  formalFault,
  type Scorer,
  unchangedFault,
  type ValidationOptions,
} from "./validation.js";

/** What the analysis shows of a sample besides instruction, response and total. The paper shows the total alone. */
export interface Shown {
  maximum?: boolean;
  items?: boolean;
  judges?: boolean;
  reference?: boolean;
}

export interface MetaRewardModelOptions {
  client: ChatClient;
  model: string;
  task: TaskPrompts;
  /**
   * `breadth`: an analysis and a refinement of each sample, merged into one rubric. `depth`: one analysis and one
   * refinement over samples of every tertile of the scores, no merging.
   */
  mode?: "breadth" | "depth";
  /** n of the paper: samples of a round in breadth mode. */
  samples?: number;
  /** Samples of each tertile in depth mode. */
  perTertile?: number;
  sampling?: "uniform" | "suspicious-half";
  /** `count-first` asks for the number of items, then for one after the other; `single-shot` for all in one reply. */
  refinement?: "count-first" | "single-shot";
  shows?: Shown;
  /** Words of refinements in one merge. */
  mergeWords?: number;
  /** Too many refinements for one merge are merged in groups, or those beyond the budget are left out (the paper). */
  mergeOverflow?: "hierarchical" | "truncate";
  /** A count-first conversation asks for no further item beyond this many words. */
  conversationWords?: number;
  limits?: RubricLimits;
  validation?: Omit<ValidationOptions, "limits">;
  /** Scores the anchors and flagged samples of the validation; without it those checks are skipped. */
  scorer?: Scorer;
  seed?: number;
  maxTokens?: number;
}

export interface RevisionReport {
  /** Rollouts that the model saw. */
  sampled: number;
  /** Of these, how many it called inflated. */
  flagged: number;
  /** Refinements that came out usable. */
  refinements: number;
  /** What went wrong on the way without ending the round, one sentence each. */
  problems: string[];
}

export type Revision =
  | { status: "published"; rubric: Rubric; report: RevisionReport }
  | { status: "kept"; reason: string; unchanged: boolean; report: RevisionReport };

/** A stage that came to nothing; its message says why. */
class StageError extends Error {}

type Conversation = readonly Message[];

/** One sample after analysis and refinement. */
interface Refinement {
  rollout: ScoredRollout;
  isFlagged: boolean;
  items: RubricItem[];
}

/** The last line that the analysis was asked for. */
const isInflated = (analysis: string): boolean => /^\W*verdict\W*inflated\b/im.test(analysis);

/** Groups of neighbours within a budget of words; nothing is cut, and nothing is in two groups. */
export function groupByWords<T>(parts: readonly T[], wordsOf: (part: T) => number, budget: number): T[][] {
  const groups: T[][] = [];
  let room = 0;
  for (const part of parts) {
    const size = wordsOf(part);
    if (groups.length === 0 || size > room) {
      groups.push([]);
      room = budget;
    }
    groups.at(-1)!.push(part);
    room -= size;
  }
  return groups;
}

const wordsOfItems = (items: readonly RubricItem[]): number => countWords(renderItems(items));

export class MetaRewardModel {
  private readonly options: Required<Omit<MetaRewardModelOptions, "scorer">> &
    Pick<MetaRewardModelOptions, "scorer">;

  constructor(options: MetaRewardModelOptions) {
    this.options = {
      mode: "breadth",
      samples: 16,
      perTertile: 2,
      sampling: "suspicious-half",
      refinement: "count-first",
      shows: { maximum: true, items: true, judges: true, reference: true },
      mergeWords: 16_666,
      mergeOverflow: "hierarchical",
      conversationWords: 20_866,
      limits: defaultLimits,
      validation: {},
      seed: 0,
      maxTokens: 4000,
      ...options,
    };
  }

  /** The rollouts of a round. */
  sample(rollouts: readonly ScoredRollout[], random: RandomStream): ScoredRollout[] {
    const { mode, samples, perTertile, sampling } = this.options;
    if (mode === "depth") return tertileSample(rollouts, perTertile, random);
    return (sampling === "uniform" ? uniformSample<ScoredRollout> : suspiciousSample)(
      rollouts,
      samples,
      random,
    );
  }

  /**
   * One round over the rollouts since the last one. Draws from `random` only to sample. Never throws for what a model, a
   * server or a budget does; an abort and a replay log that does not fit are thrown.
   */
  async revise(
    current: Rubric,
    rollouts: readonly ScoredRollout[],
    random: RandomStream,
    update: number,
    signal?: AbortSignal,
  ): Promise<Revision> {
    const sampled = this.sample(rollouts, random);
    const report: RevisionReport = { sampled: sampled.length, flagged: 0, refinements: 0, problems: [] };
    const kept = (reason: string): Revision => ({
      status: "kept",
      reason,
      unchanged: reason === unchangedFault,
      report,
    });
    if (sampled.length === 0) return kept("there are no scored rollouts to learn from");
    try {
      const round = new Round(this.options, current, update, report, signal);
      const { items, flagged } = await round.candidate(sampled);
      // Samples are refined side by side, so problems come in any order.
      report.problems.sort();
      const { limits, validation, scorer, task } = this.options;
      const checks: ValidationOptions = { ...validation, limits };
      const formal = formalFault(current, items, checks);
      if (formal !== undefined) return kept(formal);
      const next = nextVersion(current, items, limits);
      const candidate = { current, next, sampled, flagged, taskDescription: task.description };
      const fault = await candidateFault(candidate, checks, scorer);
      return fault === undefined ? { status: "published", rubric: next, report } : kept(fault);
    } catch (error) {
      signal?.throwIfAborted();
      if (endsRun(error) && !(error instanceof BudgetError)) throw error;
      return kept((error as Error).message);
    }
  }
}

/** The calls of one round: what all of its stages share. */
class Round {
  constructor(
    private readonly options: MetaRewardModel["options"],
    private readonly current: Rubric,
    private readonly update: number,
    private readonly report: RevisionReport,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** The items of the candidate, the gates of the current rubric among them. */
  async candidate(
    sampled: readonly ScoredRollout[],
  ): Promise<{ items: RubricItem[]; flagged: ScoredRollout[] }> {
    const { mode, validation } = this.options;
    const [items, flagged] =
      mode === "depth" ? [await this.refineCases(sampled), []] : await this.refineEach(sampled);
    return {
      items: validation.allowLooserGates ? items : keepGates(this.current, items),
      flagged,
    };
  }

  private async refineEach(sampled: readonly ScoredRollout[]): Promise<[RubricItem[], ScoredRollout[]]> {
    const results = await Promise.all(
      sampled.map((rollout, i) =>
        this.tolerate(`sample ${i + 1}`, async () => await this.refine(rollout, `sample ${i + 1}`)),
      ),
    );
    const refinements = results.filter((result) => result !== undefined);
    this.report.refinements = refinements.length;
    const flagged = refinements.filter(({ isFlagged }) => isFlagged).map(({ rollout }) => rollout);
    this.report.flagged = flagged.length;
    if (refinements.length === 0)
      throw new StageError(`no refinement came out: ${this.report.problems.at(-1)}`);
    return [await this.mergeAll(refinements.map(({ items }) => items)), flagged];
  }

  /** Meta-analysis and meta-refinement of one sample, in one conversation. */
  private async refine(rollout: ScoredRollout, what: string): Promise<Refinement> {
    const { task } = this.options;
    const prompt = analysisPrompt(task, this.shownCase(rollout), this.current);
    const analysis = await this.say(prompt, `${what}, analysis`);
    const isFlagged = isInflated(analysis.content);
    const items = await this.rewrite(answered(prompt, analysis), `${what}, refinement`);
    return { rollout, isFlagged, items };
  }

  private async refineCases(sampled: readonly ScoredRollout[]): Promise<RubricItem[]> {
    const { task, limits } = this.options;
    const cases = sampled.map((rollout) => this.shownCase(rollout));
    const prompt = caseAnalysisPrompt(task, cases, this.current);
    const conversation = answered(prompt, await this.say(prompt, "analysis"));
    const ask = refinementAsk(limits.maxItems, 1000);
    const items = this.itemsIn(await this.say([...conversation, ask], "refinement"));
    this.report.refinements = 1;
    return items;
  }

  /** Meta-merging, in groups of what fits into one prompt, until one rubric is left. One alone needs no merging. */
  private async mergeAll(refinements: RubricItem[][]): Promise<RubricItem[]> {
    const { mergeWords, mergeOverflow } = this.options;
    let rubrics = refinements;
    for (let level = 1; rubrics.length > 1; level++) {
      let groups = groupByWords(rubrics, wordsOfItems, mergeWords);
      if (mergeOverflow === "truncate") groups = groups.slice(0, 1);
      if (groups.length === rubrics.length && groups.length > 1)
        throw new StageError(
          `no two of ${rubrics.length} refinements fit into a merge of ${mergeWords} words`,
        );
      rubrics = await Promise.all(
        groups.map((group, i) =>
          group.length === 1 ? group[0]! : this.merge(group, `merge ${level}.${i + 1}`),
        ),
      );
    }
    return rubrics[0]!;
  }

  private async rewrite(conversation: Conversation, what: string): Promise<RubricItem[]> {
    const { refinement, limits } = this.options;
    if (refinement === "count-first")
      return await this.countFirst([...conversation, refinementCountAsk(limits.maxItems)], what);
    return this.itemsIn(
      await this.say([...conversation, refinementAsk(limits.maxItems, limits.maxWords)], what),
    );
  }

  private async merge(group: readonly RubricItem[][], what: string): Promise<RubricItem[]> {
    const { task, refinement, limits } = this.options;
    if (refinement === "count-first")
      return await this.countFirst(mergeCountPrompt(task, group, limits.maxItems), what);
    return this.itemsIn(await this.say(mergePrompt(task, group, limits.maxItems, limits.maxWords), what));
  }

  /** The paper's way to a rubric: a conversation that ends by asking for the number of items, then one item at a time. */
  private async countFirst(asked: Conversation, what: string): Promise<RubricItem[]> {
    const { conversationWords } = this.options;
    const count = await this.say(asked, `${what}, count`);
    const n = this.itemCount(count);
    const items: RubricItem[] = [];
    let talk = answered(asked, count);
    for (let i = 1; i <= n; i++) {
      if (countWords(talk.map(({ content }) => content).join(" ")) >= conversationWords) {
        this.report.problems.push(`${what}: stopped before item ${i} of ${n}, the conversation is full`);
        break;
      }
      const ask = [...talk, itemAsk(i, n)];
      const reply = await this.say(ask, `${what}, item ${i}`, { stop: [stopMarker], maxTokens: 500 });
      talk = answered(ask, reply);
      const item = await this.tolerate(`${what}, item ${i}`, async () => this.itemsIn(reply)[0]!);
      if (item) items.push(item);
    }
    if (items.length === 0) throw new StageError(`none of its ${n} items could be read`);
    return dedupeItems(items);
  }

  /** N of the count-first variant, at most the largest number of items. */
  private itemCount({ content }: ChatReply): number {
    const n = Number(/[0-9]+/.exec(content)?.[0]);
    if (!(n >= 1)) throw new StageError(`the number of items is ${JSON.stringify(content.slice(0, 40))}`);
    return Math.min(n, this.options.limits.maxItems);
  }

  private itemsIn({ content, finishReason }: ChatReply): RubricItem[] {
    if (finishReason === "length") throw new StageError("the reply was cut off at the token limit");
    const { items, problems } = parseRubric(content);
    this.report.problems.push(...problems);
    if (items.length === 0) throw new StageError("the reply holds no items");
    const fault = rubricFault(items, this.options.limits);
    if (items.length > this.options.limits.maxItems) throw new StageError(`the reply is no rubric: ${fault}`);
    return items;
  }

  private shownCase({ prompt, response, reference, score, verdicts }: ScoredRollout): ScoredCase {
    const { maximum, items, judges, reference: showsReference } = this.options.shows;
    const feedback = score.items.map(({ name, points, rationale }) => `${name}: ${points}. ${rationale}`);
    const findings = Object.entries(verdicts ?? {}).map(([name, verdict]) => `${name} ${verdict}`);
    return {
      prompt,
      response,
      reference: showsReference ? reference : undefined,
      score: maximum ? `${score.total} of ${score.maxTotal}` : `${score.total}`,
      feedback: items ? feedback.join("\n") : undefined,
      judges: judges && findings.length > 0 ? findings.join(", ") : undefined,
    };
  }

  /** A stage whose failure costs no more than its own result. */
  private async tolerate<T>(what: string, stage: () => Promise<T>): Promise<T | undefined> {
    try {
      return await stage();
    } catch (error) {
      this.signal?.throwIfAborted();
      if (endsRun(error)) throw error;
      this.report.problems.push(`${what}: ${(error as Error).message}`);
      return undefined;
    }
  }

  private say(
    messages: Conversation,
    what: string,
    options: { stop?: string[]; maxTokens?: number } = {},
  ): Promise<ChatReply> {
    const { client, model, seed, maxTokens } = this.options;
    const tag = `update ${this.update}, ${what}`;
    return client.chat({ model, messages, temperature: 0, seed, maxTokens, tag, ...options }, this.signal);
  }
}

const answered = (conversation: Conversation, { content }: ChatReply): Message[] => [
  ...conversation,
  { role: "assistant", content },
];
