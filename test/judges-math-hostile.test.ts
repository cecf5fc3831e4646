// Answers built to fool the math judge: none of them passes, none throws, and each verdict comes in bounded time. Right
// answers that look just as strange stand beside them.

import { describe, expect, test } from "vitest";
import { createMember } from "../src/judges/registry.js";
import { equivalent } from "../src/judges/rules/math/equivalent.js";
import { verdictFrom } from "../src/judges/verdict.js";

const digits = (count: number) => "1234567890".repeat(count / 10);
const nested = (open: string, inside: string, close: string, depth: number) =>
  open.repeat(depth) + inside + close.repeat(depth);

/** By family: reference, then answers that are not equal to it. */
const wrong: Record<string, [reference: string, answers: readonly string[]][]> = {
  "every value at once": [
    [
      "5",
      [
        "x",
        "x = x",
        "5 = 6",
        "x = 5 or x = 6",
        "5, 6",
        "\\{5, 6\\}",
        "5 \\pm 1",
        "[0, 10]",
        "(-\\infty, \\infty)",
      ],
    ],
    [
      "5",
      [
        "x > 4",
        "x \\ne 6",
        "4 < x < 6",
        "\\mathbb{R}",
        "\\text{any number}",
        "\\approx 5 \\pm 10",
        "5 or not 5",
      ],
    ],
    [
      "5",
      [
        "n",
        "\\text{the answer}",
        "ans",
        "a",
        "\\boxed{}",
        "\\square",
        "?",
        "\\ldots",
        "...",
        "_",
        "*",
        "\\cdot",
      ],
    ],
    [
      "(1, 2)",
      ["(x, y)", "(1, y)", "(1, 2), (2, 1)", "[1, 2]", "\\{1, 2\\}", "1, 2", "(1; 2; 3)", "(1, 2, 0)"],
    ],
    [
      "x > 3",
      ["x", "x > 2 \\text{ or } x > 3", "x \\ge 3", "3 < x \\le 10^{9}", "x = x", "(3, \\infty]", "x > y"],
    ],
    [
      "\\{1, 2\\}",
      ["\\mathbb{N}", "\\{x\\}", "\\{1, 2, 3\\}", "\\{1, 2, x\\}", "\\{x : x = x\\}", "\\emptyset"],
    ],
  ],
  "values that are none": [
    [
      "0",
      [
        "\\frac{0}{0}",
        "0^0",
        "\\infty - \\infty",
        "\\frac{1}{\\infty}",
        "\\ln 0",
        "\\text{NaN}",
        "NaN",
        "0 \\cdot \\infty",
      ],
    ],
    [
      "5",
      [
        "\\frac{5 \\cdot 0}{0}",
        "5 + \\frac{0}{0}",
        "\\infty",
        "5 \\cdot \\frac{x}{x - x}",
        "\\log_1 5",
        "5 \\bmod 0",
      ],
    ],
    [
      "1",
      [
        "\\frac{\\infty}{\\infty}",
        "1^{\\infty}",
        "\\lim_{x \\to 0} x",
        "\\sqrt[0]{1}",
        "\\frac{x - x}{x - x}",
      ],
    ],
    ["x", ["x + \\frac{0}{0}", "\\frac{x^2 \\cdot 0}{0 x}", "\\ln e^{x + 1}", "\\sqrt{x^2 + 10^{-20}}"]],
  ],
  "towers and large numbers": [
    [
      "5",
      [
        "9^9^9^9",
        "9^{9^{9^{9}}}",
        "10^{10^{10}}",
        "2^{2^{2^{2^{2^{2}}}}}",
        "9!!!!!!",
        "((9!)!)!",
        "999999999!",
      ],
    ],
    ["10^{10^{10}}", ["10^{10^{10}} + 1", "10^{10^{11}}", "11^{10^{10}}", "10^{-10^{10}}", "0", "\\infty"]],
    ["9^{9^{9^{9}}}", ["9^{9^{9^{8}}}", "9^{9^{9}}", "8^{9^{9^{9}}}", "9^{9^{9^{9}}} - 1", "-9^{9^{9^{9}}}"]],
    ["1000!", ["1001!", "1000! + 1", "999!", "1000!!", "(-1000)!"]],
    ["\\binom{10^9}{5 \\cdot 10^8}", ["\\binom{10^9}{5 \\cdot 10^8 - 1}", "5", "\\binom{10^9}{0}"]],
    ["\\sum_{k=1}^{10^{12}} k", ["5", "\\sum_{k=1}^{10^{12}} k^2", "\\sum_{k=2}^{10^{12}} k"]],
    [
      digits(20_000),
      [`${digits(20_000)}0`, digits(19_990), `-${digits(20_000)}`, `${digits(19_990)}1234567891`],
    ],
    [`0.${digits(5_000)}`, [`0.${digits(4_990)}1234567891`, `0.${digits(4_990)}`, `1.${digits(5_000)}`]],
    ["10^{1000}", ["10^{1000} + 10^{-1000}", "10^{1000} - 1", "10^{999}", "9.999999999 \\times 10^{999}"]],
    ["e^{-1000}", ["0", "e^{-1001}", "e^{1000}", "10^{-434}"]],
  ],
  "differences too small to see": [
    ["1", ["1 + 10^{-50}", `0.${"9".repeat(400)}`, "\\cos 10^{-30}", "1.0000000000000001", "e^{10^{-40}}"]],
    [
      "\\pi",
      [
        "3.14159265358979323846",
        "\\frac{355}{113}",
        "\\pi + 10^{-30}",
        "\\frac{\\ln 262537412640768744}{\\sqrt{163}}",
      ],
    ],
    ["\\sqrt{2}", ["1.4142135623730950488", "\\sqrt{2 + 10^{-40}}", "\\frac{665857}{470832}"]],
    ["\\sqrt{10^{20} + 1}", ["10^{10}", "\\sqrt{10^{20}}", "10^{10} + 10^{-11}"]],
    ["x^{100}", ["x^{100} + 10^{-60}", "x^{101}", "x^{100} \\cdot (1 + 10^{-40})"]],
    [
      "\\sin x",
      [
        "\\sin(x + 10^{-25})",
        "x - \\frac{x^3}{6}",
        "\\sin x + 10^{-25}",
        "\\sin(x + 3.14159265358979 \\cdot 2)",
      ],
    ],
  ],
  "different almost nowhere": [
    [
      "x",
      [
        "|x|",
        "\\sqrt{x^2}",
        "\\max(x, -10^6)",
        "\\lfloor x \\rfloor",
        "x + \\lfloor \\frac{|x|}{10^9} \\rfloor",
      ],
    ],
    ["1", ["\\frac{|x|}{x}", "\\operatorname{sgn} x", "\\lceil \\frac{x}{x} \\cdot 0.5 \\rceil + x - x + 1"]],
    ["n", ["n + (n-1)(n-2)(n-3)(n-4)(n-5)", "n + \\sin(\\pi n) + 1", "n \\bmod 10^9"]],
    ["x^2", ["x^2 + (x - 1)(x - 2)(x - 3)", "x^2 + \\frac{x}{10^{12}}", "x^{2.0000001}"]],
  ],
  "signs and look-alikes": [
    ["-3", ["3", "\\neg 3", "\\sim 3", "~3", "3-", "- - 3", "\\pm 3", "(-3)^2"]],
    ["x", ["х", "\\chi", "X", "x'", "x_1", "\\bar x", "\\vec x", "ⅹ1"]],
    ["O", ["0", "o", "\\emptyset", "Ο0"]],
    ["l", ["1", "|", "I"]],
    ["10", ["1O", "l0", "1 0 0", "1,0", "1.0.0", "１００", "10\u200b0"]],
    ["5", ["5\u0338", "\u202e5-", "S", "5!", "0x5F", "5e1", "5i", "V5"]],
    ["2^{3}", ["23", "2^{-3}", "3^2", "2_3", "2³³"]],
    ["\\frac{1}{2}", ["\\frac{2}{1}", "1/2/1/2", "\\frac12\\frac12", "½½", "1\\2", "\\frac{1}{2}^{-1}"]],
    ["\\vec{a} + \\vec{b}", ["\\vec{a} - \\vec{b}", "a + b", "\\vec{a + c}", "\\vec{b} - \\vec{a}"]],
  ],
  "relations and domains": [
    ["x < 3", ["x > 3", "x \\le 3", "3 < x", "-x < -3", "\\neg (x < 3)", "x \\not< 3"]],
    ["x = 3", ["x \\ne 3", "x \\approx 3", "x \\equiv 3", "x = 3 = 4", "3 = 4", "y \\ne 3"]],
    ["\\{x : x > 5\\}", ["\\{x : x < 5\\}", "\\{x : x \\ge 5\\}", "\\{y : x > 5\\}", "\\{5\\}", "x"]],
    ["[1, 2)", ["(1, 2]", "[1, 2]", "(1, 2)", "[1, 2) \\cup \\{3\\}", "[1, 2) \\cap [1, 1.5]", "[2, 1)"]],
    ["A \\subset B", ["A \\supset B", "B \\subset A", "A \\subseteq B", "A \\not\\subset B", "A = B"]],
    ["3 \\pmod 7", ["3 \\pmod 8", "4 \\pmod 7", "3", "-3 \\pmod 7"].filter((text) => text !== "3")],
    ["y = 2x + 1", ["y = 2x", "2x + 1 = 0", "y > 2x + 1", "x = 2y + 1", "y = 2x + 1 + z"]],
  ],
  "several boxes and whole texts": [
    [
      "5",
      [
        "5 \\text{ or } 6",
        "5 \\text{ (or maybe } 7)",
        "\\text{not } 5",
        "5 \\text{ is wrong}",
        "\\boxed{5}\\boxed{6}",
      ],
    ],
    [
      "5",
      [
        "1 2 3 4 5 6 7 8 9",
        "1, 2, 3, 4, 5",
        "0|1|2|3|4|5|6",
        "5 5",
        "55",
        "5; 6",
        "5 & 6",
        "\\begin{cases}5\\\\6\\end{cases}",
      ],
    ],
    ["\\text{yes}", ["\\text{yes and no}", "\\text{no}", "\\text{not yes}", "\\text{yes or no}", "yes/no"]],
    ["B", ["A", "A, B, C, D", "A or B", "\\text{(A)(B)(C)}", "BB", "not B", "B and C"]],
    [
      "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
      [
        "\\begin{pmatrix} 1 & 2 \\\\ 3 & 5 \\end{pmatrix}",
        "\\begin{pmatrix} 1 & 3 \\\\ 2 & 4 \\end{pmatrix}",
        "\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}",
        "\\begin{pmatrix} 1 & 2 & 3 & 4 \\end{pmatrix}",
        "\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}",
      ],
    ],
  ],
  "broken and deep text": [
    [
      "5",
      [
        nested("(", "5", "", 5_000),
        nested("{", "5", "", 900),
        nested("\\frac{", "1", "}{2}", 300),
        nested("\\sqrt{", "5", "}", 400),
        nested("\\left(", "6", "\\right)", 400),
        nested("x^{", "2", "}", 300),
        nested("|", "6", "|", 300),
        nested("\\begin{cases}", "5", "\\end{cases}", 100),
        nested("\\text{", "5", "}", 300).replace("5", "6"),
        nested("\\{", "5", "\\}", 200).replace("5", "6"),
        "\\frac".repeat(500),
        "\\sqrt".repeat(500),
        "^".repeat(2_000),
        `${"-".repeat(2_001)}5`,
        `5${"!".repeat(400)}`,
        "1,".repeat(2_000),
        `${"1+".repeat(5_000)}1`,
        `${"x*".repeat(2_000)}x`,
        "=".repeat(1_000),
        `${"5=".repeat(500)}6`,
        `${"\\pm".repeat(40)}5`,
        `${"\\pm 1 ".repeat(30)}`,
        "\\int".repeat(300),
        `${"\\sum_{k=1}^{9}".repeat(30)}k`,
        "\\binom{".repeat(200),
        "$".repeat(3_000),
        "\\".repeat(3_000),
        "\u0301".repeat(3_000),
        "½".repeat(2_000),
        "^{²".repeat(500),
        "𝟓".repeat(2),
        `\\begin{matrix}${"1&".repeat(3_000)}\\end{matrix}`,
        `\\begin{matrix}${"1\\\\".repeat(2_000)}\\end{matrix}`,
        "\\det".repeat(500),
        `\\gcd(${"9999999999999999,".repeat(300)}7)`,
        "constructor",
        "__proto__",
        "\\constructor{5}",
        "toString()",
        "5; process.exit()",
        "\\input{/etc/passwd}",
        "\\def\\x{\\x\\x}\\x",
        "\\newcommand{\\five}{6}\\five",
      ],
    ],
  ],
};

