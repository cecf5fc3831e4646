// How many verdicts a second the rule judges give, and how many untrusted programs a second the sandbox runs.

import { createMember } from "../src/judges/registry.js";
import { type JudgeInput, type Verdict, verdictFrom } from "../src/judges/verdict.js";

export interface JudgeResult {
  judge: string;
  /** Samples judged at the same time. */
  concurrency: number;
  verdicts_per_second: number;
  /** Processor time of a verdict, the sandbox's threads included, ms. */
  cpu_ms: number;
  /** Of the first verdict, which loads and compiles what the judge needs, ms. */
  first_ms: number;
}

interface JudgeCase {
  judge: string | Record<string, unknown>;
  response: string;
  metadata?: Record<string, unknown>;
  expected: Verdict["verdict"];
  concurrency?: number;
}

const paragraph =
  "The miller carried seven sacks to the river and counted them twice before the boat left. " +
  "Each sack weighs 25 kg, so together they weigh 175 kg, which is more than the boat can take. ";
const essay = paragraph.repeat(8);
const program = [
  "Here is the function:",
  "```js",
  "function sorted(list) { return [...list].sort((a, b) => a - b); }",
  "```",
].join("\n");
const unitTests = [
  "assert.deepEqual(sorted([3, 1, 2]), [1, 2, 3])",
  "assert.deepEqual(sorted([]), [])",
  { call: "sorted", args: [[10, 9]], expected: [9, 10] },
];
const pythonProgram = "```python\ndef ordered(numbers):\n    return sorted(numbers)\n```";
const pythonTests = [
  "assert ordered([3, 1, 2]) == [1, 2, 3]",
  "assert ordered([]) == []",
  { call: "ordered", args: [[10, 9]], expected: [9, 10] },
];
const endless = "```js\nfunction sorted() { for (;;); }\n```";

const cases: readonly JudgeCase[] = [
  { judge: "exact", response: "Paris", metadata: { answer: "paris" }, expected: "violated" },
  { judge: { kind: "regex", must_match: "\\b175 kg\\b" }, response: essay, expected: "satisfied" },
  { judge: { kind: "length", max_words: 400 }, response: essay, expected: "satisfied" },
  { judge: { kind: "format", tags: ["think", "answer"] }, response: essay, expected: "violated" },
  { judge: "refusal_regex", response: essay, expected: "satisfied" },
  {
    judge: "math",
    response: `${essay}The final answer is \\frac{350}{2}.`,
    metadata: { answer: "#### 175" },
    expected: "satisfied",
  },
  {
    judge: "instructions",
    response: essay,
    metadata: {
      instruction_id_list: [
        "length_constraints:number_words",
        "length_constraints:number_sentences",
        "keywords:existence",
        "keywords:forbidden_words",
        "language:response_language",
      ],
      kwargs: [
        { relation: "at least", num_words: 200 },
        { relation: "at least", num_sentences: 10 },
        { keywords: ["miller", "boat"] },
        { forbidden_words: ["wagon"] },
        { language: "en" },
      ],
    },
    expected: "satisfied",
  },
  { judge: "code", response: program, metadata: { unit_tests: unitTests }, expected: "satisfied" },
  {
    judge: "code",
    response: program,
    metadata: { unit_tests: unitTests },
    expected: "satisfied",
    concurrency: 8,
  },
  {
    judge: { kind: "code", name: "code, Python", language: "python" },
    response: pythonProgram,
    metadata: { unit_tests: pythonTests },
    expected: "satisfied",
  },
  {
    judge: { kind: "code", name: "code, endless loop", fuel: 200 },
    response: endless,
    metadata: { unit_tests: unitTests },
    expected: "violated",
  },
];

/** Runs every case for `seconds`. A judge that gives another verdict than expected ends the benchmark. */
export async function benchJudges(seconds: number, onResult: (result: JudgeResult) => void): Promise<void> {
  for (const { judge: entry, response, metadata = {}, expected, concurrency = 1 } of cases) {
    const { judge } = await createMember(entry, { baseDir: "." });
    const input: JudgeInput = { prompt: "", response, truncated: false, metadata };
    const once = async () => {
      const verdict = await verdictFrom(judge, input);
      if (verdict?.verdict !== expected)
        throw new Error(
          `judge ${judge.name}: ${verdict?.verdict ?? "inapplicable"} (${verdict?.reason}), not ${expected}`,
        );
    };
    const start = performance.now();
    await once();
    const firstMs = performance.now() - start;
    const measured = await measure(once, concurrency, seconds);
    onResult({ judge: judge.name, concurrency, ...measured, first_ms: firstMs });
  }
}

/** `concurrency` loops of `once` side by side until the time is up. */
async function measure(
  once: () => Promise<void>,
  concurrency: number,
  seconds: number,
): Promise<Pick<JudgeResult, "verdicts_per_second" | "cpu_ms">> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const end = start + 1000 * seconds;
  let count = 0;
  const loop = async () => {
    do {
      await once();
      count++;
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  const { user, system } = process.cpuUsage(cpu);
  return {
    verdicts_per_second: (1000 * count) / (performance.now() - start),
    cpu_ms: (user + system) / 1000 / count,
  };
}
