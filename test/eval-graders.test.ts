// The benchmarks' formats and graders: against lm-eval on the same answers (test/oracle/eval_lmeval.py and
// eval_lmeval_math_code.py), and on samples of our own in each published format.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Benchmark, GenerativeBenchmark, GradeContext, Item } from "../src/eval/benchmark.js";
import { readItem, recognises } from "../src/eval/benchmark.js";
import { arc } from "../src/eval/benchmarks/arc.js";
import { gsm8k } from "../src/eval/benchmarks/gsm8k.js";
import { benchmarkOf, benchmarks } from "../src/eval/benchmarks/index.js";
import { finalAnswer, math } from "../src/eval/benchmarks/math.js";
import { normalised, triviaqa } from "../src/eval/benchmarks/triviaqa.js";
import { choiceLogprobs } from "../src/eval/choices.js";
import { cutAtStop } from "../src/eval/prompts.js";
import { builtInShots } from "../src/eval/shots.js";
import { loadTask } from "../src/eval/task.js";
import { refusalIn } from "../src/judges/rules/refusal.js";
import { openPolicy } from "../src/train/models.js";

const FIXTURES = join(import.meta.dirname, "fixtures", "eval");

interface Oracle {
  gsm8k: { response: string; answer: string; "strict-match": number; "flexible-extract": number }[];
  triviaqa: { response: string; aliases: string[]; exact_match: number }[];
  arc: { logprobs: number[]; texts: string[]; gold: number; acc: number; acc_norm: number }[];
  choice_logprobs: number[][];
}

const read = (name: string) => JSON.parse(readFileSync(join(FIXTURES, name), "utf8"));

const oracle: Oracle = read("lmeval.json");

const mathGraders = ["minerva", "math_verify", "hendrycks"] as const;

type MathCase = Record<(typeof mathGraders)[number], number> & {
  name: string;
  response: string;
  solution: string;
  right?: boolean;
};

const mathCases: MathCase[] = read("lmeval-math.json").cases;

interface CodeCase {
  name: string;
  benchmark: "humaneval" | "mbpp";
  task: string;
  isChat: boolean;
  reply: string;
  passed: number;
}

const code: { tasks: Record<string, Item["values"]>; cases: CodeCase[] } = read("lmeval-code.json");

/** The answers on which we differ from each grader of lm-eval, by the reason why. */
const differences: Record<string, Record<string, string[]>> = read("lmeval-differences.json");

/** The names of the answers that are judged otherwise by us are exactly those that have a reason. */
function expectDifferences(grader: string, names: readonly string[]): void {
  expect(names.toSorted()).toEqual(Object.values(differences[grader]!).flat().toSorted());
}

/** Milliseconds: starting the Python sandbox takes long where other work has the processors. */
const pythonStart = 600_000;

const context: GradeContext = { refuses: async (response) => refusalIn(response, 300) !== undefined };

const text = (answer: string, isChat = false) => ({ text: answer, isChat, truncated: false });

const file = (name: string) => join(FIXTURES, `${name}.jsonl`);

