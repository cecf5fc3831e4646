"""Makes test/fixtures/formats with torch, transformers, peft, tokenizers and safetensors as the oracle.

    python test/oracle/formats.py test/fixtures/formats            # writes the fixtures
    python test/oracle/formats.py --load <model or adapter dir>    # loads what Touchstone saved, prints tensor sums

Fixtures are small random models and tokenizers; nothing is downloaded.
"""

import base64
import json
import math
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)


def encoded(tensor: torch.Tensor) -> str:
    return base64.b64encode(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()).decode()


def write_json(path: Path, value, indent: int | None = 1) -> None:
    separators = None if indent else (",", ":")
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent, separators=separators) + "\n", encoding="utf-8")


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
                "ropes": [
                    {
                        "theta": rope["rope_theta"],
                        "scaling": {
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
                        "dims": attention.head_dim,
                    }
                ],
                "layerRope": [0] * config.num_hidden_layers,
                "tieWordEmbeddings": config.tie_word_embeddings,
                "attentionBias": {"qkv": attention.q_proj.bias is not None, "o": attention.o_proj.bias is not None},
                "mlpBias": model.model.layers[0].mlp.up_proj.bias is not None,
                "qkNorm": "head" if hasattr(attention, "q_norm") else None,
                "norms": {
                    "attention": {"before": "input_layernorm"},
                    "feedForward": {"before": "post_attention_layernorm"},
                },
                "normOffset": 0,
                "fusedProjections": False,
                "activation": config.hidden_act,
                "scales": {"embedding": 1, "attention": 1 / math.sqrt(attention.head_dim), "residual": 1, "logits": 1},
                "softcaps": {"attention": None, "logits": None},
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


CORPUS = """
The quick brown fox jumps over the lazy dog. It's what we'd call "fine", isn't it? They'll say I'm wrong; you've said so.
Hello world! Hello, World. hello   world. 1234567890 12 345 6.75 3,141,592
def add(a: int, b: int) -> int:
    return a + b  # sum\n\tif x == None:\n\t\tpass\n
for (let i = 0; i < n; i++) { console.log(`${i}`); }
Les élèves étaient déjà là; où êtes-vous? Größe, Straße, naïve, café, coöperate.
Съешь ещё этих мягких французских булок, да выпей чаю. Ελληνικά γράμματα και λέξεις.
今天天气很好，我们去公园散步吧。日本語の文章も必要です。한국어 문장도 있습니다. 你好世界
مرحبا بالعالم، كيف حالك اليوم؟ السلام عليكم ١٢٣٤ ۵۶۷
नमस्ते दुनिया, आप कैसे हैं? हिन्दी में लिखा हुआ पाठ १२३
สวัสดีชาวโลก ภาษาไทย  שלום עולם
😀 😃 👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ emoji
١٢٣٤ ۵۶۷ १२३ 123 123 !!! ... ??? (()) 
""" * 3 + "x\u0085\u0085y !\ufeff\ufeff? \u0085 \ufeff " * 30

TEXTS = [
    "",
    " ",
    "Hello world!",
    "  leading spaces and   runs    of spaces  ",
    "trailing newline\n",
    "\n\n  two newlines\n \n then \t tabs\t\t",
    "I'm sure they'll say it's what YOU'VE done, IT'S FINE, we'D go",
    "1234567890 and 12 345, 6.75 or 3,141,592 ½ ² Ⅻ ①",
    "١٢٣٤ ۵۶۷ १२३ ๑๒๓ mixed123digits",
    "今天天气很好，我们去公园。日本語の文章です。한국어 문장",
    "مرحبا بالعالم، كيف حالك؟ نص عربي",
    "नमस्ते दुनिया, हिन्दी में",
    "สวัสดีชาวโลก שלום עולם",
    "😀 👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ 🫠",
    "e\u0301 a\u0308 o\u0302\u0323 combining; precomposed é ä; \u1100\u1161\u11a8 jamo; \u212b angstrom",
    "def add(a, b):\n    return a + b  # sum\n\n\tif x:\n\t\tpass\r\n",
    "for (let i=0;i<n;i++){console.log(`${i}`);} // ===> !== &&&& ((([[[",
    "zero\u200bwidth \u200d joiner \u00a0nbsp \u3000ideographic \u2028line \u0085next \ufeffbom\ufeff \x1c\x1f x\u0085\u0085y !\ufeff\ufeff?",
    "\ufeffbom first",
    "private \ue000 use \U000f0000 and unassigned \U0001fae8, math \U0001d54f\U0001d7d8",
    "a▁b ▁▁ c▁",
    "<s>not special?</s> <unk> <0x41> <|im_start|>user\nhi<|im_end|>\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
    "<think>\nreason\n</think>\n\nanswer <tool_call>{\"a\": 1}</tool_call>",
    " [INST] Hi [/INST] ok</s> [INST]",
    "pad <mask> both  <mask>  sides<mask>tight",
    "ſlong's İstanbul ıI ẞß ﬁ ligature ǅ",
    "http://example.com/a?b=c&d=%20#frag user@example.org --flag=value C:\\\\path",
    "a" * 40 + " " * 17 + "b" * 3,
    "\x00\x01\x7f control",
]


def random_texts(count: int) -> list[str]:
    """Random concatenations of pieces of TEXTS and of single characters from all over Unicode."""
    import random

    rng = random.Random(7)
    pieces = [text[i : i + 6] for text in TEXTS for i in range(0, len(text), 5)]
    ranges = [(0x20, 0x7E), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0x2000, 0x206F)]
    ranges += [(0x3040, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0x1F300, 0x1F64F)]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 12)):
            if rng.random() < 0.5:
                parts.append(rng.choice(pieces))
            else:
                low, high = rng.choice(ranges)
                parts.append(chr(rng.randint(low, high)) * rng.randint(1, 3))
        texts.append("".join(parts))
    return texts


