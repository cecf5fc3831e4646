// A model by path or by Hub name: the folder that holds its configuration, tokenizer and safetensors.

import { stat } from "node:fs/promises";
import { UserError } from "../base/errors.js";
import { type HubOptions, openRepo } from "./hub.js";
import { orLocalPath, parseHubName } from "./hub-names.js";
import { nearby } from "./nearby.js";

/** Everything that defines a model or an adapter, and nothing that can run code when it is opened. */
const modelFiles = [
  /^(config|generation_config|adapter_config)\.json$/,
  /^(model|adapter_model)(-\d+-of-\d+)?\.safetensors$/,
  /^(model|adapter_model)\.safetensors\.index\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(merges\.txt|chat_template\.(jinja|json))$/,
];

/** A file of a model that others are given: what defines it, and its card. */
export const isPublishable = (name: string): boolean =>
  name === "README.md" || modelFiles.some((pattern) => pattern.test(name));

export interface ModelFetchOptions extends HubOptions {
  /** Configuration and tokenizer only: the weights are elsewhere. */
  withoutWeights?: boolean;
}

/** A folder or a GGUF file is taken as it is; `owner/name[@revision]` is fetched from the Hub. */
export async function resolveModel(pathOrName: string, options: ModelFetchOptions = {}): Promise<string> {
  const stats = pathOrName.startsWith("hub:") ? null : await stat(pathOrName).catch(() => null);
  if (stats?.isDirectory()) return pathOrName;
  if (stats?.isFile() && pathOrName.endsWith(".gguf")) return pathOrName;
  if (stats) throw new UserError(`${pathOrName} is a file; ${insteadOfFile(pathOrName)}.`);
  const name = parseHubName(pathOrName);
  if (!name || name.split) {
    throw new UserError(
      `There is no folder "${pathOrName}", and it is not a model name of the Hub (owner/name).${await nearby(pathOrName)}`,
    );
  }
  const revision = name.revision ? { revision: name.revision } : {};
  return fetchModel(name.repo, { ...options, ...revision }).catch(orLocalPath(pathOrName));
}

const insteadOfFile = (path: string): string =>
  /\.(bin|pt|pth|ckpt|pkl)$/.test(path)
    ? "what Python pickles is never opened, because it can run code: name the folder of a model with model.safetensors"
    : "name the folder that holds the model, or a .gguf file";

/** Fetches a model by its Hub name and returns the folder that holds it. */
export async function fetchModel(name: string, options: ModelFetchOptions = {}): Promise<string> {
  const repo = await openRepo({ type: "model", name }, options);
  const { withoutWeights = false } = options;
  const wanted = repo.paths
    .filter((path) => modelFiles.some((pattern) => pattern.test(path)))
    .filter((path) => !withoutWeights || !path.includes(".safetensors"));
  if (!wanted.some((path) => /^(adapter_)?config\.json$/.test(path))) {
    throw new UserError(`The model "${name}" has no config.json, so it is not in the Hugging Face format.`);
  }
  if (!withoutWeights && !wanted.some((path) => path.endsWith(".safetensors"))) {
    const pickle = repo.paths.find((path) => /\.(bin|pt|pth|ckpt|pkl)$/.test(path));
    throw new UserError(
      pickle
        ? `The model "${name}" has its weights in ${pickle} only, a pickle, which can run code when it is opened; ` +
            "use a revision or a conversion with model.safetensors."
        : `The model "${name}" has no model.safetensors.`,
    );
  }
  return repo.fetch(wanted);
}
