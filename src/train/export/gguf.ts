// A policy as a GGUF file for llama.cpp, or its LoRA adapter as one that llama.cpp loads beside the base.

import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { UserError } from "../../base/errors.js";
import { ChatTemplate } from "../../model/chat-template.js";
import { frontMatter } from "../../model/checkpoint.js";
import {
  type GgufEntry,
  type GgufFloatType,
  type GgufMetadata,
  type GgufTensorSource,
  writeGguf,
} from "../../model/export/gguf-file.js";
import { describeGguf, fileTypes, ggufAdapter, ggufTensors } from "../../model/export/gguf-model.js";
import { describeTokenizer } from "../../model/export/gguf-tokenizer.js";
import { readJson } from "../../model/json.js";
import type { Tokenizer } from "../../model/tokenizer.js";
import type { RunContext } from "../../run/context.js";
import { locate, openCodec, type Source } from "../models.js";
import { openWeights, parameterCount } from "./weights.js";

export interface ExportRequest {
  /** A directory, an adapter, a .gguf file or a Hub name. */
  model: string;
  out: string;
}

export interface ExportResult {
  out: string;
  format: "gguf" | "onnx";
  /** What was written: a language model, a reward model or an adapter. */
  kind: "policy" | "reward" | "adapter";
  architecture: string;
  dtype: string;
  tensors: number;
  parameters: number;
  /** What the other program does otherwise. */
  notes: readonly string[];
}

export interface GgufRequest extends ExportRequest {
  type: GgufFloatType;
  /** Writes the adapter alone. Default: it is merged into its base. */
  adapterOnly?: boolean;
}

/** Nothing is written over. */
export function refuseExisting(out: string): void {
  if (existsSync(out)) throw new UserError(`${out} exists already; name one that does not`);
}

export async function exportGguf(request: GgufRequest, context: RunContext): Promise<ExportResult> {
  const { model, out, type, adapterOnly = false } = request;
  refuseExisting(out);
  if (!out.endsWith(".gguf")) throw new UserError(`${out}: a GGUF file is called something.gguf`);
  const source = await locate(model);
  if (source.head === "scalar")
    throw new UserError(
      `${source.dir} is a reward model, and llama.cpp has no scalar score head for its architectures; use --to onnx`,
    );
  const weights = await openWeights(source);
  try {
    const { config, adapter, read } = weights;
    const described = describeGguf(config);
    const parameters = parameterCount(config);
    const { tokenizer } = await openCodec(model);
    const general = {
      ...(await generalEntries(source, { type, parameters, architecture: described.architecture })),
      "general.name": { string: nameOf(source.dir, tokenizer) },
    };
    if (adapterOnly) {
      if (!adapter) throw new UserError(`${source.dir} is not an adapter, so there is none to write alone`);
      const { metadata, tensors } = ggufAdapter(config, adapter, type);
      const all = { ...general, "general.type": { string: "adapter" }, ...metadata };
      await write(out, all, tensors, context);
      const { architecture } = described;
      return {
        ...{ out, format: "gguf", kind: "adapter", architecture, dtype: type },
        ...{ tensors: tensors.length, parameters: elementsOf(tensors), notes: described.notes },
      };
    }
    const { metadata, notes } = await tokenizerOf(model, source, config.vocabSize);
    const tensors = [...described.tables, ...ggufTensors(config, read, type)];
    await write(out, { ...general, ...described.metadata, ...metadata }, tensors, context);
    return {
      ...{ out, format: "gguf", kind: "policy", architecture: described.architecture, dtype: type },
      ...{ tensors: tensors.length, parameters, notes: [...described.notes, ...notes] },
    };
  } finally {
    await weights.close();
  }
}

/**
 * The name of the directory. llama.cpp takes a name with "phi-3" in it for Phi-3's tokenizer, and fails to load one
 * without its tokens.
 */
function nameOf(dir: string, tokenizer: Tokenizer): string {
  const name = basename(resolve(dir)).replace(/\.gguf$/, "");
  const isPhi = ["<s>", "</s>", "<unk>", "<|endoftext|>"].every((token) => tokenizer.idOf(token) !== null);
  return isPhi ? name : name.replace(/(phi)-?(3)/gi, "$1_$2");
}

const elementsOf = (tensors: readonly GgufTensorSource[]): number =>
  tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);

async function write(
  out: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensorSource[],
  { reporter, signal }: RunContext,
): Promise<void> {
  reporter.begin("writing tensors", tensors.length);
  await writeGguf(out, metadata, tensors, {
    onTensor: (done) => {
      signal?.throwIfAborted();
      reporter.step(done);
    },
  });
  reporter.end();
}

async function tokenizerOf(model: string, { tokenizerDir }: Source, vocabSize: number) {
  const file = join(tokenizerDir, "tokenizer.json");
  const { tokenizer, stopIds } = await openCodec(model);
  const templates = (await ChatTemplate.load(tokenizerDir))?.sources ?? {};
  const json = await readJson(file, "llama.cpp needs a tokenizer");
  return describeTokenizer({ json, tokenizer, templates, vocabSize, endIds: stopIds, file });
}

/** `general.*`: what the file is, its licence and origin as far as its model card says so. */
async function generalEntries(
  { dir, base }: Source,
  { type, parameters, architecture }: { type: GgufFloatType; parameters: number; architecture: string },
): Promise<Record<string, GgufEntry>> {
  const card = { ...(await frontMatter(base)), ...(await frontMatter(dir)) };
  const text = (key: string, value: unknown): Record<string, GgufEntry> =>
    typeof value === "string" && value !== "" ? { [key]: { string: value } } : {};
  const list = (key: string, value: unknown): Record<string, GgufEntry> => {
    const items = [value].flat().filter((item) => typeof item === "string");
    return items.length > 0 ? { [key]: { strings: items } } : {};
  };
  return {
    "general.architecture": { string: architecture },
    "general.type": { string: "model" },
    "general.size_label": { string: sizeLabel(parameters) },
    ...text("general.license", card.license),
    ...text("general.license.name", card.license_name),
    ...text("general.license.link", card.license_link),
    ...list("general.tags", card.tags),
    ...list("general.languages", card.language),
    "general.file_type": { u32: fileTypes[type] },
    "general.quantization_version": { u32: 2 },
  };
}

/** 134515008 as "135M", as llama.cpp's converter rounds it. */
function sizeLabel(parameters: number): string {
  const [scale, unit] = (
    [
      [1e12, "T"],
      [1e9, "B"],
      [1e6, "M"],
      [0, "K"],
    ] as const
  ).find(([least]) => parameters > least)!;
  const value = parameters / (scale || 1e3);
  const digits = Math.max(0, 2 - String(Math.round(value)).length);
  return `${value.toFixed(digits)}${unit}`;
}
