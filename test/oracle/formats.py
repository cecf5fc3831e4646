"""Makes test/fixtures/formats with torch, transformers, peft, tokenizers and safetensors as the oracle.

    python test/oracle/formats.py test/fixtures/formats            # writes the fixtures
    python test/oracle/formats.py --load <model or adapter dir>    # loads what Touchstone saved, prints tensor sums

Fixtures are small random models and tokenizers; nothing is downloaded.
"""

import base64
import json
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)


def encoded(tensor: torch.Tensor) -> str:
    return base64.b64encode(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()).decode()


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def conversions(out: Path) -> None:
    """Bits of float32 numbers and of their nearest F16 and BF16: ties, subnormals, overflow, random."""
    edges = [0.0, 1.0, 65504.0, 65519.996, 65520.0, 1e9, 3.4e38, 2.0**-14, 2.0**-24, 2.0**-25, 1.5 * 2.0**-25, 1e-30, 1e-45]
    ties = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-24 * 1.5, 2.0**-24 * 2.5, 2.0**-14 - 2.0**-25]
    generator = torch.Generator().manual_seed(1)
    bits = torch.randint(0, 2**32, (1500,), generator=generator, dtype=torch.int64).to(torch.uint32).view(torch.float32)
    half_range = torch.randn(500, generator=generator) * 2.0 ** torch.randint(-26, 16, (500,), generator=generator)
    values = torch.cat([torch.tensor(edges + ties), -torch.tensor(edges + ties), bits[torch.isfinite(bits)], half_range])
    special = torch.tensor([float("inf"), -float("inf")])
    values = torch.cat([values, special])
    write_json(
        out / "conversions.json",
        {
            "F32": encoded(values),
            "F16": encoded(values.to(torch.float16)),
            "BF16": encoded(values.to(torch.bfloat16)),
            "F16 as F32": encoded(values.to(torch.float16).float()),
            "BF16 as F32": encoded(values.to(torch.bfloat16).float()),
        },
    )


def safetensors_files(out: Path) -> None:
    """One file with every type that the reader converts or copies, written by the reference implementation."""
    from safetensors.torch import save_file

    torch.manual_seed(2)
    tensors = {
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(7).bfloat16(),
        "single": torch.randn(2, 3, 4),
        "double": torch.randn(4, 2, dtype=torch.float64),
        "integers": torch.arange(-3, 4),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
    }
    save_file(tensors, out / "types.safetensors", metadata={"format": "pt", "note": "éß"})
    expected = {name: {"shape": list(t.shape), "F32": encoded(t.float())} for name, t in tensors.items() if t.is_floating_point()}
    write_json(out / "types.json", expected)


