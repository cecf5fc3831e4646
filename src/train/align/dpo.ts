// Offline DPO as a task of align: pairs of a better and a worse completion from a file. Nothing is sampled, scored or
// judged.

import { UserError } from "../../base/errors.js";
import { loadPreferences, PromptCursor } from "../../data/index.js";
import type { PreferenceRow } from "../../data/rows.js";
import type { Sequence } from "../../engine/contract.js";
import { alternatingPairs, dpo } from "../../objectives/index.js";
import type { OptimizerRecipe, TaskRecipe } from "../../recipe/recipe.js";
import type { TextCodec } from "../text.js";
import type { Learner } from "./learner.js";
import { accumulate, logprobsNow, referenceLogprobsOf } from "./learning.js";
import type { TaskContext } from "./task.js";

interface Pair {
  id: string;
  chosen: Sequence;
  rejected: Sequence;
}

export async function openPreferenceLearner(
  { name, weight: rho, prompts, reward, judges }: TaskRecipe,
  { batchPrompts, beta, maxLength }: Extract<OptimizerRecipe, { name: "dpo" }>,
  seed: number,
  codec: TextCodec,
  { reporter }: TaskContext,
): Promise<Learner> {
  const { rows, description } = await loadPreferences(prompts.path, prompts);
  reporter.note(`task ${name}: ${description}`);
  if (reward || judges.length > 0)
    reporter.note(`task ${name}: dpo learns from the pairs as they are; reward and judges are not asked`);
  const pairs = rows.map((row) => encode(codec, row, maxLength));
  let cursor = PromptCursor.start(pairs, { seed, name: `prompts of ${name}` });
  let batch: Pair[] = [];
  return {
    name,
    weight: rho,
    batch: () => batch,
    state: () => ({ cursor: cursor.state() }),
    restore: (state) => {
      cursor = PromptCursor.restore(pairs, state.cursor);
    },
    async begin(_, around) {
      batch = cursor.next(batchPrompts);
      const sequences = batch.flatMap(({ chosen, rejected }) => [chosen, rejected]);
      const learning = {
        updates: 1,
        async accumulate() {
          const logprobs = await logprobsNow(sequences, around);
          const referenceLogprobs = await referenceLogprobsOf(sequences, around);
          const result = dpo({ logprobs, referenceLogprobs }, alternatingPairs(batch.length), { beta });
          const learned = await accumulate(rho, result, { sequences }, around);
          return { metrics: { ...result.metrics, loss: result.loss }, learned };
        },
      };
      return { learning, finish: async () => ({ metrics: {}, rollouts: [] }) };
    },
  };
}

function encode(codec: TextCodec, { id, prompt, ...row }: PreferenceRow, maxLength: number): Pair {
  const [chosen, rejected] = [row.chosen, row.rejected].map((completion) => {
    const sequence = codec.sequence(prompt, completion);
    const { length } = sequence.tokens;
    if (length > maxLength)
      throw new UserError(
        `${id}: prompt and completion have ${length} tokens, more than optimizer.max_length ${maxLength}; raise it or remove the row`,
      );
    return sequence;
  }) as [Sequence, Sequence];
  return { id, chosen, rejected };
}
