#!/usr/bin/env python3
"""Makes tests/conformance/data/ranked: tokenizers that rank tokens, and what their own libraries say of texts.
Makes the seeds of fuzz/corpus/tiktoken and fuzz/corpus/tekken of the same files.

    pip install tiktoken mistral-common transformers blobfile && tools/make_ranked_cases.py

One small byte-level vocabulary is trained here and written as each family ships it. `cases.json` of each is
{before, cases}: the ids that add_special puts in front, and rows of {text, ids}. `decoded` (special tokens left out)
and `kept` (with them) are there where they differ from the text. Oracles: tiktoken with the family's pattern; mistral-common
for tekken; transformers for a file that it reads by itself.
"""

import base64
import collections
import json
import os
import pathlib
import random
import re
import unicodedata

import regex
import tiktoken
from mistral_common.tokens.tokenizers.tekken import SpecialTokenPolicy, Tekkenizer
from transformers import AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/conformance/data/ranked"
os.environ["TIKTOKEN_CACHE_DIR"] = ""  # it would keep the first file of each name for ever
N_MERGES = 230

# Patterns as the models' own Python files and OpenAI's publish them.
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
HEAD = r"[^\r\n\p{L}\p{N}]?"
TEKKEN = f"{HEAD}[{UPPER}]*[{LOWER}]+|{HEAD}[{UPPER}]+[{LOWER}]*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
O200K = (f"{HEAD}[{UPPER}]*[{LOWER}]+{CONTRACTION}?|{HEAD}[{UPPER}]+[{LOWER}]*{CONTRACTION}?"
         + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL)
NO_HAN = r"&&[^\p{Han}]"
KIMI = (r"[\p{Han}]+|" + f"{HEAD}[{UPPER}{NO_HAN}]*[{LOWER}{NO_HAN}]+{CONTRACTION}?|"
        f"{HEAD}[{UPPER}{NO_HAN}]+[{LOWER}{NO_HAN}]*{CONTRACTION}?" + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL)

SENTENCES = [
    "A router looks at each token and chooses the experts that will see it.",
    "The experts that were chosen compute, and their answers are added by weight.",
    "We don't know what they'll choose; it's the router's choice, isn't it?",
    "Der Verteiler wählt für jedes Zeichen zwei von acht Fachleuten aus.",
    "各个词元只经过少数专家，因此计算量很小。专家混合模型。",
    "Смесь экспертов: каждый токен видит лишь немногих из них.",
    "for (int i = 0; i < n; ++i) {\n    sum += x[i] * w[i];\n}\n///\n",
    "In 2024 there were 8 experts; in 2025 there were 256, of which 8 were chosen.",
]

TEXTS = [
    "", " ", "   ", "a", " a ", "Hello, world!", "the experts that were chosen", "The\tquick\nbrown  fox\r\n\r\n  end",
    "1234567890 12 3", "naïve café e\u0301 ½ ① Å \u1e9b\u0323", "专家，混合。模型and专家's", "各个ABC词元123各〇个々", "каждый токен",
    "😀 emoji 👩\u200d👩\u200d👧", "\u0000\u0001\u007f", "\u200b\ufeffzero\u00a0width\u3000x\u180ey", "HelloWorld HTTPServer iPhone",
    "don't DON'T we'LL it'\u017f X'D", "x" * 70, "    indented\n\n\n\tmore  ", "a/b//\n///c", "}\n///\n", "ｶﾀｶﾅ ひらがな 漢字",
    "मिश्रित विशेषज्ञ", "مزيج الخبراء", "ǅ ǆ ʰʱ ªº", "A\u0301\u0302B", "https://example.com/a?b=c&d=1", "\r", "\n\r\n ", "a\u2028b\u2029 c",
    "전문가 모델", "-- && ~~ [] ^", "'", "''s's", " 's", "٣٤٥ Ⅷ",
]


