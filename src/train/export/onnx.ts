// A policy or a reward model as an ONNX directory in the layout that transformers.js and Optimum load: onnx/model.onnx,
// config.json, generation_config.json and the tokenizer's files.

import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeDirectoryAtomic } from "../../base/atomic.js";
import { UserError } from "../../base/errors.js";
import { copyTokenizer, hasTokenizer } from "../../model/checkpoint.js";
import { configJson, parameterSpecs } from "../../model/config.js";
import { languageGraph, scalarGraph } from "../../model/export/onnx-graph.js";
import { bytesOf, firstNonFinite } from "../../model/floats.js";
import { formatJson } from "../../model/json.js";
import { writeAll } from "../../model/safetensors.js";
import type { RunContext } from "../../run/context.js";
import { type OnnxWeight, serializeAround } from "../../tensor/onnx.js";
import { locate } from "../models.js";
import { type ExportRequest, type ExportResult, refuseExisting } from "./gguf.js";
import { openWeights, parameterCount } from "./weights.js";

export interface OnnxRequest extends ExportRequest {
  /** Weights of more than so many bytes go to a file beside the model: protobuf ends at 2 GB. */
  externalAbove?: number;
}

const modelFile = "model.onnx";
/** The name that transformers.js expects. */
const dataFile = "model.onnx_data";
/** Weights in the data file start at multiples of a page, so that they can be mapped. */
const page = 4096;

export async function exportOnnx(
  { model, out, externalAbove = 2 ** 31 - 2 ** 24 }: OnnxRequest,
  { reporter, signal }: RunContext,
): Promise<ExportResult> {
  refuseExisting(out);
  const source = await locate(model);
  const weights = await openWeights(source);
  try {
    const { config, read } = weights;
    const { graph, weights: stored } = config.head === "scalar" ? scalarGraph(config) : languageGraph(config);
    const specs = new Map(parameterSpecs(config).map((spec) => [spec.name, spec]));
    const total = 4 * parameterCount(config);
    const isExternal = total > externalAbove;
    let offset = 0;
    const described = stored.map(({ name, transposed }): OnnxWeight => {
      const { shape } = specs.get(name)!;
      const bytes = 4 * shape.reduce((a, b) => a * b, 1);
      const at = offset;
      offset += Math.ceil(bytes / page) * page;
      const dims = transposed ? shape.toReversed() : shape;
      return {
        ...{ name, dtype: "float32", dims, bytes },
        ...(isExternal && { external: { file: dataFile, offset: at } }),
      };
    });
    const { head, before } = serializeAround(graph, described);
    reporter.begin("writing tensors", stored.length);
    await writeDirectoryAtomic(out, async (aside) => {
      const dir = join(aside, "onnx");
      await mkdir(dir);
      const file = await open(join(dir, modelFile), "w");
      const data = isExternal ? await open(join(dir, dataFile), "w") : file;
      try {
        await writeAll(file, head);
        for (const [i, { name, transposed }] of stored.entries()) {
          signal?.throwIfAborted();
          const spec = specs.get(name)!;
          const values = await read(spec);
          if (firstNonFinite(values) >= 0)
            throw new UserError(`parameter "${name}" of ${source.dir} is not finite; nothing was written`);
          await writeAll(file, before[i]!);
          await writeAll(data, bytesOf(transposed ? turned(values, spec.shape) : values));
          if (isExternal) await writeAll(data, new Uint8Array(-values.byteLength & (page - 1)));
          reporter.step(i + 1);
        }
      } finally {
        await file.close();
        if (isExternal) await data.close();
      }
      const hint = { "transformers.js_config": { use_external_data_format: { [modelFile]: 1 } } };
      const json = { ...configJson(config, "F32"), ...(isExternal && hint) };
      await writeFile(join(aside, "config.json"), formatJson(json));
      if (config.rawGeneration)
        await writeFile(join(aside, "generation_config.json"), formatJson(config.rawGeneration));
      if (hasTokenizer(source.tokenizerDir)) await copyTokenizer(source.tokenizerDir, aside);
    });
    reporter.end();
    return {
      ...{ out, format: "onnx", kind: config.head === "scalar" ? "reward" : "policy", dtype: "F32" },
      ...{ architecture: String(configJson(config, "F32").architectures) },
      ...{ tensors: stored.length, parameters: parameterCount(config), notes: [] },
    };
  } finally {
    await weights.close();
  }
}

/** A matrix [rows, columns] as [columns, rows]. */
function turned(values: Float32Array, shape: readonly number[]): Float32Array {
  const [rows, columns] = shape as [number, number];
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]!;
  return out;
}
