// A model whose weights are on a service: nothing of it is estimated, loaded or made here; the service is asked.

import type { EngineRecipe, LoraRecipe } from "../../recipe/recipe.js";
import type { OpenedPolicy } from "../models.js";
import type { RemoteEngine } from "../remote.js";
import type { TextCodec } from "../text.js";
import type { Findings } from "./findings.js";

/** What of a recipe says which model it is, and how it would train. */
interface OnService {
  model: string;
  engine: EngineRecipe;
  lora?: LoraRecipe | undefined;
  maxGradNorm: number;
}

/** The service's base model, ready to be sampled from; a service that cannot be reached or lacks the model is a problem. */
export async function openOnService(
  findings: Findings,
  name: string,
  { model, engine, lora, maxGradNorm }: OnService,
  codec: TextCodec,
): Promise<OpenedPolicy | undefined> {
  const remote = engine as RemoteEngine;
  findings.ok("memory", "weights, gradients and optimizer are on the service; nothing of them is estimated");
  return findings.attempt(name, async () => {
    const { checkTargets, openRemoteTrial } = await import("../remote.js");
    checkTargets(lora);
    const opened = await openRemoteTrial(model, remote, codec);
    // One token: that it answers is seen here, and not in the first step.
    await opened.policy.sample([codec.prompt("a")], {
      maxNewTokens: 1,
      seeds: [0],
      ...(findings.signal && { signal: findings.signal }),
    });
    const about = `${model}: ${remote.baseUrl} has it and samples from it, reads ${opened.policy.limits.maxTokens} tokens`;
    findings.ok(name, about);
    if (maxGradNorm > 0)
      findings.warn(
        name,
        `max_grad_norm is ${maxGradNorm}; whether the service clips gradients is found out at the start of the run, which ends where it does not (then: max_grad_norm: 0)`,
      );
    return opened;
  });
}
