// The benchmarks' command line: `npm run bench -- engine | step | judges | sandbox | average | reward | align | serve |
// service | ui | monitor [--json file]`. Tables go to stdout as results come in.

import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { Argument, Command, Option } from "commander";
import { writeFileAtomic } from "../src/base/atomic.js";
import { UserError } from "../src/base/errors.js";
import { didYouMean } from "../src/base/suggest.js";
import { explainError } from "../src/cli/errors.js";
import { realNumber, wholeNumber } from "../src/cli/values.js";
import type { AlignBenchResult } from "./align.js";
import type { AverageResult } from "./average.js";
import type { CellResult } from "./engine.js";
import type { JudgeResult } from "./judges.js";
import type { SandboxResult } from "./sandbox.js";
import type { ServiceStep } from "./service.js";
import type { StepResult, StepSide } from "./step.js";
import { generateBatches, shapes, type Work, works } from "./workload.js";

interface EngineFlags {
  json?: string;
  shapes: string;
  work: string;
  batches: string;
  threads: string;
  python: string;
  peer: boolean;
  seconds: string;
  repeat: string;
  checkpoints: string;
}

const machine = () => ({
  processor: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  memory_gb: Math.round(totalmem() / 2 ** 30),
  node: process.versions.node,
});

async function save(file: string | undefined, content: object): Promise<void> {
  if (file !== undefined) await writeFileAtomic(file, `${JSON.stringify(content, null, 2)}\n`);
}

function listOf<T extends string>(text: string, flag: string, known: readonly T[]): T[] {
  return text.split(",").map((name) => {
    if (!known.includes(name as T))
      throw new UserError(
        `${flag} has no "${name}"${didYouMean(name, known)}; there are ${known.join(", ")}`,
      );
    return name as T;
  });
}

/** A line of a table. A negative width aligns to the left. */
const row = (cells: readonly (string | number)[], widths: readonly number[]): string =>
  cells
    .map((cell, i) => {
      const width = widths[i]!;
      return width < 0 ? String(cell).padEnd(-width) : String(cell).padStart(width);
    })
    .join("  ");

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const whole = (value: number | null): string => (value === null ? "-" : value.toFixed(0));

const engineColumns = [
  "shape",
  "work",
  "batch",
  "ours t/s",
  "peer t/s",
  "ratio (least-greatest)",
  "ours MB",
  "peer MB",
];
const engineWidths = [-12, -10, 5, 9, 9, 22, 8, 8];

function engineRow(result: CellResult): string {
  const { shape, work, batch, ours, peer, ratio, ratio_min, ratio_max } = result;
  const ratios =
    ratio === null ? "-" : `${ratio.toFixed(2)} (${ratio_min!.toFixed(2)}-${ratio_max!.toFixed(2)})`;
  const notes = [
    ...(result.agree === false ? [`the sides disagree by ${result.difference}`] : []),
    ...((result.waiting_cpu ?? 0) > 0.05
      ? [`the waiting side used ${(100 * result.waiting_cpu!).toFixed(0)} % CPU`]
      : []),
  ];
  const cells = [shape, work, batch, whole(ours), whole(peer), ratios];
  const line = row([...cells, whole(result.ours_peak_mb), whole(result.peer_peak_mb)], engineWidths);
  return [line, ...notes].join("  ! ");
}

