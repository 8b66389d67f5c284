#!/usr/bin/env python3
"""Writes tests/conformance/data/offsets.json: where in a text huggingface/tokenizers finds each token.

    .venv/bin/python tools/make_offset_cases.py

Each entry is a tokenizer.json of the repository, members to put over its own, and texts with their ids and offsets.
Offsets are bytes, as the Rust library counts them; the Python one counts characters. An offset never stands within a
character, so the one gives the other.
"""

import json
import random
from pathlib import Path

import tokenizers

ROOT = Path(__file__).resolve().parent.parent
KINDS = ["deepseek-v3", "gpt-oss", "gpt2", "llama3", "mixtral", "qwen2", "unigram"]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def normalizer(name, **members):
    return {"normalizer": {"type": name, **members}}


# (tokenizer, members to put over its own)
VARIANTS = [
    *[(kind, {}) for kind in KINDS],
    ("models/polymath-demo", {}),
    *[("gpt2", normalizer(form)) for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")],
    ("gpt2", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}}),
    ("gpt2", normalizer("Strip", strip_left=True, strip_right=True)),
    ("gpt2", normalizer("Strip", strip_left=False, strip_right=True)),
    ("gpt2", normalizer("Prepend", prepend="ab")),
    ("gpt2", normalizer("Replace", pattern={"Regex": "[ae]+"}, content="the")),
    ("gpt2", normalizer("Replace", pattern={"String": " "}, content="")),
    ("gpt2", {"post_processor": BYTE_LEVEL}),
    ("gpt2", {"post_processor": BYTE_LEVEL, "pre_tokenizer": BYTE_LEVEL}),
    ("gpt2", {"post_processor": {**BYTE_LEVEL, "add_prefix_space": False}}),
    ("gpt2", {"post_processor": {**BYTE_LEVEL, "trim_offsets": False}}),
    ("gpt2", {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None}),
    *[
        ("unigram", {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}})
        for scheme, split in (("first", True), ("never", True), ("always", False))
    ],
    ("unigram", {"pre_tokenizer": {"type": "Whitespace"}}),
    ("unigram", {"pre_tokenizer": {"type": "BertPreTokenizer"}}),
    ("unigram", {"pre_tokenizer": {"type": "Digits", "individual_digits": True}}),
    ("mixtral", {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}}),
]

TEXTS = [
    "Hello, world!",
    "  two  blanks  at  the ends  ",
    "é e\u0301 \u1e09 c\u0327\u0301 q\u0323\u0307 \u0301x \ufb01ne \u00bd \uff21\uff22 \u0130stanbul",
    "한국어 \u1112\u1161\u11ab각 日本語 ﷺ ①",
    "😀👩‍👩‍👧 the cat\tsat\n\non it\r\n",
    "\u00a0nbsp\u3000wide \u200bzero",
    "a\x07bell \x0bvt \u2028line",
    "<s>in</s> the <|endoftext|> middle <|im_start|>user",
    "ﬀﬁﬂ ǆ Å Å \u0344 \u0958 \u2126",
]
ALPHABET = " \t\nabeéñ\u0301\u0323\u0327한각日😀ﬁ½İ\u00a0\u3000'1.,▁Ġ\u1112\u1161\u11ab"


def random_texts(n):
    chance = random.Random(1)
    return ["".join(chance.choice(ALPHABET) for _ in range(chance.randint(1, 24))) for _ in range(n)]


def read(name):
    folder = ROOT / name if "/" in name else ROOT / "tests/conformance/data/tokenizers" / name
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))


def byte_offsets(text, offsets):
    at = [0]
    for character in text:
        at.append(at[-1] + len(character.encode()))
    return [[at[begin], at[end]] for begin, end in offsets]


def case(tokenizer, text):
    encoding = tokenizer.encode(text)
    flat = [byte for span in byte_offsets(text, encoding.offsets) for byte in span]
    return {"text": text, "ids": encoding.ids, "offsets": flat}


def main():
    entries = []
    for name, members in VARIANTS:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(read(name) | members))
        entries.append({"tokenizer": name, "members": members, "cases": [case(tokenizer, t) for t in TEXTS + random_texts(8)]})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    (ROOT / "tests/conformance/data/offsets.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
