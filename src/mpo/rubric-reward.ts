// The rubric reward: an LLM scores one response by one version of the rubric (MPO's reward model, the junior instructor;
// 2504.20157, section 2). What the model did not clearly say is not a score: the sample has failed.

import { endOfObject } from "../base/json.js";
import { RandomStream } from "../base/random.js";
import { equivalent } from "../judges/rules/math/equivalent.js";
import { finalAnswerSentence, lastBoxed, referenceAnswer } from "../judges/rules/math/extract.js";
import { type ChatClient, type ChatReply, type ChatRequest, endsRun, type Message } from "../llm/types.js";
import { stopMarker } from "./markup.js";
import {
  executePrompt,
  itemRationaleAsk,
  itemReplyAsk,
  itemScoreAsk,
  oneReplyPrompt,
  oneReplySchema,
  planPrompt,
  planScoreAsk,
  scoringContext,
  type TaskPrompts,
} from "./prompts.js";
import {
  clampToLevels,
  type ItemKind,
  itemRange,
  type Rubric,
  type RubricItem,
  totalPoints,
} from "./rubric.js";

export interface RewardSample {
  /** Of the prompt: what the coin of the answer check depends on, besides the update. */
  promptId: string;
  prompt: string;
  response: string;
  /** A reference solution or answer. */
  reference?: string;
}

export interface ItemScore {
  name: string;
  kind: ItemKind;
  points: number;
  rationale: string;
}

interface Stamp {
  rubricVersion: number;
  rubricHash: string;
}

export interface Scored extends Stamp {
  status: "scored";
  items: ItemScore[];
  /** Sum over grades and deductions, whatever the gates say. */
  total: number;
  maxTotal: number;
  /** All gates are passed. */
  feasible: boolean;
  /** What the policy is rewarded with: total or total / maxTotal; at most 0 when a gate is failed. */
  reward: number;
  /** `reference`: the coin chose the answer check, and no model was asked. */
  source: "rubric" | "reference";
}

export interface Unscored extends Stamp {
  status: "failed";
  reason: string;
}

export type RubricScore = Scored | Unscored;

/**
 * How the model is asked. `one-reply`: all items in one JSON reply (1 call). `item-reply`: rationale and score of an item
 * in one reply, items in one growing conversation (N calls). `dialogue`: the paper's, rationale and score in two turns
 * (2N calls). `plan`: the paper's for mathematics, an evaluation plan, its execution and one overall score (3 calls; the
 * plan is shared by the responses to a prompt).
 */
export type ScoringMode = "one-reply" | "item-reply" | "dialogue" | "plan";

export interface AnswerCheck {
  /** Share of the prompts of an update whose responses are checked against the reference instead of scored. */
  probability: number;
  /** Default: the final answer is mathematically equal to the reference's. */
  isRight?: (response: string, reference: string) => boolean;
}

export interface RubricRewardOptions {
  client: ChatClient;
  model: string;
  task: TaskPrompts;
  mode?: ScoringMode;
  /** `raw` is the paper's, whose scale grows with the rubric. */
  reward?: "normalised" | "raw";
  /** Lowest total; -Infinity lets deductions go below 0. */
  floor?: number;
  /** What a score outside the item's levels is: a failure, or moved to the nearest end. */
  outOfRange?: "fail" | "clamp";
  /** Highest overall score in mode `plan`. */
  planMaximum?: number;
  /** Show the reference to the model in the modes other than `plan`, which always shows it. */
  showReference?: boolean;
  answerCheck?: AnswerCheck;
  /** Asks again, with another seed, when a reply cannot be used. */
  attempts?: number;
  seed?: number;
  maxTokens?: number;
  /** Scores kept in memory by (rubric, prompt, response). */
  cacheSize?: number;
}

/** A reply that cannot be used. */
class Unusable extends Error {}

/** A number that is all there is, apart from "Score:", "points", a score tag and the stop marker. ASCII digits only. */
export function parseNumber(text: string): number | undefined {
  const bare = text.replaceAll(stopMarker, "").trim();
  const tagged = /^<score>([^<>]*)<\/score>$/i.exec(bare)?.[1] ?? bare;
  const match = /^(?:score\s*[:=]\s*)?([+-]?[0-9]+(?:\.[0-9]+)?)(?:\s*(?:points?|pts))?\.?$/i.exec(
    tagged.trim(),
  );
  return match ? Number(match[1]) : undefined;
}

