// touchstone eval: a model's answers to benchmark files, graded, with intervals. Every row is kept as soon as it is graded
// and a restart goes on from there. What could not be judged is counted apart: it is neither right nor wrong.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { formatJson } from "../base/json.js";
import { hash32, mix32 } from "../base/random.js";
import type { Text } from "../data/rows.js";
import type { ServerModel } from "../llm/models.js";
import type { Storage } from "../model/stored.js";
import type { EngineRecipe } from "../recipe/recipe.js";
import type { RunContext } from "../run/context.js";
import { type OpenedPolicy, openPolicy } from "../train/models.js";
import type { TextCodec } from "../train/text.js";
import type { Answer, Benchmark, GradeContext, Item, RefusalTest } from "./benchmark.js";
import { choiceLogprobs } from "./choices.js";
import { answersTo } from "./generate.js";
import { promptFor, shotsFor, withoutThoughts } from "./prompts.js";
import { refusalTest } from "./refusal.js";
import { interrupted, RowLog, weightsOf } from "./row-log.js";
import { type EvalRow, summarise, type TaskResult } from "./summary.js";
import { type EvalTask, loadTask } from "./task.js";

export interface EvalRequest {
  model: string;
  engine: EngineRecipe;
  /** How the weights are kept in memory. Default: float32. */
  quantise?: Storage | undefined;
  chatTemplate?: string;
  /** `name=source` or a source. */
  tasks: readonly string[];
  shots: number;
  /** Files with worked examples. */
  fewshot: readonly string[];
  /** The first rows of every task only. */
  limit?: number;
  /** Default: questions as chat messages where the model has a chat template and writes its answer. */
  chat?: boolean;
  samples: number;
  temperature: number;
  topP: number;
  /** Default: the benchmark's own bound. */
  maxNewTokens?: number;
  seed: number;
  /** For XSTest; default: regular expressions. */
  judge?: ServerModel;
  /** Where rows.jsonl and results.json go; without it nothing is kept. */
  out?: string;
}

export interface EvalResult {
  model: string;
  judge: string;
  /** By the label of the task. */
  results: Record<string, TaskResult>;
}

/** Answers of one call to the model. */
const CHUNK = 64;

/** A cell of the evaluation: one sample of one item. */
interface Cell {
  key: string;
  task: EvalTask;
  item: Item;
  sample: number;
  prompt: Text;
  seed: number;
}