def build_tokenizers() -> dict:
    """Small tokenizers with the components of the real families: (tokenizers.Tokenizer, tokenizer_config)."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    lines = CORPUS.split("\n")

    def byte_level(pre_tokenizer, special, normalizer=None, vocab_size=700, **model):
        """Merges are learnt without the pre-tokenizer, so that they cross its borders and a wrong border shows."""
        tokenizer = Tokenizer(models.BPE(**model))
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=special,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(lines, trainer)
        tokenizer.pre_tokenizer = pre_tokenizer
        return tokenizer

    def sentencepiece_like(pre_tokenizer, normalizer, added):
        """BPE with byte fallback: <unk>, <s>, </s>, 256 byte tokens, then what training finds."""
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
        # ASCII, Latin and Cyrillic only: the rest falls back to bytes.
        plain = ["".join(c for c in line if ord(c) < 0x500) for line in lines]
        trained.train_from_iterator(plain, trainers.BpeTrainer(vocab_size=380, show_progress=False))
        model = json.loads(trained.to_str())["model"]
        pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
        pieces += [piece for piece, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
        pieces += ["▁▁", "▁▁▁▁"]
        merges = [tuple(merge) for merge in model["merges"]] + [("▁", "▁"), ("▁▁", "▁▁")]
        vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        if normalizer:
            tokenizer.normalizer = normalizer
        if pre_tokenizer:
            tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", *added])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocab["<s>"])]
        )
        return tokenizer

    smollm2 = byte_level(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    smollm2.post_processor = processors.ByteLevel(trim_offsets=True)

    prefixed = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "</s>", "<pad>"])
    prefixed.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])

    odd = byte_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Punctuation(),
                pre_tokenizers.Digits(individual_digits=False),
                pre_tokenizers.Split(Regex("[a-m]+"), behavior="isolated", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        ),
        ["<s>"],
    )

    llama3_pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    llama3 = byte_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(llama3_pattern), behavior="isolated", invert=False),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
            ]
        ),
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        ignore_merges=True,
    )
    llama3.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                special_tokens=[("<|begin_of_text|>", 0)],
            ),
        ]
    )

    qwen = byte_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(llama3_pattern.replace(r"\p{N}{1,3}", r"\p{N}")), behavior="isolated", invert=False),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
            ]
        ),
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        normalizer=normalizers.NFC(),
    )
    qwen.add_tokens([AddedToken(t, normalized=False, special=False) for t in ("<think>", "</think>", "<tool_call>", "</tool_call>")])

    llama2 = sentencepiece_like(
        None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), []
    )
    mistral = sentencepiece_like(
        pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False), None, ["[INST]", "[/INST]"]
    )
    metaspace = sentencepiece_like(pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True), None, [])
    metaspace.decoder = decoders.Metaspace()
    metaspace.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])

    chatml = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    return {
        "smollm2": (smollm2, {**chatml, "bos_token": "<|im_start|>", "unk_token": "<|endoftext|>"}),
        "prefixed": (prefixed, {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "sep_token": "</s>"}),
        "odd": (odd, {"bos_token": "<s>"}),
        "llama3": (llama3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
        "qwen": (qwen, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None}),
        "llama2": (llama2, {"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"}, "unk_token": "<unk>"}),
        "mistral": (mistral, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
        "metaspace": (metaspace, {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<extra_pad>"}),
    }


CHATML = """{%- for message in messages -%}
    {%- if loop.first and messages[0]['role'] != 'system' -%}
        {{ '<|im_start|>system\\nYou are a helpful AI assistant<|im_end|>\\n' }}
    {%- endif -%}
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}
"""

LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message + "<|eot_id|>" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}{{- tool_call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- else %}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + " [/INST]" }}
        {%- else %}
            {{- "[INST] " ~ message["content"].strip() ~ " [/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user, system and assistant roles are supported, not " + message["role"] + "!") }}
    {%- endif %}
{%- endfor %}
"""

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