/** The JSON objects with an `items` array that stand in a text, outermost ones only. */
function itemLists(text: string): unknown[][] {
  const lists: unknown[][] = [];
  for (let start = text.indexOf("{"); start >= 0; ) {
    const end = endOfObject(text, start);
    if (end === undefined) break;
    try {
      const value = JSON.parse(text.slice(start, end)) as { items?: unknown };
      if (Array.isArray(value.items)) lists.push(value.items);
    } catch {
      // Braces in prose.
    }
    start = text.indexOf("{", end);
  }
  return lists;
}

type RangeRule = NonNullable<RubricRewardOptions["outOfRange"]>;

/** The points that a number means for an item. Throws Unusable outside its levels. */
function pointsFor(item: RubricItem, value: number | undefined, text: string, rule: RangeRule): number {
  if (value === undefined)
    throw new Unusable(`the score of "${item.name}" is not a number: ${JSON.stringify(text.slice(0, 60))}`);
  const { min, max } = itemRange(item);
  if (item.kind === "gate" && value !== 0 && value !== 1)
    throw new Unusable(`the gate "${item.name}" was answered ${value}, not 0 or 1`);
  if (value >= min && value <= max) return value;
  if (rule === "clamp") return clampToLevels(item, value);
  throw new Unusable(`the score ${value} of "${item.name}" lies outside ${min} to ${max}`);
}

const itemScore = ({ name, kind }: RubricItem, points: number, rationale: string): ItemScore => ({
  name,
  kind,
  points,
  rationale: rationale.replaceAll(stopMarker, "").trim(),
});

/** The scores in a one-reply JSON answer: every item exactly once. Throws Unusable. */
export function parseOneReply(text: string, rubric: Rubric, rule: RangeRule = "fail"): ItemScore[] {
  const lists = itemLists(text);
  if (lists.length !== 1)
    throw new Unusable(`the reply holds ${lists.length} lists of item scores instead of one`);
  const byNumber = new Map<number, { rationale: string; score: unknown }>();
  for (const entry of lists[0]!) {
    const { item, rationale, score } = (entry ?? {}) as Record<string, unknown>;
    const n = typeof item === "string" ? parseNumber(item) : item;
    if (typeof n !== "number" || !Number.isInteger(n) || n < 1 || n > rubric.items.length)
      throw new Unusable(`the reply scores an item ${JSON.stringify(item)} that the rubric does not have`);
    if (byNumber.has(n)) throw new Unusable(`the reply scores item ${n} twice`);
    byNumber.set(n, { rationale: typeof rationale === "string" ? rationale : "", score });
  }
  return rubric.items.map((item, i) => {
    const entry = byNumber.get(i + 1);
    if (!entry) throw new Unusable(`the reply does not score "${item.name}"`);
    const { score, rationale } = entry;
    const value =
      typeof score === "number" ? score : typeof score === "string" ? parseNumber(score) : undefined;
    return itemScore(item, pointsFor(item, value, JSON.stringify(score) ?? "nothing", rule), rationale);
  });
}

/** The rationale and the score of an item-reply: exactly one score tag, at the end. Throws Unusable. */
export function parseItemReply(text: string, item: RubricItem, rule: RangeRule = "fail"): ItemScore {
  const bare = text.replaceAll(stopMarker, "").trim();
  const match = /^([\s\S]*)<score>([^<>]*)<\/score>\s*$/i.exec(bare);
  if (!match || /<\/?score>/i.test(match[1]!))
    throw new Unusable(`the reply on "${item.name}" does not end with one <score>`);
  return itemScore(item, pointsFor(item, parseNumber(match[2]!), match[2]!, rule), match[1]!);
}

/** Whether the final answer of a response equals that of the reference. */
export function hasRightAnswer(response: string, reference: string): boolean {
  const found = lastBoxed(response) ?? finalAnswerSentence(response);
  return found !== undefined && equivalent(lastBoxed(found) ?? found, referenceAnswer(reference));
}

/**
 * Whether the reference answer decides instead of the model. One toss for all responses to a prompt in an update, so that
 * no group mixes the two.
 */
export function tossesReference(
  seed: number,
  promptId: string,
  update: number,
  probability: number,
): boolean {
  return new RandomStream(seed, `answer-check/${promptId}/${update}`).uniform() < probability;
}

