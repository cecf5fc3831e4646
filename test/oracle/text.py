"""Oracle for text as training sees it: ids of joined texts and positions, what special tokens there are, and which ids.

    python test/oracle/text.py                       writes test/fixtures/formats/text.json
    python test/oracle/text.py --random 400 out.json [SEED]   a longer run; `npx tsx test/oracle/text.ts out.json` compares

Every case is a small tokenizer (all parts of its files are in the case) with texts and conversations, and what
`transformers` (AutoTokenizer) makes of them: ids with and without special tokens, offsets, the text of the ids, and the
named special tokens. The random tokenizers have every model, normalizer, pre-tokenizer and post-processor of the
library, and added tokens with all flags, spread over the files in which they may be named. A longer run also draws texts at
random, and what is rarer: truncation and padding sections, affixes of other spellings, further decoders, odd patterns.
"""

import json
import os
import random
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers, processors, decoders
from transformers import AutoTokenizer

CORPUS = [
    "Hello world! How are you today? I'm fine, it's 2+2=4.",
    "Question: 2+2\nHow are you\n\n  indented   text\twith tabs 12345",
    "def f(x):\n    return x ** 2  # squares\n",
    "Grüße aus Köln — naïve café, Straße; l'été à Paris. İstanbul ΑΒΓΣ",
    "你好，世界。今天天气很好！日本語のテキスト、한국어 텍스트도 있습니다.",
    "Привет, как дела? مرحبا بالعالم नमस्ते दुनिया",
    "emoji 😀👩‍👩‍👧 flags 🇩🇪 ½ ² ﬁ Ⅳ ①",
]
TEXTS = CORPUS + [
    "",
    " ",
    "Hello",
    " leading and trailing ",
    "a<x>b <x> c<x>",
    "foo<|im_end|>bar <|im_end|>\n baz",
    "xX[TOK]y [TOK] z[TOK]",
    "wordword word Word WORD",
    "\ufeffBOM and \u0085 NEL \u200b zero \u00a0 nbsp \u2028 sep",
    "e\u0301 vs \u00e9, \u1100\u1161\u11a8 \ufb01n \u3000",
    "don't can't I'VE we'll 1st 22nd 3,000.50",
    "line\r\nline\rline\n\n\nend",
    "<s>x</s> [CLS] y [SEP]",
    "\U0001f600\U00020000\u0000\x07",
    "foo_bar-baz/qux.html?a=b&c=d",
]
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
PAIRS = [
    ["Hello world! How", " are you today?"],
    ["Question: 2+2\n", "How are you"],
    ["foo ba", "r baz"],
    ["", "Hello"],
    ["Grüße aus K", "öln 😀"],
    ["emoji 😀", "👩‍👩‍👧"],
]


# The fixture holds what the first version drew.
WIDE = len(sys.argv) > 1

