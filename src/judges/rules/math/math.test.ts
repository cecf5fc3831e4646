import { expect, test } from "vitest";
import { createMember } from "../../registry.js";
import { verdictFrom } from "../../verdict.js";
import { equivalent } from "./equivalent.js";
import { finalAnswerSentence, lastBoxed, referenceAnswer } from "./extract.js";

test.each([
  ["So 2 + 2 = 4. The final answer is 4.", "4"],
  ["Final answer is: $\\frac{1}{2}$", "\\frac{1}{2}"],
  ["The final answer is 3.\nNo wait, the final answer is 3.5.", "3.5"],
  ["**The final answer is 7**", "7"],
  ["The final answer is 4. But let me check that.", undefined],
  ["The final answer is 4\n\nI hope this helps!", undefined],
  ["The answer is 4.", undefined],
  ["The final answer is .", undefined],
])("the last sentence of %j gives %j", (text, answer) => {
  expect(finalAnswerSentence(text)).toBe(answer);
});

test("the last boxed answer counts, with balanced braces", () => {
  expect(lastBoxed("\\boxed{1} then \\boxed{\\frac{1}{\\sqrt{2}}}.")).toBe("\\frac{1}{\\sqrt{2}}");
  expect(lastBoxed("\\boxed{\\{1, 2\\}}")).toBe("\\{1, 2\\}");
  expect(lastBoxed("\\boxed{1")).toBeUndefined();
  expect(lastBoxed("\\boxed {1}")).toBe("1");
  expect(lastBoxed("so $x = \\boxed 24$, as $1 < 2$")).toBe("24");
  expect(lastBoxed("\\[\\boxed\\frac{1}{2}\\]")).toBe("\\frac{1}{2}");
  expect(lastBoxed("a \\boxed answer")).toBeUndefined();
  expect(lastBoxed("1")).toBeUndefined();
});

test("a reference may be a worked solution", () => {
  expect(referenceAnswer("2+2=<<2+2=4>>4\n#### 1,234")).toBe("1,234");
  expect(referenceAnswer("Thus $x = \\boxed{7}$.")).toBe("7");
  expect(referenceAnswer(" 12 ")).toBe("12");
});

const equal: [string, string][] = [
  ["5", "5.0"],
  ["1/2", "\\frac{1}{2}"],
  ["0.5", "\\frac12"],
  ["1\\frac{1}{2}", "\\frac{3}{2}"],
  ["1 1/2", "1.5"],
  ["-\\frac{2}{3}", "\\frac{-2}{3}"],
  ["50\\%", "50"],
  ["50%", "0.5"],
  ["1,000", "1000"],
  ["1{,}000", "1000"],
  ["\\$12", "12 dollars"],
  ["12 apples", "12"],
  ["5 cm", "5\\text{ cm}"],
  ["5 m", "500 cm"],
  ["90^\\circ", "90"],
  ["27 cm^2", "27"],
  ["27\\text{ cm}^2", "27 square centimeters"],
  ["1\\text{ m}^2", "10000\\text{ cm}^2"],
  ["$\\$18.90$", "18.9"],
  ["\\frac{5!}{2!3!}", "10"],
  ["x=5", "5"],
  ["x = 1 or x = 2", "1,2"],
  ["\\pm 2", "2,-2"],
  ["\\{1,2\\}", "2, 1"],
  ["2\\sqrt{2}", "\\sqrt{8}"],
  ["\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}}"],
  ["(x+1)^2", "x^2+2x+1"],
  ["\\frac{\\pi}{4}", "π/4"],
  ["\\sin^2 x+\\cos^2 x", "1"],
  ["\\log_2 8", "3"],
  ["e^{i\\pi}", "-1"],
  ["\\ln(xy)", "\\ln x+\\ln y"],
  ["\\ln x^2", "2\\ln x"],
  ["\\sqrt{xy}", "\\sqrt{x}\\sqrt{y}"],
  ["n!", "n(n-1)!"],
  ["\\frac{n!}{(n-2)!}", "n^2-n"],
  ["\\pi r^2 h", "h\\pi r^2"],
  ["3+4i", "4i+3"],
  ["2^{100}", "1267650600228229401496703205376"],
  ["\\binom{5}{2}", "10"],
  ["6.02 \\times 10^{23}", "6.02*10^23"],
  ["|x-1|", "|1-x|"],
  ["(1,2)", "( 1 , 2 )"],
  ["[0,1)", "\\left[0,1\\right)"],
  ["x>3", "(3,\\infty)"],
  ["3<x\\le 5", "(3,5]"],
  ["(-\\infty,2)\\cup(3,\\infty)", "(3,\\infty) \\cup (-\\infty, 2)"],
  ["y=2x+3", "2x - y + 3 = 0"],
  ["\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}"],
  ["\\text{Monday}", "monday"],
  ["(A)", "A"],
];

