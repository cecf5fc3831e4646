// Everything that a recipe says of a response: judges, reward and baseline, in batches of what came together. What failed
// is tried again, and is never a number.

import { createHash } from "node:crypto";
import { gathering } from "../base/gathering.js";
import { hash32 } from "../base/random.js";
import type { limiter } from "../base/requests.js";
import { asConversation } from "../data/conversation.js";
import type { PromptRow } from "../data/rows.js";
import { judgeBatch, type SampleJudgement } from "../judges/mixture.js";
import { errorMessage, type JudgeInput } from "../judges/verdict.js";
import {
  calibratedReward,
  constraintRegularisedReward,
  type Outcome,
  outcomeOf,
} from "../objectives/index.js";
import { answerIn, payFor } from "../train/align/baselines.js";
import type { ScoredAs, ScoredResponse, Scores } from "../train/rewards/source.js";
import { Memo } from "./memo.js";
import type { ServedResult, ServedSample } from "./sample.js";
import { merged, rowFinder, type ServedTask } from "./task.js";

/** A score of one response. */
export interface Piece {
  reward: number;
  failed: boolean;
  violated: boolean;
  reason?: string | undefined;
  note: Readonly<Record<string, unknown>>;
}

/** A response that is ready to be scored. */
interface Scored {
  input: ScoredResponse;
  /** Tokens of the response, and whether it ends by itself: what penalties depend on. */
  paid: { tokens: ArrayLike<number>; finishReason: "stop" | "length" };
}

interface RewardJob {
  scored: Scored;
  baseline: (Scored & { key: string }) | undefined;
}

interface Rewarded {
  own: Piece;
  /** r(s, abar); absent where there is no baseline. */
  baseline?: Piece;
  /** The two are by different versions, one of which was published meanwhile: numbers that are not compared. */
  isStale?: boolean;
}

/** What the meta reward model is shown of a sample. */
export interface Evidence {
  row: PromptRow;
  response: string;
  judgement: SampleJudgement;
  piece: Piece;
}

export interface ScorerOptions {
  retries: number;
  maxBatch: number;
  remembered: number;
  /** Turns of whatever computes in this process. */
  engineTurn: ReturnType<typeof limiter>;
  /** Sees the size of every batch that was scored together. */
  onBatch?(size: number): void;
  /** Told what is worth knowing of what clients send. */
  note?(sentence: string): void;
  /** Sees every attempt that is made again, by what failed. */
  onRetry?(what: "judge" | "reward", count: number): void;
}

const atOnce = <T>(task: () => Promise<T>): Promise<T> => task();

const failedPiece = (reason: string): Piece => ({
  reward: Number.NaN,
  failed: true,
  violated: false,
  reason,
  note: {},
});

export class TaskScorer {
  private readonly find: ReturnType<typeof rowFinder>;
  private readonly rewardTogether: (job: RewardJob) => Promise<Rewarded>;
  private readonly sampleTogether: (row: PromptRow) => Promise<{ text: string; truncated: boolean }>;
  private readonly baselineTexts: Memo<{ text: string; truncated: boolean }>;
  /** r(s, abar) and the version that gave it. */
  private readonly baselines = new Map<string, { version: string; piece: Piece }>();

  private hasTold = false;

  constructor(
    readonly task: ServedTask,
    private readonly options: ScorerOptions,
  ) {
    const { maxBatch: most, engineTurn, remembered } = options;
    this.find = rowFinder(task.rows);
    this.rewardTogether = gathering(
      task.usesEngine ? engineTurn : atOnce,
      (jobs: RewardJob[]) => this.rewardAll(jobs),
      { most },
    );
    this.sampleTogether = gathering(engineTurn, (rows: PromptRow[]) => this.sampleAll(rows), { most });
    this.baselineTexts = new Memo(remembered);
  }

  /** The row that a sample answers, with what the request says of it. */
  rowOf({ id, prompt: sent, metadata }: ServedSample): PromptRow {
    const prompt = this.promptOf(sent);
    const known = this.find(id, prompt);
    return {
      id: known?.id ?? id ?? `prompt ${hash32(JSON.stringify(prompt)).toString(16)}`,
      prompt: known?.prompt ?? prompt,
      metadata: merged(known?.metadata, metadata),
    };
  }

