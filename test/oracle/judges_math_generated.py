"""Verdicts of two sympy-based graders on the generated pairs -> counts by dress, and one letter a pair.

    npx tsx test/support/math-pairs.ts --count 20000 --seed 1 --out pairs.jsonl
    python test/oracle/judges_math_generated.py --lm-eval DIR --pairs pairs.jsonl --out test/fixtures/judges/math-generated.json

in an environment with math-verify, sympy and antlr4-python3-runtime. DIR contains the package `lm_eval`, whose task
`minerva_math` parses both answers with sympy and simplifies their difference. Both graders have their own time limit of
5 seconds a pair, taken as processor time here, so that a busy machine refuses nothing; `--seconds` bounds the whole: the
pairs are taken in order, and `pairs` says how many were graded. The process can be stopped and started again: `--log` keeps
the verdicts (+ accepted, - refused; first math-verify, then minerva), and `--earlier` names a file like the one that is
written, whose pairs are counted and not graded again.
"""

import argparse
import collections
import importlib.metadata
import importlib.util
import json
import logging
import signal
import sys
import time
import types
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("--lm-eval", "--pairs", "--out", "--log"):
    parser.add_argument(name, required=True)
parser.add_argument("--seconds", type=float, default=1e9)
parser.add_argument("--earlier")
options = parser.parse_args()
logging.disable(logging.CRITICAL)

# Both graders limit themselves by SIGALRM, that is by the clock on the wall.
set_handler = signal.signal
signal.signal = lambda number, handler: set_handler(signal.SIGPROF if number == signal.SIGALRM else number, handler)
signal.alarm = lambda seconds: int(signal.setitimer(signal.ITIMER_PROF, seconds)[0])

from math_verify import parse, verify  # noqa: E402

# sympy asks for a patch version of its parser's runtime; newer ones read the same format.
version_of = importlib.metadata.version
importlib.metadata.version = lambda package: "4.11" if package.startswith("antlr4") else version_of(package)
sys.modules["datasets"] = types.ModuleType("datasets")
sys.modules["datasets"].Dataset = object
spec = importlib.util.spec_from_file_location("minerva", Path(options.lm_eval, "lm_eval", "tasks", "minerva_math", "utils.py"))
minerva = importlib.util.module_from_spec(spec)
spec.loader.exec_module(minerva)


def by_math_verify(reference, answer):
    try:
        return verify(parse(f"${reference}$"), parse(answer if answer.startswith("$") else f"${answer}$"))
    except Exception:
        return False


def by_minerva(reference, answer):
    try:
        return bool(minerva.is_equiv(*(minerva.normalize_final_answer(text) for text in (answer, reference))))
    except BaseException:
        return False


counts = collections.defaultdict(lambda: {"pairs": 0, "math-verify": 0, "minerva": 0})
earlier = json.loads(Path(options.earlier).read_text()) if options.earlier else {"pairs": 0, "accepted": {}}
counts.update(earlier["accepted"])
pairs = [json.loads(line) for line in Path(options.pairs).read_text().splitlines()][earlier["pairs"] :]
log = Path(options.log)
done = log.read_text().split() if log.exists() else []
end = time.time() + options.seconds
with log.open("a") as out:
    for pair in pairs[len(done) :]:
        if time.time() > end:
            break
        graded = [by_math_verify(pair["reference"], pair["answer"]), by_minerva(pair["reference"], pair["answer"])]
        done.append("".join("+" if verdict else "-" for verdict in graded))
        out.write(done[-1] + "\n")
        out.flush()

for pair, verdicts in zip(pairs, done):
    row = counts[f'{pair["dress"]}, {"equal" if pair["isEqual"] else "different"}']
    row["pairs"] += 1
    for grader, verdict in zip(("math-verify", "minerva"), verdicts):
        row[grader] += verdict == "+"
versions = {package: version_of(package) for package in ("math-verify", "sympy", "antlr4-python3-runtime")}
Path(options.out).write_text(json.dumps({"pairs": earlier["pairs"] + len(done), "versions": versions, "accepted": dict(sorted(counts.items()))}, indent=1) + "\n")
print(earlier["pairs"] + len(done), "pairs")
