"""What lm-evaluation-harness says about answers to GSM8K, TriviaQA and ARC: its own filters, metrics and task files.

    python eval_lmeval.py <site-packages with lm_eval> <lab/model> <fixtures/eval>

Writes lmeval.json: texts with the scores of `gsm8k` (strict-match, flexible-extract) and `triviaqa`, log-probabilities with
the scores of `arc_easy`, and the log-probabilities that transformers gives the choices of arc.jsonl under the lab's model,
tokenised as lm-eval does. Packages that lm_eval imports and that none of this uses may be missing.
"""

import importlib.util
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

site, model_dir, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
sys.path.append(site)
for name in ["sacrebleu", "evaluate", "rouge_score", "sqlitedict", "pytablewriter", "jsonlines", "more_itertools",
             "word2number", "sklearn", "sklearn.metrics"]:
    if importlib.util.find_spec(name.split(".")[0]) is None:
        sys.modules[name] = MagicMock(__spec__=importlib.util.spec_from_loader(name, loader=None))

import yaml  # noqa: E402
from lm_eval.api.metrics import exact_match_hf_evaluate  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.filters.extraction import RegexFilter, WhitespaceFilter  # noqa: E402

tasks = Path(site) / "lm_eval" / "tasks"
torch.set_num_threads(1)
dice = random.Random(20240930)


def config(path):
    loader = yaml.SafeLoader
    loader.add_constructor("!function", lambda *_: None)
    return yaml.load((tasks / path).read_text(), loader)


def metric_options(task):
    options = dict(task["metric_list"][0])
    for key in ("metric", "aggregation", "higher_is_better"):
        options.pop(key)
    return options


# GSM8K -------------------------------------------------------------------------------------------------------------

gsm8k = config("gsm8k/gsm8k.yaml")
filters = {f["name"]: f["filter"][0] for f in gsm8k["filter_list"]}


def gsm8k_scores(response, answer):
    scores = {}
    for name, options in filters.items():
        options = {k: v for k, v in options.items() if k != "function"}
        extracted = RegexFilter(**options).apply([[response]], [{}])[0][0]
        scores[name] = float(exact_match_hf_evaluate([extracted], [answer], **metric_options(gsm8k))["exact_match"])
    return scores


references = ["So it is 42.\n#### 42", "12 * 100\n#### 1,200", "#### -7", "It is 4.5 dollars.\n#### 4.50", "#### 0"]
forms = ["{}", "#### {}", "The answer is {}.", "... = {}\n#### {}", "#### {}.\nQuestion", "####{}", "#### ${}", "${}",
         "#### {} apples\n#### 99", "about {}, not 3", "First 5, then {}", "**{}**", "#### {}\n", "x = {}/2", "no number",
         "#### none, but {}", "${},", "it costs ${}.", "1. Add\n2. {}", "{}%"]
numbers = ["42", "1200", "1,200", "-7", "7", "4.5", "4.50", "0", "42.", "1,200.00", "$42", "$1,200", "042"]
gsm8k_cases = []
for reference in references:
    for form in forms:
        for number in dice.sample(numbers, 4) + [reference.split("#### ")[1]]:
            response = form.replace("{}", number)
            gsm8k_cases.append({"response": response, "answer": reference, **gsm8k_scores(response, reference)})

# TriviaQA ----------------------------------------------------------------------------------------------------------

triviaqa = config("triviaqa/default.yaml")
alias_lists = [["George Eliot", "Mary Ann Evans"], ["W"], ["St. Moritz", "St Moritz", "Saint Moritz"], ["The Beatles", "Beatles"],
               ["U.S.A.", "USA", "United States"], ["O'Neill"], ["Île-de-France"], ["1,000"]]
answer_forms = ["{}", " {} ", "{}!", "the {}", "{} indeed", "\"{}\"", "It is {}"]


def triviaqa_score(response, aliases):
    stripped = WhitespaceFilter().apply([[response]], [{}])[0][0]
    scores = exact_match_hf_evaluate([stripped] * len(aliases), aliases, **metric_options(triviaqa))["exact_match"]
    return 1.0 if scores > 0 else 0.0


triviaqa_cases = []
for aliases in alias_lists:
    for form in answer_forms:
        for answer in {aliases[0], aliases[-1], aliases[0].lower(), aliases[0].upper(), "Paris"}:
            response = form.replace("{}", answer)
            triviaqa_cases.append({"response": response, "aliases": aliases, "exact_match": triviaqa_score(response, aliases)})
triviaqa_cases.sort(key=json.dumps)

# ARC ---------------------------------------------------------------------------------------------------------------


def arc_scores(logprobs, texts, gold):
    task = SimpleNamespace(
        OUTPUT_TYPE="multiple_choice", _metric_fn_list={"acc": None, "acc_norm": None}, multiple_input=False,
        multiple_target=False, doc_to_choice=lambda doc: texts, doc_to_target=lambda doc: gold,
        config=SimpleNamespace(doc_to_choice="x", process_results=None))
    return ConfigurableTask.process_results(task, {}, [(value, False) for value in logprobs])


words = "a iron water the Moon evaporation photosynthesis é ice 😀 light sound".split()
arc_cases = []
for _ in range(100):
    texts = [" ".join(dice.sample(words, dice.randint(1, 5))) for _ in range(dice.choice([3, 4, 4, 5]))]
    logprobs = [round(dice.uniform(-40, -1), 2) for _ in texts]
    if dice.random() < 0.1:
        logprobs[1] = logprobs[0]
    gold = dice.randrange(len(texts))
    arc_cases.append({"logprobs": logprobs, "texts": texts, "gold": gold, **arc_scores(logprobs, texts, gold)})

# Log-probabilities of choices under the lab's model ----------------------------------------------------------------

tokenizer = AutoTokenizer.from_pretrained(model_dir)
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float64)


def logprob(context, continuation):
    context_ids = tokenizer.encode(context)
    ids = context_ids + tokenizer.encode(context + continuation)[len(context_ids):]
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(logprobs[t - 1, ids[t]].item() for t in range(len(context_ids), len(ids)))


rows = [json.loads(line) for line in (out / "arc.jsonl").read_text().splitlines()]
choice_logprobs = [
    [logprob(f"Question: {row['question']}\nAnswer:", f" {text}") for text in row["choices"]["text"]] for row in rows]

(out / "lmeval.json").write_text(json.dumps({
    "gsm8k": gsm8k_cases, "triviaqa": triviaqa_cases, "arc": arc_cases, "choice_logprobs": choice_logprobs,
}, ensure_ascii=False, indent=0) + "\n")
print(len(gsm8k_cases), len(triviaqa_cases), len(arc_cases), len(choice_logprobs))