/** One verdict, also on a busy machine. */
const bound = 3_000;

describe.each(Object.entries(wrong))("%s", (_, table) => {
  test("nothing passes, and every verdict is quick", () => {
    const passed: string[] = [];
    const slow: string[] = [];
    for (const [reference, answers] of table)
      for (const answer of answers)
        for (const [a, b] of [
          [answer, reference],
          [reference, answer],
        ] as const) {
          const start = process.cpuUsage();
          if (equivalent(a, b)) passed.push(`${a.slice(0, 80)} | ${b.slice(0, 80)}`);
          const { user, system } = process.cpuUsage(start);
          if ((user + system) / 1000 > bound) slow.push(`${(user + system) / 1000} ms: ${a.slice(0, 80)}`);
        }
    expect({ passed, slow }).toEqual({ passed: [], slow: [] });
  });
});

test.each([
  [digits(20_000), digits(20_000)],
  [`${digits(3_000)}.0`, digits(3_000)],
  ["9^{9^{9^{9}}}", "9^{9^{9^9}}"],
  ["10^{10^{10}}", "10^{10^{10}}"],
  ["\\sqrt{10^{40} + 1}", "\\sqrt{1 + 10^{40}}"],
  ["1 + 10^{-50}", "\\frac{10^{50} + 1}{10^{50}}"],
  [nested("(", "5", ")", 15), "5"],
  [nested("{", "5", "}", 50), "5"],
  ["--5", "5"],
  ["𝟓", "5"],
  ["５", "5"],
  ["\u200b5\u200b", "5"],
  ["−5", "-5"],
  ["½", "\\frac{1}{2}"],
  ["\\frac{\\frac{1}{2}}{\\frac{1}{2}}", "1"],
  ["x + 10^{-30} - 10^{-30}", "x"],
  ["x < 2 \\text{ or } x > 3", "x > 3, x < 2"],
  ["x < 2 \\text{ or } x > 3", "(-\\infty, 2) \\cup (3, \\infty)"],
  ["x > 2 \\text{ or } x > 3", "x > 2"],
  ["2 < x \\text{ and } x < 3", "(2, 3)"],
  ["x \\le -1 \\text{ or } x \\ge 1", "|x| \\ge 1"],
  ["2 \\sum_{k=1}^{\\infty} \\frac{1}{k^2}", "\\left(\\sum_{k=1}^{\\infty} \\frac{1}{k^2}\\right) \\cdot 2"],
  ["\\cos 10^{-30}", "\\cos(-10^{-30})"],
  ["\\ln 10^{40}", "40 \\ln 10"],
  ["\\{42{,}551,13\\}", "\\{13, 42551\\}"],
  ["86,\\!412,5", "5, 86412"],
])("%# what looks as strange and is right passes", (answer, reference) => {
  expect(equivalent(answer, reference)).toBe(true);
});

