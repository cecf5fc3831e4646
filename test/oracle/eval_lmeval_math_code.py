r"""What lm-evaluation-harness says about answers to MATH, HumanEval and MBPP, by its own task code.

    python eval_lmeval_math_code.py <site-packages with lm_eval> <math-verify> <code_eval> <fixtures/eval>

needs sympy and antlr4-python3-runtime, no torch. <math-verify> holds the packages `math_verify` and `latex2sympy2_extended` (with
the parser that ANTLR generates from its PS.g4), <code_eval> is the folder `metrics/code_eval` of Hugging Face's `evaluate`.

Writes lmeval-math.json: responses to MATH problems with `minerva` and `math_verify` (the two figures of `minerva_math`) and
`hendrycks` (`hendrycks_math`), and for the pairs of `math_pairs` whether the answer is `right`. Writes lmeval-code.json: replies to
HumanEval and MBPP with `passed`, as text (`humaneval`, `mbpp`) and in chat (`humaneval_instruct`, `mbpp_instruct`).

The stop strings are those of the task files, cut here as lm-eval's models do. A chat reply is the whole turn: where it begins with
the task's generation prefix, lm-eval sees what follows, otherwise all of it. Programs run in the process that code_eval starts.
The fixtures are from lm_eval 0.4.13, math_verify 0.8.0 and latex2sympy2_extended 1.11.0. lmeval-differences.json beside them, written
by hand, says why our graders differ where they do.
"""

import importlib.metadata
import importlib.util
import json
import logging
import re
import sys
import types
from pathlib import Path

site, math_verify_dir, code_eval_dir, out = (Path(arg) for arg in sys.argv[1:5])
sys.path.insert(0, str(math_verify_dir))
logging.disable(logging.CRITICAL)


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute = load("code_eval_execute", code_eval_dir / "execute.py")


class CodeEval:
    def compute(self, references, predictions, k, timeout=3.0):
        passed = [execute.check_correctness(f"{candidates[0]}\n{test}", timeout, 0, 0)["passed"]
                  for candidates, test in zip(predictions, references, strict=True)]
        return {f"pass@{k[0]}": sum(passed) / len(passed)}, passed


sys.modules["evaluate"] = types.SimpleNamespace(load=lambda _: CodeEval())
sys.modules["datasets"] = types.SimpleNamespace(Dataset=object)
# lm-eval and sympy ask for one version of ANTLR's runtime for their parser; newer ones read the same format.
version_of = importlib.metadata.version
importlib.metadata.version = lambda package: (
    "4.11" if package.startswith("antlr4") and not sys._getframe(1).f_globals["__name__"].startswith("latex2sympy2")
    else version_of(package))

import yaml  # noqa: E402

tasks = site / "lm_eval" / "tasks"
minerva, hendrycks, humaneval, mbpp = (
    load(name, tasks / name / "utils.py") for name in ("minerva_math", "hendrycks_math", "humaneval", "mbpp"))


def config(path):
    loader = yaml.SafeLoader
    loader.add_constructor("!function", lambda *_: None)
    task = yaml.load((tasks / path).read_text(), loader)
    return {**config(f"{path.split('/')[0]}/{task['include']}"), **task} if "include" in task else task


# MATH --------------------------------------------------------------------------------------------------------------

