"""Loads a saved model with transformers (and an adapter with PEFT), as a user would, and prints what it computes.

    python load_saved.py DIR [--adapter DIR] --tokens '[[5, 6, 7], [8, 9]]'

Prints one JSON object: `{"class", "logits": [sequence][token][vocabulary]}` for a causal model, `{"class", "scores": [sequence]}` for
a classifier with one label. A tensor that is missing, left over or of the wrong shape is an error: transformers would only warn
and fill the gap with random numbers. Errors go to stderr as one sentence, with exit code 1.
"""

import argparse
import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file


def load_base(directory):
    if not (Path(directory) / "config.json").is_file():
        raise ValueError(f"{directory} has no config.json")
    config = transformers.AutoConfig.from_pretrained(directory)
    (architecture,) = config.architectures
    classifier = architecture.endswith("ForSequenceClassification")
    auto = transformers.AutoModelForSequenceClassification if classifier else transformers.AutoModelForCausalLM
    model, info = auto.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = {kind: sorted(map(str, names)) for kind, names in info.items() if names and not isinstance(names, str)}
    if problems:
        raise ValueError(f"{directory} does not fit {architecture}: {problems}")
    return model


def load_adapter(model, directory):
    model = peft.PeftModel.from_pretrained(model, directory)
    stored = load_file(Path(directory) / "adapter_model.safetensors")
    loaded = peft.get_peft_model_state_dict(model)
    if stored.keys() != loaded.keys():
        raise ValueError(f"{directory} does not fit the adapter PEFT built: {sorted(stored.keys() ^ loaded.keys())}")
    different = [name for name, value in stored.items() if not torch.equal(value.float(), loaded[name])]
    if different:
        raise ValueError(f"PEFT changed these tensors of {directory} while loading: {different}")
    return model


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--adapter")
    parser.add_argument("--tokens", type=json.loads, required=True, help="JSON: a list of token-id lists")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        model = load_base(args.model)
        name = type(model).__name__
        if args.adapter:
            model = load_adapter(model, args.adapter)
    except Exception as error:
        sys.exit(" ".join(str(error).split()))
    model.eval()
    outputs = [model(input_ids=torch.tensor([tokens])).logits[0].tolist() for tokens in args.tokens]
    if name.endswith("ForSequenceClassification"):
        print(json.dumps({"class": name, "scores": [score for (score,) in outputs]}))
    else:
        print(json.dumps({"class": name, "logits": outputs}))


if __name__ == "__main__":
    main()
