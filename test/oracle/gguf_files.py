"""Small GGUF files of every number type, and what the `gguf` package makes of their tensors.

    python test/oracle/gguf_files.py test/fixtures/gguf

`types.gguf` holds one tensor a type. Blocks of the types that the package cannot quantise are random bytes, with scales
that are finite. `types.safetensors` holds the dequantised values. `MODEL.gguf` are two-layer models with random weights
in the layout and under the names of llama.cpp; `MODEL.json` holds the logits that transformers computes with the same
dequantised weights (and that its own GGUF loader gives where it knows all the fields: llama, qwen2).
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

Q = gguf.GGMLQuantizationType
QUANTISED = [Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1]
# Type and where its half-precision scales stand in a block.
RANDOM = {Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
TOKENS = [10, 3, 7, 22, 14, 9, 30, 5, 5, 18]


def types_file(out):
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(out / "types.gguf", "llama")
    expected = {}
    values = rng.standard_normal((3, 512)).astype(np.float32)
    values[0, :4] = [0.0, -0.0, 65504.0, 1e-7]

    def add(qtype, data):
        writer.add_tensor(qtype.name, data, raw_dtype=qtype)
        expected[qtype.name] = np.ascontiguousarray(dequantize(data, qtype).reshape(3, 512))

    writer.add_tensor("F32", values)
    expected["F32"] = values
    writer.add_tensor("F16", values.astype(np.float16))
    expected["F16"] = values.astype(np.float16).astype(np.float32)
    for qtype in (Q.BF16, *QUANTISED):
        add(qtype, quantize(values, qtype))
    for qtype, scales in RANDOM.items():
        elements, size = gguf.GGML_QUANT_SIZES[qtype]
        blocks = rng.integers(0, 256, (3, 512 // elements, size), dtype=np.uint8)
        for at in scales:
            # Subnormal, negative and ordinary scales.
            halves = np.array([[3e-7, -0.02], [0.013, 1.5], [-7e-5, 0.4]], np.float16)
            blocks[..., at : at + 2] = halves[..., None].view(np.uint8).reshape(3, 2, 2)
        add(qtype, blocks.reshape(3, -1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, out / "types.safetensors")


def pairs(weight, heads):
    """llama.cpp's order of the rows of queries and keys."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