FRAGMENTS = (
    list("abcdefgXYZ0189 .,!?'\"-_/#@▁Ġ") + ["  ", "\n", "\r\n", "\t", "\n\n", " \n ", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufeff", "\u0085", "\u2028", "\u0000", "\x1c"]
    + ["word", "Köln", "<x>", "[TOK]", "<|im_end|>", "<|im_start|>", " <y> ", "<pad>", "<s>", "</s>", "<unk>", "[CLS]", "é", "e\u0301", "WORD", "<0x41>", "<0xE4>", "</w>", "##", "##a"]
    + ["你", "好", "日本", "한", "\u1112\u1161\u11ab", "ﬁ", "ß", "İ", "ı", "ǅ", "Σ", "ς", "½", "²", "Ⅳ", "①", "٣", "७", "ๆ", "น้ำ", "ि", "क्षि", "\u0483", "\u20dd", "😀", "👩‍👧", "🇩🇪", "\U00020000", "\U0001f3fd", "\ue000", "\u0378", "\u00ad", "\u061c"]
    + ["the", " the", "'s", "'S", "’s", "n't", "I'm", "123", "1234567", " 12", "hello", " Hello", "HELLO", "x=1", "==", "...", "```", "/*", "don't"]
)


def random_text(rng):
    return "".join(rng.choice(FRAGMENTS) for _ in range(rng.randrange(1, 25)))


def added(rng, content, special):
    return {
        "content": content,
        "single_word": rng.random() < 0.25,
        "lstrip": rng.random() < 0.3,
        "rstrip": rng.random() < 0.3,
        "normalized": rng.random() < (0.2 if special else 0.7),
        "special": special,
    }


def some_normalizer(rng, depth=0):
    N = normalizers
    choices = [
        lambda: N.NFC(), lambda: N.NFD(), lambda: N.NFKC(), lambda: N.NFKD(), lambda: N.Lowercase(), lambda: N.StripAccents(),
        lambda: N.Strip(left=rng.random() < 0.5, right=rng.random() < 0.5),
        lambda: N.Prepend("▁"), lambda: N.Replace(" ", "▁"), lambda: N.Nmt(), lambda: N.ByteLevel(),
        lambda: N.BertNormalizer(clean_text=rng.random() < 0.7, handle_chinese_chars=rng.random() < 0.7, strip_accents=rng.choice([None, True, False]), lowercase=rng.random() < 0.5),
        lambda: N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]),
    ]
    from tokenizers import Regex

    choices.append(lambda: N.Replace(Regex(r"\s+"), " "))
    choices.append(lambda: N.Replace(Regex(r"[0-9]"), "0"))
    if WIDE:
        choices.append(lambda: N.Replace(rng.choice(["", "e", "ab", "''"]) or "a", rng.choice(["", "xy", "é"])))
        choices.append(lambda: N.Replace(Regex(rng.choice([r"\b", r"(?<=l)l", r"^\s", r"\s$", r" {2,}", r"[^\x00-\x7f]", r"\p{Mn}+", r"(a|e)\1", r"$", r"(?i)the"])), rng.choice(["", " ", "▁", "\\1"])))
        choices.append(lambda: N.Prepend(rng.choice(["x", " ", "ab", "é"])))
    if depth < 1:
        choices.append(lambda: N.Sequence([some_normalizer(rng, 1) for _ in range(rng.randrange(1, 4))]))
    return rng.choice(choices)()


REGEXES = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\r\n]",
    r"\s?[!-/:-@\[-`{-~！-／：-～‘-‟　-。]+",
    r"[一-龥ࠀ-一가-퟿]+",
    r"\p{N}{1,3}(?=(?:\p{N}{3})*\b)",
    r"\w+|[^\w\s]+",
    r"\d",
    r"(?<=x)y|\h+",
]


def some_pre_tokenizer(rng, depth=0):
    P = pre_tokenizers
    from tokenizers import Regex

    behaviours = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    choices = [
        lambda: P.ByteLevel(add_prefix_space=rng.random() < 0.5, use_regex=rng.random() < 0.8),
        lambda: P.Metaspace(prepend_scheme=rng.choice(["always", "first", "never"]), split=rng.random() < 0.6),
        lambda: P.Whitespace(), lambda: P.WhitespaceSplit(), lambda: P.BertPreTokenizer(),
        lambda: P.Digits(individual_digits=rng.random() < 0.5),
        lambda: P.Punctuation(behavior=rng.choice(behaviours)),
        lambda: P.CharDelimiterSplit("e"),
        lambda: P.Split(rng.choice([" ", "e", Regex(rng.choice(REGEXES))]), rng.choice(behaviours), invert=rng.random() < 0.3),
        lambda: P.Split(Regex(rng.choice(REGEXES)), "isolated"),
        lambda: P.FixedLength(length=rng.randrange(1, 6)),
    ]
    if WIDE:
        choices += [
            lambda: P.UnicodeScripts(),
            lambda: P.Split(Regex(rng.choice([r"\b", r"(?=[A-Z])", r"\s*", r"[^\S\n]+", r"\X", r"\R", r"(?:\p{Han}|\p{Hangul})", r"[[:alpha:]]+", r"[[:punct:]]", r"\p{Script=Greek}+" , r"[\p{L}&&[^a-c]]+", r"\A.", r".\z", r"(?<!\S)\d+(?!\S)", r"(?x) a  b # c", r"\p{^L}+", r"[\x{4e00}-\x{9fff}]", r"\H+", r"a++b?", r"(?>ab|a)c?"])), rng.choice(behaviours), invert=rng.random() < 0.3),
            lambda: P.Metaspace(replacement=rng.choice(["_", "Ġ", "é"]), prepend_scheme=rng.choice(["always", "first", "never"]), split=rng.random() < 0.6),
            lambda: P.CharDelimiterSplit(rng.choice([" ", "▁", "é", "\n"])),
        ]
    if depth < 1:
        choices.append(lambda: P.Sequence([some_pre_tokenizer(rng, 1) for _ in range(rng.randrange(1, 4))]))
    return rng.choice(choices)()


