// Verifiable instructions (CGPO's precise instruction following judge: string matching, every listed rule must hold).

import { z } from "zod";
import { judgeKind } from "../kind.js";
import { type JudgeInput, satisfied, violated } from "../verdict.js";
import { type Instruction, instructions } from "./checks.js";

interface Requirement {
  id: string;
  args: Record<string, unknown>;
}

/** The value of a metadata column, or of the JSON text in it. */
const parsed = (column: unknown) => (typeof column === "string" ? JSON.parse(column) : column);

/** IFEval's rows name every argument of any instruction and leave those of others null. */
const withoutNulls = (args: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null && value !== undefined));

function issueIn(error: z.ZodError, key: string): Error {
  const { path, message } = error.issues[0]!;
  return new Error(`metadata "${[key, ...path].join(".")}": ${message}`);
}

const argumentsOf = z.record(z.string(), z.unknown());
const idList = z.array(z.string()).min(1);
const argumentsList = z.array(argumentsOf.nullable());
const requirementList = z
  .array(z.union([z.string(), z.looseObject({ id: z.string() })]))
  .min(1, "there is no requirement in it");

function parseColumn<S extends z.ZodType>(schema: S, column: unknown, key: string): z.output<S> {
  const result = schema.safeParse(parsed(column));
  if (result.success) return result.data;
  throw issueIn(result.error, key);
}

/** IFEval's two columns: a list of ids, and the arguments of each. */
function fromIfeval(ids: unknown, args: unknown, idsKey: string, argsKey: string): Requirement[] {
  const names = parseColumn(idList, ids, idsKey);
  const given = parseColumn(argumentsList, args ?? names.map(() => ({})), argsKey);
  if (given.length !== names.length) {
    throw new Error(`metadata "${argsKey}" has ${given.length} entries for ${names.length} instructions`);
  }
  return names.map((id, i) => ({ id, args: given[i] ?? {} }));
}

/** One column: a list of ids, or of `{ id, ...arguments }`. */
function fromRequirements(column: unknown, key: string): Requirement[] {
  return parseColumn(requirementList, column, key).map((entry) => {
    if (typeof entry === "string") return { id: entry, args: {} };
    const { id, ...args } = entry;
    return { id, args };
  });
}

/** The response, and what is left of it without its first line, its last line, both, and without asterisks. */
function looseVariants(response: string): string[] {
  const lines = response.split("\n");
  const variants = [lines, lines.slice(1), lines.slice(0, -1), lines.slice(1, -1)].map((kept, i) =>
    i === 0 ? response : kept.join("\n").trim(),
  );
  return [...new Set(variants.flatMap((variant) => [variant, variant.replaceAll("*", "")]))];
}

/** What is wrong with the response, or undefined when one of its readings follows the instruction. */
async function problemWith(
  { check }: Instruction,
  args: Record<string, unknown>,
  readings: readonly string[],
): Promise<string | undefined> {
  let first: string | undefined;
  for (const reading of readings) {
    const problem = reading.trim() === "" ? "it is empty" : await check(reading, args);
    if (problem === undefined) return undefined;
    first ??= problem;
  }
  return first;
}

function instructionNamed(id: string): Instruction {
  const found = Object.hasOwn(instructions, id) ? instructions[id] : undefined;
  if (found) return found;
  throw new Error(`there is no instruction "${id}"; there are ${Object.keys(instructions).join(", ")}`);
}

/** For each requirement in turn what is wrong, or undefined. Throws when a requirement itself is. */
export async function followedBy(
  response: string,
  requirements: readonly Requirement[],
  mode: "strict" | "loose",
): Promise<(string | undefined)[]> {
  const prepared = requirements.map(({ id, args }) => {
    const found = instructionNamed(id);
    const result = found.arguments.safeParse(withoutNulls(args));
    if (!result.success) throw issueIn(result.error, id);
    return { found, args: result.data };
  });
  const readings = mode === "strict" ? [response] : looseVariants(response);
  return Promise.all(prepared.map(({ found, args }) => problemWith(found, args, readings)));
}

/** No response that follows instructions is longer. */
const maxCharacters = 400_000;

export const instructionsJudge = judgeKind({
  version: "2",
  kind: "rule",
  truncated: "violated",
  options: z.strictObject({
    mode: z.enum(["strict", "loose"]).default("strict"),
    idsKey: z.string().default("instruction_id_list"),
    argumentsKey: z.string().default("kwargs"),
    requirementsKey: z.string().default("if_requirements"),
  }),
  create({ mode, idsKey, argumentsKey, requirementsKey }) {
    const requirementsOf = (metadata: JudgeInput["metadata"]) =>
      (metadata[idsKey] ?? undefined) === undefined
        ? fromRequirements(metadata[requirementsKey], requirementsKey)
        : fromIfeval(metadata[idsKey], metadata[argumentsKey], idsKey, argumentsKey);
    return {
      applies: (metadata) => (metadata[idsKey] ?? metadata[requirementsKey] ?? undefined) !== undefined,
      async judge({ response, metadata }) {
        const requirements = requirementsOf(metadata);
        if (response.length > maxCharacters)
          return violated(
            `it has ${response.length} characters, more than the ${maxCharacters} that are read`,
          );
        const problems = await followedBy(response, requirements, mode);
        const evidence = requirements.map(({ id }, i) => ({ id, problem: problems[i] ?? null }));
        const broken = problems.findIndex((problem) => problem !== undefined);
        if (broken < 0) return satisfied(`it follows all ${requirements.length} instructions`, evidence);
        return violated(`${requirements[broken]!.id}: ${problems[broken]}`, evidence);
      },
    };
  },
});