def train(sentences):
    """Tokens by rank: 256 bytes in an order of their own, then merges of the most frequent pair."""
    tokens = [bytes([b]) for b in [*range(33, 127), *range(33), *range(127, 256)]]
    words = collections.Counter(w for s in sentences for w in regex.findall(r"\s?\p{L}+|\s?[^\s\p{L}]+|\s+", s))
    words = [([bytes([b]) for b in w.encode()], n) for w, n in sorted(words.items())]
    for _ in range(N_MERGES):
        pairs = collections.Counter()
        for parts, n in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        tokens.append(best[0] + best[1])
        for parts, _ in words:
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = [best[0] + best[1]]
                i += 1
    return tokens


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def texts_with(specials):
    rng = random.Random(7)
    alphabet = "  \t\n\r/abcdeTHE019.,'é\u0301专家ж😀ǅ\u3000"
    parts = [*specials[:4], " the", "expert", "router's", "专家"]
    noise = ["".join(rng.choice(parts) if rng.random() < 0.3 else rng.choice(alphabet) for _ in range(rng.randrange(30)))
             for _ in range(25)]
    around = [f"{a}the experts{b}" for a, b in zip(specials[:6], reversed(specials[:6]))]
    return TEXTS + around + noise


def write_cases(directory, specials, encode, decode, before=()):
    rows = []
    for text in texts_with(specials):
        ids = encode(text)
        row = {"text": text, "ids": ids, "decoded": decode(ids, True), "kept": decode(ids, False)}
        rows.append({k: v for k, v in row.items() if k in ("text", "ids") or v != text})
    write_json(directory / "cases.json", {"before": list(before), "cases": rows})


def write_tiktoken(path, tokens, repeat=()):
    """`repeat`: places after which the line before is there twice, as in Hunyuan's file."""
    lines = []
    for rank, token in enumerate(tokens):
        lines.append(base64.b64encode(token) + b" " + str(rank).encode())
        if rank in repeat:
            lines.append(lines[-1])
    path.write_bytes(b"\n".join(lines) + b"\n")


def added(names_by_id, special):
    return {str(i): {"content": n, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                     "special": special(n)} for i, n in names_by_id.items()}


def tiktoken_case(name, file, tokens, pattern, special_ids, config, skipped, nfc=False, repeat=()):
    directory = OUT / name
    directory.mkdir(parents=True, exist_ok=True)
    write_tiktoken(directory / file, tokens, repeat)
    write_json(directory / "tokenizer_config.json", config)
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks={t: i for i, t in enumerate(tokens)},
                                 special_tokens=special_ids)

    def encode(text):
        return encoding.encode(unicodedata.normalize("NFC", text) if nfc else text, allowed_special="all")

    def decode(ids, skip):
        return encoding.decode([i for i in ids if not (skip and i in skipped)])

    names = sorted((n for n in special_ids if "reserved" not in n), key=special_ids.get)
    write_cases(directory, [*names[:5], *(n for n in special_ids if "reserved" in n)], encode, decode)


def kimi(tokens):
    base = len(tokens)
    named = {base: "[BOS]", base + 1: "[EOS]", base + 2: "<|im_end|>", base + 3: "<|im_user|>", base + 10: "<think>"}
    ids = {named.get(i, f"<|reserved_token_{i}|>"): i for i in range(base, base + 256)}
    config = {"tokenizer_class": "TikTokenTokenizer",
              "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
              "bos_token": "[BOS]", "eos_token": "[EOS]",
              "added_tokens_decoder": added(named, lambda n: n != "<think>")}
    skipped = {i for i, n in named.items() if n != "<think>"}
    tiktoken_case("kimi", "tiktoken.model", tokens, KIMI, ids, config, skipped)


def hunyuan(tokens):
    names = ["<|endoftext|>", "<|startoftext|>", "<|bos|>", "<|eos|>", "<|pad|>", *(f"<|extra_{i}|>" for i in range(205))]
    ids = {n: len(tokens) + i for i, n in enumerate(names)}
    config = {"tokenizer_class": "HYTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_hy.HYTokenizer", None]},
              "eos_token": "<|eos|>", "pad_token": "<|pad|>",
              "additional_special_tokens": ["<|startoftext|>", "<|extra_0|>", "<|eos|>"]}
    tiktoken_case("hunyuan", "hy.tiktoken", tokens, QWEN, ids, config, set(ids.values()), nfc=True, repeat=(300, 410))


