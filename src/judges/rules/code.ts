// Unit tests for the JavaScript, TypeScript or Python program in the response (CGPO, appendix B.1: take the fenced code
// block, run all unit tests; any failure, or no block to run, is a violation). See ../sandbox for what runs it.

import { z } from "zod";
import { type FencedBlock, fencedBlocks } from "../../base/fences.js";
import { hasColumn, judgeKind } from "../kind.js";
import type { UnitTest } from "../sandbox/javascript.js";
import type { Limits, ProgramResult } from "../sandbox/limits.js";
import { pythonPool, sandboxPool } from "../sandbox/pool.js";
import { type JudgeInput, satisfied, violated } from "../verdict.js";
import { hasPythonTests, pythonProgram } from "./python-tests.js";

/** What the label of a fenced block may be (a language with or without its version, or a file) and what programs look like. */
const languages = {
  javascript: {
    label:
      /^(?:js|javascript|jsx|mjs|cjs|es\d*|ecmascript|ts|typescript|tsx|mts|cts|node(?:js)?|(?:.*[/\\])?[^/\\]+\.[mc]?[jt]sx?)$/,
    looks:
      /\bfunction\b|=>|^\s*(?:class|const|let|var|async|export|import)\s|\bmodule\.exports\b|\bconsole\./m,
  },
  python: {
    label: /^(?:i?py(?:thon)?[\d.]*|(?:.*[/\\])?[^/\\]+\.py[3w]?)$/,
    looks: /^\s*(?:(?:async )?def |class |import |from [\w.]+ import |[A-Za-z_]\w* *=(?!=)|print\(|@\w)/m,
  },
};

type Language = keyof typeof languages;

const name = "[A-Za-z_$][\\w$]*";

const unitTests = z
  .array(
    z.union([
      z.string().min(1),
      z.strictObject({
        call: z.string().regex(new RegExp(`^${name}(\\.${name})*$`), "must be the name of a function"),
        args: z.array(z.unknown()).default([]),
        expected: z.unknown(),
        tolerance: z.number().min(0).default(0),
      }),
    ]),
  )
  .min(1);

/** The unit tests in a metadata column: a list, or the JSON text of one. */
function parseTests(column: unknown, key: string): UnitTest[] {
  const result = unitTests.safeParse(typeof column === "string" ? JSON.parse(column) : column);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new Error(`metadata "${[key, ...path].join(".")}" is not a list of unit tests: ${message}`);
}

/** The first part of a label: "python:main.py" and "python/main.py" say the language first. */
const labelled = ({ language }: FencedBlock, pattern: RegExp) =>
  pattern.test(language) || pattern.test(/^[\w+#]*/.exec(language)![0]);

/**
 * The program that the response offers, or undefined. Blocks without a label count where none carries the language's:
 * those that look like a program, if any does.
 */
export function programIn(
  response: string,
  block: "first" | "last" | "all",
  language: Language,
): string | undefined {
  const found = fencedBlocks(response);
  const { label, looks } = languages[language];
  const named = found.filter((one) => labelled(one, label));
  const bare = found.filter((one) => one.language === "");
  const likely = bare.filter(({ body }) => looks.test(body));
  const blocks = [named, likely, bare].find((list) => list.length > 0) ?? [];
  if (block === "all") return blocks.length > 0 ? blocks.map(({ body }) => body).join("\n") : undefined;
  return blocks.at(block === "first" ? 0 : -1)?.body;
}

interface Runner {
  applies(metadata: JudgeInput["metadata"], testsKey: string): boolean;
  run(
    source: string,
    input: JudgeInput,
    testsKey: string,
    limits: Limits,
    signal?: AbortSignal,
  ): Promise<ProgramResult>;
}

const runners: Record<Language, Runner> = {
  javascript: {
    applies: (metadata, testsKey) => hasColumn(testsKey)(metadata),
    run: (source, { prompt, metadata }, testsKey, limits, signal) => {
      const tests = parseTests(metadata[testsKey], testsKey);
      const asked = typeof prompt === "string" ? prompt : JSON.stringify(prompt);
      const trustsObjects = metadata.objects === "allow";
      return sandboxPool.run({ source, tests, prompt: asked, trustsObjects }, limits, signal);
    },
  },
  python: {
    applies: hasPythonTests,
    run: (source, input, testsKey, limits, signal) =>
      pythonPool.run(pythonProgram(source, input, testsKey), limits, signal),
  },
};

/** Some seconds of a loop without end; a function that is called for each of 100,000 integers stays within it. */
const defaultFuel: Record<Language, number> = { javascript: 5_000, python: 15_000 };

export const code = judgeKind({
  version: "4",
  kind: "rule",
  isCostly: true,
  truncated: "violated",
  options: z.strictObject({
    language: z.enum(["javascript", "python"]).default("javascript"),
    testsKey: z.string().default("unit_tests"),
    /** Whether tests may do as they like with objects of the program's classes; a row says it by its column `objects`. */
    objects: z.enum(["plain", "allow"]).default("plain"),
    /** Which of several fenced blocks is the program; `all` joins them. */
    block: z.enum(["first", "last", "all"]).default("first"),
    fuel: z.number().int().positive().optional(),
    memoryMb: z.number().positive().max(1024).default(64),
    outputChars: z.number().int().positive().default(100_000),
    seconds: z.number().positive().default(5),
  }),
  create: ({ language, testsKey, block, objects, fuel = defaultFuel[language], ...more }) => ({
    applies: (metadata) => runners[language].applies(metadata, testsKey),
    async judge(input, signal) {
      const source = programIn(input.response, block, language);
      if (source === undefined) {
        return violated(
          `the response has no fenced block of ${language === "python" ? "Python" : "JavaScript"}`,
        );
      }
      const row = objects === "allow" ? { ...input, metadata: { objects, ...input.metadata } } : input;
      const result = await runners[language].run(source, row, testsKey, { fuel, ...more }, signal);
      const { passed, reason, passes, total } = result;
      const evidence = { passed: passes, total };
      return passed ? satisfied(`all ${total} unit tests pass`, evidence) : violated(reason, evidence);
    },
  }),
});
