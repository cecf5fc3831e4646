"""lm-eval's local-completions on the served model against lm-eval's own `hf` back end on the same files."""

import os

os.environ["OPENAI_API_KEY"] = os.environ["TOKEN"]
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import importlib.metadata  # noqa: E402

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.models.openai_completions import LocalCompletionsAPI  # noqa: E402

model = os.environ["MODEL"]
served = LocalCompletionsAPI(
    base_url=os.environ["URL"] + "/v1/completions", model=model, tokenizer=model, tokenizer_backend="huggingface", batch_size=4, max_length=200
)
local = HFLM(pretrained=model, device="cpu", batch_size=1, max_length=200, dtype="float32")
pairs = [(f"Question: what is {a} + {b}?\nAnswer:", f" {answer}") for a, b in ((2, 3), (7, 5), (1, 9)) for answer in (a + b, a + b + 1, "none of them")]
asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
got, wanted = served.loglikelihood(asked), local.loglikelihood(asked)
worst = max(abs(a[0] - b[0]) for a, b in zip(got, wanted))
assert worst < 1e-3 and [a[1] for a in got] == [b[1] for b in wanted], list(zip(got, wanted))
options = {"until": ["\n"], "max_gen_toks": 12, "temperature": 0, "do_sample": False}
prompts = [Instance("generate_until", {}, (context, dict(options)), i) for i, (context, _) in enumerate(pairs[::3])]
texts = [one.generate_until(prompts) for one in (served, local)]
# Byte-level remains of a random model may decode differently; what is text has to be the same.
same = sum(a.strip() == b.strip() for a, b in zip(*texts))
print(f"ok lm-eval {importlib.metadata.version('lm_eval')}: {len(pairs)} log-likelihoods within {worst:.1e} of transformers, greedy flags equal, {same} of {len(prompts)} generations equal")
assert same == len(prompts), texts
