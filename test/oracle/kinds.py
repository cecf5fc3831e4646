"""What PEFT and transformers make of odd files that are loaded all the same.

    python test/oracle/kinds.py test/fixtures

Writes test/fixtures/kinds: `tied-embedding`, a LoRA adapter on engine/llama-tied whose modules_to_save hold the input
embedding, with the logits of PEFT (the head keeps the base's values); five more whose embedding or head is stored, in
`modules_to_save` or not, with log-probabilities; and, in expected.json, the scores of engine/llama-reward
under `pad_token_id: -1`, of sequences that end in token 0 too, which is its padding otherwise.
"""

import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

TOKENS = [5, 17, 3, 88, 41, 2, 60]
SEQUENCES = [[5, 17, 3], [9, 0], [7, 8, 0, 0], [88, 41, 2, 60, 0]]


def describe(folder):
    """adapter_config.json without this machine's paths."""
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    written = json.loads(file.read_text()) | {"base_model_name_or_path": "test/fixtures/engine/llama-tied"}
    file.write_text(json.dumps(written, indent=2) + "\n")


def stored(root, out, name, modules=None, plain=(), **options):
    """Log-probabilities of the first 8 tokens at each position, of an adapter as PEFT reads it back."""
    torch.manual_seed(12)
    load = lambda: transformers.AutoModelForCausalLM.from_pretrained(root / "engine/llama-tied", dtype=torch.float32)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=modules, task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(load(), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.copy_(torch.randn(parameter.shape) * 0.3)
    model.save_pretrained(out / name, save_embedding_layers=False)
    if plain:
        file = out / name / "adapter_model.safetensors"
        shape = model.get_input_embeddings().weight.shape
        tensors = load_file(file) | {f"base_model.model.{key}.weight": torch.randn(shape) * 0.3 for key in plain}
        save_file(tensors, file, metadata={"format": "pt"})
    describe(out / name)
    read = peft.PeftModel.from_pretrained(load(), out / name).double().eval()
    with torch.no_grad():
        rows = read(input_ids=torch.tensor([TOKENS])).logits[0].log_softmax(-1)[:, :8]
    return [[float(f"{x:.9g}") for x in row] for row in rows.tolist()]


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
    describe(out / "tied-embedding")
    adapters = {
        "tied-head": stored(root, out, "tied-head", ["lm_head"]),
        "tied-both": stored(root, out, "tied-both", ["embed_tokens", "lm_head"]),
        "ensure-tying": stored(root, out, "ensure-tying", ["embed_tokens"], ensure_weight_tying=True),
        "plain-embedding": stored(root, out, "plain-embedding", plain=["model.embed_tokens"]),
        "plain-head": stored(root, out, "plain-head", plain=["lm_head"]),
    }
    reward = transformers.AutoModelForSequenceClassification.from_pretrained(root / "engine/llama-reward", dtype=torch.float64).eval()
    reward.config.pad_token_id = -1
    with torch.no_grad():
        scores = [reward(input_ids=torch.tensor([ids])).logits[0, 0].item() for ids in SEQUENCES]
    rows = [[float(f"{x:.9g}") for x in row] for row in logits.tolist()]
    (out / "expected.json").write_text(
        json.dumps({"tokens": TOKENS, "logits": rows, "sequences": SEQUENCES, "scores": scores, "adapters": adapters}) + "\n"
    )


main()
