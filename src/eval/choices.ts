// log pi(choice | question) of every given choice.

import type { Text } from "../data/rows.js";
import type { Sequence } from "../engine/contract.js";
import type { OpenedPolicy } from "../train/models.js";
import type { TextCodec } from "../train/text.js";
import type { TooLong } from "./generate.js";

/**
 * Question and choice as tokens, the choice without an end token. In a text the two are read together, after a space,
 * as in lm-eval: the tokens beyond the question's own are the choice's.
 */
function sequenceOf(codec: TextCodec, prompt: Text, choice: string): Sequence {
  const head = codec.prompt(prompt);
  const tail =
    typeof prompt === "string"
      ? codec.prompt(`${prompt} ${choice}`).slice(head.length)
      : codec.tokenizer.encode(choice, { addSpecialTokens: false });
  return { tokens: [...head, ...tail], promptLength: head.length };
}

export interface ChoiceQuestion {
  prompt: Text;
  choices: readonly string[];
}

/** For each question the log-probability of each of its choices, nats. */
export async function choiceLogprobs(
  questions: readonly ChoiceQuestion[],
  { policy, codec }: OpenedPolicy,
): Promise<(number[] | TooLong)[]> {
  const window = policy.limits.maxTokens;
  const sequences = questions.map(({ prompt, choices }) =>
    choices.map((choice) => sequenceOf(codec, prompt, choice)),
  );
  const longest = sequences.map((options) => Math.max(...options.map(({ tokens }) => tokens.length)));
  const fits = longest.map((length) => length <= window);
  const logprobs = await policy.logprobs(sequences.filter((_, i) => fits[i]).flat());
  const sums = logprobs.map((values) => values.reduce((sum, value) => sum + value, 0));
  return sequences.map((options, i) =>
    fits[i]
      ? sums.splice(0, options.length)
      : { problem: `question and choice have ${longest[i]} tokens, and the model's window is ${window}` },
  );
}
