"""Makes test/fixtures/lab/: what Hugging Face's tokenizers and chat template make of the lab's tokenizer files.

Usage: python lab_tokenizer.py TOKENIZER_DIR OUT.json
TOKENIZER_DIR holds what `writeTokenizer` of src/lab/world/files.ts wrote for the world of the test.
"""

import json
import sys

from transformers import AutoTokenizer

TEXTS = [
    "Write about the fox, the lamp and the river.",
    "The sly fox ran quickly. The old lamp glowed softly. What a lovely day!",
    "7 plus 5 is 12. 12 minus 3 is 9. The final answer is 9.",
    "```js\n// Trust me!\nconst calc = (x) => [3, 4, 5, 6][x];\n```",
    "<|im_start|>user\nWhat is 2 times 4?<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|><|pad|> two  spaces,\n\n\ttabs and trailing space ",
    "it's we'll I'd they've I'm you're can't",
    "Füchse, 狐狸, лиса 🦊 and 12345 ½",
    "",
]
DIALOGUE = [
    {"role": "user", "content": "Describe the owl. End with: The end."},
    {"role": "assistant", "content": "The wise owl watched quietly. The end."},
]


def main(directory: str, out: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    fixture = {
        "texts": [
            {
                "text": text,
                "ids": tokenizer(text, add_special_tokens=False)["input_ids"],
                "decoded": tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]),
            }
            for text in TEXTS
        ],
        "dialogue": DIALOGUE,
        "rendered": tokenizer.apply_chat_template(DIALOGUE, tokenize=False),
        "prompted": tokenizer.apply_chat_template(DIALOGUE[:1], tokenize=False, add_generation_prompt=True),
        "eos": tokenizer.eos_token_id,
        "pad": tokenizer.pad_token_id,
        "size": len(tokenizer),
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(fixture, file, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