TEMPLATES = {
    "smollm2": CHATML,
    "prefixed": [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": QWEN3}],
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "qwen": QWEN3,
}

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city; naïve & <quoted> \"so\"",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}}, "required": ["city"]},
    },
}

CONVERSATIONS = {
    "one turn": [{"role": "user", "content": "Hello, wörld 😀"}],
    "system": [{"role": "system", "content": "  Be brief. \n"}, {"role": "user", "content": "  hi  "}],
    "three turns": [
        {"role": "user", "content": "What is 2+2?"},
        {"role": "assistant", "content": "<think>\neasy\n</think>\n\n 4 "},
        {"role": "user", "content": "今天 <|im_end|> {{ not jinja }} 'quotes' \"double\""},
    ],
    "ends with assistant": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "reasoning_content": "because\n"},
    ],
    "tools": [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Weather in Köln?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": 2, "list": [1, "a", None, True]}}}],
        },
        {"role": "tool", "content": "{\"rain\": true}"},
        {"role": "tool", "content": "sunny"},
    ],
    "odd spaces": [
        {"role": "system", "content": "\x1c\u0085 sys\ufeff\n"},
        {"role": "user", "content": "\ufeff \u3000 x\u200b \x1f\n\n"},
        {"role": "assistant", "content": "<think>\n\n a\n \n</think>\n\n  b "},
        {"role": "user", "content": "\n<tool_response>"},
    ],
    "wrong order": [{"role": "assistant", "content": "I start"}, {"role": "user", "content": "no"}],
}