# gold | right answers || wrong answers
math_pairs = r"""
42 | 42 | 42.0 | 42. | \,42 | +42 | \text{42} | {42} | 84/2 | \frac{84}{2} | 6 \cdot 7 | 6\times7 | x=42 | x = 42 || -42 | 43 | 4.2 | 42x | 420 | 4 2/1
-7 | -7 | - 7 | -7.0 | -\frac{14}{2} | \frac{-14}{2} | −7 | (-7) | n=-7 || 7 | -17 | \frac{1}{7} | -7x
0 | 0 | 0.0 | -0 | 3-3 || 1 | \emptyset | \frac{1}{0}
\frac{1}{2} | 1/2 | .5 | 0.5 | 0.50 | \dfrac{1}{2} | \tfrac12 | \frac12 | \frac 12 | \frac{2}{4} | 2^{-1} | \frac{1}{2}. | x=\frac12 || 2 | \frac{1}{3} | 0.05 | 5 | \frac{2}{1}
\frac{3}{4} | 0.75 | 3/4 | \frac{9}{12} | \left(\frac{3}{4}\right) || 75 | \frac{4}{3} | 0.7
-\frac{2}{3} | \frac{-2}{3} | \frac{2}{-3} | -2/3 | -\dfrac{4}{6} || \frac{2}{3} | -0.66 | -\frac{3}{2}
\frac{22}{7} | 22/7 | 3\frac{1}{7} || \pi | 3.14 | 3.142857
2\frac{1}{2} | \frac{5}{2} | 2.5 | 5/2 | 2 \frac{1}{2} || 1 | \frac{2}{2} | 21/2
10,\!000 | 10000 | 10,000 | 10{,}000 | 10^4 | 10\,000 || 1000 | 10 | 10.000
1,234,567 | 1234567 | 1,234,567 | 1{,}234{,}567 || 1234 | 1,234
0.08 | 0.08 | .08 | 8\times10^{-2} | \frac{2}{25} || 0.8 | 8
2.5 \times 10^6 | 2500000 | 2.5\cdot10^6 | 2{,}500{,}000 || 2.5 | 2.5 \times 10^5
50\% | 50 | 50\% | 50 \% | 50\text{ percent} || 5\% | 40\%
25 | 25\% || 0.25\%
30^\circ | 30 | 30^{\circ} | 30\text{ degrees} | 30° || 60^\circ | 3^\circ
\$18.90 | 18.90 | \$18.9 | 18.9 | 18.90\text{ dollars} || \$19 | 189
\$32,\!348 | 32348 | \$32,348 || 32,34
12\text{ cm} | 12 | 12 cm | 12\,\text{cm} | 12\mbox{ cm} | 12\text{ centimeters} || 12\text{ m} | 1.2\text{ cm}
36\text{ cm}^2 | 36 | 36\text{ square centimeters} | 36 \text{ cm}^{2} || 6 | 36\text{ cm}^3
5\text{ hours} | 5 | 5 hours | 5\text{ hrs} || 5\text{ minutes}
100\text{ mph} | 100 | 100 \text{ miles per hour} || 10
\sqrt{2} | \sqrt2 | \sqrt {2} | 2^{1/2} | 2^{\frac12} | \frac{2}{\sqrt2} || 2 | 1.414 | \sqrt{3} | -\sqrt{2}
2\sqrt{3} | \sqrt{12} | 2 \sqrt3 | \sqrt{3}\cdot2 | 2\cdot\sqrt{3} || \sqrt{6} | 3\sqrt{2} | 2+\sqrt3
\frac{\sqrt{3}}{3} | \frac{1}{\sqrt{3}} | \sqrt{3}/3 | \frac{\sqrt3}3 | \sqrt{\frac13} || \frac{\sqrt{3}}{2} | \sqrt{3}
\sqrt[3]{4} | 4^{1/3} | 2^{2/3} | \sqrt[3]4 || \sqrt{4} | \sqrt[4]{3}
1+\sqrt{5} | \sqrt{5}+1 | 1 + \sqrt5 || 1-\sqrt{5} | \sqrt{6}
\frac{1+\sqrt{5}}{2} | \frac{\sqrt{5}+1}{2} | (1+\sqrt5)/2 | \frac12+\frac{\sqrt5}2 || \frac{1-\sqrt{5}}{2} | 1.618
\pi | \pi | \pi. || 3.14 | 2\pi | \pi^2
6\pi | 6 \pi | 6\cdot\pi | \pi\cdot6 | 6\pi\text{ cm} || 6 | 18.85
\frac{\pi}{4} | \pi/4 | \frac14\pi | 0.25\pi | \frac{1}{4} \pi || \frac{4}{\pi} | 45^\circ
e^2 | e^{2} | e \cdot e || 2e | e
3+4i | 4i+3 | 3 + 4 i | 3+4\cdot i || 3-4i | 4+3i | 5
2i | 2 i || -2i | 2
x^2+2x+1 | (x+1)^2 | 1+2x+x^2 | x^2 + 2x + 1 | x(x+2)+1 || x^2+2x | x^2-2x+1 | y^2+2y+1
(x-1)(x+2) | (x+2)(x-1) | x^2+x-2 || (x+1)(x-2)
3x-5 | -5+3x | y=3x-5 || 3x+5 | 5-3x | x=3
\frac{x}{2} | x/2 | 0.5x | \frac12x | \frac{1}{2} x || \frac{2}{x} | 2x
y=2x+3 | y = 2x+3 | 2x+3 | y=3+2x || y=2x-3 | x=2y+3
x=5 | 5 | x = 5 || 6 | x=6
(1,2) | (1, 2) | \left(1,2\right) | \left( 1, 2 \right) | (\frac22,2) || (2,1) | [1,2] | (1,2,3) | (1,3)
(3,-\frac{1}{2}) | (3,-0.5) | (3, -1/2) | \left(3,-\dfrac12\right) || (3,\frac12) | (-3,-\frac{1}{2})
(-1,3,0) | (-1, 3, 0) | \left(-1,3,0\right) || (1,3,0) | (-1,3)
[2,5) | [2, 5) | \left[2,5\right) | 2\le x<5 | x\in[2,5) || [2,5] | (2,5) | (2,5] | [2,6)
(-\infty,3] | (-\infty, 3] | \left(-\infty,3\right] | x\le3 || (-\infty,3) | (\infty,3] | [3,\infty)
(-\infty,-1)\cup(1,\infty) | (1,\infty)\cup(-\infty,-1) | (-\infty, -1) \cup (1, \infty) || (-1,1) | (-\infty,-1)
\{1,2,3\} | \{3,2,1\} | \{1, 2, 3\} | 1,2,3 | \left\{1,2,3\right\} || \{1,2\} | \{1,2,4\} | 6
1,2 | 1, 2 | 2,1 | \{1,2\} | 1 \text{ and } 2 | x=1,2 || 1 | 12 | 1,3 | 1,2,3
2,-2 | -2,2 | \pm2 | \pm 2 || 2 | -2
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix} 1 & 2 \\ 3 & \frac{8}{2} \end{pmatrix} | \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix} || \begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix} | \begin{pmatrix} 1 & 2 \end{pmatrix}
\begin{pmatrix} 3 \\ -1 \end{pmatrix} | \begin{pmatrix}3\\-1\end{pmatrix} || \begin{pmatrix} 3 \\ 1 \end{pmatrix} | \begin{pmatrix} -1 \\ 3 \end{pmatrix}
\text{Tuesday} | Tuesday | \text{tuesday} | \textbf{Tuesday} | \mathrm{Tuesday} || \text{Monday} | Tues
\text{even} | even | \text{ even } || odd
\text{(C)} | (C) | C | \text{C} || \text{(B)} | D
\text{no solution} | no solution | \text{No solution} || 0
101_2 | 101_{2} || 101_3 | 5
2^{10} | 1024 | 2^{9}\cdot2 || 1000 | 2^9
7! | 5040 | 7\cdot6! || 504
\binom{5}{2} | 10 | \frac{5!}{2!3!} | \dbinom{5}{2} || \frac{5}{2} | 20
\log_2 8 | 3 | \log_{2}8 || 8 | \log_8 2
\sin 30^\circ | \frac12 || 1
0.\overline{3} | \frac13 | 0.\overline{3} || 0.3 | 0.33
x>3 | 3<x | x > 3 | (3,\infty) || x<3 | x\ge3
2n\pi | 2\pi n | 2 n \pi || 2n | n\pi
a^2b | ba^2 | a \cdot a \cdot b || ab^2 | a^2+b
k\neq 0 | k \ne 0 || k=0
11:30\text{ a.m.} | 11:30 \text{ a.m.} || 10:30\text{ a.m.}
4\text{ or }-4 | \pm4 | -4, 4 || 4
\infty | \infty || -\infty | 0
"""

