// MergeKit's YAML for its `linear` method, which is what WARM computes: read, written, and shown in the model card of
// an average. Other methods, slices and weights that vary by layer are refused by name.
import "../base/zod-words.js";
import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import { z } from "zod";
import { UserError } from "../base/errors.js";
import { parseYaml } from "../base/yaml.js";
import { modelCard } from "../model/checkpoint.js";
import type { FloatType } from "../model/config.js";
import { isMissing } from "../model/json.js";

export interface LinearMerge {
  models: readonly { model: string; weight: number }[];
  /** Divide by the sum of the weights. Default true. */
  normalize?: boolean;
  /** The type of the saved weights. Default: that of the members. */
  dtype?: FloatType;
  baseModel?: string;
  tokenizerSource?: string;
}

const dtypes: Record<string, FloatType> = { float32: "F32", float16: "F16", bfloat16: "BF16" };
const dtypeNames: Record<FloatType, string> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

const weight = z.number("must be one number (weights that vary by layer are not supported)");
const dtype = z.enum(["float32", "float16", "bfloat16"], "must be float32, float16 or bfloat16");
const linear = z.strictObject({
  merge_method: z.literal("linear"),
  models: z
    .array(
      z.strictObject({
        model: z.string("must be a model directory"),
        parameters: z.strictObject({ weight: weight.optional() }).optional(),
      }),
      "must be a list of models",
    )
    .min(1, "must name at least one model"),
  parameters: z
    .strictObject({ weight: weight.optional(), normalize: z.boolean("must be true or false").optional() })
    .optional(),
  base_model: z.string("must be a model directory").optional(),
  dtype: dtype.optional(),
  out_dtype: dtype.optional(),
  tokenizer_source: z.string("must be a string").optional(),
});

export function parseMergekit(text: string, file = "the merge configuration"): LinearMerge {
  const raw = parseYaml(text, file);
  const method = (raw as { merge_method?: unknown } | null)?.merge_method;
  if (method !== "linear") {
    throw new UserError(`${file}: merge_method ${JSON.stringify(method)} is not supported (only "linear")`);
  }
  const result = linear.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys") {
      throw new UserError(`${file}: ${[path, issue.keys[0]].filter(Boolean).join(".")} is not supported`);
    }
    throw new UserError(`${file}: ${path} ${issue.message}`);
  }
  const { models, parameters, base_model, tokenizer_source, ...types } = result.data;
  const outType = types.out_dtype ?? types.dtype;
  return {
    models: models.map(({ model, parameters: own }) => ({
      model,
      weight: own?.weight ?? parameters?.weight ?? 1,
    })),
    normalize: parameters?.normalize ?? true,
    ...(outType !== undefined && { dtype: dtypes[outType]! }),
    ...(base_model !== undefined && { baseModel: base_model }),
    ...(tokenizer_source !== undefined && { tokenizerSource: tokenizer_source }),
  };
}

export async function readMergekit(file: string): Promise<LinearMerge> {
  const text = await readFile(file, "utf8").catch((error) => {
    throw isMissing(error) ? new UserError(`${file} does not exist`) : error;
  });
  return parseMergekit(text, file);
}

export function formatMergekit({
  models,
  normalize = true,
  dtype,
  baseModel,
  tokenizerSource,
}: LinearMerge): string {
  return stringify({
    models: models.map(({ model, weight }) => ({ model, parameters: { weight } })),
    merge_method: "linear",
    ...(baseModel !== undefined && { base_model: baseModel }),
    parameters: { normalize },
    ...(dtype !== undefined && { dtype: dtypeNames[dtype] }),
    ...(tokenizerSource !== undefined && { tokenizer_source: tokenizerSource }),
  });
}

/** What was found out about an average, for its card. */
export interface CardDiagnostics {
  /** Whether the members are linearly connected; an average that is worse than its worst member is not called WARM. */
  isWarm: boolean;
  /** Markdown. */
  text: string;
}

/** The README.md of an average: how it was made, so that anyone can make it again, and what is known about it. */
export function mergeCard(
  merge: LinearMerge,
  isRewardModel: boolean,
  { isWarm, text }: CardDiagnostics = { isWarm: isRewardModel, text: "" },
): string {
  const { models } = merge;
  const isUniform = models.every(({ weight }) => weight === models[0]!.weight);
  const kind = isUniform ? "uniform" : "weighted";
  const tags = ["merge", "mergekit", ...(isRewardModel ? ["reward-model"] : []), ...(isWarm ? ["warm"] : [])];
  const what = isWarm
    ? "A weight-averaged reward model ([WARM](https://arxiv.org/abs/2401.12187)): one model whose every parameter, the scoring head included,"
    : "A weight average: one model whose every parameter";
  const body = `# Average of ${models.length} ${isRewardModel ? "reward models" : "models"}

${what} is the ${kind} mean of its members' parameters.

## Members

${models.map(({ model, weight }) => `- \`${model}\` (weight ${weight})`).join("\n")}

## Configuration

\`\`\`yaml
${formatMergekit(merge).trimEnd()}
\`\`\`${text === "" ? "" : `\n\n## Diagnostics\n\n${text}`}`;
  return modelCard({ library_name: "transformers", tags }, body);
}