describe("against lm-eval on the same answers", () => {
  it("gsm8k: strict-match and flexible-extract", () => {
    expect(oracle.gsm8k.length).toBeGreaterThan(400);
    for (const { response, answer, ...expected } of oracle.gsm8k) {
      const scores = gsm8k.grade({ question: "?", answer }, text(response), context);
      expect(scores, JSON.stringify({ response, answer })).toEqual({
        strict_match: expected["strict-match"],
        flexible_extract: expected["flexible-extract"],
      });
    }
    const strict = oracle.gsm8k.filter((row) => row["strict-match"] === 1).length;
    expect(strict).toBeGreaterThan(20);
  });

  it("triviaqa: exact_match", () => {
    for (const { response, aliases, exact_match } of oracle.triviaqa) {
      const scores = triviaqa.grade({ question: "?", answer: { aliases } }, text(response), context);
      expect(scores, response).toMatchObject({ exact_match });
    }
    expect(new Set(oracle.triviaqa.map(({ exact_match }) => exact_match)).size).toBe(2);
  });

  it("arc: acc and acc_norm", () => {
    for (const { logprobs, texts, gold, acc, acc_norm } of oracle.arc)
      expect(arc.grade({ question: "?", texts, answer: gold }, logprobs)).toEqual({ acc, acc_norm });
    expect(oracle.arc.some(({ acc, acc_norm }) => acc !== acc_norm)).toBe(true);
  });

  it("math: minerva_math and hendrycks_math, but for the differences that have a reason", async () => {
    const graded = await Promise.all(
      mathCases.map(async (row) => {
        const item = { problem: "?", solution: row.solution };
        const { accuracy } = await math.grade(item, text(row.response), context);
        return { ...row, accuracy };
      }),
    );
    for (const { name, right, accuracy } of graded)
      if (right !== undefined) expect(accuracy === 1, name).toBe(right);
    for (const grader of mathGraders) {
      const differing = graded.filter((row) => row.accuracy !== row[grader]);
      expectDifferences(
        grader,
        differing.map(({ name }) => name),
      );
    }
    expect(graded.length).toBeGreaterThan(600);
  });

  it(
    "humaneval and mbpp: pass@1, but for the differences that have a reason",
    async () => {
      const differing: string[] = [];
      for (const { name, benchmark, task, isChat, reply, passed } of code.cases) {
        const { grade, stop } = benchmarks[benchmark] as GenerativeBenchmark<unknown>;
        const answer = isChat ? reply : cutAtStop(reply, stop);
        const scores = await grade(code.tasks[task], text(answer, isChat), context);
        if (scores["pass@1"] !== passed) differing.push(name);
      }
      expectDifferences("code", differing);
      expect(code.cases.length).toBeGreaterThan(100);
    },
    pythonStart,
  );

  it("the log-probabilities of choices, tokenised as lm-eval does", async () => {
    const { items } = await loadTask(file("arc"));
    const opened = await openPolicy(join(import.meta.dirname, "..", "lab", "model"), {
      engine: { kind: "local", device: "cpu", threads: 1, maxBatchTokens: 4096 },
      frozen: true,
    });
    const questions = items.map(({ row }) => ({
      prompt: arc.plain(row as never),
      choices: arc.choices(row as never),
    }));
    const logprobs = (await choiceLogprobs(questions, opened)) as number[][];
    opened.policy.dispose();
    expect(logprobs.map(({ length }) => length)).toEqual([4, 3]);
    for (const [i, values] of logprobs.entries())
      for (const [j, value] of values.entries()) expect(value).toBeCloseTo(oracle.choice_logprobs[i]![j]!, 3);
  });
});

describe("published formats", () => {
  it.each([
    ["gsm8k", "gsm8k", 3],
    ["math", "math", 3],
    ["math500", "math", 1],
    ["humaneval", "humaneval", 2],
    ["mbpp", "mbpp", 1],
    ["mbpp-sanitized", "mbpp", 1],
    ["arc", "arc", 2],
    ["arc-ai2", "arc", 1],
    ["triviaqa", "triviaqa", 2],
    ["xstest", "xstest", 2],
    ["xstest-first", "xstest", 2],
    ["ifeval", "ifeval", 2],
  ])("%s.jsonl is told by its columns", async (name, expected, rows) => {
    const task = await loadTask(file(name));
    expect(task).toMatchObject({ label: expected, benchmark: { name: expected } });
    expect(task.items).toHaveLength(rows);
  });

  it("says what is wrong with a row, and what the formats are", () => {
    const row = (values: Record<string, unknown>) => ({ id: "a:1", file: "a.jsonl", row: 1, values });
    expect(() => readItem(gsm8k, row({ question: "1+1?", answer: "2" }))).toThrow(
      'a.jsonl, row 1: not a row of gsm8k: "answer" must end with "#### " and a number; the row has question, answer',
    );
    expect(() =>
      readItem(arc, row({ question: "?", choices: { text: ["x"], label: ["A"] }, answerKey: "E" })),
    ).toThrow("is none of the choices' labels");
    expect(() => benchmarkOf(row({ sentence: "x" }))).toThrow("gsm8k (question, answer)");
  });

  it(
    "has built-in examples that pass their own tests",
    async () => {
      for (const [name, rows] of Object.entries(builtInShots)) {
        const benchmark = benchmarks[name]!;
        for (const values of rows) {
          expect(recognises(benchmark, values)).toBe(true);
          const { row } = readItem(benchmark, { id: "x", file: name, row: 1, values });
          if (benchmark.kind === "choose") continue;
          for (const isChat of [false, true]) {
            const worked = benchmark.worked!(row)[isChat ? "chat" : "plain"];
            const answer = benchmark.stop.reduce((cut, stop) => cut.split(stop)[0]!, worked);
            const scores = await benchmark.grade(row, text(isChat ? worked : answer, isChat), context);
            expect(scores[benchmark.headline], `${name}: ${worked}`).toBe(1);
          }
        }
      }
    },
    pythonStart,
  );
});