async function engine(flags: EngineFlags): Promise<void> {
  const { benchEngine, hasPeer } = await import("./engine.js");
  const options = {
    shapes: listOf(flags.shapes, "--shapes", Object.keys(shapes)),
    work: listOf<Work>(flags.work, "--work", works),
    batches: flags.batches.split(",").map((size) => wholeNumber(size, "--batches", 1)),
    threads: wholeNumber(flags.threads, "--threads", 1),
    seconds: realNumber(flags.seconds, "--seconds"),
    repeat: wholeNumber(flags.repeat, "--repeat", 1),
    checkpoints: flags.checkpoints,
    python: flags.peer && hasPeer(flags.python) ? flags.python : undefined,
  };
  if (flags.peer && options.python === undefined)
    print(
      `The PyTorch side is skipped: ${flags.python} has no torch, transformers and peft ` +
        "(name a Python that has them with --python or TOUCHSTONE_BENCH_PYTHON).",
    );
  print(row(engineColumns, engineWidths));
  const results: CellResult[] = [];
  const { threads, seconds, repeat } = options;
  let peer: Record<string, string> = {};
  const document = () => ({
    benchmark: "engine",
    date: new Date().toISOString(),
    machine: machine(),
    settings: { threads, seconds, repeat, dtype: "float32", peer_attention: "sdpa" },
    peer: Object.keys(peer).length > 0 ? peer : null,
    results,
  });
  await benchEngine(options, async (result, versions) => {
    results.push(result);
    peer = versions;
    // After every cell: an interrupted run leaves what it has.
    await save(flags.json, document());
    print(engineRow(result));
  });
  if (results.some(({ agree }) => agree === false))
    throw new UserError(
      "the two sides did not compute the same thing in the cells marked above; their ratios mean nothing",
    );
}

interface StepFlags {
  json?: string;
  shapes: string;
  methods: string;
  trainings: string;
  lengths: string;
  threads: string;
  repeat: string;
  busy: boolean;
  python: string;
  peer: boolean;
  checkpoints: string;
}

const stepWidths = [-12, -6, -10, -5, 7, 7, 18, 7, 7, 7, 8, 8];

function stepRows(result: StepResult): string {
  const { shape, lengths, method, training, ours, trl, ratio, ratio_min, ratio_max, busy_ratio } = result;
  const decimals = (value: number | null | undefined, digits = 2) => value?.toFixed(digits) ?? "-";
  const cells = [
    ...[shape, lengths, method, training],
    ...[decimals(ours.seconds), decimals(trl?.seconds)],
    ratio === null ? "-" : `${decimals(ratio)} (${decimals(ratio_min)}-${decimals(ratio_max)})`,
    ...[decimals(ours.busy_seconds), decimals(trl?.busy_seconds), decimals(busy_ratio)],
    ...[whole(ours.peak_mb), whole(trl?.peak_mb ?? null)],
  ];
  const phases = (name: string, side: StepSide): string =>
    `    ${name}: ${Object.entries(side.phases)
      .map(([phase, seconds]) => `${phase} ${seconds.toFixed(2)}`)
      .join(", ")}; processor ${side.cpu_seconds.toFixed(2)}`;
  return [row(cells, stepWidths), phases("ours", ours), ...(trl ? [phases("TRL", trl)] : [])].join("\n");
}

async function step(flags: StepFlags): Promise<void> {
  const { benchStep, hasTrl, stepLengths, stepMethods, stepTrainings } = await import("./step.js");
  const options = {
    shapes: listOf(flags.shapes, "--shapes", Object.keys(shapes)),
    methods: listOf(flags.methods, "--methods", stepMethods),
    trainings: listOf(flags.trainings, "--trainings", stepTrainings),
    lengths: listOf(flags.lengths, "--lengths", stepLengths),
    threads: wholeNumber(flags.threads, "--threads", 1),
    repeat: wholeNumber(flags.repeat, "--repeat", 1),
    busy: flags.busy,
    python: flags.peer && hasTrl(flags.python) ? flags.python : undefined,
    checkpoints: flags.checkpoints,
  };
  if (flags.peer && options.python === undefined)
    print(`TRL's side is skipped: ${flags.python} has no trl (name a Python that has it with --python).`);
  const columns = ["shape", "length", "method", "train", "ours s", "TRL s", "ratio", "busy", "TRL", "ratio"];
  print(row([...columns, "ours MB", "TRL MB"], stepWidths));
  const results: StepResult[] = [];
  await benchStep(options, async (result, versions) => {
    results.push(result);
    const { threads, repeat } = options;
    const settings = { threads, repeat, dtype: "float32" };
    const head = { benchmark: "step", date: new Date().toISOString(), machine: machine(), settings };
    await save(flags.json, { ...head, peer: versions, results });
    print(stepRows(result));
  });
}

