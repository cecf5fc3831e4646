"""A small GGUF file with a SentencePiece tokenizer (tokenizer.ggml.model = llama), and the ids of texts.

    python test/oracle/gguf_sentencepiece.py test/fixtures/gguf/sentencepiece

The tokenizer is trained here on LICENSE, as Llama's was: BPE with byte fallback, digits apart, no normalisation. It is
written as llama.cpp's converter writes one: pieces, scores and types of the SentencePiece model. `expected.json` holds the
ids of SentencePiece itself for texts without special tokens, and those of transformers (LlamaTokenizer over the same pieces)
for all. `tokenizer.json` is what transformers makes of it. The model is a two-layer llama with random weights.
"""

import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece as spm
import transformers

TEXTS = [
    "Hello world! How are you today?",
    "the License shall mean the terms and conditions",
    "  two leading spaces, a tab\tand\n\na line end \n",
    "12345 3.14 3rd, can't WON'T",
    "naïve café ﬁne Ⅳ e\u0301",
    "北京 한국어 हिन्दी עברית",
    "😀👩‍👩‍👧 def f(x):\n    return x**2",
    "▁ a literal mark▁",
    "",
    " ",
    "a",
    "   ",
]
MARKED = ["<s>the License</s> and", "</s></s>x", "x <s> y", "[INST] Hello [/INST] the"]


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as scratch:
        prefix = f"{scratch}/m"
        spm.SentencePieceTrainer.train(
            input=str(root / "LICENSE"),
            model_prefix=prefix,
            vocab_size=480,
            model_type="bpe",
            byte_fallback=True,
            character_coverage=0.9995,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            add_dummy_prefix=True,
            minloglevel=2,
        )
        sp = spm.SentencePieceProcessor(model_file=f"{prefix}.model")
        pieces = [sp.id_to_piece(i) for i in range(sp.get_piece_size())]
        scores = [sp.get_score(i) for i in range(len(pieces))]
        types = [
            gguf.TokenType.UNKNOWN
            if sp.is_unknown(i)
            else gguf.TokenType.CONTROL
            if sp.is_control(i)
            else gguf.TokenType.BYTE
            if sp.is_byte(i)
            else gguf.TokenType.NORMAL
            for i in range(len(pieces))
        ]
        from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
        from transformers.convert_slow_tokenizer import generate_merges

        vocab = {piece: i for i, piece in enumerate(pieces)}
        merges = generate_merges(vocab, dict(zip(pieces, scores)))
    fast = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    fast.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    fast.save(str(out / "tokenizer.json"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    ids = {text: tokenizer(text)["input_ids"] for text in TEXTS + MARKED}
    for text in TEXTS:
        assert text == "" or ids[text] == [1, *sp.encode(text)], (text, ids[text], sp.encode(text))
    (out / "expected.json").write_text(json.dumps(ids, ensure_ascii=False, indent=0) + "\n")

    writer = gguf.GGUFWriter(out / "model.gguf", "llama")
    rng = np.random.default_rng(5)
    hidden, layers, heads, kv = 32, 2, 4, 2
    writer.add_context_length(256)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(32)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)

    def matrix(name, *shape):
        data = gguf.quants.quantize((rng.standard_normal(shape) * 0.3).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    matrix("token_embd.weight", len(pieces), hidden)
    for i in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(hidden, np.float32))
        matrix(f"blk.{i}.attn_q.weight", hidden, hidden)
        for name in ("attn_k", "attn_v"):
            matrix(f"blk.{i}.{name}.weight", hidden * kv // heads, hidden)
        matrix(f"blk.{i}.attn_output.weight", hidden, hidden)
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            matrix(f"blk.{i}.{name}.weight", 32, hidden)
    writer.add_tensor("output_norm.weight", np.ones(hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