def some_model(rng, tokenizer):
    kind = rng.randrange(6)
    size = rng.choice([80, 120, 200])
    tokens = ["<unk>"] + (["<s>", "</s>"] if rng.random() < 0.5 else [])
    if kind <= 2:
        options = {"fuse_unk": rng.random() < 0.5, "byte_fallback": rng.random() < 0.5, "ignore_merges": rng.random() < 0.3}
        if rng.random() < 0.7:
            options["unk_token"] = "<unk>"
        if rng.random() < 0.2:
            options["end_of_word_suffix"] = rng.choice(["</w>", "_", "é", ""]) if WIDE else "</w>"
        if rng.random() < 0.2:
            options["continuing_subword_prefix"] = rng.choice(["##", "@@", "é", ""]) if WIDE else "##"
        tokenizer.model = models.BPE(**options)
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=tokens, show_progress=False, limit_alphabet=60, **{k: v for k, v in options.items() if k in ("end_of_word_suffix", "continuing_subword_prefix")})
        if options["byte_fallback"]:
            trainer = trainers.BpeTrainer(vocab_size=size + 256, special_tokens=tokens + [f"<0x{b:02X}>" for b in range(256)], show_progress=False, limit_alphabet=40)
            options.pop("end_of_word_suffix", None)
            options.pop("continuing_subword_prefix", None)
            tokenizer.model = models.BPE(**options)
    elif kind == 3:
        tokenizer.model = models.Unigram()
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=tokens, unk_token="<unk>", show_progress=False)
    elif kind == 4:
        prefix = {"continuing_subword_prefix": rng.choice(["##", "@", ""])} if WIDE else {}
        tokenizer.model = models.WordPiece(unk_token="<unk>", max_input_chars_per_word=rng.choice([100, 6]), **prefix)
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=tokens, show_progress=False, limit_alphabet=60, **prefix)
    else:
        tokenizer.model = models.WordLevel(unk_token="<unk>")
        trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=tokens, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)


