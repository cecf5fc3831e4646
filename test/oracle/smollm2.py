"""What transformers makes of SmolLM2-135M-Instruct read from GGUF: greedy answers to 50 prompts, perplexity of a text.

    bash scripts/fetch-smollm2.sh        # the weights, into an ignored folder
    python test/oracle/smollm2.py .models/SmolLM2-135M-Instruct.Q4_1.gguf test/fixtures/smollm2/expected.json

The weights are the dequantised ones, in float32. `minMargin` is the smallest gap between the best two logits of an
answer: where it is below float32's rounding, another order of additions may choose another token.
"""

import json
import math
import sys
from pathlib import Path

import torch
import transformers

NEW_TOKENS = 32
PERPLEXITY_TOKENS = 512
SUBJECTS = ["the ocean", "a violin", "photosynthesis", "the moon", "bread", "a bridge", "honey bees", "glass", "a clock", "rain"]
QUESTIONS = ["What is {}?", "Write one sentence about {}.", "Give me three facts about {}.", "Explain {} to a child.", "Why do people like {}?"]


def main():
    path = Path(sys.argv[1])
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model.eval()
    prompts = [q.format(s) for s in SUBJECTS for q in QUESTIONS]
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": p}], add_generation_prompt=True, tokenize=False) for p in prompts
    ]
    tokenizer.padding_side = "left"
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        out = model.generate(
            **batch, do_sample=False, max_new_tokens=NEW_TOKENS, output_scores=True, return_dict_in_generate=True
        )
    top = torch.stack([scores.topk(2).values for scores in out.scores])
    answers = []
    for i, prompt in enumerate(prompts):
        tokens = out.sequences[i, batch["input_ids"].shape[1] :].tolist()
        end = model.config.eos_token_id
        if end in tokens:
            tokens = tokens[: tokens.index(end) + 1]
        margin = (top[: len(tokens), i, 0] - top[: len(tokens), i, 1]).min().item()
        ids = [t for t, m in zip(batch["input_ids"][i].tolist(), batch["attention_mask"][i].tolist()) if m]
        answers.append({"prompt": prompt, "promptIds": ids, "tokens": tokens, "minMargin": float(f"{margin:.3g}")})
    text = (Path(__file__).parents[2] / "LICENSE").read_text()
    ids = tokenizer(text)["input_ids"][:PERPLEXITY_TOKENS]
    with torch.no_grad():
        loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
    lines = ",\n".join(json.dumps(answer) for answer in answers)
    head = {"newTokens": NEW_TOKENS, "text": "LICENSE", "textIds": ids, "perplexity": math.exp(loss)}
    body = ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items())
    Path(sys.argv[2]).write_text(f'{{{body},\n"answers": [\n{lines}\n]}}\n')


main()
