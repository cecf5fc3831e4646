// The formats in which data sets carry tests for Python programs: MBPP (a list of assertions), HumanEval (a check function
// and the name of the function it checks), APPS (inputs and outputs, or calls of a named function), and our own list.

import { z } from "zod";
import { fencedBlocks } from "../../base/fences.js";
import { isExactNumber, numberText, parseExact } from "../sandbox/exact-json.js";
import type { PythonProgram, PythonTest } from "../sandbox/python.js";
import type { JudgeInput } from "../verdict.js";

type Metadata = JudgeInput["metadata"];

const identifier = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/;

function asNumber(value: unknown): unknown {
  return isExactNumber(value) ? Number(numberText(value)) : value;
}

const callTest = z.strictObject({
  call: z.string().regex(identifier, "must be the name of a function"),
  args: z.array(z.unknown()).default([]),
  expected: z.unknown(),
  tolerance: z.preprocess(asNumber, z.number().min(0).default(0)),
});

const stdinTest = z.strictObject({ stdin: z.string(), stdout: z.string() });

const ownTests = z.array(z.union([z.string().min(1), callTest, stdinTest])).min(1);

const statements = z.array(z.string().min(1)).min(1);

const lines = z.union([
  z.string(),
  z
    .array(z.unknown())
    .transform((parts) => parts.map((part) => (isExactNumber(part) ? numberText(part) : part)).join("\n")),
]);

const scripts = z.looseObject({ inputs: z.array(lines).min(1), outputs: z.array(lines) });

const calls = z.looseObject({
  fn_name: z.string().regex(identifier, "must be the name of a function"),
  inputs: z.array(z.array(z.unknown())).min(1),
  outputs: z.array(z.unknown()),
});

/** The value of a column, or of the JSON text in it, with its numbers as they are written. */
function parseColumn<S extends z.ZodType>(schema: S, metadata: Metadata, key: string): z.output<S> {
  const column = metadata[key];
  const result = schema.safeParse(typeof column === "string" ? parseExact(column) : column);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new Error(`metadata "${[key, ...path].join(".")}" holds no tests: ${message}`);
}

function sameLength(inputs: readonly unknown[], outputs: readonly unknown[]): void {
  if (inputs.length === outputs.length) return;
  throw new Error(`metadata "input_output" has ${inputs.length} inputs for ${outputs.length} outputs`);
}

function fromApps(metadata: Metadata): PythonTest[] {
  const value = parseColumn(z.record(z.string(), z.unknown()), metadata, "input_output");
  if (value.fn_name === undefined || value.fn_name === null) {
    const { inputs, outputs } = parseColumn(scripts, { input_output: value }, "input_output");
    sameLength(inputs, outputs);
    return inputs.map((stdin, i) => ({ stdin, stdout: outputs[i]! }));
  }
  const { fn_name: call, inputs, outputs } = parseColumn(calls, { input_output: value }, "input_output");
  sameLength(inputs, outputs);
  return inputs.map((args, i) => ({ call, args, expected: outputs[i], tolerance: 1e-6, wrapped: true }));
}

const text = (value: unknown) => (typeof value === "string" ? value : "");

/** What stands before the function in HumanEval's prompt: imports and helpers. */
function stubBefore(stub: string, name: string): string {
  const start = stub.search(definitionOf(name));
  return start < 0 ? "" : stub.slice(0, start);
}

const definitionOf = (name: string) => new RegExp(`^(?:async )?def ${name}\\b`, "m");

/** The program with what the prompt has before it, which a response may leave out. */
function completed(source: string, stub: string, name: string): string {
  if (stub.search(definitionOf(name)) < 0) return source;
  return definitionOf(name).test(source) ? `${stubBefore(stub, name)}\n${source}` : `${stub}\n${source}`;
}

const looksLikePython = /^\s*(?:from|import|def|class|async|@|#|"""|'''|[A-Za-z_]\w*\s*=)/;

/** The beginning of a program in the prompt: all of it, or a fenced block that defines the function. */
function stubIn({ prompt, metadata }: JudgeInput, name: string): string {
  const candidate = typeof metadata.prompt === "string" ? metadata.prompt : prompt;
  if (typeof candidate !== "string") return "";
  if (looksLikePython.test(candidate) && definitionOf(name).test(candidate)) return candidate;
  const block = fencedBlocks(candidate).find(({ body }) => definitionOf(name).test(body));
  return block?.body ?? "";
}

/** Columns in which data sets carry a program that is right, by descending trust. */
const referenceColumns = ["reference_solution", "solution", "code", "reference"];

/** The row's own program: it says whether a test is broken. */
function referenceIn(metadata: Metadata): string | undefined {
  const { canonical_solution: canonical, prompt, solutions } = metadata;
  if (typeof canonical === "string") return typeof prompt === "string" ? prompt + canonical : canonical;
  if (solutions !== undefined && solutions !== null) {
    const [first] = Array.isArray(solutions) ? solutions : tryParse(solutions);
    if (typeof first === "string") return first;
  }
  const column = referenceColumns.map((key) => metadata[key]).find((value) => typeof value === "string");
  if (typeof column !== "string") return undefined;
  return fencedBlocks(column)[0]?.body ?? column;
}

function tryParse(text: unknown): unknown[] {
  try {
    const value: unknown = JSON.parse(String(text));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

/** Whether the prompt's metadata has tests in one of the formats. */
export const hasPythonTests = (metadata: Metadata, testsKey: string) =>
  [testsKey, "test_list", "test", "input_output"].some((key) => (metadata[key] ?? undefined) !== undefined);

/** The program to run for `source`, the code in the response. */
export function pythonProgram(source: string, input: JudgeInput, testsKey: string): PythonProgram {
  const { metadata, prompt } = input;
  const common = {
    source,
    prompt: [prompt, metadata.prompt, metadata.text].filter((part) => typeof part === "string").join("\n"),
    reference: referenceIn(metadata),
    allowsObjects: metadata.objects === "allow",
  };
  const has = (key: string) => (metadata[key] ?? undefined) !== undefined;
  if (has(testsKey)) {
    const tests = parseColumn(ownTests, metadata, testsKey);
    return {
      ...common,
      setup: "",
      tests: tests.map((test) => (isCall(test) ? { ...test, wrapped: false } : test)),
    };
  }
  if (has("test_list")) {
    const imports = has("test_imports") ? parseColumn(z.array(z.string()), metadata, "test_imports") : [];
    const setup = [...imports, text(metadata.test_setup_code)].join("\n");
    return { ...common, setup, tests: parseColumn(statements, metadata, "test_list") };
  }
  if (has("test")) {
    const name = text(metadata.entry_point);
    if (!identifier.test(name))
      throw new Error('metadata "entry_point" does not name the function that "test" checks');
    const stub = stubIn(input, name);
    return {
      ...common,
      source: completed(source, stub, name),
      helpers: stubBefore(stub, name),
      entry: name,
      setup: text(metadata.test),
      tests: [`check(${name})`],
    };
  }
  return { ...common, setup: "", tests: fromApps(metadata) };
}

const isCall = (test: z.output<typeof ownTests>[number]): test is z.output<typeof callTest> =>
  typeof test === "object" && "call" in test;