def random_files(rng):
    tokenizer = Tokenizer(models.BPE())
    if rng.random() < 0.6:
        tokenizer.normalizer = some_normalizer(rng)
    if rng.random() < 0.85:
        tokenizer.pre_tokenizer = some_pre_tokenizer(rng)
    some_model(rng, tokenizer)
    tokenizer.decoder = rng.choice([None, decoders.ByteLevel(), decoders.Metaspace(), decoders.WordPiece(), decoders.BPEDecoder(), decoders.Fuse(), decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])])
    if WIDE and rng.random() < 0.4:
        tokenizer.decoder = rng.choice([
            decoders.CTC(pad_token=rng.choice(["<pad>", "a"]), word_delimiter_token=rng.choice(["|", "e"]), cleanup=rng.random() < 0.5), decoders.WordPiece(prefix=rng.choice(["##", "@"]), cleanup=rng.random() < 0.5),
            decoders.Metaspace(replacement=rng.choice(["▁", "_", "Ġ"]), prepend_scheme=rng.choice(["always", "first", "never"])), decoders.BPEDecoder(suffix=rng.choice(["</w>", "_", "é"])),
            decoders.ByteFallback(), decoders.Strip(content=rng.choice([" ", "▁", "a", "é"]), left=rng.randrange(3), right=rng.randrange(3)),
            decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]), decoders.Sequence([decoders.ByteFallback(), decoders.ByteLevel()]), decoders.Sequence([decoders.Fuse(), decoders.WordPiece()]), decoders.Sequence([]),
        ])
    data = json.loads(tokenizer.to_str())
    if WIDE:
        if rng.random() < 0.2:
            data["truncation"] = {"direction": rng.choice(["Right", "Left"]), "max_length": rng.randrange(2, 9), "strategy": rng.choice(["LongestFirst", "OnlyFirst", "OnlySecond"]), "stride": rng.randrange(2)}
        if rng.random() < 0.2:
            data["padding"] = {"strategy": rng.choice(["BatchLongest", {"Fixed": 12}]), "direction": rng.choice(["Right", "Left"]), "pad_to_multiple_of": rng.choice([None, 8]), "pad_id": 0, "pad_type_id": 0, "pad_token": rng.choice(["<unk>", "[PAD]", "a"])}
        if data["model"]["type"] == "Unigram" and rng.random() < 0.4:
            data["model"]["vocab"] += [[f"<0x{b:02X}>", -10.0] for b in range(256)]
            data["model"]["byte_fallback"] = True
        if data["model"]["type"] == "BPE" and rng.random() < 0.15:
            data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"] if not any(" " in part for part in merge)]
        if data["model"]["type"] == "BPE" and rng.random() < 0.1:
            data["model"]["dropout"] = rng.choice([0.0, None])
    # Added tokens of all flags, spread over the files that may name them.
    pool = ["<x>", "[TOK]", "word", "<|im_end|>", "<|im_start|>", "é", "WORD", " <y> ", "Köln", "<pad>", "[CLS]", "[SEP]"]
    rng.shuffle(pool)
    next_id = 1 + max([t["id"] for t in data["added_tokens"]] + [max(data["model"]["vocab"].values()) if isinstance(data["model"]["vocab"], dict) else len(data["model"]["vocab"]) - 1])
    for content in pool[: rng.randrange(0, 5)]:
        data["added_tokens"].append({"id": next_id, **added(rng, content, rng.random() < 0.5)})
        next_id += 1
    rest = pool[5:]
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    extra_map, added_json = None, None
    names = ["bos_token", "eos_token", "pad_token", "cls_token"]
    rng.shuffle(names)
    for name in names[: rng.randrange(0, 4)]:
        config[name] = rng.choice(rest + ["<s>", "</s>", "<unk>"])
    shape = rng.randrange(5)
    if shape == 0:
        config["added_tokens_decoder"] = {str(next_id + i): added(rng, content, rng.random() < 0.5) for i, content in enumerate(rng.sample(rest, 2))}
    elif shape == 1:
        token = {k: v for k, v in added(rng, rest[0], True).items() if k != "special"}
        extra_map = {"eos_token": token, "unk_token": "<unk>"}
        if rng.random() < 0.5:
            extra_map["additional_special_tokens"] = [rest[1], rest[2]]
    elif shape == 2:
        added_json = {content: next_id + i for i, content in enumerate(rest[:3])}
    elif shape == 3:
        config[rng.choice(["extra_special_tokens", "additional_special_tokens"])] = rng.sample(rest, 2)
    if shape == 4 and rng.random() < 0.5:
        config["extra_special_tokens"] = {"image_token": rest[0]}
    if rng.random() < 0.15:
        config["split_special_tokens"] = True
    if rng.random() < 0.2:
        config["add_bos_token"] = rng.random() < 0.7
        config["add_eos_token"] = rng.random() < 0.5
    vocab = data["model"]["vocab"]
    if isinstance(vocab, dict) and "<s>" in vocab and rng.random() < 0.5:
        s, e = ("<s>", vocab["<s>"]), ("</s>", vocab["</s>"])
        post = rng.choice([
            processors.TemplateProcessing(single="<s> $A", special_tokens=[s]),
            processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[s, e]),
            processors.TemplateProcessing(single="$A </s>", special_tokens=[e]),
            processors.BertProcessing(sep=e, cls=s),
            processors.RobertaProcessing(sep=e, cls=s, trim_offsets=False),
            processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<s> $A", special_tokens=[s])]),
        ] + ([
            processors.TemplateProcessing(single="<s> <s> $A:0 </s>:1", pair="$A $B", special_tokens=[s, e]),
            processors.TemplateProcessing(single="$A", special_tokens=[]),
            processors.TemplateProcessing(single="<s> $0 </s> </s>", special_tokens=[("<s>", 3), e]),
            processors.RobertaProcessing(sep=e, cls=s, trim_offsets=True, add_prefix_space=True),
            processors.ByteLevel(trim_offsets=True),
            processors.Sequence([]),
            processors.Sequence([processors.TemplateProcessing(single="<s> $A", special_tokens=[s]), processors.TemplateProcessing(single="$A </s>", special_tokens=[e])]),
        ] if WIDE else []))
        tokenizer.post_processor = post
        data["post_processor"] = json.loads(tokenizer.to_str())["post_processor"]
    return {"json": data, "config": config, "map": extra_map, "added": added_json}