def configs(out: Path) -> None:
    """What transformers makes of config.json files, old style and new, defaults absent and present."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    tiny = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    llama3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 256}
    cases = {
        "llama absent fields": {"model_type": "llama", **tiny},
        "llama old rope": {
            "model_type": "llama",
            **tiny,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "rope_theta": 500000.0,
            "rope_scaling": {"rope_type": "llama3", **llama3},
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
            "eos_token_id": [3, 4],
            "rms_norm_eps": 1e-05,
            "torch_dtype": "bfloat16",
        },
        "llama new rope": {
            "model_type": "llama",
            **tiny,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1234.0},
            "rope_theta": 99.0,
            "dtype": "float16",
        },
        "llama type linear": {"model_type": "llama", **tiny, "rope_scaling": {"type": "linear", "factor": 4.0}, "rope_theta": 777.0},
        "llama both ropes": {
            "model_type": "llama",
            **tiny,
            "rope_scaling": {"rope_type": "linear", "factor": 4.0},
            "rope_parameters": {"rope_type": "default", "rope_theta": 5.0},
        },
        "llama empty rope_scaling": {
            "model_type": "llama",
            **tiny,
            "rope_scaling": {},
            "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 5.0},
        },
        "llama3 without original length": {
            "model_type": "llama",
            **tiny,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
        },
        "mistral absent fields": {"model_type": "mistral", **tiny, "num_attention_heads": 8},
        "mistral no window": {"model_type": "mistral", **tiny, "num_key_value_heads": 4, "sliding_window": None},
        "qwen2 absent fields": {"model_type": "qwen2", **tiny, "hidden_size": 64, "num_attention_heads": 32},
        "qwen2 window": {
            "model_type": "qwen2",
            **tiny,
            "num_key_value_heads": 2,
            "use_sliding_window": True,
            "sliding_window": 8,
            "max_window_layers": 2,
            "tie_word_embeddings": True,
        },
        "qwen2 window off": {"model_type": "qwen2", **tiny, "num_key_value_heads": 2, "sliding_window": 8, "max_window_layers": 0},
        "qwen3 absent fields": {"model_type": "qwen3", **tiny, "num_attention_heads": 32},
        "qwen3 layer types": {
            "model_type": "qwen3",
            **tiny,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention", "attention"],
            "pad_token_id": 1,
            "eos_token_id": 2,
        },
    }
    stems = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
    results = []
    for name, raw in cases.items():
        for head, suffix in (("language", "ForCausalLM"), ("scalar", "ForSequenceClassification")):
            full = {"architectures": [stems[raw["model_type"]] + suffix], **raw}
            if head == "scalar":
                full["id2label"] = {"0": "LABEL_0"}
            path = out / "config.json"
            write_json(path, full)
            config = AutoConfig.from_pretrained(out)
            path.unlink()
            factory = AutoModelForCausalLM if head == "language" else AutoModelForSequenceClassification
            with torch.device("meta"):
                model = factory.from_config(config)
            attention = model.model.layers[0].self_attn
            rope = config.rope_parameters
            windows = [getattr(layer.self_attn, "sliding_window", None) for layer in model.model.layers]
            if raw["model_type"] == "mistral":
                windows = [config.sliding_window] * len(windows)
            eos = config.eos_token_id
            expected = {
                "family": raw["model_type"],
                "head": head,
                "vocabSize": config.vocab_size,
                "hiddenSize": config.hidden_size,
                "intermediateSize": config.intermediate_size,
                "layers": config.num_hidden_layers,
                "heads": config.num_attention_heads,
                "kvHeads": config.num_key_value_heads,
                "headDim": attention.head_dim,
                "rmsNormEps": config.rms_norm_eps,
                "ropeTheta": rope["rope_theta"],
                "ropeScaling": {
                    "kind": rope["rope_type"],
                    **({"factor": rope["factor"]} if "factor" in rope else {}),
                    **(
                        {
                            "lowFreqFactor": rope["low_freq_factor"],
                            "highFreqFactor": rope["high_freq_factor"],
                            "originalMaxPositionEmbeddings": rope["original_max_position_embeddings"],
                        }
                        if rope["rope_type"] == "llama3"
                        else {}
                    ),
                },
                "tieWordEmbeddings": config.tie_word_embeddings,
                "attentionBias": {"qkv": attention.q_proj.bias is not None, "o": attention.o_proj.bias is not None},
                "mlpBias": model.model.layers[0].mlp.up_proj.bias is not None,
                "qkNorm": hasattr(attention, "q_norm"),
                "slidingWindow": windows,
                "maxPositionEmbeddings": config.max_position_embeddings,
                "eosIds": [] if eos is None else eos if isinstance(eos, list) else [eos],
                "bosId": config.bos_token_id,
                "padId": config.pad_token_id,
                "dtype": {None: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}[config.dtype],
            }
            parameters = {n: list(p.shape) for n, p in model.named_parameters()}
            results.append({"name": f"{name}, {head}", "raw": full, "expected": expected, "parameters": parameters})
    write_json(out / "configs.json", results)


def lora(out: Path) -> None:
    """A tiny Llama reward model with an adapter written by PEFT, and the weights after PEFT's own merge."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_labels=1,
        pad_token_id=0,
    )
    base = LlamaForSequenceClassification(config)
    base.save_pretrained(out / "lora-base")
    variants = {
        "list": {"target_modules": ["q_proj", "down_proj"], "r": 2, "lora_alpha": 8},
        "regex": {"target_modules": r".*\.1\.self_attn\.[kv]_proj", "r": 4, "lora_alpha": 3, "use_rslora": True},
    }
    for name, options in variants.items():
        torch.manual_seed(4)
        start = LlamaForSequenceClassification.from_pretrained(out / "lora-base")
        model = get_peft_model(start, LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], **options))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_B" in key or "modules_to_save" in key:
                    parameter.normal_()
        adapter = out / f"lora-{name}"
        model.save_pretrained(adapter)
        (adapter / "README.md").unlink(missing_ok=True)
        settings = json.loads((adapter / "adapter_config.json").read_text())
        settings["base_model_name_or_path"] = "lora-base"
        write_json(adapter / "adapter_config.json", settings)
        merged = model.merge_and_unload().state_dict()
        write_json(out / f"lora-{name}-merged.json", {key: encoded(value) for key, value in merged.items()})


def load(directory: Path) -> None:
    """Loads a directory that Touchstone wrote and prints what tests compare by eye: class, dtype, sums."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    if (directory / "adapter_config.json").exists():
        from peft import AutoPeftModelForSequenceClassification

        model, info = AutoPeftModelForSequenceClassification.from_pretrained(directory, num_labels=1), {}
    else:
        architecture = json.loads((directory / "config.json").read_text())["architectures"][0]
        factory = AutoModelForCausalLM if architecture.endswith("CausalLM") else AutoModelForSequenceClassification
        model, info = factory.from_pretrained(directory, output_loading_info=True)
    print(type(model).__name__, model.dtype, {key: list(value) for key, value in info.items() if value})
    print("sum of all parameters", sum(p.double().sum().item() for p in model.parameters()))
    print("logits", model(input_ids=torch.tensor([[1, 2, 3]])).logits.flatten()[:4].tolist())
    if (directory / "tokenizer.json").exists():
        print(AutoTokenizer.from_pretrained(directory)("Hello world").input_ids)


def main() -> None:
    if sys.argv[1] == "--load":
        load(Path(sys.argv[2]))
        return
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for part in (conversions, safetensors_files, configs, lora):
        part(out)


if __name__ == "__main__":
    main()
