"""Rewrites a GGUF file of float32 (touchstone export --to gguf --dtype float32) with the numbers of the `gguf` package for another
type, so that llama.cpp can say what it loses by it: matrices in that type, the embedding (and head) in Q8_0, vectors as they are.

    python test/oracle/gguf_quantise.py IN.gguf OUT.gguf Q4_0
"""

import sys

import gguf
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Kind


def main():
    source, target, name = sys.argv[1:]
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        kind, *inner = field.types
        writer.add_key_value(key, field.contents(), kind, inner[0] if kind == Kind.ARRAY else None)
    for tensor in reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        data = tensor.data.reshape(shape)
        kind = Type.F32 if len(shape) < 2 else Type.Q8_0 if tensor.name in ("token_embd.weight", "output.weight") else Type[name]
        writer.add_tensor(tensor.name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