def load(files):
    folder = tempfile.mkdtemp()
    names = {"json": "tokenizer.json", "config": "tokenizer_config.json", "map": "special_tokens_map.json", "added": "added_tokens.json"}
    for key, name in names.items():
        if files.get(key) is not None:
            with open(os.path.join(folder, name), "w") as file:
                json.dump(files[key], file)
    return AutoTokenizer.from_pretrained(folder)


def describe(files, texts):
    tokenizer = load(files)
    encodings = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        bare = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        encodings.append([text, ids, bare["input_ids"], [list(o) for o in bare["offset_mapping"]], tokenizer.decode(ids, clean_up_tokenization_spaces=False), tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)])
    return {"files": files, "named": tokenizer.special_tokens_map, "size": len(tokenizer), "encodings": encodings}


def joined(files):
    """Ids of the joined text and the first token that reaches beyond the prompt."""
    tokenizer = load(files)
    rows = []
    for prompt, completion in PAIRS:
        out = tokenizer(prompt + completion, add_special_tokens=False, return_offsets_mapping=True)
        first = next(i for i, (_, end) in enumerate(out["offset_mapping"]) if end > len(prompt))
        rows.append([prompt, completion, out["input_ids"], first, out["offset_mapping"][first][0] < len(prompt)])
    return {"files": files, "pairs": rows}


def sentencepiece_like(normalizer, pre_tokenizer, seed):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return {"json": json.loads(tokenizer.to_str()), "config": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}}


def main():
    count, target, seed = (int(sys.argv[2]), sys.argv[3], int((sys.argv + ["5"])[4])) if WIDE else (40, "test/fixtures/formats/text.json", 3)
    N, P = normalizers, pre_tokenizers
    cases, refused = [], 0
    rng = random.Random(seed)
    while len(cases) < count:
        try:
            files = random_files(rng)
            texts = TEXTS + [random_text(rng) for _ in range(15)] if WIDE else rng.sample(TEXTS, 9)
            cases.append(describe(files, texts))
        except BaseException as error:  # what the library itself panics at or refuses
            refused += 1
    pairs = [
        joined(sentencepiece_like(N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), None, 1)),
        joined(sentencepiece_like(None, P.Metaspace(prepend_scheme="first"), 2)),
        joined(sentencepiece_like(None, P.Metaspace(prepend_scheme="always"), 2)),
        joined(sentencepiece_like(None, P.ByteLevel(add_prefix_space=False), 3)),
        joined(sentencepiece_like(None, P.ByteLevel(add_prefix_space=True), 3)),
    ]
    with open(target, "w") as file:
        file.write('{"cases": [\n' + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + '\n],\n"pairs": [\n' + ",\n".join(json.dumps(p) for p in pairs) + "\n]}\n")
    print(f"{len(cases)} tokenizers, {refused} that the library refuses, {os.path.getsize(target)} bytes")


main()