  /** Plain text as a user's message where that is asked for; where nothing is, the first that a reward model reads is said. */
  private promptOf(prompt: PromptRow["prompt"]): PromptRow["prompt"] {
    const { name, codec, usesEngine, applyChatTemplate } = this.task;
    if (typeof prompt !== "string" || prompt === "" || !codec?.hasTemplate) return prompt;
    if (applyChatTemplate === false || codec.isRendered(prompt)) return prompt;
    if (applyChatTemplate) return asConversation({ prompt }).prompt;
    if (usesEngine && !this.hasTold) {
      this.hasTold = true;
      this.options.note?.(
        `warning: task ${name}: prompts come as plain text, which the reward model reads as it stands, without the chat template that it has; serve with --chat (serve: { apply_chat_template: true }) to make each a user's message, with --no-chat where plain text is meant`,
      );
    }
    return prompt;
  }

  /** What scores this prompt now. */
  versionFor(row: PromptRow): string {
    return this.task.reward?.versionFor(row) ?? "";
  }

  /** Judges alone. */
  async judge(sample: ServedSample): Promise<SampleJudgement> {
    return this.ask(this.judgeInput(this.rowOf(sample), sample));
  }

  async score(sample: ServedSample, onEvidence?: (evidence: Evidence) => void): Promise<ServedResult> {
    const row = this.rowOf(sample);
    const [judgement, rewarded] = await Promise.all([
      this.ask(this.judgeInput(row, sample)),
      this.task.reward ? this.reward(row, sample) : undefined,
    ]);
    if (rewarded && !rewarded.own.failed && onEvidence)
      onEvidence({ row, response: sample.response, judgement, piece: rewarded.own });
    return this.resultOf(row, judgement, rewarded);
  }

  // Judges -----------------------------------------------------------------------------------------------------

  private judgeInput(
    { prompt, metadata }: PromptRow,
    { response, truncated = false }: ServedSample,
  ): JudgeInput {
    const openThought = this.openThought(prompt, metadata);
    return { prompt, response, truncated, metadata, ...(openThought !== undefined && { openThought }) };
  }

  private openThought(prompt: PromptRow["prompt"], metadata: PromptRow["metadata"]): string | undefined {
    const { codec } = this.task;
    return codec && (typeof prompt === "string" || codec.hasTemplate)
      ? codec.openThought(prompt, metadata)
      : undefined;
  }

  /** Every sample by itself: a slow judge of one holds up no other. */
  private async ask(input: JudgeInput): Promise<SampleJudgement> {
    const { judges } = this.task;
    if (judges.members.length === 0) return { feasible: true, verdicts: {} };
    for (let attempt = 0; ; attempt++) {
      const judgement = await this.askOnce(input);
      if (attempt >= this.options.retries || !this.mayRecover(judgement)) return judgement;
      this.options.onRetry?.("judge", 1);
    }
  }

  private async askOnce(input: JudgeInput): Promise<SampleJudgement> {
    const { judges } = this.task;
    try {
      return (await judgeBatch(judges, [input])).results[0]!;
    } catch (error) {
      return undecided(judges.members[0]!.judge.name, errorMessage(error));
    }
  }

  /** A costly judge failed; rule judges would say the same again. */
  private mayRecover({ verdicts }: SampleJudgement): boolean {
    return this.task.judges.members.some(({ judge: { name, kind, isCostly } }) => {
      const said = verdicts[name];
      return (kind === "llm" || isCostly) && typeof said === "object" && said.verdict === "failed";
    });
  }

  // Rewards ----------------------------------------------------------------------------------------------------

  private async reward(row: PromptRow, sample: ServedSample): Promise<Rewarded> {
    try {
      const scored = this.scored(row, sample.response, sample.truncated ?? false);
      const job = { scored, baseline: await this.baseline(row, sample) };
      let rewarded = await this.rewardTogether(job);
      while (rewarded.isStale) rewarded = await this.rewardTogether(job);
      return rewarded;
    } catch (error) {
      return { own: failedPiece(errorMessage(error)) };
    }
  }

  private scored(row: PromptRow, text: string, truncated: boolean): Scored {
    const { codec } = this.task;
    const finishReason = truncated ? "length" : "stop";
    if (!codec) return { input: { row, text, tokens: [], seed: 0 }, paid: { tokens: [], finishReason } };
    const { prompt, metadata } = row;
    const { maxTokens = Number.POSITIVE_INFINITY } = this.task;
    // No token is that long: such a text is not even cut into tokens.
    if (text.length > 128 * maxTokens) throw new Error(tooLong(`${text.length} characters`, maxTokens));
    const isTurn = typeof prompt !== "string" && !truncated;
    const whole = codec.scored(prompt, isTurn ? [{ role: "assistant", content: text }] : text, metadata);
    const tokens = truncated && codec.stopIds.includes(whole.at(-1)!) ? whole.slice(0, -1) : whole;
    if (tokens.length > maxTokens) throw new Error(tooLong(`${tokens.length} tokens`, maxTokens));
    const own = this.task.lengthPenalty ? codec.tokenizer.encode(text, { addSpecialTokens: false }) : [];
    return {
      input: { row, text, tokens, seed: 0 },
      // The end token counts, as in training.
      paid: { tokens: truncated ? own : [...own, codec.endId], finishReason },
    };
  }

