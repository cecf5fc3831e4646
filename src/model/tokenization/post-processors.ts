// The post-processors of the Rust `tokenizers` library: what stands before and after a text's own tokens.

import type { Json } from "../json.js";
import { isObject } from "../json.js";
import { type Part, part, type Settings, wrong } from "./schema.js";

/** Ids before and after the text's. */
export interface Frame {
  before: number[];
  after: number[];
}

export const noFrame: Frame = { before: [], after: [] };

export function createFrame(json: Json | null, place: string): Frame {
  return json === null ? noFrame : part(postProcessors, json, { place, what: "post-processor" });
}

const postProcessors: Record<string, Part<Frame>> = {
  ByteLevel: () => noFrame,
  Sequence: ({ list }) => {
    const frames = list("processors").map(({ value, place }, i) =>
      part(postProcessors, value, { place, what: `post-processor ${i + 1}` }),
    );
    return {
      before: frames.toReversed().flatMap(({ before }) => before),
      after: frames.flatMap(({ after }) => after),
    };
  },
  TemplateProcessing: template,
  BertProcessing: classifier,
  RobertaProcessing: classifier,
};

function classifier({ raw, place }: Settings): Frame {
  const [cls, sep] = ["cls", "sep"].map((key) => {
    const pair = raw(key);
    const id = Array.isArray(pair) ? (pair as unknown[])[1] : undefined;
    if (!isId(id)) throw wrong(`${place}.${key}`, "[token, id]", pair);
    return id;
  });
  return { before: [cls!], after: [sep!] };
}

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function template({ list, object, place }: Settings): Frame {
  const special = object("special_tokens");
  const frame: Frame = { before: [], after: [] };
  let isAfter = false;
  for (const { value, place: at } of list("single")) {
    if (isObject(value) && isObject(value.Sequence)) {
      isAfter = true;
      continue;
    }
    const name = isObject(value) && isObject(value.SpecialToken) ? value.SpecialToken.id : undefined;
    if (typeof name !== "string") throw wrong(at, '{ "Sequence": ... } or { "SpecialToken": ... }', value);
    const token = Object.hasOwn(special, name) ? special[name] : undefined;
    const ids = isObject(token) ? token.ids : undefined;
    if (!Array.isArray(ids) || !ids.every(isId))
      throw wrong(`${place}.special_tokens.${name}.ids`, "a list of ids", ids);
    (isAfter ? frame.after : frame.before).push(...(ids as number[]));
  }
  if (!isAfter)
    throw wrong(
      `${place}.single`,
      "a template with a Sequence",
      list("single").map(({ value }) => value),
    );
  return frame;
}
