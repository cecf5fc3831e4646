// Opening a policy whose weights are on a service: tokenizer, chat template and limits come from the model's files here.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { keepSecret } from "../base/secrets.js";
import { resolveModel } from "../data/index.js";
import type { LanguageModel } from "../engine/contract.js";
import {
  openTinker,
  readPlace,
  sampleTinker,
  TinkerModel,
  type TinkerOptions,
} from "../engine/tinker/index.js";
import { readJson, readJsonIfPresent } from "../model/json.js";
import type { EngineRecipe } from "../recipe/recipe.js";
import type { ModelOptions, OpenedPolicy } from "./models.js";
import { endIdsIn, TextCodec } from "./text.js";

export type RemoteEngine = Extract<EngineRecipe, { kind: "tinker" }>;

/** Opens a policy on a service. `model` is its directory or Hub name, of which no weights are read. */
export async function openRemotePolicy(
  model: string,
  engine: RemoteEngine,
  { lora, seed = 0, chatTemplate, maxGradNorm = 0, note, codec: given }: ModelOptions & { codec?: TextCodec },
): Promise<OpenedPolicy> {
  checkTargets(lora);
  const codec = given ?? (await openRemoteCodec(model, { chatTemplate }));
  const policy = await openTinker({
    ...(await optionsOf(model, engine, codec)),
    rank: lora?.r ?? 0,
    seed,
    ...(note && { note }),
  });
  if (maxGradNorm > 0 && !policy.clips) {
    policy.dispose();
    throw new UserError(
      `max_grad_norm is ${maxGradNorm}, but the service at ${engine.baseUrl} does not clip gradients; say max_grad_norm: 0`,
    );
  }
  return { policy, codec };
}

/** Which modules have adapters is the service's to say. */
export function checkTargets(lora: ModelOptions["lora"]): void {
  if (lora && lora.targetModules !== "all-linear")
    throw new UserError(
      "policy.lora.target_modules: the service decides which modules have adapters; leave it out with engine tinker",
    );
}

/** The service's own base model, to be sampled from a few times before a run; nothing is made there. A service that is away is told soon. */
export async function openRemoteTrial(
  model: string,
  engine: RemoteEngine,
  codec: TextCodec,
): Promise<OpenedPolicy> {
  const policy = await sampleTinker({
    ...(await optionsOf(model, engine, codec)),
    ...{ rank: 0, seed: 0, maxRetries: 1, resultSeconds: Math.min(engine.timeoutSeconds, 120) },
  });
  return { policy, codec };
}

async function optionsOf(
  model: string,
  engine: RemoteEngine,
  codec: TextCodec,
): Promise<Omit<TinkerOptions, "rank" | "seed">> {
  const files = await filesOf(model);
  const config = await readConfig(files.base);
  return {
    baseUrl: engine.baseUrl,
    baseModel: engine.baseModel ?? files.baseModel,
    apiKey: keyOf(engine),
    limits: limitsOf(config, files.base),
    endIds: codec.stopIds,
    savedBase: files.baseModel,
    tokenizerDir: files.tokenizerDir,
    start: files.start,
    reduction: engine.lossReduction === "probe" ? undefined : engine.lossReduction,
    resultSeconds: engine.timeoutSeconds,
    concurrency: engine.concurrency,
  };
}

/** The tokenizer and chat template of a policy on a service. */
export async function openRemoteCodec(
  model: string,
  { chatTemplate }: Pick<ModelOptions, "chatTemplate"> = {},
): Promise<TextCodec> {
  const { base, tokenizerDir } = await filesOf(model);
  const files = ["generation_config.json", "config.json"].map((name) => readJsonIfPresent(join(base, name)));
  const endIds = (await Promise.all(files)).flatMap(endIdsIn);
  return TextCodec.open(tokenizerDir, { endIds, chatTemplate });
}

/** Longest sequence of a policy on a service, tokens. */
export async function remoteWindow(model: string): Promise<number> {
  const { base } = await filesOf(model);
  return limitsOf(await readConfig(base), base).maxTokens;
}

const readConfig = (dir: string) =>
  readJson(join(dir, "config.json"), "the model's own configuration is needed");

/** pi_ref at a checkpoint of the service (tinker://...), in the policy's session. */
export function referenceOnService(policy: LanguageModel, path: string): Promise<LanguageModel> {
  if (!(policy instanceof TinkerModel))
    throw new UserError(`reference ${path} is on a service, which needs engine: { kind: tinker }`);
  return policy.at(path);
}

interface RemoteFiles {
  /** Directory of config.json. */
  base: string;
  tokenizerDir: string;
  /** As the person names it. */
  baseModel: string;
  /** Where on the service the first weights are. */
  start?: string;
}

/** A model's directory, or that of an adapter which was saved from a service: its weights are there still. */
async function filesOf(model: string): Promise<RemoteFiles> {
  const dir = await resolveModel(model, { withoutWeights: true });
  const adapter = existsSync(join(dir, "config.json"))
    ? undefined
    : await readJsonIfPresent(join(dir, "adapter_config.json"));
  if (!adapter) return { base: dir, tokenizerDir: dir, baseModel: model };
  if (!existsSync(join(dir, "tinker.json")))
    throw new UserError(
      `${dir} is an adapter that no service knows (it has no tinker.json); start from a model that the service has`,
    );
  const baseModel = String(adapter.base_model_name_or_path);
  const base = await resolveModel(baseModel, { withoutWeights: true });
  const tokenizerDir = existsSync(join(dir, "tokenizer.json")) ? dir : base;
  return { base, tokenizerDir, baseModel, start: (await readPlace(dir)).weights };
}

function limitsOf(config: Record<string, unknown>, dir: string): LanguageModel["limits"] {
  // Models that see pictures keep the text's part by itself.
  const text = (config.text_config ?? config) as Record<string, unknown>;
  const [vocabSize, maxTokens] = [text.vocab_size, text.max_position_embeddings];
  if (typeof vocabSize !== "number" || typeof maxTokens !== "number")
    throw new UserError(
      `${join(dir, "config.json")} names no vocab_size or max_position_embeddings, which bound what is sent`,
    );
  return { vocabSize, maxTokens };
}

function keyOf({ apiKeyEnv, baseUrl }: RemoteEngine): string | undefined {
  if (apiKeyEnv === undefined) return undefined;
  const key = process.env[apiKeyEnv];
  if (!key) throw new UserError(`${apiKeyEnv} holds no key for ${baseUrl} (engine.api_key_env)`);
  keepSecret(key);
  return key;
}