test("of several boxes and final answers the last one counts", async () => {
  const { judge } = await createMember("math", { baseDir: "." });
  const verdict = async (response: string) =>
    (await verdictFrom(judge, { prompt: "p", response, truncated: false, metadata: { answer: "5" } }))
      ?.verdict;
  const violated = [
    Array.from({ length: 1_000 }, (_, i) => `\\boxed{${i}}`).join(" "),
    "\\boxed{5} or \\boxed{6}",
    "\\boxed{5 \\boxed{6}}",
    "\\boxed{5}. The final answer is 6.",
    "The final answer is 5. The final answer is 6.",
    "The final answer is 5 or 6 or 7.",
    "The final answer is 1, 2, 3, 4, 5, 6.",
    "The final answer is any number, for instance 5.",
    "The final answer is not 5.",
    "\\boxed{5".repeat(2_000),
    "\\boxed{".repeat(5_000),
    `The final answer is ${"(".repeat(10_000)}`,
    `${"final answer is ".repeat(3_000)}`,
    `The final answer is ${"5 ".repeat(10_000)}.`,
    `\\boxed{${"5\n".repeat(20_000)}}`,
  ];
  for (const response of violated) {
    const start = process.cpuUsage();
    expect([response.slice(0, 60), await verdict(response)]).toEqual([response.slice(0, 60), "violated"]);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(bound);
  }
  expect(await verdict(`${"\\boxed{6} ".repeat(5_000)}\\boxed{5}`)).toBe("satisfied");
});
