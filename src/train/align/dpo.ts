// Offline DPO as a task of align: pairs of a better and a worse completion from a file. Nothing is sampled, scored or
// judged.

import { together } from "../../base/together.js";
import { PromptCursor } from "../../data/index.js";
import type { Sequence } from "../../engine/contract.js";
import { alternatingPairs, dpo } from "../../objectives/index.js";
import { type LengthLimits, LengthTally, lengthLimit, lengthMetrics, lengthSentences } from "../lengths.js";
import { plainPromptRemarks } from "../plain-prompts.js";
import { atRow, type Codec } from "../text.js";
import type { Fit, PreferenceTask, RunningTask } from "./parts.js";
import { accumulate, logprobsNow, referenceLogprobsOf } from "./passes.js";

interface Pair {
  id: string;
  chosen: Sequence;
  rejected: Sequence;
}

/** What a task's pairs are encoded with. */
interface Surroundings {
  seed: number;
  codec: Codec;
  /** Tokens that policy and reference read. */
  window: number;
}

export function preferenceTask(task: PreferenceTask, { seed, codec, window }: Surroundings): RunningTask {
  const { name, weight: rho = 1, beta, batchPairs } = task;
  const { pairs, fit } = fitPairs(task, codec, window);
  const lengths = lengthMetrics(fit.lengths);
  let cursor = PromptCursor.start(pairs, { seed, name: `prompts of ${name}` });
  let batch: Pair[] = [];
  return {
    name,
    weight: rho,
    fit,
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
          const own = () => logprobsNow(sequences, context);
          const ofReference = () => referenceLogprobsOf(sequences, context);
          const [logprobs, referenceLogprobs] = context.policy.answersSideBySide
            ? await together(() => [own(), ofReference()] as const)
            : [await own(), await ofReference()];
          const result = dpo({ logprobs, referenceLogprobs }, alternatingPairs(batch.length), { beta });
          const learned = await accumulate(rho, result, { sequences }, context);
          return { metrics: { ...result.metrics, loss: result.loss }, learned };
        },
        finish: async () => ({ metrics: lengths, rollouts: [] }),
      };
    },
  };
}

/** The pairs as tokens; both sequences of one that does not fit lose the same beginning, and no completion its end. */
export function fitPairs(
  { name, pairs: rows, maxLength, maxPromptLength, overlong = "stop", applyChatTemplate }: PreferenceTask,
  codec: Codec,
  window: number,
  source = `task ${name}`,
): { pairs: Pair[]; fit: Fit } {
  const limits: LengthLimits = {
    ...lengthLimit(maxLength, window),
    maxPromptLength,
    overlong,
    choices: ["skip", "truncate_left"],
  };
  const tally = new LengthTally(limits, source);
  const pairs: Pair[] = [];
  for (const { id, prompt, metadata, ...row } of rows) {
    const both = [row.chosen, row.rejected].map((completion) =>
      atRow(id, () => codec.sequence(prompt, completion, metadata)),
    );
    const length = Math.max(...both.map(({ tokens }) => tokens.length));
    const promptLength = Math.min(...both.map((sequence) => sequence.promptLength));
    const kept = tally.keep(id, { promptLength, length }, { isWhole: true });
    if (!kept) continue;
    const [chosen, rejected] = both.map((sequence) => ({
      tokens: sequence.tokens.slice(kept.from),
      promptLength: sequence.promptLength - kept.from,
    })) as [Sequence, Sequence];
    pairs.push({ id, chosen, rejected });
  }
  const lengths = tally.end();
  const remarks = [
    ...plainPromptRemarks(rows, codec, { source, applyChatTemplate }),
    ...lengthSentences(source, lengths, limits),
  ];
  return { pairs, fit: { lengths, remarks } };
}
