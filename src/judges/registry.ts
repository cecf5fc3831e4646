// From a recipe entry to a judge: a name, { kind, ...options }, or { module } for a judge of the user's own. What a judge
// needs is loaded when it is made, so that importing this costs little.

import { resolve } from "node:path";
import { UserError } from "../base/errors.js";
import { didYouMean } from "../base/suggest.js";
import { openThoughtIn, withoutThoughts } from "../base/thoughts.js";
import { openUserModule } from "../base/user-module.js";
import { promptText } from "../data/rows.js";
import { limited } from "./applicability.js";
import type { JudgeContext, JudgeKind } from "./kind.js";
import { createMixture, type Mixture, type MixtureMember, type MixtureOptions } from "./mixture.js";
import type { CommonOptions } from "./options.js";
import { type Judge, type JudgeInput, type Verdict, violated } from "./verdict.js";

/** Every kind that a recipe can name; its module is loaded when a judge of it is made. */
export const judgeKinds: Record<string, () => Promise<JudgeKind>> = {
  code: async () => (await import("./rules/code.js")).code,
  exact: async () => (await import("./rules/exact.js")).exact,
  factuality: async () => (await import("./llm/judges.js")).factuality,
  false_refusal: async () => (await import("./llm/judges.js")).falseRefusal,
  format: async () => (await import("./rules/format.js")).format,
  instructions: async () => (await import("./instructions/instructions.js")).instructionsJudge,
  length: async () => (await import("./rules/length.js")).length,
  math: async () => (await import("./rules/math.js")).math,
  refusal_regex: async () => (await import("./rules/refusal.js")).refusalRegex,
  regex: async () => (await import("./rules/regex.js")).regex,
  safety: async () => (await import("./llm/judges.js")).safety,
  style: async () => (await import("./llm/judges.js")).style,
  yes_no: async () => (await import("./llm/judges.js")).yesNo,
};

function kindNamed(name: unknown): Promise<JudgeKind> {
  const load = typeof name === "string" && Object.hasOwn(judgeKinds, name) ? judgeKinds[name] : undefined;
  if (load) return load();
  const known = Object.keys(judgeKinds);
  throw new UserError(
    `there is no judge "${String(name)}"${didYouMean(String(name), known)}; there are ${known.join(", ")}, ` +
      "and { module: ./file.js } for your own",
  );
}

async function judgeFromModule(entry: Record<string, unknown>, { baseDir }: JudgeContext) {
  const { moduleOptions, parseOptions } = await import("./options.js");
  const options = parseOptions(moduleOptions, entry, String(entry.module));
  const { name = options.module, version, kind, timeoutSeconds } = options;
  const module = await openUserModule({
    path: resolve(baseDir, options.module),
    export: options.export,
    timeoutSeconds,
    what: "judge module",
  });
  const judge: Judge = {
    name,
    version,
    kind,
    isCostly: kind === "llm",
    applies: () => true,
    // Whatever it gives is checked by who asks (verdictFrom).
    judge: (input, signal) =>
      module.call({ ...input, promptText: promptText(input.prompt) }, signal) as Promise<Verdict>,
  };
  return { judge, options };
}

/** The same judge, for which a response without an end is a violation. */
function violatedWhenTruncated(judge: Judge): Judge {
  return {
    ...judge,
    judge: (input, signal) =>
      input.truncated
        ? violated("the response was cut at the token limit before it ended")
        : judge.judge(input, signal),
  };
}

/** The last response that was read without its thoughts: the judges of a mixture ask for the same one in turn. */
let last: { response: string; openThought: string | undefined; answer: string } | undefined;

/** The input with the answer in the place of the response. */
function answerOf(input: JudgeInput): JudgeInput {
  const { response } = input;
  const openThought = input.openThought ?? openThoughtIn(input.prompt);
  if (last?.response !== response || last.openThought !== openThought) {
    last = { response, openThought, answer: withoutThoughts(response, openThought) };
  }
  const { answer } = last;
  return answer === response ? input : { ...input, response: answer, whole: response };
}

/** The same judge, which sees the answer and not the thoughts before it. */
const withoutItsThoughts = (judge: Judge): Judge => ({
  ...judge,
  judge: (input, signal) => judge.judge(answerOf(input), signal),
});

/** A judge with what its entry says for every kind. */
function memberOf(
  judge: Judge,
  options: CommonOptions,
  truncatedByKind: JudgeKind["truncated"],
): MixtureMember {
  const { onFailed, maxFailedRate, truncated = truncatedByKind, stripThoughts, appliesTo } = options;
  const reader = stripThoughts ? withoutItsThoughts(judge) : judge;
  return {
    judge: limited(truncated === "violated" ? violatedWhenTruncated(reader) : reader, appliesTo),
    onFailed,
    maxFailedRate,
  };
}

/** The judge that a recipe entry describes, with its policy for failures. */
export async function createMember(
  entry: string | Readonly<Record<string, unknown>>,
  context: JudgeContext,
): Promise<MixtureMember> {
  const fields: Record<string, unknown> = typeof entry === "string" ? { kind: entry } : entry;
  if (fields.module !== undefined) {
    const { judge, options } = await judgeFromModule(fields, context);
    return memberOf(judge, options, "judge");
  }
  const { kind: kindName, ...given } = fields;
  const kind = await kindNamed(kindName);
  const { commonOptions, parseOptions } = await import("./options.js");
  const label = String(given.name ?? kindName);
  const options = parseOptions(kind.options.extend(commonOptions), given, label);
  const judge: Judge = {
    name: label,
    version: kind.version,
    kind: kind.kind,
    isCostly: kind.isCostly ?? false,
    ...(await kind.create(options, context)),
  };
  return memberOf(judge, options as CommonOptions, kind.truncated);
}

/** The mixture that a task's `judges:` list describes. */
export async function mixtureFrom(
  entries: readonly (string | Readonly<Record<string, unknown>>)[],
  context: JudgeContext,
  options: MixtureOptions = {},
): Promise<Mixture> {
  const members: MixtureMember[] = [];
  for (const entry of entries) members.push(await createMember(entry, context));
  return createMixture(members, options);
}