export class RubricReward {
  private readonly options: Required<Omit<RubricRewardOptions, "answerCheck">> &
    Pick<RubricRewardOptions, "answerCheck">;
  private readonly scores = new Map<string, Promise<RubricScore>>();
  private readonly plans = new Map<string, Promise<string>>();
  private scoredCount = 0;
  private failedCount = 0;

  constructor(options: RubricRewardOptions) {
    this.options = {
      mode: "one-reply",
      reward: "normalised",
      floor: 0,
      outOfRange: "fail",
      planMaximum: 5,
      showReference: false,
      attempts: 2,
      seed: 0,
      maxTokens: 2000,
      cacheSize: 20_000,
      ...options,
    };
  }

  /** Samples that `score` scored and failed on since the start, cached ones included. */
  counts(): { scored: number; failed: number } {
    return { scored: this.scoredCount, failed: this.failedCount };
  }

  /** Scores all samples by the same version. The client bounds how many requests are under way. */
  scoreAll(
    samples: readonly RewardSample[],
    rubric: Rubric,
    update = 0,
    signal?: AbortSignal,
  ): Promise<RubricScore[]> {
    return Promise.all(samples.map((sample) => this.score(sample, rubric, update, signal)));
  }

  /** Failing to score is a result; a used-up budget, a log that does not fit and an abort are thrown. */
  async score(sample: RewardSample, rubric: Rubric, update = 0, signal?: AbortSignal): Promise<RubricScore> {
    const score = this.checked(sample, rubric, update) ?? (await this.scoreByRubric(sample, rubric, signal));
    if (score.status === "scored") this.scoredCount++;
    else this.failedCount++;
    return score;
  }

  /** The score that the rubric gives, never the answer check; kept in memory unless it failed. */
  scoreByRubric(sample: RewardSample, rubric: Rubric, signal?: AbortSignal): Promise<RubricScore> {
    const key = JSON.stringify([rubric.hash, sample.prompt, sample.response, sample.reference]);
    const known = this.scores.get(key);
    if (known) return known.then((score) => ({ ...score, ...stamp(rubric) }));
    const score = this.attempt(sample, rubric, signal);
    remember(this.scores, key, score, this.options.cacheSize, ({ status }) => status === "scored");
    return score;
  }

  /** The score by the answer check when the coin says so. */
  private checked(sample: RewardSample, rubric: Rubric, update: number): Scored | undefined {
    const { answerCheck, seed } = this.options;
    if (!answerCheck || sample.reference === undefined) return undefined;
    if (!tossesReference(seed, sample.promptId, update, answerCheck.probability)) return undefined;
    const isRight = (answerCheck.isRight ?? hasRightAnswer)(sample.response, sample.reference);
    const maxTotal = this.maxTotal(rubric);
    const rationale = `the final answer is ${isRight ? "right" : "wrong"}`;
    const item: ItemScore = { name: "Answer", kind: "grade", points: isRight ? maxTotal : 0, rationale };
    return { ...this.result([item], item.points, rubric), source: "reference" };
  }

  private async attempt(sample: RewardSample, rubric: Rubric, signal?: AbortSignal): Promise<RubricScore> {
    let reason = "";
    for (let attempt = 0; attempt < this.options.attempts; attempt++) {
      try {
        const items = await this.ask(sample, rubric, attempt, signal);
        const { floor, mode } = this.options;
        const total =
          mode === "plan"
            ? items[0]!.points
            : totalPoints(
                rubric,
                items.map((i) => i.points),
                { floor },
              );
        return this.result(items, total, rubric);
      } catch (error) {
        signal?.throwIfAborted();
        if (endsRun(error)) throw error;
        reason = (error as Error).message;
        // The client has retried already.
        if (!(error instanceof Unusable)) break;
      }
    }
    return { status: "failed", reason, ...stamp(rubric) };
  }

  private result(items: ItemScore[], total: number, rubric: Rubric): Scored {
    const maxTotal = this.maxTotal(rubric);
    const feasible = items.every(({ kind, points }) => kind !== "gate" || points === 1);
    const value = this.options.reward === "raw" ? total : total / maxTotal;
    return {
      status: "scored",
      ...stamp(rubric),
      items,
      total,
      maxTotal,
      feasible,
      reward: feasible ? value : Math.min(value, 0),
      source: "rubric",
    };
  }

  private maxTotal(rubric: Rubric): number {
    return this.options.mode === "plan" ? this.options.planMaximum : rubric.maxTotal;
  }

