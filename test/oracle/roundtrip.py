"""What Touchstone saves, transformers and PEFT load, with the same results.

    python roundtrip.py --root REPOSITORY --out EMPTY_DIRECTORY [--markdown FILE]

Lets Touchstone (roundtrip.ts, which needs `npm ci`) train and save every engine fixture as float32, bfloat16, sharded float16,
LoRA adapter, merged LoRA and reward model, then loads each as a user would and compares log-probabilities or scores, and tokens and
chat template of the lab's model. Exit code 1 where a difference is larger than float32 rounding.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
import transformers

from load_saved import load_adapter, load_base

# Both sides compute in float32.
TOLERANCE = 2e-5


def load(case):
    classifier_adapter = case.get("adapter") and "scores" in case
    if not classifier_adapter:
        model = load_base(case["model"])
        return load_adapter(model, case["adapter"]) if case.get("adapter") else model
    # The adapter brings the score head: its base is the language model, opened as a classifier.
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        case["model"], num_labels=1, dtype=torch.float32, attn_implementation="eager"
    )
    return load_adapter(model, case["adapter"])


@torch.inference_mode()
def difference(case):
    model = load(case).eval()
    worst = 0.0
    for i, tokens in enumerate(case["sequences"]):
        ids = torch.tensor([tokens])
        logits = model(input_ids=ids).logits[0]
        if "scores" in case:
            found, wanted = logits, torch.tensor([case["scores"][i]])
        else:
            found = torch.log_softmax(logits[:-1], -1).gather(1, ids[0, 1:, None])[:, 0]
            wanted = torch.tensor(case["logprobs"][i])
        worst = max(worst, (found - wanted).abs().max().item())
    return worst


def token_problems(tokens):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokens["model"])
    problems = []
    for text, ids, decoded in zip(tokens["texts"], tokens["ids"], tokens["decoded"]):
        if tokenizer(text)["input_ids"] != ids:
            problems.append(f"tokens of {text!r}")
        if tokenizer.decode(ids, skip_special_tokens=True) != decoded:
            problems.append(f"text of the tokens of {text!r}")
    for messages, rendered in zip(tokens["conversations"], tokens["rendered"]):
        if tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) != rendered:
            problems.append(f"chat template of {messages!r}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, help="write the table here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()

    root, out = args.root.resolve(), args.out.resolve()
    script = root / "test/oracle/roundtrip.ts"
    subprocess.run(["node", "--import", "tsx", script, root, out], cwd=root, check=True)
    saved = json.loads((out / "cases.json").read_text())

    rows = [(case["name"], "score" if "scores" in case else "log-probability", difference(case)) for case in saved["cases"]]
    problems = token_problems(saved["tokens"])
    lines = ["| saved by Touchstone | compared | largest difference |", "| --- | --- | --- |"]
    lines += [f"| {name} | {what} | {worst:.1e} |" for name, what, worst in rows]
    n = len(saved["tokens"]["texts"]) + len(saved["tokens"]["conversations"])
    lines.append(f"| lab model | tokens and chat template of {n} texts | {', '.join(problems) or 'equal'} |")
    versions = f"transformers {transformers.__version__}, peft {__import__('peft').__version__}, torch {torch.__version__}"
    text = "\n".join([*lines, "", versions, ""])
    print(text)
    if args.markdown:
        args.markdown.write_text(text)
    if problems or any(not worst < TOLERANCE for _, _, worst in rows):
        sys.exit("some results differ")


if __name__ == "__main__":
    main()
