#!/usr/bin/env python3
"""Trains the tiny SentencePiece models of tests/conformance/data/sentencepiece and writes what SentencePiece says.

    pip install sentencepiece && tools/make_sentencepiece_cases.py

For each <name>: <name>.model and <name>.cases.json, a list of {text, ids, decoded}; and "ids_only", a list of
{ids, decoded} of ids that no text gives.
"""

import json
import pathlib
import random
import tempfile

import sentencepiece

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data/sentencepiece"

SENTENCES = [
    "A router looks at each token and chooses the experts that will see it.",
    "The experts that were chosen compute, and their answers are added by weight.",
    "Most of the weights rest while a token passes; that is why a large model can be quick.",
    "Der Verteiler wählt für jedes Zeichen zwei von acht Fachleuten aus.",
    "Chaque jeton est envoyé à quelques experts, et leurs réponses sont additionnées.",
    "전문가 혼합 모델은 토큰마다 몇 명의 전문가만 부른다.",
    "各个词元只经过少数专家，因此计算量很小。",
    "Смесь экспертов: каждый токен видит лишь немногих из них.",
    "for (int i = 0; i < n; ++i) { sum += x[i] * w[i]; }",
    "def route(logits, k):\n    return sorted(range(len(logits)), key=lambda e: -logits[e])[:k]",
    "In 2024 there were 8 experts; in 2025 there were 256, of which 8 were chosen.",
]

TEXTS = [
    "", " ", "  ", "a", " a", "a ", "  a  b  ", "Hello, world!", "the experts that were chosen", "The\tquick\nbrown  fox\r\n",
    "1234567890", "naïve café ﬁne ½ ① Å e\u0301", "전문가 모델", "专家，混合。", "каждый токен", "😀 emoji 👩‍👩‍👧", "\u0000\u0001\u007f",
    "\u200b\ufeffzero\u00a0width", "<sep>", "a<sep>b <sep> c", "<sep><sep>x", "<0x41>", "▁a▁b", "x" * 70,
    "a b" * 20, "ＦＵＬＬ　ｗｉｄｔｈ", "ｶﾀｶﾅ", "    indented\n\n\n", "⁇ unknown ⁇", "[user] hi [/user]", "ab<cls>cd",
    "मिश्रित विशेषज्ञ", "مزيج الخبراء", "A\u0301\u0302\u0316", "don't DON'T", "https://example.com/a?b=c",
]

# A small precompiled_charsmap: "source<tab>target", code points in hexadecimal. (The built-in nmt_nfkc takes 240 kB.)
RULES = "rules"
RULES_TSV = """FB01\t66 69
BD\t31 2044 32
2460\t31
FF21\t41
FF26\t46
3000\t20
9\t20
A\t20
D\t20
A0\t20
200B\t
FEFF\t
65 301\tE9
41 301\tC1
41 301 302\t41
7F\t
"""

MODELS = {
    # As Llama's and Mixtral's: no normalization, blanks kept, bytes for what is unknown.
    "bpe_bytes": dict(model_type="bpe", vocab_size=560, byte_fallback=True, normalization_rule_name="identity",
                      remove_extra_whitespaces=False, user_defined_symbols=["<sep>", "[user]", "[/user]"],
                      split_digits=True, allow_whitespace_only_pieces=True),
    "bpe_rules": dict(model_type="bpe", vocab_size=400, normalization_rule_tsv=RULES,
                     control_symbols=["<cls>"], user_defined_symbols=["<sep>"]),
    "unigram_rules": dict(model_type="unigram", vocab_size=400, normalization_rule_tsv=RULES,
                         user_defined_symbols=["<sep>"], hard_vocab_limit=False),
    "unigram_bytes": dict(model_type="unigram", vocab_size=560, byte_fallback=True, normalization_rule_name="identity",
                          remove_extra_whitespaces=False, add_dummy_prefix=False, hard_vocab_limit=False,
                          user_defined_symbols=["<sep>"]),
    "unigram_suffix": dict(model_type="unigram", vocab_size=300, normalization_rule_name="identity",
                           treat_whitespace_as_suffix=True, hard_vocab_limit=False),
}


def train(name, options, corpus):
    options = {k: str(corpus.with_name("rules.tsv")) if v == RULES else v for k, v in options.items()}
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(OUT / name), character_coverage=0.98, num_threads=1, minloglevel=2, **options)
    (OUT / f"{name}.vocab").unlink()


def random_text(rng):
    alphabet = "  \t\nabcdeTHE019.,<>éß한국专家ж😀ﬁ①Ａ\u0301\u3000▁"
    parts = ["<sep>", " the ", "expert", "token", "[user]"]
    return "".join(rng.choice(parts) if rng.random() < 0.2 else rng.choice(alphabet) for _ in range(rng.randrange(40)))


def cases(name):
    rng = random.Random(1)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(OUT / f"{name}.model"))
    texts = TEXTS + [random_text(rng) for _ in range(60)]
    rows = []
    for text in texts:
        # A control piece that is written out becomes its id in Polymath, as in transformers; here it never does.
        if any(processor.is_control(i) and processor.id_to_piece(i) in text for i in range(processor.vocab_size())):
            continue
        ids = processor.encode(text)
        rows.append({"text": text, "ids": ids, "decoded": processor.decode(ids)})
    ids_only = []
    for _ in range(40):
        ids = [rng.randrange(3, processor.vocab_size()) for _ in range(rng.randrange(12))]
        ids_only.append({"ids": ids, "decoded": processor.decode(ids)})
    with open(OUT / f"{name}.cases.json", "w", encoding="utf-8") as out:
        json.dump({"cases": rows, "ids_only": ids_only}, out, ensure_ascii=True)
        out.write("\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        corpus = pathlib.Path(directory) / "corpus.txt"
        corpus.write_text("\n".join(SENTENCES * 3) + "\n", encoding="utf-8")
        corpus.with_name("rules.tsv").write_text(RULES_TSV, encoding="utf-8")
        for name, options in MODELS.items():
            train(name, options, corpus)
            cases(name)


if __name__ == "__main__":
    main()