PLAIN = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
BOTH = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
SIZES = dict(vocab_size=32, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
COMMON = dict(max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(theta, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


# llama.cpp takes the head dimension for query_pre_attn_scalar; files do not hold it.
GEMMA = dict(head_dim=8, query_pre_attn_scalar=8, sliding_window=4, tie_word_embeddings=True)
MODELS = {
    "llama": (transformers.LlamaConfig(**SIZES, **COMMON, tie_word_embeddings=False, rope_parameters=rope(5e4)), PLAIN),
    "qwen2": (transformers.Qwen2Config(**SIZES, **COMMON, tie_word_embeddings=True, rope_parameters=rope(1e6)), PLAIN),
    "qwen3": (transformers.Qwen3Config(**SIZES, **COMMON, head_dim=8, rope_parameters=rope(1e6)), PLAIN),
    "gemma2": (transformers.Gemma2Config(**SIZES, **COMMON, **GEMMA, rope_parameters=rope(1e4)), BOTH),
    "gemma3": (transformers.Gemma3TextConfig(**{**SIZES, "num_hidden_layers": 6}, **COMMON, **GEMMA), BOTH),
    "smollm3": (
        transformers.SmolLM3Config(**{**SIZES, "num_hidden_layers": 4}, **COMMON, tie_word_embeddings=True, rope_parameters=rope(5e6)),
        PLAIN,
    ),
    "phi3": (transformers.Phi3Config(**SIZES, **COMMON, rope_parameters=rope(1e4, partial_rotary_factor=0.75)), PLAIN),
    "olmo2": (
        transformers.Olmo2Config(**SIZES, **COMMON, rope_parameters=rope(5e5)),
        {"post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm"},
    ),
    "granite": (
        transformers.GraniteConfig(
            **SIZES,
            **COMMON,
            tie_word_embeddings=True,
            embedding_multiplier=3.0,
            attention_multiplier=0.25,
            residual_multiplier=0.5,
            logits_scaling=4.0,
            rope_parameters=rope(1e4),
        ),
        PLAIN,
    ),
}
MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_qkv": "self_attn.qkv_proj",
}
LOADED_BY_TRANSFORMERS = ["llama", "qwen2"]
# Architectures that llama.cpp rotates interleaved, so that rows of queries and keys are stored in pairs.
PAIRED = ["llama", "smollm3", "granite"]


def model_file(out, name, config, norms):
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape) * 0.3)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    writer = gguf.GGUFWriter(out / f"{name}.gguf", name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters.get("full_attention", config.rope_parameters)["rope_theta"])
    writer.add_key_length(8)
    writer.add_value_length(8)
    writer.add_rope_dimension_count(6 if name == "phi3" else 8)
    writer.add_vocab_size(config.vocab_size)
    if name == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if name.startswith("gemma"):
        writer.add_sliding_window(config.sliding_window)
    if name == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    letters = [chr(ord("a") + i) for i in range(26)]
    vocabulary = ["<pad>", "<s>", "</s>", *letters, "th", "he", "the"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3, 3, 3] + [1] * 29)
    writer.add_token_merges(["t h", "h e", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    modules = MODULES | norms | ({"ffn_up": "mlp.gate_up_proj"} if name == "phi3" else {})
    by_hf = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for i in range(config.num_hidden_layers):
        by_hf |= {f"model.layers.{i}.{hf}": f"blk.{i}.{own}" for own, hf in modules.items()}
    dequantised = {}
    for hf, values in state.items():
        module, kind = hf.rsplit(".", 1)
        if hf == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if values.ndim == 2:
            # Rows are quantised one by one, so their order does not matter to their values.
            data = quantize(np.ascontiguousarray(values), Q.Q8_0)
            dequantised[hf] = torch.from_numpy(dequantize(data, Q.Q8_0).copy())
            if name in PAIRED and module.endswith(("q_proj", "k_proj")):
                heads = config.num_attention_heads if module.endswith("q_proj") else config.num_key_value_heads
                data = np.ascontiguousarray(pairs(data, heads))
            writer.add_tensor(f"{by_hf[module]}.{kind}", data, raw_dtype=Q.Q8_0)
        else:
            if name.startswith("gemma") and module.endswith("norm"):
                data = values + 1
                values = data - 1
            elif name in PAIRED and module.endswith(("q_proj", "k_proj")):
                raise NotImplementedError("biases of paired projections")
            else:
                data = values
            dequantised[hf] = torch.from_numpy(values)
            writer.add_tensor(f"{by_hf[module]}.{kind}", data, raw_dtype=Q.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(dequantised, strict=False)
    model.tie_weights()
    model.eval()
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([TOKENS])).logits[0]
    if name in LOADED_BY_TRANSFORMERS:
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(out / f"{name}.gguf", directory)
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                directory, gguf_file=f"{name}.gguf", dtype=torch.float32, attn_implementation="eager"
            )
            with torch.no_grad():
                again = loaded(input_ids=torch.tensor([TOKENS])).logits[0]
            assert (again - logits).abs().max() < 1e-4, (again - logits).abs().max()
    rows = [[float(f"{x:.8g}") for x in row] for row in logits.tolist()]
    (out / f"{name}.json").write_text(json.dumps({"tokens": TOKENS, "logits": rows}) + "\n")


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    transformers.utils.logging.disable_progress_bar()
    types_file(out)
    for name, (config, norms) in MODELS.items():
        model_file(out, name, config, norms)
        print(name)


main()