const serveBenches = ["verdicts", "latency", "reward", "soak"] as const;

type ServeFlags = Record<
  "seconds" | "batch" | "connections" | "rate" | "shape" | "rows" | "concurrency" | "requests" | "failing",
  string
> & { json?: string };

async function serve(what: string, { json, ...flags }: ServeFlags): Promise<void> {
  const { benchLatency, benchScoring, benchSoak, benchVerdicts } = await import("./serve.js");
  const count = (key: keyof typeof flags) => wholeNumber(flags[key], `--${key}`, 1);
  const seconds = realNumber(flags.seconds, "--seconds");
  const concurrency = count("concurrency");
  const work: Record<(typeof serveBenches)[number], () => Promise<object>> = {
    verdicts: () => benchVerdicts({ seconds, batch: count("batch"), connections: count("connections") }),
    latency: () => benchLatency({ seconds, rate: count("rate") }),
    reward: () => benchScoring({ shape: flags.shape, rows: count("rows"), concurrency }),
    soak: () =>
      benchSoak(
        { requests: count("requests"), concurrency, share: realNumber(flags.failing, "--failing") },
        ({ requests, rss_mb }) =>
          print(`  ${requests} requests, ${rss_mb === null ? "?" : whole(rss_mb)} MB`),
      ),
  };
  const results: Record<string, object> = {};
  for (const name of serveBenches) {
    if (what !== "all" && what !== name) continue;
    print(name);
    const result = await work[name]();
    results[name] = result;
    for (const [key, value] of Object.entries(result))
      if (typeof value === "number") print(`  ${key} ${Number(value.toPrecision(5))}`);
    await save(json, { benchmark: "serve", date: new Date().toISOString(), machine: machine(), results });
  }
}

interface ServiceFlags {
  json?: string;
  tasks: string;
  prompts: string;
  generations: string;
  maxNewTokens: string;
  steps: string;
  concurrency: string;
  judgeConcurrency: string;
  latency: string;
  sample: string;
  slots: string;
  pass: string;
  judge: string;
}

async function service({ json, ...flags }: ServiceFlags): Promise<void> {
  const { benchService } = await import("./service.js");
  const count = (key: keyof typeof flags) => wholeNumber(flags[key], `--${key}`, 1);
  const time = (key: keyof typeof flags) => realNumber(flags[key], `--${key}`);
  const options = {
    tasks: count("tasks"),
    prompts: count("prompts"),
    generations: count("generations"),
    maxNewTokens: count("maxNewTokens"),
    steps: count("steps"),
    concurrency: count("concurrency"),
    judgeConcurrency: count("judgeConcurrency"),
    service: {
      latency_ms: time("latency"),
      sample_ms: time("sample"),
      slots: count("slots"),
      tokens: count("maxNewTokens"),
      pass_ms: time("pass"),
      judge_ms: time("judge"),
    },
  };
  const widths = [5, 8, 9, 8, 8, 8, 8, 11, 11];
  print(
    row(["step", "samples", "seconds", "idle s", "CPU s", "MB", "peak MB", "in flight", "at most"], widths),
  );
  const results: ServiceStep[] = [];
  await benchService(options, (step) => {
    results.push(step);
    const times = [step.seconds, step.idle_seconds, step.cpu_seconds].map((x) => x.toFixed(2));
    const rest = [step.rss_mb, step.peak_mb].map(whole);
    print(
      row(
        [step.step, step.samples, ...times, ...rest, step.mean_in_flight.toFixed(1), step.most_in_flight],
        widths,
      ),
    );
  });
  await save(json, {
    benchmark: "service",
    date: new Date().toISOString(),
    machine: machine(),
    options,
    results,
  });
}

interface MonitorFlags {
  json?: string;
  measure: string[];
  every: string;
  metric: string;
  window: string;
  threshold: string;
}

