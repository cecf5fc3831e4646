"""Writes a Hugging Face model directory with random weights and a small tokenizer, in one of the shapes of shapes.json.

    python make_checkpoint.py --shape nano|small|smollm2-135m --out DIR [--classifier] [--words] [--seed 0]

The directory is whole: config.json, model.safetensors (float32), tokenizer.json, tokenizer_config.json, generation_config.json.
`--classifier` writes a ForSequenceClassification model with one label of the same shape, for reward scoring.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TOKENIZER_VOCAB = 512
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHAPES = json.loads(Path(__file__).with_name("shapes.json").read_text())


def corpus():
    """A little deterministic English and arithmetic, enough for a few hundred merges."""
    subjects = ["the miller", "a young doctor", "her neighbour", "the old captain", "our teacher", "that engineer"]
    verbs = ["carried", "measured", "forgot", "repaired", "wanted", "explained", "watched"]
    objects = ["the broken clock", "seven apples", "a letter", "the river", "every number", "an empty boat"]
    for i, s in enumerate(subjects):
        for j, v in enumerate(verbs):
            for k, o in enumerate(objects):
                yield f"{s.capitalize()} {v} {o}. What is {i * 7 + j} plus {k * 3}? It is {i * 7 + j + k * 3}.\n"


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENIZER_VOCAB,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return as_transformers(tokenizer)


def make_word_tokenizer(vocabulary):
    """Every token that the model can sample is a word, which reads back as the same token: "w17" is token 17."""
    words = SPECIAL_TOKENS + [f"w{i}" for i in range(len(SPECIAL_TOKENS), vocabulary)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=SPECIAL_TOKENS[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return as_transformers(tokenizer)


def as_transformers(tokenizer):
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIAL_TOKENS[0],
        eos_token=SPECIAL_TOKENS[0],
        pad_token=SPECIAL_TOKENS[0],
        additional_special_tokens=SPECIAL_TOKENS[1:],
        chat_template=CHAT_TEMPLATE,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES["shapes"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--classifier", action="store_true")
    parser.add_argument("--words", action="store_true", help="a tokenizer of as many words as the model has tokens")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(args.seed)
    config = transformers.LlamaConfig(**SHAPES["common"], **SHAPES["shapes"][args.shape])
    if args.classifier:
        config.num_labels = 1
        model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    else:
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(args.out)
    tokenizer = make_word_tokenizer(config.vocab_size) if args.words else make_tokenizer()
    tokenizer.save_pretrained(args.out)
    print(f"{type(model).__name__}, {model.num_parameters():,} parameters, in {args.out}")


if __name__ == "__main__":
    main()
