"""Reads back what scripts/smollm2-verbs.sh wrote, with transformers and PEFT, and compares log-probabilities with ours.

    sh scripts/smollm2-verbs.sh WORK_DIR
    python test/oracle/smollm2_back.py WORK_DIR

For each of them: the log-probabilities of 64 tokens of LICENSE by transformers (PEFT) and by `touchstone logprobs` (score of the
reward models: `touchstone score`), and how far they are apart at most.
"""

import json
import subprocess
import sys
from pathlib import Path

import peft
import torch
import transformers

TOKENS = 64


def ours(verb, model, rows, work):
    data = work / "back.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["node", "bin/touchstone.js", verb, str(data), "--model", str(model), "--quiet"]
    return [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]


def main():
    work = Path(sys.argv[1])
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(work / "base")
    ids = tokenizer(Path("LICENSE").read_text())["input_ids"][:TOKENS]
    row = {"prompt_ids": ids[:1], "completion_ids": ids[1:]}
    causal, scalar = transformers.AutoModelForCausalLM, transformers.AutoModelForSequenceClassification
    cases = {
        "base": lambda: causal.from_pretrained(work / "base", dtype=torch.float32),
        "sft (adapter, PEFT)": lambda: peft.PeftModel.from_pretrained(causal.from_pretrained(work / "base", dtype=torch.float32), work / "sft/final"),
        "align (adapter, PEFT)": lambda: peft.PeftModel.from_pretrained(causal.from_pretrained(work / "base", dtype=torch.float32), work / "align/final"),
        "sft-whole": lambda: causal.from_pretrained(work / "sft-whole/final", dtype=torch.float32),
        "align-whole": lambda: causal.from_pretrained(work / "align-whole/final", dtype=torch.float32),
        "align.gguf": lambda: causal.from_pretrained(work, gguf_file="align.gguf", dtype=torch.float32),
        "reward-whole": lambda: scalar.from_pretrained(work / "reward-whole/final", dtype=torch.float32),
        "warm": lambda: scalar.from_pretrained(work / "warm", dtype=torch.float32),
    }
    for name, load in cases.items():
        path = work / name.split(" ")[0]
        model = path if (path / "config.json").exists() or path.suffix else path / "final"
        theirs = load().eval()
        with torch.no_grad():
            logits = theirs(input_ids=torch.tensor([ids])).logits.float()
        if logits.dim() == 2:
            mine, want = [ours("score", model, [row], work)[0]["reward"]], [logits.item()]
        else:
            mine = ours("logprobs", model, [row], work)[0]["logprobs"]
            want = logits.log_softmax(-1)[0, range(len(ids) - 1), ids[1:]].tolist()
        print(f"{name}: {len(want)} numbers, at most {max(abs(a - b) for a, b in zip(mine, want)):.2g} apart", flush=True)


main()
