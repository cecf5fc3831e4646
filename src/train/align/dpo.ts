// Offline DPO as a task of align: pairs of a better and a worse completion from a file. Nothing is sampled, scored or
// judged.

import { UserError } from "../../base/errors.js";
import { PromptCursor } from "../../data/index.js";
import type { PreferenceRow } from "../../data/rows.js";
import type { Sequence } from "../../engine/contract.js";
import { alternatingPairs, dpo } from "../../objectives/index.js";
import { atRow, type Codec } from "../text.js";
import type { PreferenceTask, RunningTask } from "./parts.js";
import { accumulate, logprobsNow, referenceLogprobsOf } from "./passes.js";

interface Pair {
  id: string;
  chosen: Sequence;
  rejected: Sequence;
}

export function preferenceTask(
  { name, weight: rho = 1, pairs: rows, beta, batchPairs, maxLength }: PreferenceTask,
  seed: number,
  codec: Codec,
): RunningTask {
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
    async begin(_, context) {
      batch = cursor.next(batchPairs);
      const sequences = batch.flatMap(({ chosen, rejected }) => [chosen, rejected]);
      return {
        updates: 1,
        async accumulate() {
          const logprobs = await logprobsNow(sequences, context);
          const referenceLogprobs = await referenceLogprobsOf(sequences, context);
          const result = dpo({ logprobs, referenceLogprobs }, alternatingPairs(batch.length), { beta });
          const learned = await accumulate(rho, result, { sequences }, context);
          return { metrics: { ...result.metrics, loss: result.loss }, learned };
        },
        finish: async () => ({ metrics: {}, rollouts: [] }),
      };
    },
  };
}

function encode(codec: Codec, { id, prompt, metadata, ...row }: PreferenceRow, maxLength: number): Pair {
  const [chosen, rejected] = [row.chosen, row.rejected].map((completion) => {
    const sequence = atRow(id, () => codec.sequence(prompt, completion, metadata));
    const { length } = sequence.tokens;
    if (length > maxLength)
      throw new UserError(
        `${id}: prompt and completion have ${length} tokens, more than optimizer.max_length ${maxLength}; raise it or remove the row`,
      );
    return sequence;
  }) as [Sequence, Sequence];
  return { id, chosen, rejected };
}
