// A reward model as a function of answers. Where it reads the policy's tokens it gets those that were sampled; a reward
// model with another tokenizer gets the text.

import type { Text } from "../data/rows.js";
import type { TokenIds } from "../engine/contract.js";
import type { EngineRecipe } from "../recipe/recipe.js";
import { openCodec, openRewardModel } from "../train/models.js";
import { lastValues } from "../train/rewards/fixed.js";
import type { TextCodec } from "../train/text.js";

/** An answer as the policy gave it. */
export interface Sampled {
  prompt: Text;
  completion: string;
  /** Under the policy's tokenizer. */
  promptTokens: TokenIds;
  tokens: TokenIds;
}

export interface Scorer {
  score(answers: readonly Sampled[]): Promise<Float64Array>;
  dispose(): void;
}

/** `policyTokenizer`: hash of the tokenizer that the answers' tokens are of. */
export async function openScorer(
  reward: string,
  { engine, policyTokenizer }: { engine: EngineRecipe; policyTokenizer: string },
): Promise<Scorer> {
  const codec = await openCodec(reward);
  const model = await openRewardModel(reward, { engine, frozen: true });
  const sequence =
    codec.tokenizer.hash === policyTokenizer
      ? ({ prompt, promptTokens, tokens }: Sampled): TokenIds =>
          codec.closed(prompt, [...promptTokens, ...tokens])
      : (answer: Sampled) => fromText(codec, answer);
  return {
    score: (answers) => lastValues(model, answers.map(sequence)),
    dispose: () => model.dispose(),
  };
}

const fromText = (codec: TextCodec, { prompt, completion }: Sampled): TokenIds =>
  codec.scored(
    prompt,
    typeof prompt === "string" ? completion : [{ role: "assistant", content: completion }],
  );
