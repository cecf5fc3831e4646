"""Makes the engine fixtures: tiny random Hugging Face checkpoints, and what transformers and PEFT compute with them.

    python engine_fixtures.py --out test/fixtures/engine [--only NAME ...]

README.md in this folder describes the files. Everything is seeded by name: a second run writes the same numbers.
"""

import argparse
import json
import shutil
import zlib
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

from reference import (
    adamw_steps,
    completion_logprobs,
    float64_model,
    gradients,
    greedy,
    score,
    trainable,
)

VOCAB = 96
GREEDY_TOKENS = 64
GREEDY_CANDIDATES = 40
# Prompts on one side of the border between short and long factors: transformers starts its cache anew there.
GREEDY_LENGTHS = {"phi3-longrope": (13, 15)}
# Of which sequence the logits are stored: one that prefixes of any length treat alike.
LOGITS_OF = {"phi3-longrope": 2}
# A greedy path is only a fair test where float32 rounding cannot change the best token.
MIN_GREEDY_MARGIN = 2e-3
FUSED_TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

SIZES = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=100.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)


def rope(theta=10000.0, **scaling):
    return {"rope_type": "default", "rope_theta": theta, **scaling}


CAUSAL = {
    "llama-tied": transformers.LlamaConfig(**SIZES, tie_word_embeddings=True, rope_parameters=rope()),
    # head_dim 8 and theta 100 put one frequency in each band of the llama3 rule: kept, blended, divided (twice).
    "llama-llama3-rope": transformers.LlamaConfig(**SIZES, tie_word_embeddings=False, rope_parameters=LLAMA3_ROPE),
    "llama-linear-rope-bias": transformers.LlamaConfig(
        **SIZES,
        tie_word_embeddings=False,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters=rope(500.0, rope_type="linear", factor=2.0),
    ),
    "mistral-sliding": transformers.MistralConfig(
        **{**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1},
        head_dim=8,
        sliding_window=8,
        tie_word_embeddings=False,
        rope_parameters=rope(),
    ),
    "qwen2-tied": transformers.Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters=rope(1e6)),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=False, rope_parameters=rope(1e6)),
}
# One key head of 8 dimensions and narrow branches: these show a family's own rules, not its size.
SMALL = {
    **SIZES,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
GEMMA = dict(head_dim=8, query_pre_attn_scalar=12, sliding_window=8, tie_word_embeddings=True)
CAUSAL |= {
    # Caps small enough to bite: scores and logits of random weights are a few units.
    "gemma2": transformers.Gemma2Config(
        **SMALL, **GEMMA, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, rope_parameters=rope()
    ),
    # Layers: window, everything, window; a scaled rotary embedding for the full one.
    "gemma3": transformers.Gemma3TextConfig(
        **{**SMALL, "num_hidden_layers": 3},
        **GEMMA,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": rope(1000.0, rope_type="linear", factor=4.0),
            "sliding_attention": rope(100.0),
        },
    ),
    "smollm3": transformers.SmolLM3Config(
        **SMALL, no_rope_layers=[1, 0], tie_word_embeddings=True, rope_parameters=rope(5e5)
    ),
    # head_dim 16 of which 12 turn; 12 tokens is where the long factors begin.
    "phi3-longrope": transformers.Phi3Config(
        **{**SMALL, "hidden_size": 32},
        tie_word_embeddings=True,
        original_max_position_embeddings=12,
        rope_parameters=rope(
            rope_type="longrope",
            partial_rotary_factor=0.75,
            short_factor=[1.0, 1.1, 1.3, 1.5, 2.0, 2.5],
            long_factor=[1.0, 1.5, 3.0, 6.0, 8.0, 10.0],
        ),
    ),
    "olmo2": transformers.Olmo2Config(**SMALL, tie_word_embeddings=False, rope_parameters=rope(5e5)),
    "granite": transformers.GraniteConfig(
        **SMALL,
        tie_word_embeddings=True,
        embedding_multiplier=3.0,
        attention_multiplier=0.2,
        residual_multiplier=0.6,
        logits_scaling=2.0,
        rope_parameters=rope(),
    ),
    "qwen3-yarn": transformers.Qwen3Config(
        **SMALL,
        head_dim=16,
        tie_word_embeddings=True,
        rope_parameters=rope(
            100.0,
            rope_type="yarn",
            factor=4.0,
            beta_fast=4.0,
            beta_slow=1.0,
            original_max_position_embeddings=32,
        ),
    ),
}
# The classifier heads are what is new in these, so one layer is enough of a trunk.
CLASSIFIERS = {
    "llama-reward": transformers.LlamaConfig(
        **{**SIZES, "num_hidden_layers": 1}, num_labels=1, rope_parameters=rope()
    ),
    "qwen3-reward": transformers.Qwen3Config(
        **{**SIZES, "num_hidden_layers": 1}, num_labels=1, head_dim=16, rope_parameters=rope(1e6)
    ),
}
ONE_LAYER = {**SMALL, "num_hidden_layers": 1, "num_labels": 1}
CLASSIFIERS |= {
    "gemma2-reward": transformers.Gemma2Config(**ONE_LAYER, **GEMMA, rope_parameters=rope()),
    "gemma3-reward": transformers.Gemma3TextConfig(**ONE_LAYER, **GEMMA),
    "smollm3-reward": transformers.SmolLM3Config(**ONE_LAYER, no_rope_layers=[0], rope_parameters=rope()),
    "phi3-reward": transformers.Phi3Config(**ONE_LAYER, sliding_window=6, rope_parameters=rope()),
    "olmo2-reward": transformers.Olmo2Config(**ONE_LAYER, rope_parameters=rope()),
}
# These hold every weight after AdamW; the others leave out the matrices of layer 0, which would say nothing new.
WITH_LORA = ["llama-tied", "qwen2-tied", "gemma2", "gemma3", "smollm3", "phi3-longrope", "olmo2", "granite"]
# Checkpoints whose config.json spells the rotary settings as transformers 4 did: rope_theta and rope_scaling.
LEGACY_CONFIG = ["llama-llama3-rope", "llama-linear-rope-bias"]