forms = {
    "sentence": "Final Answer: The final answer is $A$. I hope it is correct.",
    "boxed": "So the value is $\\boxed{A}$.",
    "published": "So the value is $\\boxed{A}$.\nFinal Answer: The final answer is $A$. I hope it is correct.",
    "sentence without dollars": "Final Answer: The final answer is A. I hope it is correct.",
    "sentence without Final Answer": "The final answer is $A$. I hope it is correct.",
    "sentence in bold": "**Final Answer: The final answer is $A$. I hope it is correct.**",
    "sentence in small letters": "final answer: the final answer is $A$. I hope it is correct.",
    "sentence over two lines": "Final Answer: The final answer is\n$A$. I hope it is correct.",
    "sentence with colon": "Final Answer: The final answer is: $A$. I hope it is correct.",
    "sentence with a box": "Final Answer: The final answer is $\\boxed{A}$. I hope it is correct.",
    "sentence with an equation": "Final Answer: The final answer is $x = A$. I hope it is correct.",
    "sentence, then text": "Final Answer: The final answer is $A$. I hope it is correct.\n\nThe sum of the digits is $99$.",
    "sentence, then a wrong box": "Final Answer: The final answer is $A$. I hope it is correct. Or $\\boxed{99}$.",
    "wrong box, then sentence": "So it is $\\boxed{99}$.\nFinal Answer: The final answer is $A$. I hope it is correct.",
    "right box, then wrong sentence": "So it is $\\boxed{A}$.\nFinal Answer: The final answer is $99$. I hope it is correct.",
    "right, then wrong sentence":
        "Final Answer: The final answer is $A$. I hope it is correct.\nFinal Answer: The final answer is $99$. I hope it is correct.",
    "wrong, then right sentence":
        "Final Answer: The final answer is $99$. I hope it is correct.\nFinal Answer: The final answer is $A$. I hope it is correct.",
    "mention, then sentence":
        "The final answer is the sum of both.\nFinal Answer: The final answer is $A$. I hope it is correct.",
    "mention, then box": "The final answer is the sum of both, so $\\boxed{A}$.",
    "box with a space before its brace": "So the value is $\\boxed {A}$.",
    "sentence cut before the hope": "Final Answer: The final answer is $A$.",
    "sentence cut before the hope, with a space": "Final Answer: The final answer is $A$. ",
    "sentence cut in the hope": "Final Answer: The final answer is $A$. I hope it",
    "sentence cut in the answer": "Final Answer: The final answer is $A",
    "sentence cut before the answer": "It is $A$.\nFinal Answer: The final answer is",
    "two boxes, right last": "First $\\boxed{99}$, but then $\\boxed{A}$.",
    "two boxes, wrong last": "First $\\boxed{A}$, but then $\\boxed{99}$.",
    "box cut short": "So the value is $\\boxed{A",
    "box, then a box cut short": "So the value is $\\boxed{A}$, that is $\\boxed{",
    "box in display": "So the value is\n\\[\n\\boxed{A}\n\\]",
    "box alone": "\\boxed{A}",
    "fbox": "So the value is $\\fbox{A}$.",
    "box without braces": "So the value is $\\boxed A$.",
    "box, then text": "So the value is $\\boxed{A}$. Indeed, $3 + 4 = 7$.",
    "box around an equation": "So $\\boxed{x = A}$.",
    "dollars alone": "$A$",
    "bare": "A",
    "the answer is": "The answer is $A$.",
    "no mark": "We get $3 + 4 = 7$, and so $A$.",
    "no answer": "I do not know how to solve this.",
    "empty": "",
}


