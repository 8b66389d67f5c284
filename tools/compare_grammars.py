#!/usr/bin/env python3
"""JSON schemas here and in other engines: share supported, share right, time to compile, time of a mask.

    python3 tools/compare_grammars.py CASES --polymath build/cpu-release/polymath --tokenizer DIRECTORY [--sample N]

CASES: a folder of JSON files. Each is JSON-Schema-Test-Suite's (a list of {schema, tests}) or MaskBench's (one such
object, github.com/guidance-ai/jsonschemabench, maskbench/data). The suite is in jsonschema's source package, under
json/tests/draft2020-12. DIRECTORY has a tekken.json, as in the package mistral_common.
`pip install xgrammar llguidance` adds the others. A schema is right if each valid instance of its tests is taken and
each invalid one refused. All run on one thread, one after the other.
"""

import argparse
import base64
import itertools
import json
import random
import re
import subprocess
import time
from pathlib import Path

SEED = 1
ORDERED_MAX = 4  # properties of an object that are tried in every order


def plain(value):
    """Whole numbers without a fraction."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def spellings(value):
    """An instance is taken if one of these texts is: engines fix the order of properties."""
    values = [value, plain(value)]
    if isinstance(value, dict) and 1 < len(value) <= ORDERED_MAX:
        values = [dict(order) for order in itertools.permutations(plain(value).items())]
    return list(dict.fromkeys(json.dumps(v, ensure_ascii=False) for v in values))


def cases_of(folder, sample):
    files = sorted(Path(folder).glob("*.json"))
    if sample:
        files = sorted(random.Random(SEED).sample(files, min(sample, len(files))))
    for file in files:
        groups = json.loads(file.read_text())
        groups = groups if isinstance(groups, list) else [groups]
        for i, group in enumerate(groups):
            yield {"id": f"{file.stem} {i}", "schema": group["schema"],
                   "texts": [t for test in group["tests"] for t in spellings(test["data"])],
                   "counts": [len(spellings(test["data"])) for test in group["tests"]],
                   "valid": [test["valid"] for test in group["tests"]]}  # fmt: skip


class Vocabulary:
    """Token bytes of a tekken.json, and a greedy encoding: any split into tokens will do for a mask."""

    def __init__(self, directory):
        data = json.loads((Path(directory) / "tekken.json").read_text())
        special = data["config"]["default_num_special_tokens"]
        size = data["config"]["default_vocab_size"]
        ranked = [base64.b64decode(row["token_bytes"]) for row in data["vocab"]][: size - special]
        self.tokens = [f"<special_{i}>".encode() for i in range(special)] + ranked
        self.special = list(range(special))
        self.eos_token_id = 2
        self.bos_token_id = 1
        self.special_token_ids = self.special
        self.ids = {token: i + special for i, token in reversed(list(enumerate(ranked)))}
        self.longest = max(map(len, ranked))

    def __call__(self, text):
        data = text.encode() if isinstance(text, str) else text
        ids, at = [], 0
        while at < len(data):
            end = next(e for e in range(min(len(data), at + self.longest), at, -1) if data[at:e] in self.ids)
            ids.append(self.ids[data[at:end]])
            at = end
        return ids


class XGrammar:
    name = "xgrammar"

    def __init__(self, vocabulary):
        import xgrammar

        self.x, self.vocabulary = xgrammar, vocabulary
        tokens = [b"" if i in vocabulary.special else t for i, t in enumerate(vocabulary.tokens)]
        info = xgrammar.TokenizerInfo(tokens, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[vocabulary.eos_token_id])
        self.compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.bitmask = xgrammar.allocate_token_bitmask(1, len(tokens))

    def compile(self, schema):
        return self.compiler.compile_json_schema(json.dumps(schema), any_whitespace=True, strict_mode=False)

    def start(self, grammar):
        return self.x.GrammarMatcher(grammar)

    def mask(self, matcher):
        matcher.fill_next_token_bitmask(self.bitmask)

    def accept(self, matcher, token):
        return matcher.accept_token(token)

    def may_end(self, matcher):
        return matcher.accept_token(self.vocabulary.eos_token_id)


class LLGuidance:
    name = "llguidance"

    def __init__(self, vocabulary):
        import llguidance
        import llguidance.numpy

        self.l = llguidance
        self.tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(vocabulary))
        self.bitmask = llguidance.numpy.allocate_token_bitmask(1, self.tokenizer.vocab_size)

    def compile(self, schema):
        source = self.l.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        matcher = self.l.LLMatcher(self.tokenizer, source, log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def start(self, grammar):
        return grammar.deep_copy()

    def mask(self, matcher):
        self.l.numpy.fill_next_token_bitmask(matcher, self.bitmask, 0)

    def accept(self, matcher, token):
        return matcher.consume_token(token)

    def may_end(self, matcher):
        return matcher.is_accepting()


def follow(engine, matcher, ids, mask_us):
    for i in range(len(ids) + 1):
        begin = time.perf_counter()
        engine.mask(matcher)
        mask_us.append((time.perf_counter() - begin) * 1e6)
        if i == len(ids):
            return engine.may_end(matcher)
        if not engine.accept(matcher, ids[i]):
            return False
    return False


def run_other(engine, vocabulary, cases):
    for case in cases:
        begin = time.perf_counter()
        try:
            grammar = engine.compile(case["schema"])
        except Exception as error:  # each engine has its own kinds
            yield {"id": case["id"], "error": str(error).splitlines()[0][:200]}
            continue
        row = {"id": case["id"], "error": None, "compile_us": (time.perf_counter() - begin) * 1e6, "mask_us": []}
        row["accepted"] = [follow(engine, engine.start(grammar), vocabulary(t), row["mask_us"]) for t in case["texts"]]
        yield row


def run_polymath(program, directory, cases):
    lines = "".join(json.dumps({"id": c["id"], "language": "json_schema", "source": json.dumps(c["schema"]),
                                "texts": c["texts"]}) + "\n" for c in cases)  # fmt: skip
    command = [program, "bench", "grammar", str(directory)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0


def report(name, rows, cases, details):
    valid = {case["id"]: case["valid"] for case in cases}
    counts = {case["id"]: case["counts"] for case in cases}
    for row in rows:
        texts = iter(row.get("accepted", []))
        row["accepted"] = [any([next(texts) for _ in range(n)]) for n in counts[row["id"]] if row["error"] is None]
    supported = [row for row in rows if row["error"] is None]
    over = [r["id"] for r in supported if any(v and not a for v, a in zip(valid[r["id"]], r["accepted"], strict=True))]
    under = [r["id"] for r in supported if any(a and not v for v, a in zip(valid[r["id"]], r["accepted"], strict=True))]
    compile_us = [row["compile_us"] for row in supported]
    mask_us = [us for row in supported for us in row["mask_us"]]
    right = len(supported) - len(set(over) | set(under))
    print(f"| {name} | {len(supported) / len(rows):.1%} | {right / len(rows):.1%} | {len(over)} | {len(under)} | "
          f"{quantile(compile_us, 0.5) / 1e3:.2f} / {quantile(compile_us, 0.99) / 1e3:.1f} | "
          f"{quantile(mask_us, 0.5):.0f} / {quantile(mask_us, 0.99):.0f} / {max(mask_us, default=0):.0f} |")  # fmt: skip
    if details:
        refusals = {}
        for row in rows:
            if row["error"] is not None:
                key = re.sub(r"\d+", "N", row["error"])[:90]
                refusals[key] = refusals.get(key, 0) + 1
        for key, count in sorted(refusals.items(), key=lambda item: -item[1])[:25]:
            print(f"    {count:5} {key}")
        print("    refuses valid:", over[:20], "\n    takes invalid:", under[:20])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases")
    parser.add_argument("--polymath", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--sample", type=int, default=0, help="so many files; 0: all")
    parser.add_argument("--only", default="polymath,xgrammar,llguidance")
    parser.add_argument("--details", action="store_true", help="refusals, and schemas that are not right")
    arguments = parser.parse_args()
    cases = list(cases_of(arguments.cases, arguments.sample))
    print(f"{len(cases)} schemas, {sum(len(c['valid']) for c in cases)} instances\n")
    print("| engine | supported | right | refuses valid | takes invalid | compile ms p50 / p99 | mask us p50 / p99 / max |")
    print("|---|---|---|---|---|---|---|")
    only = arguments.only.split(",")
    if "polymath" in only:
        report("polymath", run_polymath(arguments.polymath, arguments.tokenizer, cases), cases, arguments.details)
    others = [engine for engine in (XGrammar, LLGuidance) if engine.name in only]
    vocabulary = Vocabulary(arguments.tokenizer) if others else None
    for engine in others:
        report(engine.name, list(run_other(engine(vocabulary), vocabulary, cases)), cases, arguments.details)


if __name__ == "__main__":
    main()
