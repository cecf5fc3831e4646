// Messages of the Tinker training protocol, in both of its dialects: JSON, and the protobuf package tinker_public, which
// newer services want for passes (forward, forward_backward). Everything else is JSON in both.

import type { Message, Reply } from "../../base/http.js";
import { parseJson } from "../../base/http.js";
import { fieldsOf, ProtoWriter, varint } from "./protobuf.js";

export type Dialect = "json" | "protobuf";

/** One sequence of a pass: what the model reads, and per position what it should say next. */
export interface Datum {
  /** Tokens 0 .. n - 2 of a sequence. */
  input: ArrayLike<number>;
  /** Tokens 1 .. n - 1. */
  targets: ArrayLike<number>;
  /** log pi(target) by which an importance ratio divides, and what the gradient is weighted with; none in a forward pass. */
  learns?: { logprobs: Float32Array; advantages: Float32Array };
}

/** A pass without its data. */
export interface PassHead {
  modelId: string;
  /** Counts the training requests of a model from 1, so that one which is sent again counts once. */
  seqId: number;
}

const PROTOBUF = "application/x-protobuf";

/** Bytes of one datum in a pass's body. */
function encodeDatum(dialect: Dialect, { input, targets, learns }: Datum): Uint8Array {
  const inputs: [string, Field][] = [["target_tokens", { integers: targets }]];
  if (learns)
    inputs.push(["logprobs", { floats: learns.logprobs }], ["advantages", { floats: learns.advantages }]);
  // A forward pass asks for cross entropy, whose weights no gradient is taken of.
  else inputs.push(["weights", { floats: new Float32Array(targets.length).fill(1) }]);
  if (dialect === "protobuf") {
    const text = new ProtoWriter().bytes(1, int32(input));
    const datum = new ProtoWriter().message(1, new ProtoWriter().message(1, text));
    for (const [name, field] of inputs)
      datum.message(2, new ProtoWriter().text(1, name).message(2, tensor(field)));
    return datum.finish();
  }
  return Buffer.from(
    JSON.stringify({
      model_input: { chunks: [{ type: "encoded_text", tokens: Array.from(input) }] },
      loss_fn_inputs: Object.fromEntries(inputs.map(([name, field]) => [name, jsonTensor(field)])),
    }),
  );
}

type Field = { integers: ArrayLike<number> } | { floats: Float32Array };

const jsonTensor = (field: Field) =>
  "integers" in field
    ? { data: Array.from(field.integers), dtype: "int64", shape: [field.integers.length] }
    : { data: Array.from(field.floats), dtype: "float32", shape: [field.floats.length] };

/** Tensor: 1 dense, 3 dtype (1 float32, 2 int64), 4 shape (packed: numbers one behind the other in one field). */
function tensor(field: Field): ProtoWriter {
  const [bytes, dtype, length] =
    "integers" in field
      ? [int64(field.integers), 2, field.integers.length]
      : [asBytes(field.floats), 1, field.floats.length];
  return new ProtoWriter().bytes(1, bytes).integer(3, dtype).bytes(4, varint(length));
}

// Little-endian throughout, as every machine is that Node runs on.
const asBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
const int32 = (values: ArrayLike<number>) => asBytes(Int32Array.from(values));
const int64 = (values: ArrayLike<number>) => asBytes(BigInt64Array.from(Array.from(values), BigInt));