def o200k(tokens):
    ids = {"<|endoftext|>": len(tokens)}
    config = {"eos_token": "<|endoftext|>", "added_tokens_decoder": added({len(tokens): "<|endoftext|>"}, bool)}
    tiktoken_case("o200k", "o200k_base.tiktoken", tokens, O200K, ids, config, set(ids.values()))


def llama3(tokens):
    """A tiktoken file named tokenizer.model, which transformers reads without Python of the model's own."""
    directory = OUT / "llama3"
    directory.mkdir(parents=True, exist_ok=True)
    write_tiktoken(directory / "tokenizer.model", tokens)
    base = len(tokens)
    named = {base: "<|begin_of_text|>", base + 1: "<|end_of_text|>", base + 4: "<|eot_id|>"}
    write_json(directory / "tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
                "eos_token": "<|end_of_text|>", "added_tokens_decoder": added(named, bool)})
    oracle = AutoTokenizer.from_pretrained(directory)
    write_cases(directory, list(named.values()), lambda t: oracle.encode(t, add_special_tokens=False),
                lambda ids, skip: oracle.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False))


def tekken(version, tokens, specials, n_special, n_spare):
    """`n_spare` tokens at the end of the file are beyond its default_vocab_size."""
    directory = OUT / f"tekken_{version}"
    directory.mkdir(parents=True, exist_ok=True)
    tokens = sorted(tokens[:256]) + tokens[256:]
    vocab = [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(tokens)]
    config = {"pattern": TEKKEN, "num_vocab_tokens": len(tokens), "version": version,
              "default_vocab_size": len(tokens) - n_spare + n_special, "default_num_special_tokens": n_special}
    file = {"config": config, "vocab": vocab}
    if specials:
        file["special_tokens"] = [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(specials)]
    write_json(directory / "tekken.json", file)
    oracle = Tekkenizer.from_file(directory / "tekken.json")
    names = [oracle.id_to_piece(i) for i in range(n_special)]
    cut = re.compile("(" + "|".join(map(re.escape, names)) + ")")

    def encode(text):  # mistral-common reads no special token out of a text
        parts = [p for p in cut.split(text) if p]
        return [i for p in parts for i in ([names.index(p)] if p in names else oracle.encode(p, bos=False, eos=False))]

    def decode(ids, skip):
        return oracle.decode(ids, SpecialTokenPolicy.IGNORE if skip else SpecialTokenPolicy.KEEP)

    write_cases(directory, names[1:], encode, decode, before=[oracle.bos_id])


def write_seed(target, name, file, config=b"", head=b""):
    """As fuzz/<target>_fuzz.cpp reads it."""
    directory = ROOT / "fuzz/corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    text = "the experts\n<|im_end|>[INST] don't 专家。 12345 <|eos|>".encode()
    sizes = len(file).to_bytes(2, "little") + len(config).to_bytes(2, "little")
    (directory / name).write_bytes(sizes + head + file + config + text)


def seeds():
    for pick, (kind, name) in enumerate([("kimi", "tiktoken.model"), ("hunyuan", "hy.tiktoken"), ("hunyuan", "hy.tiktoken"),
                                         ("llama3", "tokenizer.model")]):
        config = b"" if pick == 2 else (OUT / kind / "tokenizer_config.json").read_bytes()
        write_seed("tiktoken", ["kimi", "hunyuan", "qwen", "llama3"][pick], (OUT / kind / name).read_bytes(), config,
                   bytes([pick]))
    for version in ("v3", "v13"):
        file = json.loads((OUT / f"tekken_{version}" / "tekken.json").read_text(encoding="utf-8"))
        n_special = file["config"]["default_num_special_tokens"]
        file["vocab"] = file["vocab"][97:123]
        for rank, token in enumerate(file["vocab"]):
            token["rank"] = rank
        file["config"]["default_vocab_size"] = len(file["vocab"]) + n_special
        write_seed("tekken", version, json.dumps(file).encode(), b'{"bos_token": "<s>"}')


def main():
    tokens = train(SENTENCES)
    kimi(tokens)
    hunyuan(tokens)
    o200k(tokens)
    llama3(tokens)
    tekken("v3", tokens, [], 24, 0)
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "<pad>", "[THINK]", "[/THINK]", "[ARGS]"]
    tekken("v13", tokens, names, 16, 100)
    seeds()


if __name__ == "__main__":
    main()