test.each(equal)("%s equals %s, both ways round", (a, b) => {
  expect(equivalent(a, b)).toBe(true);
  expect(equivalent(b, a)).toBe(true);
});

const different: [string, string][] = [
  ["5", "6"],
  ["-5", "5"],
  ["1/3", "0.333"],
  ["\\pi", "3.14"],
  ["\\frac{1}{2}", "2"],
  ["2^{100}", "2^{100}+1"],
  ["10^{1000}", "10^{1001}"],
  ["10^{100000}", "10^{100001}"],
  ["\\infty", "-\\infty"],
  ["5 cm", "5 kg"],
  ["5 m", "5 cm"],
  ["27 cm^2", "27 cm^3"],
  ["x", "y"],
  ["2x", "x^2"],
  ["|x|", "x"],
  ["\\sqrt{x^2}", "x"],
  ["ix", "x"],
  ["\\ln(x+1)", "\\ln x+1"],
  ["\\ln(xy)", "\\ln x-\\ln y"],
  ["n!", "(n-1)!"],
  ["\\pi r^2 h", "\\pi r^2"],
  ["(x+1)^2", "x^2+1"],
  ["y=2x", "y=3x"],
  ["x>3", "x<3"],
  ["x>3", "x\\ge 3"],
  ["(1,2)", "(2,1)"],
  ["[0,1)", "(0,1)"],
  ["1,2", "1,3"],
  ["3", "\\{3,4\\}"],
  ["12", "1,2"],
  ["monday", "tuesday"],
  ["apples", "12 apples"],
  ["", "5"],
  ["", ""],
];

test.each(different)("%s differs from %s, both ways round", (a, b) => {
  expect(equivalent(a, b)).toBe(false);
  expect(equivalent(b, a)).toBe(false);
});

test("hostile answers end soon and equal nothing", () => {
  const hostile = [
    "(".repeat(5000),
    "{".repeat(900),
    "9^9^9^9^9^9",
    "1".repeat(5000),
    "!".repeat(500),
    `${"(".repeat(400)}1${")".repeat(400)}`,
    "\\frac".repeat(150),
    "1,".repeat(400),
    "-".repeat(900),
    "999999999999!",
    "constructor(1)",
    "__proto__",
  ];
  for (const text of hostile) expect(equivalent(text, "5")).toBe(false);
});

test("the math judge wants the right answer in the right form", async () => {
  const { judge } = await createMember("math", { baseDir: "." });
  const verdict = async (response: string, answer: unknown) =>
    (await verdictFrom(judge, { prompt: "p", response, truncated: false, metadata: { answer } }))?.verdict;
  expect(await verdict("The final answer is 42.", "42")).toBe("satisfied");
  expect(await verdict("The final answer is $\\boxed{42}$.", 42)).toBe("satisfied");
  expect(await verdict("So it is \\boxed{42}, I think.", "x #### 42")).toBe("satisfied");
  expect(await verdict("The final answer is 41.", "42")).toBe("violated");
  expect(await verdict("It is 42.", "42")).toBe("violated");
  const repeated = `${"The answer is \\frac{1}{2} ".repeat(50)}`;
  expect(await verdict(repeated, "\\frac{1}{2}")).toBe("violated");
});