def generator(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def randomize(parameters, scale=1.0):
    """Random weights of a size that makes attention, norms and biases all matter.

    Values are exact in bfloat16, so that the same checkpoint can be written in bf16 and still hold the same weights.
    """
    for name, p in parameters.items():
        noise = torch.randn(p.shape, generator=generator(name))
        if p.ndim < 2:
            value = 1 + 0.3 * noise if "norm" in name else 0.3 * noise
        elif "embed" in name:
            value = 0.3 * noise
        else:
            value = scale * noise / p.shape[1] ** 0.5
        p.data.copy_(value.bfloat16().float())


def random_tokens(g, n):
    """Ordinary tokens only: ids 0 to 2 are padding, beginning and end."""
    return torch.randint(3, VOCAB, (n,), generator=g).tolist()


def rounded(x, digits=9):
    """Floats at `digits` significant digits, at any depth of lists and objects."""
    if isinstance(x, torch.Tensor):
        x = x.tolist()
    if isinstance(x, float):
        return float(f"{x:.{digits}g}")
    if isinstance(x, list):
        return [rounded(v, digits) for v in x]
    if isinstance(x, dict):
        return {k: rounded(v, digits) for k, v in x.items()}
    return x


def write_json(path, value):
    """One line per top-level key: small, and a change shows where it is."""
    lines = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def save_tensors(path, tensors):
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)


