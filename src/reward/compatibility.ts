// What makes models members of one average: they must compute the same function of their parameters. Every check names
// the member and the first thing that is wrong with it.

import { join } from "node:path";
import { UserError } from "../base/errors.js";
import { isSupportedFamily, parseDecoderConfig } from "../model/config.js";
import { formatShape } from "../model/safetensors.js";
import type { Member } from "./member.js";

/** A member saved without its scalar head would average into a model that scores with random weights. */
export function checkRewardModel({ dir, config, tensors }: Member): void {
  const name = (config.architectures as string[] | undefined)?.[0];
  if (!name?.endsWith("ForSequenceClassification")) {
    throw new UserError(
      `${dir} is not a reward model: its architecture is ${name ?? "not named"}, not one ...ForSequenceClassification`,
    );
  }
  if (!isSupportedFamily(config.model_type)) return;
  const { hiddenSize } = parseDecoderConfig(config, { file: join(dir, "config.json") });
  const score = tensors.get("score.weight");
  if (score === undefined)
    throw new UserError(`${dir} lacks the head of a reward model, tensor "score.weight"`);
  if (formatShape(score.shape) !== formatShape([1, hiddenSize])) {
    throw new UserError(
      `${score.file}: tensor "score.weight" has shape ${formatShape(score.shape)}, expected ${formatShape([1, hiddenSize])}`,
    );
  }
}

/** What must be the same in all members, by the name that an error message gives it. */
function factsOf({ config }: Member): Record<string, unknown> {
  const { architectures, model_type } = config;
  const generic = { architectures, model_type };
  if (!isSupportedFamily(model_type)) {
    const { vocab_size, tie_word_embeddings, num_labels, id2label, pad_token_id } = config;
    const labels = id2label ? Object.keys(id2label).length : num_labels;
    return { ...generic, vocab_size, tie_word_embeddings, num_labels: labels, pad_token_id };
  }
  const { raw, rawGeneration, dtype, eosIds, bosId, maxPositionEmbeddings, ...facts } =
    parseDecoderConfig(config);
  return { ...generic, ...facts };
}

/** Refuses a member that does not compute the same function of its parameters as the first. */
export function checkAlike(first: Member, member: Member): void {
  const [expected, found] = [factsOf(first), factsOf(member)];
  for (const [fact, value] of Object.entries(expected)) {
    const [a, b] = [JSON.stringify(value), JSON.stringify(found[fact])];
    if (a !== b)
      throw new UserError(
        `${member.dir} cannot be averaged with ${first.dir}: its ${fact} is ${b}, not ${a}`,
      );
  }
  for (const [name, { shape, file }] of first.tensors) {
    const own = member.tensors.get(name);
    if (own === undefined)
      throw new UserError(`${member.dir} lacks the tensor "${name}", which ${first.dir} has`);
    if (formatShape(own.shape) !== formatShape(shape)) {
      throw new UserError(
        `${own.file}: tensor "${name}" has shape ${formatShape(own.shape)}, but ${formatShape(shape)} in ${file}`,
      );
    }
  }
  for (const name of member.tensors.keys()) {
    if (!first.tensors.has(name)) {
      throw new UserError(`${member.dir} holds the tensor "${name}", which ${first.dir} lacks`);
    }
  }
  if (first.tokenizer === undefined || member.tokenizer === undefined) return;
  if (first.tokenizer.hash !== member.tokenizer.hash) {
    throw new UserError(
      `${join(member.tokenizer.dir, "tokenizer.json")} differs from that of ${first.dir}: the members must share one tokenizer`,
    );
  }
  if (first.tokenizer.templates !== member.tokenizer.templates) {
    throw new UserError(`the chat template of ${member.dir} differs from that of ${first.dir}`);
  }
}
