"""Verdicts of three public graders on pairs of final answers -> test/fixtures/judges/math-graders.json

Run as
    python test/oracle/judges_math.py --lm-eval DIR --math-verify DIR --pairs test/fixtures/judges/math-pairs.txt \
        --out test/fixtures/judges/math-graders.json
in an environment with sympy and antlr4-python3-runtime. The directories contain the packages `lm_eval` (its tasks
`hendrycks_math` and `minerva_math` grade) and `math_verify` with `latex2sympy2_extended`, whose generated parser comes from
    antlr4 -Dlanguage=Python3 PS.g4

The result maps "reference | answer" to the verdicts, in the order of `graders`.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import logging
import sys
import types
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("--lm-eval", "--math-verify", "--pairs", "--out"):
    parser.add_argument(name, required=True)
options = parser.parse_args()
sys.path.insert(0, options.math_verify)
logging.disable(logging.CRITICAL)

from math_verify import parse, verify  # noqa: E402

# sympy asks for a patch version of its parser's runtime; newer ones read the same format.
version_of = importlib.metadata.version
importlib.metadata.version = lambda package: "4.11" if package.startswith("antlr4") else version_of(package)
sys.modules["datasets"] = types.ModuleType("datasets")
sys.modules["datasets"].Dataset = object


def task(name):
    spec = importlib.util.spec_from_file_location(name, Path(options.lm_eval, "lm_eval", "tasks", name, "utils.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hendrycks, minerva = task("hendrycks_math"), task("minerva_math")


def by_minerva(reference, answer):
    return minerva.is_equiv(*(minerva.normalize_final_answer(text) for text in (answer, reference)))


def by_math_verify(reference, answer):
    # It looks for mathematics inside a text, so both are marked as such.
    return verify(parse(f"${reference}$"), parse(f"${answer}$"))


graders = {"hendrycks": lambda r, a: hendrycks.is_equiv(a, r), "minerva": by_minerva, "math-verify": by_math_verify}
verdicts = {}
for line in Path(options.pairs).read_text().splitlines():
    if line.startswith("# ") or " | " not in line:
        continue
    reference, answer, _ = line.split(" | ")
    verdicts[f"{reference} | {answer}"] = [bool(grade(reference, answer)) for grade in graders.values()]
body = ",\n".join(f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(value)}" for key, value in verdicts.items())
Path(options.out).write_text(f'{{ "graders": {json.dumps(list(graders))}, "verdicts": {{\n{body}\n}} }}\n')
print(len(verdicts), "pairs")