def save_legacy_config(directory):
    """Rewrites config.json with transformers 4's field names."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    config["rope_scaling"] = parameters
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def causal_batch(name):
    """Sequences of several lengths, prompt lengths from one token up, and a weight per completion token."""
    g = generator(name + "/batch")
    shape = [(16, 5), (24, 9), (7, 1), (12, 11), (19, 3)]
    sequences = [{"tokens": random_tokens(g, n), "promptLength": p} for n, p in shape]
    weights = [torch.randn(n - p, generator=g).tolist() for n, p in shape]
    return sequences, rounded(weights, 6)


def weighted_sum(logprobs, weights):
    return sum((torch.tensor(w, dtype=torch.float64) * lp).sum() for w, lp in zip(weights, logprobs))


def greedy_cases(model, name):
    """For two prompt lengths, the most varied of many greedy paths that never come close to a tie."""
    g = generator(name + "/greedy")
    cases = []
    for length in GREEDY_LENGTHS.get(name, (4, 9)):
        candidates = []
        for _ in range(GREEDY_CANDIDATES):
            prompt = random_tokens(g, length)
            continuation, margin = greedy(model, prompt, GREEDY_TOKENS)
            candidates.append({"prompt": prompt, "continuation": continuation, "minMargin": margin})
        clear = [c for c in candidates if c["minMargin"] >= MIN_GREEDY_MARGIN]
        cases.append(max(clear, key=lambda c: len(set(c["continuation"]))))
    return cases


def language_model_part(model, name, directory):
    """Log-probabilities, weighted gradient and AdamW of the trainable parameters; leaves the model trained."""
    sequences, weights = causal_batch(name)
    logprobs = [completion_logprobs(model, s) for s in sequences]
    objective = weighted_sum(logprobs, weights)
    save_tensors(directory / "grads.safetensors", gradients(model, objective))
    record, trained = adamw_steps(model, sequences)
    kept = trained if name in WITH_LORA else {k: v for k, v in trained.items() if v.ndim < 2 or ".layers.0." not in k}
    save_tensors(directory / "adamw.safetensors", kept)
    return {
        "sequences": sequences,
        "logprobs": [lp.detach() for lp in logprobs],
        "weights": weights,
        "objective": objective.item(),
        "adamw": record,
    }


def load(name, directory, auto_class):
    return auto_class.from_pretrained(directory / name, dtype=torch.float32, attn_implementation="eager")


def settle_adapter_config(path):
    """Names the base model relative to the adapter, and orders what PEFT keeps as a set."""
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = ".."
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_lora(name, directory):
    """A PEFT adapter with a random non-zero B on every linear layer, and the same references for its A and B."""
    target = directory / "lora"
    targets = FUSED_TARGETS if name.startswith("phi3") else LORA_TARGETS
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(name, directory.parent, transformers.AutoModelForCausalLM), config)
    randomize(trainable(model), scale=0.7)
    model.save_pretrained(target)
    (target / "README.md").unlink(missing_ok=True)
    settle_adapter_config(target / "adapter_config.json")
    with float64_model(model):
        sequences, _ = causal_batch(name)
        with torch.no_grad():
            chosen = LOGITS_OF.get(name, 0)
            logits = model(input_ids=torch.tensor([sequences[chosen]["tokens"]])).logits[0]
        expected = {"kind": "lora", "logits": {"sequence": chosen, "values": rounded(logits, 8)}}
        expected |= language_model_part(model, name, target)
    trained_from = peft.PeftModel.from_pretrained(
        load(name, directory.parent, transformers.AutoModelForCausalLM), target
    )
    merged = trained_from.double().merge_and_unload().state_dict()
    first_layer = {k: v.float() for k, v in merged.items() if ".layers.0." in k and k.endswith("proj.weight")}
    save_tensors(target / "merged.safetensors", first_layer)
    write_json(target / "expected.json", rounded(expected))


def write_causal(name, config, out):
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize(dict(model.named_parameters()))
    model.save_pretrained(directory)
    if name in LEGACY_CONFIG:
        save_legacy_config(directory)
    model = load(name, out, transformers.AutoModelForCausalLM)
    with float64_model(model):
        sequences, _ = causal_batch(name)
        with torch.no_grad():
            chosen = LOGITS_OF.get(name, 0)
            logits = model(input_ids=torch.tensor([sequences[chosen]["tokens"]])).logits[0]
            expected = {
                "kind": "causal-lm",
                "logits": {"sequence": chosen, "values": rounded(logits, 8)},
                "greedy": greedy_cases(model, name),
            }
        expected |= language_model_part(model, name, directory)
    write_json(directory / "expected.json", rounded(expected))
    if name in WITH_LORA:
        write_lora(name, directory)


def write_classifier(name, config, out):
    """Scores at the last token, and loss and gradient of Bradley-Terry: mean over pairs of -log sigmoid(chosen - rejected)."""
    directory = out / name
    shutil.rmtree(directory, ignore_errors=True)
    model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    randomize(dict(model.named_parameters()))
    model.save_pretrained(directory)
    model = load(name, out, transformers.AutoModelForSequenceClassification)
    g = generator(name + "/batch")
    sequences = [random_tokens(g, n) for n in (9, 14, 24, 5, 17, 11)]
    pairs = [[0, 1], [2, 3], [4, 5]]
    with float64_model(model):
        scores = torch.stack([score(model, s) for s in sequences])
        margins = torch.stack([scores[chosen] - scores[rejected] for chosen, rejected in pairs])
        loss = -torch.nn.functional.logsigmoid(margins).mean()
        save_tensors(directory / "grads.safetensors", gradients(model, loss))
    expected = {
        "kind": "reward",
        "sequences": sequences,
        "scores": scores.detach(),
        "pairs": pairs,
        "loss": loss.item(),
    }
    write_json(directory / "expected.json", rounded(expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of fixtures; default: all")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    writers = [(n, c, write_causal) for n, c in CAUSAL.items()] + [
        (n, c, write_classifier) for n, c in CLASSIFIERS.items()
    ]
    for name, config, write in writers:
        if not args.only or name in args.only:
            write(name, config, args.out)
            print(f"{name}: {sum(f.stat().st_size for f in (args.out / name).rglob('*') if f.is_file()) // 1024} kB")


if __name__ == "__main__":
    main()