/** A call with data that all learn, or none of which does. */
export function passMessage(
  dialect: Dialect,
  { modelId, seqId }: PassHead,
  data: readonly Datum[],
): { path: string; message: Message } {
  const learns = data[0]!.learns !== undefined;
  const lossFn = learns ? "importance_sampling" : "cross_entropy";
  const encoded = data.map((datum) => encodeDatum(dialect, datum));
  if (dialect === "protobuf") {
    const request = new ProtoWriter().text(1, modelId).integer(2, seqId);
    for (const datum of encoded) request.bytes(3, datum);
    request.text(4, lossFn);
    if (!learns) request.integer(6, 1);
    return { path: "forward_backward", message: { body: request.finish(), contentType: PROTOBUF } };
  }
  const input = learns ? "forward_backward_input" : "forward_input";
  const head = `{"model_id":${JSON.stringify(modelId)},"seq_id":${seqId},"${input}":{"loss_fn":"${lossFn}","data":[`;
  const list = encoded.flatMap((datum, i) => (i === 0 ? [datum] : [comma, datum]));
  return {
    path: learns ? "forward_backward" : "forward",
    message: { body: Buffer.concat([Buffer.from(head), ...list, Buffer.from("]}}")]) },
  };
}

const comma = Buffer.from(",");

/** What a service may answer with when it is asked for the result of a request. */
export const acceptOf = (dialect: Dialect): string =>
  dialect === "protobuf" ? `${PROTOBUF}, application/json` : "application/json";

export interface PassResult {
  /** log pi(target) of each datum. */
  logprobs: Float32Array[];
  metrics: Record<string, number>;
}

/** The result of a pass over data of these lengths. Throws an Error that says what is wrong with it. */
export function readPass(reply: Reply, lengths: readonly number[]): PassResult {
  const { logprobs, metrics } =
    reply.type === PROTOBUF ? passOfProto(reply.bytes) : passOfJson(parseJson(reply));
  if (logprobs.length !== lengths.length)
    throw new Error(`log-probabilities of ${logprobs.length} sequences came back for ${lengths.length}`);
  logprobs.forEach((row, i) => {
    if (row.length !== lengths[i])
      throw new Error(`${row.length} log-probabilities came back for ${lengths[i]} tokens`);
  });
  return { logprobs, metrics };
}

function passOfJson(value: unknown): PassResult {
  const { loss_fn_outputs: outputs, metrics } = value as {
    loss_fn_outputs?: { logprobs?: { data?: unknown } }[];
    metrics?: Record<string, number>;
  };
  if (!Array.isArray(outputs)) throw new Error("the result has no loss_fn_outputs");
  return {
    logprobs: outputs.map((output) => numbers(output?.logprobs?.data, "logprobs")),
    metrics: numbersOf(metrics),
  };
}

/** ForwardBackwardOutput: 2 loss_fn_outputs, 3 metrics; ArrayRecord: 2 fields; BatchedTensor: 1 data, 2 offsets, 3 dtype. */
function passOfProto(bytes: Uint8Array): PassResult {
  const fields = fieldsOf(bytes);
  const logprobs: Float32Array[] = [];
  for (const record of fields.get(2) ?? [])
    for (const entry of fieldsOf(record as Uint8Array).get(2) ?? []) {
      const [key, value] = mapEntry(entry as Uint8Array);
      if (key === "logprobs") logprobs.push(...batchedRows(value as Uint8Array));
    }
  const metrics = (fields.get(3) ?? []).map((entry) => mapEntry(entry as Uint8Array));
  return { logprobs, metrics: numbersOf(Object.fromEntries(metrics)) };
}

function mapEntry(bytes: Uint8Array): [string, number | Uint8Array] {
  const fields = fieldsOf(bytes);
  return [Buffer.from((fields.get(1)?.[0] as Uint8Array) ?? []).toString("utf8"), fields.get(2)?.[0] ?? 0];
}

function batchedRows(bytes: Uint8Array): Float32Array[] {
  const fields = fieldsOf(bytes);
  const data = (fields.get(1)?.[0] as Uint8Array) ?? new Uint8Array();
  const offsets = copied((fields.get(2)?.[0] as Uint8Array) ?? new Uint8Array(), BigInt64Array);
  const dtype = fields.get(3)?.[0];
  const starts = Array.from(offsets, Number);
  // Some writers give the end of the last row as well.
  const ends = starts
    .slice(1)
    .concat(starts.at(-1) === data.length && starts.length > 1 ? [] : [data.length]);
  return ends.map((end, i) => {
    const row = data.subarray(starts[i], end);
    if (dtype === 1) return copied(row, Float32Array);
    if (dtype === 4)
      return new Float32Array(Uint32Array.from(copied(row, Uint16Array), (x) => x << 16).buffer);
    throw new Error(`log-probabilities came back in the unknown number format ${dtype}`);
  });
}

