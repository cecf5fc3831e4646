// The weights of a model as they are to be written elsewhere: an adapter merged into its base, one parameter at a time.

import { UserError } from "../../base/errors.js";
import { type Adapter, mergedParameter, readAdapter, untiesHead } from "../../model/adapter.js";
import { OpenCheckpoint } from "../../model/checkpoint.js";
import { type DecoderConfig, type ParameterSpec, parameterSpecs, untied } from "../../model/config.js";
import type { Source } from "../models.js";

export interface ExportWeights {
  config: DecoderConfig;
  /** Whoever `source` names, without merging. */
  adapter: Adapter | undefined;
  read: (spec: ParameterSpec) => Promise<Float32Array>;
  close: () => Promise<void>;
}

const embedding = "model.embed_tokens.weight";

export async function openWeights(source: Source): Promise<ExportWeights> {
  const open = await OpenCheckpoint.open(source.base, { head: source.head });
  try {
    const adapter = source.adapter && (await readAdapter(source.dir, open.config));
    const fresh = open.fresh.find(({ name }) => !adapter?.saved.has(name));
    if (fresh)
      throw new UserError(`${source.dir} has no "${fresh.name}", so it is not a trained reward model`);
    const parts = adapter !== undefined && untiesHead(adapter, open.config);
    const config = parts ? untied(open.config) : open.config;
    const stored = new Map(open.specs.map((spec) => [spec.name, spec]));
    return {
      config,
      adapter,
      read: async (spec) => {
        const own = adapter?.saved.get(spec.name);
        if (own) return own.values;
        if (parts && spec.name === "lm_head.weight") return open.read(stored.get(embedding)!);
        const values = await open.read(stored.get(spec.name)!);
        return adapter ? mergedParameter(adapter, spec.name, values) : values;
      },
      close: () => open.close(),
    };
  } catch (error) {
    await open.close();
    throw error;
  }
}

export const parameterCount = (config: DecoderConfig): number =>
  parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