def math_scores(response, solution):
    doc = {"problem": "?", "solution": solution}
    cleaned = minerva.process_docs(types.SimpleNamespace(map=lambda process: process(doc)))
    scores = minerva.process_results(cleaned, [response])
    hendrycks_scores = hendrycks.process_results(doc, [response])
    return {"minerva": scores["exact_match"], "math_verify": scores["math_verify"], "hendrycks": hendrycks_scores["exact_match"]}


def math_case(form, gold, answer, **more):
    response, solution = re.sub(r"\bA\b", lambda _: answer, forms[form]), f"It is $\\boxed{{{gold}}}$."
    name = f"{form}: {gold} | {answer}"
    return {"name": name, "response": response, "solution": solution, **more, **math_scores(response, solution)}


math_cases = []
for index, line in enumerate(math_pairs.strip().splitlines()):
    (gold, *right), wrong = ([part.strip() for part in side.split(" | ")] for side in line.split(" || "))
    for is_right, answers in ((True, right), (False, wrong)):
        for position, answer in enumerate(answers):
            math_cases.append(math_case("sentence", gold, answer, right=is_right))
            if (index + position) % 4 == 0:
                math_cases.append(math_case("boxed", gold, answer, right=is_right))
for gold, wrong in (("24", "25"), ("\\frac{1}{2}", "2"), ("(1,2)", "(2,1)")):
    for form in forms:
        math_cases.append(math_case(form, gold, gold))
        if gold == "24":
            math_cases.append(math_case(form, gold, wrong))
