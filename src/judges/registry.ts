// From a recipe entry to a judge: a name, { kind, ...options }, or { module } for a judge of the user's own.

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { camelCase, snakeCase } from "../base/case.js";
import { UserError } from "../base/errors.js";
import { within } from "../base/requests.js";
import { didYouMean } from "../base/suggest.js";
import { openThoughtIn, withoutThoughts } from "../base/thoughts.js";
import { limited } from "./applicability.js";
import { instructionsJudge } from "./instructions/instructions.js";
import type { JudgeContext, JudgeKind } from "./kind.js";
import { factuality, falseRefusal, safety, style, yesNo } from "./llm/judges.js";
import { createMixture, type Mixture, type MixtureMember, type MixtureOptions } from "./mixture.js";
import { code } from "./rules/code.js";
import { exact } from "./rules/exact.js";
import { format } from "./rules/format.js";
import { length } from "./rules/length.js";
import { math } from "./rules/math.js";
import { refusalRegex } from "./rules/refusal.js";
import { regex } from "./rules/regex.js";
import { errorMessage, type Judge, violated } from "./verdict.js";

/** Every kind that a recipe can name. */
export const judgeKinds: Record<string, JudgeKind> = {
  code,
  exact,
  factuality,
  false_refusal: falseRefusal,
  format,
  instructions: instructionsJudge,
  length,
  math,
  refusal_regex: refusalRegex,
  regex,
  safety,
  style,
  yes_no: yesNo,
};

const columnValue = z.union([z.string(), z.number(), z.boolean()]);

/** What every entry may say, whatever its kind. */
const commonOptions = {
  name: z.string().min(1).optional(),
  onFailed: z.enum(["drop", "violate", "stop"]).default("drop"),
  maxFailedRate: z.number().min(0).max(1).default(0.1),
  truncated: z.enum(["violated", "judge"]).optional(),
  stripThoughts: z.boolean().default(true),
  appliesTo: z.record(z.string(), z.union([columnValue, z.array(columnValue).min(1)])).optional(),
};

type CommonOptions = z.output<z.ZodObject<typeof commonOptions>>;

const moduleOptions = z.strictObject({
  ...commonOptions,
  module: z.string().min(1),
  export: z.string().min(1).default("default"),
  kind: z.enum(["rule", "llm"]).default("rule"),
  version: z.string().default("1"),
  /** For one answer; a judge that takes longer has failed. */
  timeoutSeconds: z.number().positive().default(60),
});

/** Checks the options of judge `label`, given in snake case; the first mistake becomes a UserError. */
function parseOptions<S extends z.ZodObject>(
  schema: S,
  options: Record<string, unknown>,
  label: string,
): z.output<S> {
  const entries = Object.entries(options).map(([key, value]) => [camelCase(key), value] as const);
  const result = schema.safeParse(Object.fromEntries(entries));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
    const key = snakeCase(issue.keys[0]!);
    const known = Object.keys(schema.shape).map(snakeCase);
    throw new UserError(`judge "${label}" has no option "${key}"${didYouMean(key, known)}`);
  }
  const path = issue.path
    .map((part, depth) => (depth === 0 ? snakeCase(String(part)) : String(part)))
    .join(".");
  throw new UserError(`judge "${label}"${path === "" ? "" : `, option "${path}"`}: ${issue.message}`);
}

function kindNamed(name: unknown): JudgeKind {
  const kind = typeof name === "string" && Object.hasOwn(judgeKinds, name) ? judgeKinds[name] : undefined;
  if (kind) return kind;
  const known = Object.keys(judgeKinds);
  throw new UserError(
    `there is no judge "${String(name)}"${didYouMean(String(name), known)}; there are ${known.join(", ")}, ` +
      "and { module: ./file.js } for your own",
  );
}

async function judgeFromModule(entry: Record<string, unknown>, { baseDir }: JudgeContext) {
  const options = parseOptions(moduleOptions, entry, String(entry.module));
  const path = resolve(baseDir, options.module);
  let exported: unknown;
  try {
    const loaded = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
    exported = loaded[options.export];
  } catch (error) {
    throw new UserError(`judge module ${path} cannot be loaded: ${errorMessage(error)}`);
  }
  if (typeof exported !== "function") {
    throw new UserError(`judge module ${path} has no function as its export "${options.export}"`);
  }
  const { name = options.module, version, kind, timeoutSeconds } = options;
  const ask = exported as Judge["judge"];
  const judge: Judge = {
    name,
    version,
    kind,
    isCostly: kind === "llm",
    applies: () => true,
    judge: (input, signal) => within(timeoutSeconds, () => ask(input, signal), signal),
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

/** The same judge, which sees the answer and not the thoughts before it. */
function withoutItsThoughts(judge: Judge): Judge {
  return {
    ...judge,
    judge: (input, signal) => {
      const answer = withoutThoughts(input.response, input.openThought ?? openThoughtIn(input.prompt));
      return judge.judge(
        answer === input.response ? input : { ...input, response: answer, whole: input.response },
        signal,
      );
    },
  };
}

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
  const kind = kindNamed(kindName);
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
