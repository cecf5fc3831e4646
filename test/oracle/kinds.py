"""What PEFT and transformers make of two odd files that are loaded all the same.

    python test/oracle/kinds.py test/fixtures

Writes test/fixtures/kinds: `tied-embedding`, a LoRA adapter on engine/llama-tied whose modules_to_save hold the input
embedding, with the logits of PEFT (the head keeps the base's values); and, in expected.json, the scores of engine/llama-reward
under `pad_token_id: -1`, of sequences that end in token 0 too, which is its padding otherwise.
"""

import json
import sys
from pathlib import Path

import peft
import torch
import transformers

TOKENS = [5, 17, 3, 88, 41, 2, 60]
SEQUENCES = [[5, 17, 3], [9, 0], [7, 8, 0, 0], [88, 41, 2, 60, 0]]


def main():
    root = Path(sys.argv[1])
    out = root / "kinds"
    out.mkdir(exist_ok=True)
    torch.manual_seed(11)
    base = transformers.AutoModelForCausalLM.from_pretrained(root / "engine/llama-tied", dtype=torch.float64)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_((torch.randn(parameter.shape) * 0.3).float().double())
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([TOKENS])).logits[0]
    model.float().save_pretrained(out / "tied-embedding", save_embedding_layers=False)
    (out / "tied-embedding/README.md").unlink(missing_ok=True)
    file = out / "tied-embedding/adapter_config.json"
    written = json.loads(file.read_text()) | {"base_model_name_or_path": "test/fixtures/engine/llama-tied"}
    file.write_text(json.dumps(written, indent=2) + "\n")
    reward = transformers.AutoModelForSequenceClassification.from_pretrained(root / "engine/llama-reward", dtype=torch.float64).eval()
    reward.config.pad_token_id = -1
    with torch.no_grad():
        scores = [reward(input_ids=torch.tensor([ids])).logits[0, 0].item() for ids in SEQUENCES]
    rows = [[float(f"{x:.9g}") for x in row] for row in logits.tolist()]
    (out / "expected.json").write_text(
        json.dumps({"tokens": TOKENS, "logits": rows, "sequences": SEQUENCES, "scores": scores}) + "\n"
    )


main()