math_cases = list({case["name"]: case for case in math_cases}.values())

# HumanEval and MBPP ------------------------------------------------------------------------------------------------

tasks_of = {
    "gap": json.loads((out / "humaneval.jsonl").read_text().splitlines()[0]),
    "cipher": {
        "task_id": "Sample/2", "entry_point": "decode",
        "prompt": "def encode(text: str) -> str:\n    \"\"\"Text with every pair of letters exchanged.\"\"\"\n"
                  "    pairs = [text[i:i + 2] for i in range(0, len(text), 2)]\n"
                  "    return \"\".join(pair[::-1] for pair in pairs)\n\n\n"
                  "def decode(text: str) -> str:\n    \"\"\"The text that encode made into `text`.\"\"\"\n",
        "test": "def check(candidate):\n    for text in (\"abcd\", \"abc\", \"\"):\n"
                "        assert candidate(encode(text)) == text\n",
    },
    "double": json.loads((out / "mbpp.jsonl").read_text().splitlines()[0]),
    "height": {
        "task_id": 3, "text": "Write a function to find the height of a binary tree of Node objects.", "code": "",
        "test_setup_code": "root = Node(1)\nroot.left = Node(2)\nroot.left.right = Node(3)",
        "test_list": ["assert height(root) == 3", "assert height(root.left) == 2", "assert height(None) == 0"],
    },
    "sum": {
        "task_id": 4, "text": "Write a function to add the numbers of a list.", "code": "", "test_setup_code": "",
        "test_list": ["assert total([1, 2]) == 3", "assert total([]) == 0", "assert total((4,)) == 4",
                      "assert total([-1]) == -1"],
    },
}

signature = "def largest_gap(numbers: List[int]) -> int:\n"
body = "    gaps = [abs(a - b) for a, b in zip(numbers, numbers[1:])]\n    return max(gaps, default=0)\n"
answer = "    return max((abs(a - b) for a, b in zip(numbers, numbers[1:])), default=0)\n"

humaneval_texts = {
    "right": body,
    "right, last line open": body.rstrip("\n"),
    "right after a comment": f"    # differences of neighbours\n{body}",
    "right after a blank line": f"\n{body}",
    "wrong": "    return max(numbers, default=0)\n",
    "wrong on the last test": "    return max((abs(a - b) for a, b in zip(numbers, numbers[1:])), default=0) or 1\n",
    "nothing": "",
    "pass": "    pass\n",
    "syntax error": "    return max(\n",
    "runtime error": "    return numbers[0] - numbers[1]\n",
    "error caught": f"    try:\n        numbers[99]\n    except IndexError:\n        pass\n{body}",
    "endless loop": "    while True:\n        pass\n",
    "endless loop that catches all": "    while True:\n        try:\n            pass\n        except BaseException:\n            pass\n",
    "endless recursion": "    return largest_gap(numbers)\n",
    "recursion of depth 400": f"    def depth(n):\n        return n and 1 + depth(n - 1)\n    depth(400)\n{body}",
    "recursion of depth 900": f"    def depth(n):\n        return n and 1 + depth(n - 1)\n    depth(900)\n{body}",
    "one million steps": f"    for _ in range(1000000):\n        pass\n{body}",
    "repeats the signature": f"{signature}{body}",
    "repeats the signature after a line break": f"\n{signature}{body}",
    "repeats the signature, indented": f"    {signature}    {answer}    return largest_gap(numbers)\n",
    "wrong name": f"    pass\nlargest = lambda numbers: 0\n",
    "redefined below as a lambda": f"    pass\nlargest_gap = lambda numbers: max((abs(a - b) for a, b in zip(numbers, numbers[1:])), default=0)\n",
    "then another function": f"{body}\ndef other():\n    return (\n",
    "then a class": f"{body}\nclass Other:\n    (\n",
    "then a comment": f"{body}\n# Example: (\n(\n",
    "then a main block": f"{body}\nif __name__ == '__main__':\n    (\n",
    "then a print": f"{body}\nprint(largest_gap([1))\n",
    "then prose": f"{body}\nThis takes linear time.\n",
    "then an assertion that fails": f"{body}\nassert largest_gap([1]) == 5\n",
    "helper inside": f"    def gap(a, b):\n        return abs(a - b)\n    return max(map(gap, numbers, numbers[1:]), default=0)\n",
    "helper below": "    return helper(numbers)\n\ndef helper(numbers):\n    return 0\n",
    "import inside": "    import itertools\n    return max((abs(a - b) for a, b in itertools.pairwise(numbers)), default=0)\n",
    "import at the margin": f"import itertools\n{body}",
    "import of what is not there": f"    import no_such_module\n{body}",
    "not indented": answer.lstrip(),
    "indented by two": "  gaps = [abs(a - b) for a, b in zip(numbers, numbers[1:])]\n  return max(gaps, default=0)\n",
    "indented by a tab": "\treturn 0\n",
    "prints": f"    print('gaps of', numbers, 'é')\n{body}",
    "prints to stderr": f"    import sys\n    print('gaps', file=sys.stderr)\n{body}",
    "reads input": f"    input()\n{body}",
    "sys.exit": f"    import sys\n    sys.exit(0)\n",
    "raise SystemExit": "    raise SystemExit\n",
    "SystemExit at the margin": f"{body}\nraise SystemExit(0)\n",
    "os._exit": "    import os\n    os._exit(0)\n",
    "exit()": "    exit()\n",
    "equal to everything": "    class Any:\n        def __eq__(self, other):\n            return True\n    return Any()\n",
    "whole reply in a fence": f"```python\n{signature}{body}```\n",
    "fence below": f"{body}```\n",
}
cipher_texts = {
    "right": "    return encode(text)\n",
    "wrong": "    return text\n",
    "slices": "    return ''.join(text[i:i + 2][::-1] for i in range(0, len(text), 2))\n",
    "changes the helper of the tests": "    return text\nencode = lambda text: text\n",
}

