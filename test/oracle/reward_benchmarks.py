"""Scores of RewardBench 2, RM-Bench and JudgeBench by the functions that their authors publish -> JSON.

    python test/oracle/reward_benchmarks.py --reward-bench DIR --rm-bench DIR --judge-bench DIR --out test/fixtures/reward/benchmarks.json

DIR are checkouts of allenai/reward-bench, THU-KEG/RM-Bench and ScalerLab/JudgeBench. Their functions are cut out of their files,
because the modules import much that is not needed; `Table` stands for the two methods of `datasets.Dataset` that they call. The
scores and decisions are random, rounded so that ties occur. Needs numpy.
"""

import argparse
import ast
import collections
import json
import typing
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser()
for name in ("--reward-bench", "--rm-bench", "--judge-bench", "--out"):
    parser.add_argument(name, required=True)
options = parser.parse_args()
rng = np.random.default_rng(7)


def functions(path, names):
    """The named functions of a file, with their own names in sight."""
    tree = ast.parse(Path(path).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    assert len(found) == len(names), [node.name for node in found]
    scope = {**vars(typing), "np": np, "defaultdict": collections.defaultdict, "print": lambda *_: None}
    exec(compile("from __future__ import annotations\n" + "\n".join(map(ast.unparse, found)), str(path), "exec"), scope)
    return scope


class Table(list):
    column_names = ()

    def add_column(self, *_):
        return self


def scores(*shape):
    return rng.normal(size=shape).round(1)


# RewardBench 2: best of four, and its own score of the subset Ties.
ties = functions(Path(options.reward_bench, "rewardbench", "utils.py"), {"_compute_prompt_stats", "process_single_model"})
plain, tied = [], []
for i in range(60):
    own = scores(4)
    own[0] += 0.5
    plain.append({"id": str(i), "subset": ["Factuality", "Precise IF", "Focus"][i % 3], "num_correct": 1, "scores": own.round(1).tolist()})
for i in range(12):
    for kind, right, wrong in (("ref", 1, int(rng.integers(3, 9))), ("tied", int(rng.integers(2, 6)), int(rng.integers(3, 9)))):
        own = scores(right + wrong)
        own[:right] = (own[:right] * (0 if i == 3 else 0.3) + 1.6).round(1)
        tied.append({"id": f"{kind}:{i}", "subset": "Ties", "num_correct": right, "scores": own.tolist()})
# Reference questions of which the tied ones are missing count as accuracy only.
tied.append({"id": "ref:99", "subset": "Ties", "num_correct": 1, "scores": [1.5, 0.2, 0.1]})
with np.errstate(all="ignore"):
    ties_score = ties["process_single_model"](Table(tied))[1]
by_subset = collections.defaultdict(list)
for row in plain:
    # reroll_and_score_dataset: the first response is the right one.
    values = np.array(row["scores"])
    by_subset[row["subset"]].append((1 / np.sum(values == values.max())) if values[0] == values.max() else 0)
reward_bench_2 = {"rows": plain + tied, "expected": {**{k: float(np.mean(v)) for k, v in by_subset.items()}, "Ties": ties_score}}

# RM-Bench: the matrix of three styles.
rm = functions(Path(options.rm_bench, "scripts", "utils.py"), {"split_dataset_by_domain", "compute_accuracy"})
rows = []
for i in range(80):
    domain = ["chat", "code", "math", "safety-refuse", "safety-response"][int(rng.integers(5))]
    rows.append({"id": i, "domain": domain, "score_chosen": (scores(3) + 0.4).round(1).tolist(), "score_rejected": scores(3).tolist()})
alone = [{k: row[k] for k in ("score_chosen", "score_rejected")} for row in rows]
rm_bench = {
    "rows": [dict(row) for row in rows],
    "expected": {k: float(v) for k, v in rm["compute_accuracy"]([dict(row) for row in rows]).items()},
    "expected_without_domains": {k: float(v) for k, v in rm["compute_accuracy"](alone).items()},
}

# JudgeBench: a judge's decisions in both orders, and a reward model's in one.
judge = functions(Path(options.judge_bench, "utils", "metrics.py"), {"flip_judgment", "compute_final_metrics"})
sources = ["mmlu-pro-law", "mmlu-pro-physics", "livebench-reasoning", "livebench-math", "livecodebench"]
pairs = []
for i in range(90):
    decisions = [None if rng.random() < 0.1 else {"decision": str(rng.choice(["A>B", "B>A", "A=B"], p=[0.45, 0.4, 0.15]))} for _ in range(2)]
    pairs.append({"pair_id": str(i), "source": sources[i % 5], "label": ["A>B", "B>A"][int(rng.integers(2))], "judgments": decisions})
metric = judge["compute_final_metrics"]
groups = ["mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench", ""]
both = {g or "all": metric(pairs, True, lambda pair, g=g: pair["source"].startswith(g)) / 100 for g in groups}
single = [{**pair, "judgments": [pair["judgments"][0] or {"decision": "A=B"}]} for pair in pairs]
once = {g or "all": metric(single, False, lambda pair, g=g: pair["source"].startswith(g)) / 100 for g in groups}
judge_bench = {
    "rows": [
        {"source": p["source"], "label": p["label"], "decisions": [j and j["decision"] for j in p["judgments"]]} for p in pairs
    ],
    "expected": both,
    "expected_in_one_order": once,
}

result = {"reward_bench_2": reward_bench_2, "rm_bench": rm_bench, "judge_bench": judge_bench}
lines = json.dumps(result, indent=1)
Path(options.out).write_text(lines + "\n")