def tokenizers(out: Path) -> None:
    """Token ids, texts and chats of every tokenizer, by transformers."""
    import random

    from transformers import PreTrainedTokenizerFast

    texts = TEXTS + random_texts(120)
    for name, (built, config) in build_tokenizers().items():
        folder = out / f"tokenizer-{name}"
        folder.mkdir(exist_ok=True)
        backend = json.loads(built.to_str())
        (folder / "tokenizer.json").write_text(json.dumps(backend, ensure_ascii=False), encoding="utf-8")
        template = TEMPLATES.get(name)
        inline = {"chat_template": template} if template and name != "qwen" else {}
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **config, **inline})
        if name == "qwen":
            (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        rng = random.Random(name)
        # Sequences no text encodes to: cut characters, stray bytes, special tokens in the middle.
        sequences = [[rng.randrange(len(tokenizer)) for _ in range(rng.randint(1, 12))] for _ in range(60)]
        encoded_texts = [tokenizer.encode(text) for text in texts]
        sequences += encoded_texts + [ids[1:-1] for ids in encoded_texts if len(ids) > 6]
        chats = []
        for chat, messages in CONVERSATIONS.items() if template else ():
            for options in ({}, {"add_generation_prompt": True}, {"tools": [TOOL]}, {"add_generation_prompt": True, "enable_thinking": False}):
                try:
                    fixed = {"date_string": "26 Jul 2024"} if name == "llama3" else {}
                    text = tokenizer.apply_chat_template(messages, tokenize=False, **options, **fixed)
                    ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **options, **fixed)
                    chats.append({"chat": chat, "options": {**options, **fixed}, "text": text, "ids": ids})
                except Exception as error:
                    chats.append({"chat": chat, "options": {**options, **fixed}, "error": str(error)})
        write_json(
            out / f"tokenizer-{name}.json",
            {
                "ids": {key: getattr(tokenizer, f"{key}_token_id") for key in ("bos", "eos", "pad", "unk")},
                "size": len(tokenizer),
                "encode": [{"text": t, "ids": tokenizer.encode(t), "plain": tokenizer.encode(t, add_special_tokens=False)} for t in texts],
                "decode": [{"ids": s, "text": tokenizer.decode(s), "clean": tokenizer.decode(s, skip_special_tokens=True)} for s in sequences],
                "chats": chats,
            },
            indent=None,
        )
    write_json(out / "conversations.json", CONVERSATIONS)


def averages(out: Path) -> None:
    """Three reward models in three types (one in shards) and LoRA members, averaged by numpy in float64."""
    import numpy as np
    from safetensors.torch import load_file
    from transformers import LlamaForSequenceClassification

    members = {}
    for i, (name, dtype) in enumerate({"a": torch.float32, "b": torch.bfloat16, "c": torch.float16}.items()):
        torch.manual_seed(10 + i)
        model = LlamaForSequenceClassification.from_pretrained(out / "lora-base")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model = model.to(dtype)
        model.save_pretrained(out / f"member-{name}", max_shard_size="2KB" if name == "c" else "5GB")
        members[name] = {key: value.double().numpy() for key, value in model.state_dict().items()}
    base = {key: value.double() for key, value in load_file(out / "lora-base" / "model.safetensors").items()}
    for variant, scale in (("list", 8 / 2), ("regex", 3 / 4**0.5)):
        adapter = {key.removeprefix("base_model.model."): value.double() for key, value in load_file(out / f"lora-{variant}" / "adapter_model.safetensors").items()}
        merged = {key: value.clone() for key, value in base.items()}
        for key, a in adapter.items():
            if key.endswith("lora_A.weight"):
                module = key.removesuffix(".lora_A.weight")
                merged[f"{module}.weight"] += scale * adapter[f"{module}.lora_B.weight"] @ a
            elif "lora_" not in key:
                merged[key] = a
        members[variant] = {key: value.numpy() for key, value in merged.items()}

    def mean(names, weights):
        weights = np.array(weights, dtype=np.float64) / np.sum(weights)
        result = {key: sum(w * members[name][key] for w, name in zip(weights, names)) for key in members[names[0]]}
        return {key: encoded(torch.from_numpy(np.ascontiguousarray(value))) for key, value in result.items()}

    write_json(
        out / "averages.json",
        {
            "uniform": mean("abc", [1, 1, 1]),
            "weighted": mean("abc", [1, 2, 5]),
            "lora": mean(["list", "regex", "a"], [1, 1, 1]),
        },
    )


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