double = "def double_all(numbers):\n  return [2 * n for n in numbers]\n"
node = "class Node:\n  def __init__(self, value):\n    self.value = value\n    self.left = self.right = None\n"
height = f"{node}def height(node):\n  return 0 if node is None else 1 + max(height(node.left), height(node.right))\n"

mbpp_texts = {
    "right": double,
    "right, then done": f"{double}[DONE]\n\nYou are an expert",
    "right after a line break": f"\n{double}",
    "line ends of Windows": double.replace("\n", "\r\n"),
    "tabs": double.replace("  ", "\t"),
    "lambda": "double_all = lambda numbers: [2 * n for n in numbers]\n",
    "partial": "from functools import partial\ndouble_all = partial(lambda k, numbers: [k * n for n in numbers], 2)\n",
    "callable object": f"class Double:\n  def __call__(self, numbers):\n    return [2 * n for n in numbers]\ndouble_all = Double()\n",
    "helper": "def double(n):\n  return 2 * n\ndef double_all(numbers):\n  return list(map(double, numbers))\n",
    "import": "import operator\nfrom itertools import repeat\ndef double_all(numbers):\n  return list(map(operator.mul, numbers, repeat(2)))\n",
    "future import": f"from __future__ import annotations\n{double}",
    "types": "from typing import List\ndef double_all(numbers: List[int]) -> List[int]:\n  return [2 * n for n in numbers]\n",
    "data class": "from dataclasses import dataclass\n@dataclass\nclass Box:\n  n: int\ndef double_all(numbers):\n  return [Box(2 * n).n for n in numbers]\n",
    "global state": "count = 0\ndef double_all(numbers):\n  global count\n  count += 1\n  return [2 * n for n in numbers]\n",
    "cache": "from functools import lru_cache\n@lru_cache(None)\ndef double(n):\n  return 2 * n\ndef double_all(numbers):\n  return [double(n) for n in numbers]\n",
    "floats": "def double_all(numbers):\n  return [2.0 * n for n in numbers]\n",
    "fractions": "from fractions import Fraction\ndef double_all(numbers):\n  return [Fraction(2 * n) for n in numbers]\n",
    "decimals": "from decimal import Decimal\ndef double_all(numbers):\n  return [Decimal(2 * n) for n in numbers]\n",
    "tuple": "def double_all(numbers):\n  return tuple(2 * n for n in numbers)\n",
    "generator": "def double_all(numbers):\n  return (2 * n for n in numbers)\n",
    "deque": "from collections import deque\ndef double_all(numbers):\n  return deque(2 * n for n in numbers)\n",
    "kind of list": "class Numbers(list):\n  pass\ndef double_all(numbers):\n  return Numbers(2 * n for n in numbers)\n",
    "in place": "def double_all(numbers):\n  for i, n in enumerate(numbers):\n    numbers[i] = 2 * n\n  return numbers\n",
    "strings": "def double_all(numbers):\n  return [str(2 * n) for n in numbers]\n",
    "wrong": "def double_all(numbers):\n  return numbers\n",
    "wrong name": double.replace("double_all", "double"),
    "syntax error": "def double_all(numbers)\n  return numbers\n",
    "runtime error": "def double_all(numbers):\n  return numbers * 2.0\n",
    "too many parameters": "def double_all(numbers, factor):\n  return [factor * n for n in numbers]\n",
    "endless loop at the margin": f"{double}while True:\n  pass\n",
    "main block that raises": f"{double}if __name__ == '__main__':\n  raise ValueError\n",
    "main block that reads input": f"{double}if __name__ == '__main__':\n  print(double_all(eval(input())))\n",
    "reads input": f"{double}n = input()\n",
    "prints": f"{double}print(double_all([3]))\n",
    "own test that passes": f"{double}assert double_all([3]) == [6]\n",
    "own test that fails": f"{double}assert double_all([3]) == [7]\n",
    "sys.exit": f"{double}import sys\nsys.exit(0)\n",
    "SystemExit in the function": "def double_all(numbers):\n  raise SystemExit(0)\n",
    "exit()": f"{double}exit()\n",
    "os._exit": f"{double}import os\nos._exit(0)\n",
    "equal to everything": "class Any:\n  def __eq__(self, other):\n    return True\ndef double_all(numbers):\n  return Any()\n",
    "prose before": f"Here is the program:\n{double}",
    "prose after": f"{double}\nIt doubles every number.\n",
    "fence": f"```python\n{double}```\n",
    "nothing": "",
}
mbpp_other = {
    ("height", "right"): height,
    ("height", "wrong"): height.replace("1 + ", "2 + "),
    ("height", "no class"): "def height(node):\n  return 0\n",
    ("sum", "right"): "total = sum\n",
    ("sum", "wrong on the fourth test"): "def total(numbers):\n  return abs(sum(numbers))\n",
    ("sum", "sum of floats"): "import math\ndef total(numbers):\n  return math.fsum(numbers)\n",
}

