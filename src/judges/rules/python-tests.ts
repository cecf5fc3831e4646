// The formats in which data sets carry tests for Python programs: MBPP (a list of assertions), HumanEval (a check function
// and the name of the function it checks), APPS (inputs and outputs, or calls of a named function), and our own list.

import { z } from "zod";
import type { PythonProgram, PythonTest } from "../sandbox/python.js";
import type { JudgeInput } from "../verdict.js";

type Metadata = JudgeInput["metadata"];

const identifier = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/;

const callTest = z.strictObject({
  call: z.string().regex(identifier, "must be the name of a function"),
  args: z.array(z.unknown()).default([]),
  expected: z.unknown(),
  tolerance: z.number().min(0).default(0),
});

const stdinTest = z.strictObject({ stdin: z.string(), stdout: z.string() });

const ownTests = z.array(z.union([z.string().min(1), callTest, stdinTest])).min(1);

const statements = z.array(z.string().min(1)).min(1);

const lines = z.union([z.string(), z.array(z.unknown()).transform((parts) => parts.join("\n"))]);

const scripts = z.looseObject({ inputs: z.array(lines).min(1), outputs: z.array(lines) });

const calls = z.looseObject({
  fn_name: z.string().regex(identifier, "must be the name of a function"),
  inputs: z.array(z.array(z.unknown())).min(1),
  outputs: z.array(z.unknown()),
});

/** The value of a column, or of the JSON text in it. */
function parseColumn<S extends z.ZodType>(schema: S, metadata: Metadata, key: string): z.output<S> {
  const column = metadata[key];
  const result = schema.safeParse(typeof column === "string" ? JSON.parse(column) : column);
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

/** What stands before the function in HumanEval's prompt: imports and helpers that a response may leave out. */
function completed(source: string, stub: string, name: string): string {
  const definition = new RegExp(`^(?:async )?def ${name}\\b`, "m");
  const start = stub.search(definition);
  if (start < 0) return source;
  return definition.test(source) ? `${stub.slice(0, start)}\n${source}` : `${stub}\n${source}`;
}

/** The prompt, where it is nothing but Python. */
function stubIn({ prompt, metadata }: JudgeInput): string {
  const candidate = typeof metadata.prompt === "string" ? metadata.prompt : prompt;
  return typeof candidate === "string" && /^\s*(?:from|import|def|class|@|#|"""|''')/.test(candidate)
    ? candidate
    : "";
}

/** Whether the prompt's metadata has tests in one of the formats. */
export const hasPythonTests = (metadata: Metadata, testsKey: string) =>
  [testsKey, "test_list", "test", "input_output"].some((key) => (metadata[key] ?? undefined) !== undefined);

/** The program to run for `source`, the code in the response. */
export function pythonProgram(source: string, input: JudgeInput, testsKey: string): PythonProgram {
  const { metadata } = input;
  const has = (key: string) => (metadata[key] ?? undefined) !== undefined;
  if (has(testsKey)) {
    const tests = parseColumn(ownTests, metadata, testsKey);
    return {
      source,
      setup: "",
      tests: tests.map((test) => (isCall(test) ? { ...test, wrapped: false } : test)),
    };
  }
  if (has("test_list")) {
    const imports = has("test_imports") ? parseColumn(z.array(z.string()), metadata, "test_imports") : [];
    const setup = [...imports, text(metadata.test_setup_code)].join("\n");
    return { source, setup, tests: parseColumn(statements, metadata, "test_list") };
  }
  if (has("test")) {
    const name = text(metadata.entry_point);
    if (!identifier.test(name))
      throw new Error('metadata "entry_point" does not name the function that "test" checks');
    return {
      source: completed(source, stubIn(input), name),
      setup: text(metadata.test),
      tests: [`check(${name})`],
    };
  }
  return { source, setup: "", tests: fromApps(metadata) };
}

const isCall = (test: z.output<typeof ownTests>[number]): test is z.output<typeof callTest> =>
  typeof test === "object" && "call" in test;