  /** abar: the trainer's, the data's own answer, or a sample of pi_ref. */
  private async baseline(row: PromptRow, sample: ServedSample): Promise<RewardJob["baseline"]> {
    const { baselineResponse, reference, value } = this.task;
    const key = (text: string) =>
      createHash("sha256")
        .update(JSON.stringify([row.prompt, row.metadata, text]))
        .digest("base64");
    const given = sample.baseline ?? (baselineResponse === "reference" ? undefined : answerIn(row));
    if (given !== undefined) return { ...this.scored(row, given, false), key: key(given) };
    if (!reference || value === "raw" || value === "gate") return undefined;
    const { value: sampled } = this.baselineTexts.get(JSON.stringify([row.id, row.prompt]), () =>
      this.sampleTogether(row),
    );
    const { text, truncated } = await sampled;
    return { ...this.scored(row, text, truncated), key: key(text) };
  }

  private async sampleAll(rows: readonly PromptRow[]): Promise<{ text: string; truncated: boolean }[]> {
    const { policy, codec } = await this.task.reference!();
    const { maxNewTokens, temperature = 1, topP = 1, topK = 0 } = this.task.limits;
    const done = await policy.sample(
      rows.map(({ prompt, metadata }) => codec.prompt(prompt, metadata)),
      {
        maxNewTokens,
        temperature,
        topP,
        topK,
        stopIds: codec.stopIds,
        seeds: rows.map(({ id }) => hash32(`baseline ${this.task.name} ${id}`)),
      },
    );
    const out: { text: string; truncated: boolean }[] = [];
    for (const { promptIndex, tokens, finishReason } of done)
      out[promptIndex] = { text: codec.decode(tokens), truncated: finishReason === "length" };
    return out;
  }

  private async rewardAll(jobs: readonly RewardJob[]): Promise<Rewarded[]> {
    this.options.onBatch?.(jobs.length);
    const own = await this.scoreAll(
      jobs.map(({ scored }) => scored),
      "samples",
    );
    const before = jobs.map(({ baseline }) => baseline && this.knownBaseline(baseline));
    const missing = [...jobs.keys()].filter((i) => jobs[i]!.baseline && !before[i]);
    const fresh = missing.filter(
      (i, k) => missing.findIndex((j) => jobs[j]!.baseline!.key === jobs[i]!.baseline!.key) === k,
    );
    if (fresh.length > 0) {
      const versions = fresh.map((i) => this.versionFor(jobs[i]!.baseline!.input.row));
      const pieces = await this.scoreAll(
        fresh.map((i) => jobs[i]!.baseline!),
        "baselines",
      );
      fresh.forEach((i, k) => {
        this.keepBaseline(jobs[i]!.baseline!.key, versions[k]!, pieces[k]!);
      });
    }
    return jobs.map(({ baseline }, i) => {
      if (!baseline) return { own: own[i]! };
      const piece =
        before[i] ?? this.baselines.get(baseline.key)?.piece ?? failedPiece("the baseline was lost");
      const isStale = !piece.failed && !own[i]!.failed && hashIn(piece) !== hashIn(own[i]!);
      return { own: own[i]!, baseline: piece, ...(isStale && { isStale }) };
    });
  }

  private knownBaseline({ key, input: { row } }: Scored & { key: string }): Piece | undefined {
    const known = this.baselines.get(key);
    return known?.version === this.versionFor(row) && !known.piece.failed ? known.piece : undefined;
  }

  private keepBaseline(key: string, version: string, piece: Piece): void {
    this.baselines.delete(key);
    this.baselines.set(key, { version, piece });
    const size = Math.max(this.options.remembered, 4 * this.options.maxBatch);
    if (this.baselines.size > size) this.baselines.delete(this.baselines.keys().next().value!);
  }