async function monitor(
  runs: string[],
  { json, measure, every, metric, window, threshold }: MonitorFlags,
): Promise<void> {
  const { MONITOR_SIGNALS } = await import("../src/recipe/align.js");
  const { monitoredRuns, signalRecords } = await import("./monitor.js");
  if (measure.length > 0) {
    const { measureRuns } = await import("./measures.js");
    const models = measure.map((text) => [text.split("=")[0]!, text.split("=")[1]!.split(",")] as const);
    await measureRuns(runs, Object.fromEntries(models), wholeNumber(every, "--every", 1));
  }
  const options = {
    window: wholeNumber(window, "--window", 2),
    threshold: realNumber(threshold, "--threshold"),
    signals: MONITOR_SIGNALS,
  };
  const found = (await Promise.all(runs.map((run) => monitoredRuns(run, metric, options)))).flat();
  const lost = found.filter((one) => one.lost !== undefined).length;
  console.log(`${found.length} runs with ${metric}, ${lost} of which lost 5 % of it`);
  const widths = [-12, 14, 26, 22];
  console.log(row(["signal", "first in time", "steps before the loss", "in vain, per 1,000"], widths));
  const signals = signalRecords(found);
  for (const { signal, hacked, early, lead, falsePerThousand } of signals)
    console.log(
      row(
        [
          signal,
          `${early} of ${hacked}`,
          lead ? `${lead.estimate.toFixed(0)} (${lead.low.toFixed(0)} to ${lead.high.toFixed(0)})` : "-",
          falsePerThousand.toFixed(1),
        ],
        widths,
      ),
    );
  await save(json, { benchmark: "monitor", date: new Date().toISOString(), options, runs: found, signals });
}

async function judges({ json, seconds }: { json?: string; seconds: string }): Promise<void> {
  const { benchJudges } = await import("./judges.js");
  const widths = [-20, 11, 12, 9, 9];
  print(row(["judge", "concurrency", "verdicts/s", "CPU ms", "first ms"], widths));
  const results: JudgeResult[] = [];
  await benchJudges(realNumber(seconds, "--seconds"), (result) => {
    results.push(result);
    const { judge, concurrency, verdicts_per_second, cpu_ms, first_ms } = result;
    const cells = [judge, concurrency, whole(verdicts_per_second), cpu_ms.toFixed(3), first_ms.toFixed(1)];
    print(row(cells, widths));
  });
  await save(json, { benchmark: "judges", date: new Date().toISOString(), machine: machine(), results });
}

async function sandbox({ json, programs }: { json?: string; programs: string }): Promise<void> {
  const { benchSandbox } = await import("./sandbox.js");
  const widths = [-10, 8, 12, 12, 14, 14];
  print(row(["language", "programs", "MB at first", "at the end", "CPU ms at first", "at the end"], widths));
  const results: SandboxResult[] = [];
  await benchSandbox(wholeNumber(programs, "--programs", 100), (result) => {
    results.push(result);
    const { language, programs: count, mb, cpu_ms } = result;
    const memory = [mb[0]!, mb.at(-1)!].map(whole);
    const times = [cpu_ms[0]!, cpu_ms.at(-1)!].map((ms) => ms.toFixed(1));
    print(row([language, count, ...memory, ...times], widths));
  });
  await save(json, { benchmark: "sandbox", date: new Date().toISOString(), machine: machine(), results });
}

interface AverageFlags {
  json?: string;
  members: string;
  dtype: AverageResult["dtype"];
  mb: string;
  repeat: string;
  dir: string;
  python: string;
}