/** A typed array over a copy of the bytes, which may stand at any offset. */
function copied<T>(bytes: Uint8Array, type: { new (buffer: ArrayBuffer): T; BYTES_PER_ELEMENT: number }): T {
  if (bytes.length % type.BYTES_PER_ELEMENT !== 0) throw new Error("an array came back with half a number");
  return new type(Uint8Array.from(bytes).buffer);
}

export interface SampleResult {
  sequences: { tokens: Int32Array; logprobs: Float32Array; stopReason: "stop" | "length" }[];
  /** log pi of every prompt token behind the first. */
  promptLogprobs?: Float32Array;
}

/** The result of a sampling request. `promptLength` in tokens. */
export function readSample(reply: Reply, promptLength: number): SampleResult {
  const { sequences, prompt } =
    reply.type === PROTOBUF ? sampleOfProto(reply.bytes) : sampleOfJson(parseJson(reply));
  if (!prompt) return { sequences };
  // Services disagree on whether the first token, which has no probability, has an entry.
  const from = prompt.length === promptLength ? 1 : 0;
  if (prompt.length - from !== promptLength - 1)
    throw new Error(`${prompt.length} prompt log-probabilities came back for ${promptLength} tokens`);
  return { sequences, promptLogprobs: prompt.slice(from) };
}

function sampleOfJson(value: unknown): { sequences: SampleResult["sequences"]; prompt?: Float32Array } {
  const { sequences, prompt_logprobs: prompt } = value as {
    sequences?: { stop_reason?: unknown; tokens?: unknown; logprobs?: unknown }[];
    prompt_logprobs?: unknown;
  };
  if (!Array.isArray(sequences)) throw new Error("the result has no sequences");
  return {
    sequences: sequences.map(({ stop_reason: reason, tokens, logprobs }) => ({
      tokens: Int32Array.from(numbers(tokens, "tokens")),
      logprobs: numbers(logprobs ?? [], "logprobs"),
      stopReason: reason === "stop" ? "stop" : "length",
    })),
    ...(Array.isArray(prompt) && { prompt: numbers(prompt, "prompt_logprobs", Number.NaN) }),
  };
}

/** SampleResponse: 1 sequences, 2 prompt_logprobs; SampledSequence: 1 stop_reason, 2 tokens, 3 logprobs. */
function sampleOfProto(bytes: Uint8Array): { sequences: SampleResult["sequences"]; prompt?: Float32Array } {
  const fields = fieldsOf(bytes);
  const prompt = fields.get(2)?.[0] as Uint8Array | undefined;
  return {
    sequences: (fields.get(1) ?? []).map((one) => {
      const sequence = fieldsOf(one as Uint8Array);
      const part = (field: number) => (sequence.get(field)?.[0] as Uint8Array) ?? new Uint8Array();
      return {
        tokens: copied(part(2), Int32Array),
        logprobs: copied(part(3), Float32Array),
        stopReason: sequence.get(1)?.[0] === 1 ? "length" : "stop",
      };
    }),
    ...(prompt && { prompt: copied(prompt, Float32Array) }),
  };
}

/** Numbers of a reply; `missing` stands for null. */
function numbers(value: unknown, what: string, missing?: number): Float32Array {
  if (!Array.isArray(value)) throw new Error(`the result has no ${what}`);
  return Float32Array.from(value, (entry) => {
    const number = entry === null ? missing : entry;
    if (typeof number !== "number")
      throw new Error(`the result has ${JSON.stringify(entry)} among its ${what}`);
    return number;
  });
}

const numbersOf = (metrics: unknown): Record<string, number> =>
  Object.fromEntries(
    Object.entries(metrics ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