instruct = config("humaneval/humaneval_instruct.yaml"), config("mbpp/mbpp_instruct.yaml")
humaneval_prefix = instruct[0]["gen_prefix"].replace("{{ prompt }}", tasks_of["gap"]["prompt"])
mbpp_prefix = instruct[1]["gen_prefix"]
whole = f"from typing import List\n\n{signature}{body}"

humaneval_chats = {
    "prefix, right": f"{humaneval_prefix}{body}```\n",
    "prefix, right, then prose": f"{humaneval_prefix}{body}```\n\nIt compares neighbours.",
    "prefix, right, fence open": f"{humaneval_prefix}{body}",
    "prefix, wrong": f"{humaneval_prefix}    return 0\n```\n",
    "prefix, whole function": f"{humaneval_prefix}{whole}```\n",
    "prefix, syntax error": f"{humaneval_prefix}    return max(\n```\n",
    "prefix, SystemExit": f"{humaneval_prefix}    raise SystemExit\n```\n",
    "whole": f"```python\n{whole}```",
    "whole without import": f"```python\n{signature}{body}```",
    "whole between prose": f"Here is the function:\n\n```python\n{whole}```\n\nIt compares neighbours.",
    "fence without language": f"```\n{whole}```",
    "fence called py": f"```py\n{whole}```",
    "fence called Python": f"```Python\n{whole}```",
    "fence of tildes": f"~~~python\n{whole}~~~",
    "fence of four": f"````python\n{whole}````",
    "fence in a list": f"1. The function:\n\n   ```python\n{whole}   ```\n",
    "fence of another language first": f"```bash\npip install nothing\n```\n\n```python\n{whole}```",
    "two fences, right first": f"```python\n{whole}```\n\nFor example:\n\n```python\nprint(largest_gap([1, 4]))\n```",
    "two fences, right last": f"```python\nprint('first')\n```\n\n```python\n{whole}```",
    "fence open": f"```python\n{whole}",
    "body in a fence": f"```python\n{body}```",
    "wrong name in a fence": f"```python\n{whole.replace('largest_gap', 'gap')}```",
    "wrong in a fence": f"```python\n{signature}    return 0\n```",
    "no fence, whole": whole,
    "no fence, body": body,
    "prose": "I would compare neighbours.",
    "empty": "",
}
mbpp_chats = {
    "prefix, right": f"{mbpp_prefix}{double}```\n",
    "prefix, right after a line break": f"{mbpp_prefix}\n{double}```\n",
    "prefix, right after a comment": f"{mbpp_prefix}# double\n{double}```\n",
    "prefix, right, then prose": f"{mbpp_prefix}\n{double}```\n\nIt doubles every number.",
    "prefix, wrong": f"{mbpp_prefix}\ndef double_all(numbers):\n  return numbers\n```\n",
    "prefix, syntax error": f"{mbpp_prefix}\ndef double_all(numbers)\n  return numbers\n```\n",
    "prefix, fence open": f"{mbpp_prefix}\n{double}",
    "prefix, SystemExit": f"{mbpp_prefix}\n{double}raise SystemExit\n```\n",
    "prefix, two fences": f"{mbpp_prefix}\n{double}```\n\n```python\nprint(double_all([1]))\n```\n",
    "whole": f"```python\n{double}```",
    "fence without language": f"```\n{double}```",
    "fence between prose": f"Here it is:\n\n```python\n{double}```\n\nIt doubles every number.",
    "two fences, right last": f"First a try.\n\n```python\nprint(1)\n```\n\n```python\n{double}```",
    "no fence": double,
    "prose": "I would double every number.",
}