  private ask(
    sample: RewardSample,
    rubric: Rubric,
    attempt: number,
    signal?: AbortSignal,
  ): Promise<ItemScore[]> {
    const { mode, showReference } = this.options;
    const { reference, ...withoutReference } = sample;
    const shown = showReference && reference !== undefined ? sample : withoutReference;
    if (mode === "plan") return this.askByPlan(sample, rubric, attempt, signal);
    if (mode === "one-reply") return this.askOnce(shown, rubric, attempt, signal);
    return this.askByItem(shown, rubric, attempt, signal);
  }

  private async askOnce(
    sample: RewardSample,
    rubric: Rubric,
    attempt: number,
    signal?: AbortSignal,
  ): Promise<ItemScore[]> {
    const messages = oneReplyPrompt(this.options.task, sample, rubric);
    const json = { name: "rubric_scores", schema: oneReplySchema(rubric) };
    const reply = await this.chat({ messages, json }, attempt, signal);
    return parseOneReply(whole(reply), rubric, this.options.outOfRange);
  }

  /** All items share one growing conversation, as in the paper: later items see earlier scores. */
  private async askByItem(
    sample: RewardSample,
    rubric: Rubric,
    attempt: number,
    signal?: AbortSignal,
  ): Promise<ItemScore[]> {
    const { task, mode, outOfRange } = this.options;
    const messages = scoringContext(task, sample);
    const say = async (question: Message, options: Partial<ChatRequest> = {}): Promise<ChatReply> => {
      messages.push(question);
      const reply = await this.chat({ messages: [...messages], ...options }, attempt, signal);
      messages.push({ role: "assistant", content: reply.content });
      return reply;
    };
    const scores: ItemScore[] = [];
    for (const item of rubric.items) {
      if (mode === "item-reply") {
        scores.push(parseItemReply(whole(await say(itemReplyAsk(item))), item, outOfRange));
        continue;
      }
      const rationale = await say(itemRationaleAsk(item), { stop: [stopMarker], maxTokens: 300 });
      const text = whole(await say(itemScoreAsk(item)));
      const points = pointsFor(item, parseNumber(text), text, outOfRange);
      scores.push(itemScore(item, points, rationale.content));
    }
    return scores;
  }

  private async askByPlan(
    sample: RewardSample,
    rubric: Rubric,
    attempt: number,
    signal?: AbortSignal,
  ): Promise<ItemScore[]> {
    const { task, planMaximum, cacheSize } = this.options;
    const key = JSON.stringify([rubric.hash, sample.prompt, sample.reference, attempt]);
    let plan = this.plans.get(key);
    if (!plan) {
      plan = this.chat({ messages: planPrompt(task, sample, rubric) }, attempt, signal).then(whole);
      remember(this.plans, key, plan, cacheSize, () => true);
    }
    const messages = executePrompt(task, sample, await plan);
    const feedback = whole(await this.chat({ messages }, attempt, signal));
    const question = [
      ...messages,
      { role: "assistant" as const, content: feedback },
      planScoreAsk(planMaximum),
    ];
    const text = whole(await this.chat({ messages: question }, attempt, signal));
    const overall: RubricItem = {
      name: "Overall",
      kind: "grade",
      levels: [
        { points: 0, text: "" },
        { points: planMaximum, text: "" },
      ],
    };
    const points = pointsFor(overall, parseNumber(text), text, this.options.outOfRange);
    return [itemScore(overall, points, feedback)];
  }

  private chat(
    request: Omit<ChatRequest, "model">,
    attempt: number,
    signal?: AbortSignal,
  ): Promise<ChatReply> {
    const { client, model, seed, maxTokens } = this.options;
    return client.chat({ model, temperature: 0, seed: seed + attempt, maxTokens, ...request }, signal);
  }
}

const stamp = ({ version, hash }: Rubric): Stamp => ({ rubricVersion: version, rubricHash: hash });

/** The content of a reply that was not cut off. */
function whole({ content, finishReason }: ChatReply): string {
  if (finishReason === "length") throw new Unusable("the reply was cut off at the token limit");
  return content;
}

/** Keeps a promise in a bounded map, oldest out first; a result that is not worth keeping leaves it again. */
function remember<T>(
  map: Map<string, Promise<T>>,
  key: string,
  promise: Promise<T>,
  size: number,
  isKept: (value: T) => boolean,
): void {
  map.set(key, promise);
  if (map.size > size) map.delete(map.keys().next().value!);
  promise.then(
    (value) => !isKept(value) && map.delete(key),
    () => map.delete(key),
  );
}
