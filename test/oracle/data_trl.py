"""Writes what TRL's `extract_prompt` makes of preferences whose prompt is implicit.

Usage: python data_trl.py test/fixtures/data/trl-extract-prompt.json
"""

import json
import sys

from trl.data_utils import extract_prompt


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


pairs = [
    {"chosen": "The sky is blue.", "rejected": "The sky is green."},
    {"chosen": "Q: 2 + 2?\nA: 4", "rejected": "Q: 2 + 2?\nA: five"},
    {"chosen": "Grüße aus Köln! Bis bald.", "rejected": "Grüße aus Köln! Tschüss."},
    {
        "chosen": [user("What color is the sky?"), assistant("It is blue.")],
        "rejected": [user("What color is the sky?"), assistant("It is green.")],
    },
    {
        "chosen": [user("Hi"), assistant("Hello"), user("Sum?"), assistant("4")],
        "rejected": [user("Hi"), assistant("Hello"), user("Sum?"), assistant("5")],
    },
]
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump([{"pair": pair, "expected": extract_prompt(pair)} for pair in pairs], file, ensure_ascii=False, indent=1)
