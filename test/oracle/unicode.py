"""What the parts of the `tokenizers` library do with every character: digests for test/fixtures/formats/unicode.json.

    python test/oracle/unicode.py test/fixtures/formats/unicode.json

Of every code point C up to U+32000 and of the tags, and of the first 8 of each 4096 beyond, a normalizer is given "aCb" and a
pre-tokenizer "aC C1.'C". The fixture has, for each part, the SHA-256 of its results line by line: the text, or the pieces' offsets.
"""

import hashlib
import json
import sys

from tokenizers import Regex
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (c < 0x32000 or 0xE0000 <= c < 0xE1000 or c % 0x1000 < 8)]
BERT = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
NORMALIZERS = [
    N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.StripAccents(), N.Nmt(), N.ByteLevel(),
    N.BertNormalizer(**BERT | {"clean_text": True}), N.BertNormalizer(**BERT | {"handle_chinese_chars": True}),
    N.BertNormalizer(**BERT | {"strip_accents": True}), N.BertNormalizer(**BERT | {"lowercase": True}),
]
PRE_TOKENIZERS = [P.Whitespace(), P.WhitespaceSplit(), P.BertPreTokenizer(), P.Punctuation(), P.Digits()]
LETTERS = [P.ByteLevel(add_prefix_space=False), P.Split(Regex(r"\w+"), "isolated"), P.Split(Regex(r"[[:punct:]]"), "isolated"), P.Split(Regex(r"\p{N}"), "isolated")]


def digest(lines):
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def pieces(part, points):
    texts = ["a" + chr(c) + " " + chr(c) + "1.'" + chr(c) for c in points]
    return digest(json.dumps([list(span) for _, span in part.pre_tokenize_str(text)], separators=(",", ":")) for text in texts)


def main():
    settings = lambda part: json.loads(part.__getstate__())
    parts = [["normalizer", settings(n), digest(n.normalize_str("a" + chr(c) + "b") for c in POINTS)] for n in NORMALIZERS]
    parts += [["pre-tokenizer", settings(p), pieces(p, POINTS)] for p in PRE_TOKENIZERS]
    # Regular expressions run under a deadline, which takes time: the planes of letters that are assigned last.
    few = [c for c in POINTS if c in range(0x800, 0x1000) or c in range(0x1AB0, 0x1B00) or c in range(0xA780, 0xA800) or c in range(0x10900, 0x11000)]
    parts += [["pattern", settings(p), pieces(p, few)] for p in LETTERS]
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(part) for part in parts) + "\n]\n")


main()