  /** One batch; what the source cannot take together is asked by itself, what failed once more. */
  private async scoreAll(scored: readonly Scored[], as: ScoredAs): Promise<Piece[]> {
    let pieces = await this.attempt(scored, as);
    for (let attempt = 0; attempt < this.options.retries && !this.task.usesEngine; attempt++) {
      const again = [...pieces.keys()].filter((i) => pieces[i]!.failed);
      if (again.length === 0) break;
      this.options.onRetry?.("reward", again.length);
      const later = await this.attempt(
        again.map((i) => scored[i]!),
        as,
      );
      pieces = pieces.map((piece, i) => later[again.indexOf(i)] ?? piece);
    }
    return pieces;
  }

  private async attempt(scored: readonly Scored[], as: ScoredAs): Promise<Piece[]> {
    const { reward, lengthPenalty, missingEosPenalty } = this.task;
    try {
      const scores = await reward!.score(
        scored.map(({ input }) => input),
        as,
      );
      const rewards = payFor(
        { lengthPenalty, missingEosPenalty },
        scores.rewards,
        scored.map(({ paid }) => paid),
      );
      return scored.map((_, i) => pieceOf(scores, rewards, i));
    } catch (error) {
      if (scored.length === 1) return [failedPiece(errorMessage(error))];
      const pieces: Piece[] = [];
      for (const one of scored) pieces.push(...(await this.attempt([one], as)));
      return pieces;
    }
  }

  // Together ---------------------------------------------------------------------------------------------------

  private resultOf(row: PromptRow, judgement: SampleJudgement, rewarded?: Rewarded): ServedResult {
    const { name, value, baselineReward: fallback } = this.task;
    const { feasible, verdicts } = judgement;
    const own = rewarded?.own;
    const base = rewarded?.baseline;
    const needsBaseline = value === "regularised" || (typeof value === "object" && value.calibrated);
    const reward = own && !own.failed ? own.reward : null;
    const baselineReward = base ? (base.failed ? null : base.reward) : own ? (fallback ?? null) : null;
    const reason = own?.failed
      ? `reward: ${own.reason ?? "could not be had"}`
      : needsBaseline && baselineReward === null
        ? `baseline: ${base?.reason ?? "there is no baseline response; send one, or set serve.baseline_reward"}`
        : feasible === undefined
          ? failureIn(verdicts)
          : undefined;
    const outcome: Outcome = reason !== undefined ? "failed" : outcomeOf(feasible, own?.violated);
    const gate = feasible === undefined ? null : feasible && !own?.violated;
    const calibrated =
      reward === null || baselineReward === null ? null : calibratedReward(reward, baselineReward);
    const result = {
      task: name,
      promptId: row.id,
      outcome,
      reward,
      baselineReward,
      calibratedReward: calibrated,
      regularisedReward:
        calibrated === null || gate === null ? null : constraintRegularisedReward(calibrated, gate),
      feasible: gate,
      verdicts,
      ...(reason !== undefined && { reason }),
      notes: own?.note ?? {},
    };
    return { ...result, value: outcome === "failed" ? null : valueIn(result, value) };
  }
}

/** The number that a trainer learns from; the sample has not failed. */
function valueIn(result: Omit<ServedResult, "value">, value: ServedTask["value"]): number | null {
  if (value === "raw") return result.reward;
  if (value === "regularised") return result.regularisedReward;
  const isSatisfied = result.outcome === "satisfied";
  if (value === "gate") return isSatisfied ? 1 : 0;
  if (!isSatisfied) return value.violatedReward;
  return value.calibrated ? result.calibratedReward : result.reward;
}

const tooLong = (length: string, maxTokens: number): string =>
  `prompt and response have ${length}, and the reward model reads ${maxTokens} tokens`;

const undecided = (judge: string, reason: string): SampleJudgement => ({
  feasible: undefined,
  verdicts: { [judge]: { verdict: "failed", reason } },
});

function failureIn(verdicts: SampleJudgement["verdicts"]): string {
  for (const [judge, said] of Object.entries(verdicts))
    if (typeof said === "object" && said.verdict === "failed") return `judge ${judge}: ${said.reason}`;
  return "no verdict";
}

function pieceOf({ failed, violated, reasons, notes }: Scores, rewards: Float64Array, i: number): Piece {
  const isFailed = failed[i]! || !Number.isFinite(rewards[i]!);
  const reason = reasons?.[i] ?? (isFailed ? `the reward is ${rewards[i]}` : undefined);
  return { reward: rewards[i]!, failed: isFailed, violated: violated[i]!, reason, note: notes[i]! };
}

/** The rubric that gave a score, where one did. */
const hashIn = ({ note }: Piece): unknown => (note.rubric as { hash?: string } | undefined)?.hash;
