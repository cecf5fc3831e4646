"""What the `gguf` package and transformers read in a GGUF file that `touchstone export` wrote.

    python test/oracle/gguf_read.py EXPORTED.gguf MODEL_DIR [ids of a text, comma-separated]

Every tensor is dequantised by the `gguf` package; transformers loads the file with its own GGUF loader (families that it
knows) and MODEL_DIR as usual, and both compute logits of the same ids and encode the same texts.
"""

import json
import sys
from pathlib import Path

import gguf
import torch
import transformers
from gguf.quants import dequantize

TEXTS = ["Hello world! How are you today?", "  two spaces\n\nnaïve 北京 😀 12345", "I'll, you'RE 3.14"]


def main():
    path, directory = Path(sys.argv[1]), sys.argv[2]
    transformers.utils.logging.disable_progress_bar()
    reader = gguf.GGUFReader(path)
    fields = {k: f.contents() for k, f in reader.fields.items() if f.types and f.types[0] != gguf.GGUFValueType.ARRAY}
    report = {"architecture": fields["general.architecture"], "fields": len(reader.fields), "tensors": len(reader.tensors)}
    finite = [t.name for t in reader.tensors if not torch.isfinite(torch.from_numpy(dequantize(t.data, t.tensor_type).copy())).all()]
    report["not finite"] = finite
    ours = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ids = [int(x) for x in sys.argv[3].split(",")] if len(sys.argv) > 3 else [5, 9, 12, 7, 3, 8, 20, 31, 1, 6]
    with torch.no_grad():
        a, b = (m(input_ids=torch.tensor([ids])).logits[0] for m in (ours, theirs))
    report["largest difference of logits"] = (a - b).abs().max().item()
    tokenizers = [
        transformers.AutoTokenizer.from_pretrained(directory),
        transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name),
    ]
    report["texts with other ids"] = [t for t in TEXTS if tokenizers[0](t)["input_ids"] != tokenizers[1](t)["input_ids"]]
    report["template"] = tokenizers[0].chat_template == tokenizers[1].chat_template
    print(json.dumps(report, ensure_ascii=False))


main()