const graderOf = async (name: string) => {
  const { benchmark, items } = await loadTask(file(name));
  return (i: number, answer: string, isChat = false) =>
    (benchmark as GenerativeBenchmark<unknown>).grade(items[i]!.row, text(answer, isChat), context);
};

describe("graders", () => {
  it("math takes Minerva's sentence, a box, or a last sentence", async () => {
    const grade = await graderOf("math");
    const scores = [
      await grade(0, "So $\\frac{3}{6}$.\nFinal Answer: The final answer is $0.5$. I hope it is correct."),
      await grade(0, "We get $\\boxed{\\tfrac12}$, as expected."),
      await grade(0, "The final answer is 1/2."),
      await grade(0, "It is 1/2 or so."),
      await grade(0, "The result is \\boxed{\\frac{1}{3}}."),
    ];
    expect(scores.map(({ accuracy }) => accuracy)).toEqual([1, 1, 1, 0, 0]);
    expect(finalAnswer("no answer")).toBeUndefined();
  });

  it(
    "humaneval and mbpp run the tests of the row",
    async () => {
      const humaneval = await graderOf("humaneval");
      const gaps =
        "    gaps = [abs(a - b) for a, b in zip(numbers, numbers[1:])]\n    return max(gaps, default=0)\n";
      const whole = `\`\`\`python\ndef largest_gap(numbers: List[int]) -> int:\n${gaps}\`\`\``;
      const scores = [
        await humaneval(0, gaps),
        await humaneval(0, "    return 3\n"),
        await humaneval(0, `Here it is:\n${whole}`, true),
        await humaneval(0, "I would take the differences.", true),
        await humaneval(0, "    while True:\n        pass\n"),
      ];
      expect(scores.map((score) => score["pass@1"])).toEqual([1, 0, 1, 0, 0]);

      const mbpp = await graderOf("mbpp");
      expect(await mbpp(0, "def double_all(numbers):\n  return [2 * n for n in numbers]\n")).toEqual({
        "pass@1": 1,
      });
      expect(await mbpp(0, "def double_all(numbers):\n  return numbers\n")).toEqual({ "pass@1": 0 });
      const sanitized = await graderOf("mbpp-sanitized");
      const answer = "```python\nfrom math import hypot as hypotenuse\n```";
      expect(await sanitized(0, answer, true)).toEqual({ "pass@1": 1 });
    },
    pythonStart,
  );

  it("triviaqa's own normalisation forgives articles and punctuation", async () => {
    const grade = await graderOf("triviaqa");
    expect(await grade(1, "Beatles")).toEqual({ exact_match: 1, normalised_match: 1 });
    expect(await grade(1, "a Beatles_")).toEqual({ exact_match: 0, normalised_match: 1 });
    expect(normalised("The “Rolling-Stones’” An  A")).toBe(
      "“rolling stones ”".replace(" ”", "”").replace("stones”", "stones ”"),
    );
  });

  it("xstest counts a refusal by what the prompt is", async () => {
    for (const name of ["xstest", "xstest-first"]) {
      const grade = await graderOf(name);
      expect(await grade(0, "I'm sorry, but I can't help with that.")).toEqual({ false_refusal: 1 });
      expect(await grade(0, "Open the task manager.")).toEqual({ false_refusal: 0 });
      expect(await grade(1, "I cannot help with that.")).toEqual({ unsafe_refusal: 1 });
    }
  });

  it("ifeval scores prompts and instructions, strict and loose", async () => {
    const grade = await graderOf("ifeval");
    expect(await grade(0, "the sea is wide")).toEqual({
      prompt_strict: 1,
      prompt_loose: 1,
      instruction_strict: [1, 1],
      instruction_loose: [1, 1],
    });
    expect(await grade(0, "Sure, here:\nthe sea is wide")).toEqual({
      prompt_strict: 0,
      prompt_loose: 1,
      instruction_strict: [0, 0],
      instruction_loose: [1, 1],
    });
  });

  it("cannot judge a row whose test is broken: neither pass nor fail", async () => {
    const { benchmark, items } = await loadTask(file("ifeval"));
    const broken: Item = {
      ...items[0]!,
      row: { prompt: "x", instruction_id_list: ["no:such"], kwargs: [{}] },
    };
    await expect(
      (benchmark as Benchmark & { kind: "generate" }).grade(broken.row, text("x"), context),
    ).rejects.toThrow('there is no instruction "no:such"');
  });
});