async function average(flags: AverageFlags): Promise<void> {
  const { benchAverage } = await import("./average.js");
  const result: AverageResult = await benchAverage({
    members: wholeNumber(flags.members, "--members", 1),
    mb: wholeNumber(flags.mb, "--mb", 1),
    dtype: flags.dtype,
    repeat: wholeNumber(flags.repeat, "--repeat", 1),
    root: flags.dir,
    python: flags.python,
  });
  const { members, member_mb, ours_seconds, io_seconds, ratio, ratio_min, ratio_max } = result;
  print(`${members} members of ${whole(member_mb)} MB, ${flags.dtype}`);
  print(`average                    ${ours_seconds.toFixed(2)} s, peak ${whole(result.ours_peak_mb)} MB`);
  print(`sequential read and write  ${io_seconds.toFixed(2)} s`);
  print(`ratio                      ${ratio.toFixed(2)} (${ratio_min.toFixed(2)}-${ratio_max.toFixed(2)})`);
  if (result.mergekit_seconds !== null)
    print(
      `mergekit                   ${result.mergekit_seconds.toFixed(2)} s, peak ${whole(result.mergekit_peak_mb)} MB, ` +
        `values apart by ${result.mergekit_difference!.toExponential(1)} at most`,
    );
  else print(`mergekit is skipped: ${flags.python} has none (name a Python that has it with --python)`);
  await save(flags.json, {
    benchmark: "average",
    date: new Date().toISOString(),
    machine: machine(),
    results: [result],
  });
}

interface RewardFlags {
  json?: string;
  shape: string;
  members: string;
  threads: string;
  repeat: string;
  dir: string;
}

async function reward(flags: RewardFlags): Promise<void> {
  const { benchReward } = await import("./reward.js");
  const [shape] = listOf(flags.shape, "--shape", Object.keys(shapes)) as [string];
  const result = await benchReward({
    shape,
    members: wholeNumber(flags.members, "--members", 1),
    threads: wholeNumber(flags.threads, "--threads", 1),
    repeat: wholeNumber(flags.repeat, "--repeat", 1),
    root: flags.dir,
  });
  const widths = [-22, 11, 22];
  const line = (name: string, seconds: number, ratios?: [number, number, number]) => {
    const [ratio, least, greatest] = (ratios ?? []).map((value) => value.toFixed(2));
    print(row([name, `${seconds.toFixed(3)} s`, ratios ? `${ratio} (${least}-${greatest})` : ""], widths));
  };
  print(`${result.sequences} sequences, ${result.tokens} tokens, ${shape}`);
  line("one member", result.member_seconds);
  line(`average of ${result.members}`, result.average_seconds, [
    result.average_ratio,
    result.average_ratio_min,
    result.average_ratio_max,
  ]);
  line(`ensemble of ${result.members}`, result.ensemble_seconds, [
    result.ensemble_ratio,
    result.ensemble_ratio_min,
    result.ensemble_ratio_max,
  ]);
  await save(flags.json, {
    benchmark: "reward",
    date: new Date().toISOString(),
    machine: machine(),
    results: [result],
  });
}

interface AlignFlags {
  json?: string;
  tasks: string;
  width: string;
  threads: string;
  repeat: string;
}

async function align(flags: AlignFlags): Promise<void> {
  const { alignBenchTasks, benchAlign } = await import("./align.js");
  const options = {
    tasks: flags.tasks === "all" ? alignBenchTasks : listOf(flags.tasks, "--tasks", alignBenchTasks),
    width: wholeNumber(flags.width, "--width", 1),
    threads: wholeNumber(flags.threads, "--threads", 1),
    repeat: wholeNumber(flags.repeat, "--repeat", 1),
  };
  const widths = [-13, 10, 10, 9, 10, 12, 12, 16];
  print(
    row(
      ["task", "plain ms", "judged ms", "waits", "overhead", "in CPU time", "first visit", "data's baseline"],
      widths,
    ),
  );
  const results: AlignBenchResult[] = [];
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  await benchAlign(options, (result) => {
    results.push(result);
    const shares = [
      result.overhead,
      result.cpu_overhead,
      result.first_visit_cpu_overhead,
      result.dataset_first_visit_cpu_overhead,
    ].map(percent);
    const times = [result.plain_seconds, result.judged_seconds, result.waiting_seconds].map((seconds) =>
      whole(1000 * seconds),
    );
    print(row([result.task, ...times, ...shares], widths));
  });
  await save(flags.json, {
    benchmark: "align",
    date: new Date().toISOString(),
    machine: machine(),
    settings: { width: options.width, threads: options.threads, repeat: options.repeat },
    results,
  });
}