export async function runEval(request: EvalRequest, context: RunContext): Promise<EvalResult> {
  const tasks = await loadTasks(request);
  if (request.judge !== undefined && !tasks.some(({ benchmark }) => benchmark.name === "xstest"))
    throw new UserError("--judge says what is a refusal in xstest, and none of the tasks is that");
  const opened = await openPolicy(request.model, { ...request, frozen: true });
  const refusal = await refusalTest(request.judge, request.out);
  const log = await RowLog.open<EvalRow>(request.out, await settingsOf(request, refusal.name));
  try {
    const results: EvalResult["results"] = {};
    for (const task of tasks) {
      const isChat = speaksChat(task.benchmark, request.chat, opened.codec);
      const cells = cellsOf(task, request, isChat);
      await evaluate(task, cells, isChat, { request, context, opened, log, refuses: refusal.test });
      const rows = cells.map(({ key }) => log.rows.get(key)!);
      const form = { samples: samplesOf(task, request), shots: shotsOf(task, request), chat: isChat };
      results[task.label] = summarise(task, rows, form);
    }
    const result = { model: request.model, judge: refusal.name, results };
    if (request.out !== undefined)
      await writeFileAtomic(join(request.out, "results.json"), `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } finally {
    opened.policy.dispose();
    await log.close();
  }
}

async function loadTasks({ tasks: texts, limit, fewshot }: EvalRequest): Promise<EvalTask[]> {
  const tasks: EvalTask[] = [];
  for (const text of texts) {
    const task = await loadTask(text, { limit, fewshot });
    if (tasks.some(({ label }) => label === task.label))
      throw new UserError(
        `two tasks are called "${task.label}"; name one of them, as in --task other-name=${task.source}`,
      );
    tasks.push(task);
  }
  return tasks;
}

/** What rows must have in common; data, examples and prompts are in the rows' keys. */
const settingsOf = async (request: EvalRequest, judge: string) => ({
  model: request.model,
  weights: await weightsOf(request.model),
  seed: request.seed,
  ...(request.quantise && { quantise: request.quantise }),
  temperature: request.temperature,
  top_p: request.topP,
  max_new_tokens: request.maxNewTokens ?? "default",
  judge,
});

function speaksChat({ kind }: Benchmark, wanted: boolean | undefined, codec: TextCodec): boolean {
  return wanted ?? (kind !== "choose" && codec.hasTemplate);
}

const shotsOf = ({ benchmark }: EvalTask, { shots }: EvalRequest) => (benchmark.worked ? shots : 0);

const samplesOf = ({ benchmark }: EvalTask, { samples }: EvalRequest) =>
  benchmark.kind === "choose" ? 1 : samples;

function cellsOf(task: EvalTask, request: EvalRequest, isChat: boolean): Cell[] {
  const { benchmark, items, pool, label } = task;
  return items.flatMap((item) => {
    const shots = shotsFor(benchmark, item, pool, shotsOf(task, request));
    const prompt = promptFor(benchmark, item, shots, isChat);
    return Array.from({ length: samplesOf(task, request) }, (_, sample) => {
      const key = createHash("sha256")
        .update(formatJson([label, benchmark.name, item.id, prompt, item.values, sample]))
        .digest("hex")
        .slice(0, 24);
      return { key, task, item, sample, prompt, seed: mix32(request.seed, hash32(key), sample) };
    });
  });
}

interface Surroundings {
  request: EvalRequest;
  context: RunContext;
  opened: OpenedPolicy;
  log: RowLog<EvalRow>;
  refuses: RefusalTest;
}

async function evaluate(
  { label }: EvalTask,
  cells: readonly Cell[],
  isChat: boolean,
  { request, context, opened, log, refuses }: Surroundings,
): Promise<void> {
  const { reporter, signal } = context;
  const isDone = ({ key }: Cell) => (log.rows.get(key)?.scores ?? null) !== null;
  const pending = cells.filter((cell) => !isDone(cell));
  let done = cells.length - pending.length;
  reporter.begin(label, cells.length, done);
  for (let first = 0; first < pending.length; first += CHUNK) {
    if (signal?.aborted) throw interrupted(done, cells.length, "answers", request.out);
    const chunk = pending.slice(first, first + CHUNK);
    const rows = await answered(chunk, isChat, opened, request, log);
    await log.append(await Promise.all(rows.map((row, i) => graded(row, chunk[i]!, isChat, { refuses }))));
    done += chunk.length;
    reporter.step(done);
  }
  reporter.end();
}

/** The model's answers, not yet graded. An answer that is there but could not be judged is kept and judged again. */
async function answered(
  cells: readonly Cell[],
  isChat: boolean,
  opened: OpenedPolicy,
  request: EvalRequest,
  log: RowLog<EvalRow>,
): Promise<EvalRow[]> {
  const rows: EvalRow[] = cells.map(({ key, task, item, sample, prompt }) => {
    const known = log.rows.get(key);
    const fresh = { key, task: task.label, id: item.id, sample, prompt, scores: null };
    return known?.completion === undefined
      ? fresh
      : { ...fresh, completion: known.completion, truncated: known.truncated ?? false };
  });
  const missing = [...rows.keys()].filter((i) => rows[i]!.completion === undefined);
  const { benchmark } = cells[0]!.task;
  if (benchmark.kind === "choose") {
    const results = await choiceLogprobs(
      missing.map((i) => ({ prompt: rows[i]!.prompt, choices: benchmark.choices(cells[i]!.item.row) })),
      opened,
    );
    for (const [j, result] of results.entries()) {
      const i = missing[j]!;
      rows[i] =
        "problem" in result ? { ...rows[i]!, failed: result.problem } : { ...rows[i]!, logprobs: result };
    }
    return rows;
  }
  const { temperature, topP, maxNewTokens = benchmark.maxNewTokens } = request;
  const answers = await answersTo(
    missing.map((i) => cells[i]!),
    opened,
    { maxNewTokens, temperature, topP },
    isChat ? [] : benchmark.stop,
  );
  for (const [j, answer] of answers.entries()) {
    const i = missing[j]!;
    rows[i] =
      "problem" in answer
        ? { ...rows[i]!, failed: answer.problem }
        : { ...rows[i]!, completion: answer.text, truncated: answer.truncated };
  }
  return rows;
}

async function graded(
  row: EvalRow,
  { task: { benchmark }, item }: Cell,
  isChat: boolean,
  context: GradeContext,
): Promise<EvalRow> {
  if (row.failed !== undefined) return row;
  try {
    const scores =
      benchmark.kind === "choose"
        ? benchmark.grade(item.row, row.logprobs!)
        : await benchmark.grade(item.row, answerOf(row, isChat), context);
    return { ...row, scores };
  } catch (error) {
    return { ...row, failed: error instanceof Error ? error.message : String(error) };
  }
}

const answerOf = ({ completion = "", truncated = false }: EvalRow, isChat: boolean): Answer => ({
  text: isChat ? withoutThoughts(completion) : completion,
  isChat,
  truncated,
});
