// Weight averaging (WARM) against sequential I/O: reading all members and writing one file of a member's size, which no
// way of averaging can do without. Both sides read and write the same bytes, in alternation.

import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { sortedQuantile } from "../src/base/statistics.js";
import { saveCheckpoint } from "../src/model/checkpoint.js";
import { parameterSpecs, parseDecoderConfig } from "../src/model/config.js";
import { BenchProcess } from "./process.js";

export interface AverageBenchOptions {
  members: number;
  /** Size of one member, in MiB. */
  mb: number;
  repeat: number;
  /** Where a temporary directory is made. Needs room for members + 2 models. */
  root: string;
}

export interface AverageResult {
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
}

export async function benchAverage({
  members: count,
  mb,
  repeat,
  root,
}: AverageBenchOptions): Promise<AverageResult> {
  const dir = await mkdtemp(join(root, "touchstone-bench-"));
  try {
    const members: string[] = [];
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      members.push(join(dir, `member-${i}`));
      bytes = await writeMember(members[i]!, mb, i);
    }
    const runs = [];
    for (let i = 0; i < repeat; i++) runs.push(await pair(dir, members, i % 2 === 0));
    const middle = (values: number[]) =>
      sortedQuantile(
        values.toSorted((a, b) => a - b),
        0.5,
      );
    const ratios = runs.map(({ ours, io }) => ours / io);
    const peaks = runs.flatMap(({ peakMb }) => peakMb ?? []);
    return {
      members: count,
      member_mb: bytes / 2 ** 20,
      ours_seconds: middle(runs.map(({ ours }) => ours)),
      io_seconds: middle(runs.map(({ io }) => io)),
      ratio: middle(ratios),
      ratio_min: Math.min(...ratios),
      ratio_max: Math.max(...ratios),
      repetitions: repeat,
      ours_peak_mb: peaks.length > 0 ? Math.max(...peaks) : null,
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** One repetition: both sides, each in a fresh process, in the order asked for. */
async function pair(dir: string, members: readonly string[], oursFirst: boolean) {
  const averageOnce = () => inFreshProcess({ verb: "average", members, out: join(dir, "average") });
  const files = members.map((member) => join(member, "model.safetensors"));
  const copyOnce = () => inFreshProcess({ verb: "copy", files, out: join(dir, "copy") });
  const early = oursFirst ? undefined : await copyOnce();
  const ours = await averageOnce();
  const io = early ?? (await copyOnce());
  return { ours: ours.seconds, io: io.seconds, peakMb: ours.peakMb };
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
async function writeMember(dir: string, mb: number, index: number): Promise<number> {
  const config = rewardModelOf(mb);
  const specs = parameterSpecs(config);
  const sizes = specs.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const pool = Float32Array.from({ length: Math.max(...sizes) }, (_, i) =>
    Math.fround(Math.sin(i + index) / 50),
  );
  await saveCheckpoint(dir, {
    config,
    read: ({ shape }) =>
      pool.subarray(
        0,
        shape.reduce((a, b) => a * b, 1),
      ),
  });
  return 4 * sizes.reduce((a, b) => a + b, 0);
}

function rewardModelOf(mb: number) {
  const width = mb < 200 ? 256 : 1024;
  const embedding = 8192 * width;
  const layer = (4 + 3 * 3) * width * width;
  const layers = Math.max(1, Math.round(((mb * 2 ** 20) / 4 - embedding) / layer));
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