function createBench(): Command {
  const bench = new Command("bench").description("Touchstone's benchmarks; see docs/benchmarks.md");
  bench
    .command("engine")
    .description("training, scoring and generation against PyTorch and transformers")
    .option("--json <file>", "where to write the results")
    .option("--shapes <list>", "shapes of the model", Object.keys(shapes).join(","))
    .option("--work <list>", "kinds of work", works.join(","))
    .option("--batches <list>", "batch sizes of generation", generateBatches.join(","))
    .option("--threads <n>", "CPU threads of both sides", String(availableParallelism()))
    .option(
      "--python <path>",
      "a Python with torch, transformers and peft",
      process.env.TOUCHSTONE_BENCH_PYTHON ?? "python3",
    )
    .option("--no-peer", "measure our side only")
    .option("--seconds <s>", "measuring time of one cell", "20")
    .option("--repeat <n>", "repetitions of one cell at most", "5")
    .option("--checkpoints <dir>", "where the models are kept", join(tmpdir(), "touchstone-bench"))
    .action(engine);
  bench
    .command("step")
    .description("one alignment step against TRL's, on the same weights, prompts and reward model")
    .option("--json <file>", "where to write the results")
    .option("--shapes <list>", `of ${Object.keys(shapes).join(", ")}`, "nano,small,smollm2-135m")
    .option("--methods <list>", "of grpo, online_dpo", "grpo,online_dpo")
    .option("--trainings <list>", "of full, lora", "full,lora")
    .option(
      "--lengths <list>",
      "of short (32 + 64 tokens), long (256 + 128, 8 samples a prompt)",
      "short,long",
    )
    .option("--threads <n>", "of both sides", String(availableParallelism()))
    .option("--repeat <n>", "steps of each side", "5")
    .option("--busy", "measure beside a busy neighbour too", false)
    .option("--python <path>", "a Python with trl", process.env.TOUCHSTONE_BENCH_PYTHON ?? "python3")
    .option("--no-peer", "measure our side only")
    .option("--checkpoints <dir>", "where models are kept", join(tmpdir(), "touchstone-bench"))
    .action(step);
  bench
    .command("judges")
    .description("verdicts a second of the rule judges, programs a second of the sandbox")
    .option("--json <file>", "where to write the results")
    .option("--seconds <s>", "measuring time of one judge", "2")
    .action(judges);
  bench
    .command("sandbox")
    .description("memory and time of many programs in a row, hostile ones among them")
    .option("--json <file>", "where to write the results")
    .option("--programs <n>", "programs of each language, in hundreds", "1000")
    .action(sandbox);
  bench
    .command("average")
    .description("weight averaging against sequential reading and writing")
    .option("--json <file>", "where to write the results")
    .option("--members <n>", "models to average", "10")
    .addOption(
      new Option("--dtype <type>", "what they are saved in").choices(["F32", "F16", "BF16"]).default("F32"),
    )
    .option("--mb <n>", "size of one model", "1024")
    .option("--repeat <n>", "repetitions", "3")
    .option("--dir <dir>", "where the models are written and removed again", tmpdir())
    .option("--python <path>", "a Python with mergekit", process.env.TOUCHSTONE_BENCH_PYTHON ?? "python3")
    .action(average);
  bench
    .command("reward")
    .description("scoring with one reward model, an average and an ensemble")
    .option("--json <file>", "where to write the results")
    .option("--shape <name>", "shape of the models", "small")
    .option("--members <n>", "models of the average and of the ensemble", "6")
    .option("--threads <n>", "CPU threads", "1")
    .option("--repeat <n>", "repetitions", "9")
    .option("--dir <dir>", "where the models are written and removed again", tmpdir())
    .action(reward);
  bench
    .command("align")
    .description("a step of CRPG with rule judges against a step of plain policy gradient")
    .option("--json <file>", "where to write the results")
    .option("--tasks <list>", "writing, instructions, arithmetic, code", "all")
    .option("--width <n>", "times the width of the lab's model (0.9 M parameters; 4: 13 M)", "1")
    .option("--threads <n>", "CPU threads", String(availableParallelism()))
    .option("--repeat <n>", "repetitions", "5")
    .action(align);
  bench
    .command("serve")
    .description("touchstone serve under load, client included (after npm run build)")
    .addArgument(new Argument("[what]", "what to measure").choices([...serveBenches, "all"]).default("all"))
    .option("--json <file>", "where to write the results")
    .option("--seconds <s>", "of verdicts and latency", "20")
    .option("--batch <n>", "verdicts: samples of a request", "64")
    .option("--connections <n>", "verdicts: requests at a time", "4")
    .option("--rate <n>", "latency: requests a second", "500")
    .option("--shape <name>", "reward: shape of the model", "small")
    .option("--rows <n>", "reward: texts", "2000")
    .option("--concurrency <n>", "reward and soak: requests at a time", "64")
    .option("--requests <n>", "soak: requests", "200000")
    .option("--failing <share>", "soak: share of the judge's calls that fail", "0.3")
    .action(serve);
  bench
    .command("service")
    .description("steps of align on a simulated service: seconds, requests under way, the loop's own part")
    .option("--json <file>", "where to write the results")
    .option("--tasks <n>", "tasks of the recipe", "2")
    .option("--prompts <n>", "prompts of a task and step", "16")
    .option("--generations <n>", "samples of a prompt", "4")
    .option("--max-new-tokens <n>", "of a sample", "32")
    .option("--steps <n>", "steps", "3")
    .option("--concurrency <n>", "sampling requests under way", "256")
    .option("--judge-concurrency <n>", "requests of the judge under way", "64")
    .option("--latency <ms>", "of every exchange", "200")
    .option("--sample <ms>", "what sampling a prompt takes beside, median", "0")
    .option("--slots <n>", "prompts that the service samples at the same time", "256")
    .option("--pass <ms>", "what a pass over 1,000 tokens takes beside", "0")
    .option("--judge <ms>", "what judge and reward server take beside", "0")
    .action(service);
  bench
    .command("monitor")
    .description(
      "how early the monitor's alarms come, and how often in vain, on runs whose true reward is known",
    )
    .argument("<run...>", "run directories of `touchstone reproduce`")
    .option("--json <file>", "where to write the results")
    .option(
      "--measure <NAME=dir,...>",
      "score rollouts afterwards with these models, as a measure of the task would have (repeatable)",
      (value: string, before: string[]) => [...before, value],
      [] as string[],
    )
    .option("--every <steps>", "steps between two measurements", "5")
    .option("--metric <name>", "the true reward in metrics.jsonl; * for each task", "lab/true_reward")
    .option("--window <steps>", "as of touchstone monitor", "10")
    .option("--threshold <se>", "as of touchstone monitor", "4")
    .action(monitor);
  bench
    .command("followed")
    .description("what an alignment loses while a page of touchstone ui is open on it (after npm run build)")
    .argument("<recipe>", "of touchstone align")
    .option("--steps <n>", "of each run", "20")
    .option("--rounds <n>", "pairs of runs", "4")
    .option("--report-to <tool>", "instead of the page: a tool of report_to")
    .action(
      async (
        recipe: string,
        { steps, rounds, reportTo }: { steps: string; rounds: string; reportTo?: string },
      ) =>
        (await import("./followed.js")).benchFollowed(recipe, {
          steps: wholeNumber(steps, "--steps", 2),
          rounds: wholeNumber(rounds, "--rounds", 1),
          reportTo,
        }),
    );
  bench
    .command("ui")
    .description("the live page's server over a rollouts.jsonl of many rows")
    .argument("[rows]", "rows of the file (2 kB each)", "1000000")
    .action(async (rows: string) => (await import("./ui.js")).benchUi([rows]));
  return bench;
}

try {
  await createBench().parseAsync();
} catch (error) {
  const { message, exitCode } = explainError(error);
  process.stderr.write(`bench: ${message}\n`);
  process.exitCode = exitCode;
}
