"""What transformers makes of conversations under real chat templates: digests of texts and ids.

    bash scripts/fetch-chat-templates.sh          # into .templates/, which git ignores
    python test/oracle/chat_templates.py .templates lab/model test/fixtures/formats/chat-templates.json

Templates belong to their models, whose licences differ: none is stored here. Of each the digest is, and for each
conversation the first 16 hexadecimal digits of the SHA-256 of the text and of the ids that the tokenizer makes of it, or
null where the template (or the sandbox of transformers) raises. The conversations are in the file itself.
"""

import hashlib
import json
import sys
from pathlib import Path

import transformers

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place — now.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City & country"},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "days": {"type": "integer", "default": 1},
            },
            "required": ["place"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    },
}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(name, arguments, id="call_1", text=""):
    function = {"name": name, "arguments": arguments}
    return assistant(text, tool_calls=[{"id": id, "type": "function", "function": function}])


SYSTEM = {"role": "system", "content": "You are a careful assistant.\nAnswer briefly."}
CONVERSATIONS = {
    "user": ([user("Hello!")], {}),
    "system": ([SYSTEM, user("What is 2 + 2?")], {}),
    "turns": ([user("Hi"), assistant("Hello, how can I help?"), user("  Tell me a joke.\n")], {}),
    "ended": ([SYSTEM, user("Hi"), assistant("Bye <b>now</b> & \"good\" luck")], {"add_generation_prompt": False}),
    "multilingual": ([user("Wie heißt du? 你叫什么名字？"), assistant("مرحبا 👋🏽 — naïve ﬁ"), user("한국어로 말해 줘\u00a0\u200d")], {}),
    "thought": (
        [user("2+2?"), assistant("4", reasoning_content="Two and two are four."), user("And 3+3?"), assistant("6", reasoning_content="Six.\n")],
        {"add_generation_prompt": False},
    ),
    "thought in text": ([user("2+2?"), assistant("<think>\nFour.\n</think>\n\n4"), user("Sure?")], {}),
    "no thinking": ([user("2+2?")], {"enable_thinking": False}),
    "thinking": ([SYSTEM, user("2+2?")], {"enable_thinking": True, "thinking": True}),
    "tools": ([SYSTEM, user("Weather in Paris?")], {"tools": [WEATHER, ADD]}),
    "tool call": (
        [user("Weather in Paris?"), call("get_weather", {"place": "Paris, Île-de-France", "days": 2}), {"role": "tool", "name": "get_weather", "tool_call_id": "call_1", "content": "{\"t\": 21.5}"}],
        {"tools": [WEATHER]},
    ),
    "tool call answered": (
        [
            SYSTEM,
            user("Add 1 and 2.5, then say it."),
            call("add", {"a": 1, "b": 2.5}, id="abcdefghi", text="I will add."),
            {"role": "tool", "name": "add", "tool_call_id": "abcdefghi", "content": "3.5"},
            assistant("It is 3.5."),
            user("Thanks"),
        ],
        {"tools": [ADD]},
    ),
    "call as text": (
        [user("x"), call("add", "{\"a\": 1, \"b\": 2}"), {"role": "tool", "name": "add", "tool_call_id": "call_1", "content": "3"}],
        {"tools": [ADD]},
    ),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "text", "text": " And that?"}]}], {}),
    "only assistant": ([assistant("I begin.")], {"add_generation_prompt": False}),
    "two users": ([user("a"), user("b")], {}),
    "empty": ([SYSTEM, user("")], {}),
}


def digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def main():
    root, model, out = map(Path, sys.argv[1:4])
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    templates, seen = [], set()
    for path in sorted(root.rglob("*.jinja")):
        source = path.read_text()
        key = digest(source)
        if key in seen:
            continue
        seen.add(key)
        results = {}
        for name, (messages, options) in CONVERSATIONS.items():
            options = {"add_generation_prompt": True, **options}
            try:
                # The named tokens are those above, whatever the tokenizer has.
                text = tokenizer.apply_chat_template(messages, chat_template=source, tokenize=False, **{**tokens, **options})
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
                results[name] = [digest(text), digest(",".join(map(str, ids)))]
            except Exception as error:  # raise_exception, and what a template does to messages that it does not foresee
                results[name] = None
        templates.append({"name": str(path.relative_to(root)), "digest": key, "results": results})
    conversations = {name: {"messages": messages, "options": {"add_generation_prompt": True, **options}} for name, (messages, options) in CONVERSATIONS.items()}
    head = json.dumps({"tokens": tokens, "conversations": conversations}, ensure_ascii=False, indent=1)[:-2]
    lines = ",\n".join(json.dumps(template) for template in templates)
    out.write_text(f'{head},\n "templates": [\n{lines}\n]}}\n')
    rendered = sum(r is not None for t in templates for r in t["results"].values())
    total = sum(len(t["results"]) for t in templates)
    print(f"{len(templates)} templates, {total} texts, {total - rendered} raised")


main()