def cut(text, stops):
    for stop in stops:
        text = text.split(stop)[0]
    return text


code_cases = []


def code_case(name, task, reply, benchmark, is_chat=False):
    settings, doc = config(f"{benchmark}/{benchmark}{'_instruct' if is_chat else ''}.yaml"), tasks_of[task]
    prefix = settings.get("gen_prefix", "").replace("{{ prompt }}", doc.get("prompt", ""))
    continuation = cut(reply.removeprefix(prefix), settings["generation_kwargs"]["until"])
    if benchmark == "humaneval":
        build = humaneval.build_predictions_instruct if is_chat else humaneval.build_predictions
        prediction = build([[continuation]], [doc])[0][0]
        score = humaneval.pass_at_k([f"{doc['test']}\ncheck({doc['entry_point']})"], [[prediction]], [1])["pass@1"]
    else:
        prediction = mbpp.build_predictions([[continuation]], [doc])[0][0] if is_chat else continuation
        score = mbpp.pass_at_1(["\n".join(doc["test_list"][:3])], [[prediction]])
    code_cases.append({
        "name": f"{benchmark}{' chat' if is_chat else ''}: {task}: {name}", "benchmark": benchmark, "task": task, "isChat": is_chat,
        "reply": reply, "passed": int(score)})


for name, reply in humaneval_texts.items():
    code_case(name, "gap", reply, "humaneval")
for name, reply in cipher_texts.items():
    code_case(name, "cipher", reply, "humaneval")
for name, reply in humaneval_chats.items():
    code_case(name, "gap", reply, "humaneval", is_chat=True)
for name, reply in mbpp_texts.items():
    code_case(name, "double", reply, "mbpp")
for (task, name), reply in mbpp_other.items():
    code_case(name, task, reply, "mbpp")
for name, reply in mbpp_chats.items():
    code_case(name, "double", reply, "mbpp", is_chat=True)


def write(name, value):
    rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in value["cases"])
    rest = "".join(f"{json.dumps(key)}: {json.dumps(part)},\n" for key, part in value.items() if key != "cases")
    (out / name).write_text(f'{{ {rest}"cases": [\n{rows}\n] }}\n')


write("lmeval-math.json", {"cases": math_cases})
write("lmeval-code.json", {"tasks": tasks_of, "cases": code_cases})
print(len(math_cases), len(code_cases))
