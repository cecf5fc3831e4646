// Weight averaging (WARM) against sequential I/O: reading all members and writing one file of a member's size, which no
// way of averaging can do without; and against mergekit's `linear` where a Python has it. All sides read and write the
// same bytes, in alternation, each in a fresh process.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { sortedQuantile } from "../src/base/statistics.js";
import { saveCheckpoint } from "../src/model/checkpoint.js";
import { type FloatType, parameterSpecs, parseDecoderConfig } from "../src/model/config.js";
import { SafetensorsReader } from "../src/model/safetensors.js";
import { itemBytes } from "../src/reward/weighted-sum.js";
import { BenchProcess } from "./process.js";

const mergekitScript = fileURLToPath(new URL("./average_mergekit.py", import.meta.url));

export interface AverageBenchOptions {
  members: number;
  /** Size of one member, in MiB. */
  mb: number;
  /** The type that members, and so the average, are saved in. */
  dtype: FloatType;
  repeat: number;
  /** Where a temporary directory is made. Needs room for members + 3 models. */
  root: string;
  /** A Python that may have mergekit. */
  python: string;
}

export interface AverageResult {
  dtype: FloatType;
  members: number;
  member_mb: number;
  /** Seconds, medians of the repetitions. */
  ours_seconds: number;
  io_seconds: number;
  /** Median, least and greatest of the repetitions' ours / I/O. */
  ratio: number;
  ratio_min: number;
  ratio_max: number;
  repetitions: number;
  /** Peak resident memory of the process that averages, MiB. */
  ours_peak_mb: number | null;
  /** null where there is no mergekit. */
  mergekit_seconds: number | null;
  mergekit_peak_mb: number | null;
  /** Largest difference between the two averages, relative to the largest number of its tensor. */
  mergekit_difference: number | null;
}

export async function benchAverage({
  members: count,
  mb,
  dtype,
  repeat,
  root,
  python,
}: AverageBenchOptions): Promise<AverageResult> {
  const dir = await mkdtemp(join(root, "touchstone-bench-"));
  try {
    const members: string[] = [];
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      members.push(join(dir, `member-${i}`));
      bytes = await writeMember(members[i]!, { mb, dtype, index: i });
    }
    const peer = (await hasMergekit(python)) ? python : undefined;
    const runs: Run[] = [];
    for (let i = 0; i < repeat; i++) runs.push(await runAll(dir, members, i % 2 === 0, peer));
    const middle = (values: number[]) =>
      sortedQuantile(
        values.toSorted((a, b) => a - b),
        0.5,
      );
    const ratios = runs.map(({ ours, io }) => ours / io);
    const peaks = runs.flatMap(({ peakMb }) => peakMb ?? []);
    const merges = runs.flatMap(({ mergekit }) => mergekit ?? []);
    return {
      dtype,
      members: count,
      member_mb: bytes / 2 ** 20,
      ours_seconds: middle(runs.map(({ ours }) => ours)),
      io_seconds: middle(runs.map(({ io }) => io)),
      ratio: middle(ratios),
      ratio_min: Math.min(...ratios),
      ratio_max: Math.max(...ratios),
      repetitions: repeat,
      ours_peak_mb: peaks.length > 0 ? Math.max(...peaks) : null,
      mergekit_seconds: peer ? middle(merges.map(({ seconds }) => seconds)) : null,
      mergekit_peak_mb: peer ? Math.max(...merges.map(({ peakMb }) => peakMb)) : null,
      mergekit_difference: peer ? await difference(join(dir, "average"), join(dir, "mergekit")) : null,
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface Run {
  ours: number;
  io: number;
  peakMb: number | null;
  mergekit?: { seconds: number; peakMb: number };
}

/** One repetition: ours and plain I/O in the order asked for, then mergekit. */
async function runAll(
  dir: string,
  members: readonly string[],
  oursFirst: boolean,
  python: string | undefined,
): Promise<Run> {
  const averageOnce = () => inFreshProcess({ verb: "average", members, out: join(dir, "average") });
  const files = members.map((member) => join(member, "model.safetensors"));
  const copyOnce = () => inFreshProcess({ verb: "copy", files, out: join(dir, "copy") });
  const early = oursFirst ? undefined : await copyOnce();
  const ours = await averageOnce();
  const io = early ?? (await copyOnce());
  const mergekit =
    python === undefined ? undefined : await mergekitOnce(python, join(dir, "mergekit"), members);
  return { ours: ours.seconds, io: io.seconds, peakMb: ours.peakMb, ...(mergekit && { mergekit }) };
}

const hasMergekit = (python: string): Promise<boolean> =>
  promisify(execFile)(python, [mergekitScript, "-"]).then(
    () => true,
    () => false,
  );

async function mergekitOnce(python: string, out: string, members: readonly string[]) {
  const { stdout } = await promisify(execFile)(python, [mergekitScript, out, ...members]);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as { seconds: number; peakMb: number };
}

/** Largest |a - b| over the tensors of two models, relative to the largest |a| of the tensor. */
async function difference(first: string, second: string): Promise<number> {
  const [a, b] = await Promise.all([first, second].map((dir) => SafetensorsReader.open(dir)));
  try {
    let worst = 0;
    for (const name of a!.tensors.keys()) {
      const [x, y] = [await a!.readFloat32(name), await b!.readFloat32(name)];
      let largest = 0;
      let apart = 0;
      for (let i = 0; i < x.length; i++) {
        largest = Math.max(largest, Math.abs(x[i]!));
        apart = Math.max(apart, Math.abs(x[i]! - y[i]!));
      }
      worst = Math.max(worst, apart / largest);
    }
    return worst;
  } finally {
    await Promise.all([a!.close(), b!.close()]);
  }
}

async function inFreshProcess(request: object) {
  const process = BenchProcess.ours();
  try {
    return await process.request(request);
  } finally {
    await process.close();
  }
}

/** A reward model of about `mb` MiB; its values are cheap to make and differ from member to member. Returns its bytes. */
async function writeMember(
  dir: string,
  { mb, dtype, index }: { mb: number; dtype: FloatType; index: number },
): Promise<number> {
  const size = itemBytes[dtype];
  const config = rewardModelOf((mb * 2 ** 20) / size);
  const specs = parameterSpecs(config);
  const sizes = specs.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const pool = Float32Array.from({ length: Math.max(...sizes) }, (_, i) =>
    Math.fround(Math.sin(i + index) / 50),
  );
  await saveCheckpoint(dir, {
    config,
    dtype,
    read: ({ shape }) =>
      pool.subarray(
        0,
        shape.reduce((a, b) => a * b, 1),
      ),
  });
  return size * sizes.reduce((a, b) => a + b, 0);
}

function rewardModelOf(parameters: number) {
  const width = parameters < 5e7 ? 256 : 1024;
  const embedding = 8192 * width;
  const layer = (4 + 3 * 3) * width * width;
  const layers = Math.max(1, Math.round((parameters - embedding) / layer));
  return parseDecoderConfig({
    model_type: "llama",
    architectures: ["LlamaForSequenceClassification"],
    num_labels: 1,
    vocab_size: 8192,
    hidden_size: width,
    intermediate_size: 3 * width,
    num_hidden_layers: layers,
    num_attention_heads: width / 64,
    num_key_value_heads: width / 64,
    max_position_embeddings: 2048,
    eos_token_id: 0,
    bos_token_id: 0,
    pad_token_id: 0,
  });
}
