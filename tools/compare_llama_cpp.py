#!/usr/bin/env python3
"""Polymath beside llama.cpp on the same GGUF file: tokens of texts, and greedy answers to held-out questions.

    pip install xllamacpp numpy gguf==0.19.0
    tools/compare_llama_cpp.py build/cpu-release/polymath [--llama http://127.0.0.1:8080] [--out report.json]

The demo model becomes a Q8_0 file (`polymath quantize`). Both servers read it. Without --llama, llama.cpp's server runs
in this process, from the package xllamacpp. Where an answer differs, the first differing token is listed with the margin:
how much likelier, by logarithm, Polymath's token is than llama.cpp's, in Polymath with float32 arithmetic. Tokenizers of
tests/conformance/data go into GGUF files of random weights, and both servers split the tests' texts.
"""

import argparse
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile
import urllib.request

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools/demo_model"))
import conversations  # noqa: E402
import evaluate  # noqa: E402
from client import at_once  # noqa: E402
from serving import served  # noqa: E402

DEMO_PRE = "gpt-2"
# The name of each tokenizer's splitting rule in GGUF files.
PRE_OF = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2", "deepseek-v3": "deepseek-v3", "gpt-oss": "gpt-4o",
          "mixtral": "llama"}  # fmt: skip
CONTEXT = 2048
LIKELIEST = 20  # tokens whose probability a step reports
TINY = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 32, "num_local_experts": 2}  # fmt: skip


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")


class Llama:
    """llama.cpp's own server."""

    def __init__(self, url):
        self.url = url

    @staticmethod
    def of(model):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel, params.n_gpu_layers, params.port = CONTEXT, 1, 0, 0
        params.verbosity = 0
        llama = Llama("")
        llama.keep = xllamacpp.Server(params)
        llama.url = llama.keep.listening_address
        return llama

    def post(self, path, **body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as response:
            return json.load(response)

    def tokenize(self, text):
        return self.post("/tokenize", content=text, add_special=False, parse_special=True)["tokens"]

    def answer(self, ids):
        out = self.post("/completion", prompt=ids, n_predict=evaluate.ANSWER_TOKENS_MAX, temperature=0, top_k=1,
                        samplers=["top_k"], repeat_penalty=1.0, return_tokens=True, cache_prompt=False)  # fmt: skip
        return out["tokens"], out["content"]


def ours_tokenize(server, text):
    return server.post("/tokenize", prompt=text, add_special_tokens=False)["tokens"]


def compare_tokens(server, llama, texts):
    different = []
    for text in texts:
        a, b = ours_tokenize(server, text), llama.tokenize(text)
        if a != b:
            different.append({"text": text, "polymath": a, "llama.cpp": b})
    return {"texts": len(texts), "equal": len(texts) - len(different), "different": different}


def margin(server, ids, chosen, other):
    """log p(chosen) - log p(other) after these ids; null: `other` is not among the likeliest."""
    found = server.complete(ids, 1, logprobs=LIKELIEST, return_tokens_as_token_ids=True)["logprobs"]["top_logprobs"][0]
    at = {int(name.removeprefix("token_id:")): p for name, p in found.items()}
    return round(at[chosen] - at[other], 4) if chosen in at and other in at else None


def first_difference(a, b):
    return next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))


def compare_answers(ours, llama, exact, cases):
    different, n_tokens, right = [], 0, 0
    for case, (ids, mine) in zip(cases, at_once(lambda case: evaluate.answer_ids(ours, case), cases)):
        theirs, text = llama.answer(ids)
        a, b = (without_end(tokens, ours) for tokens in (mine, theirs))
        n_tokens += len(b)
        right += text.strip() == case.answer.strip()
        if a == b:
            continue
        at = first_difference(a, b)
        tokens = [some[at] if at < len(some) else ours.end for some in (a, b)]
        different.append({"domain": case.domain, "token": at, "of": len(a), "tokens": tokens,
                          "margin": margin(exact, ids + a[:at], *tokens)})  # fmt: skip
    return {"answers": len(cases), "tokens": n_tokens, "right": right, "equal": len(cases) - len(different),
            "different": different}  # fmt: skip


def without_end(tokens, server):
    return tokens[:-1] if tokens and tokens[-1] == server.end else tokens


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        raw = value.astype(np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def tiny_model(folder, demo, tokenizer):
    """The demo model's architecture with random weights and another tokenizer."""
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())
    ids = [t["id"] for t in vocabulary["added_tokens"]] + list(vocabulary["model"]["vocab"].values())
    config = json.loads((demo / "config.json").read_text()) | TINY
    config |= {"vocab_size": max(ids) + 1, "bos_token_id": 1, "eos_token_id": 2}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (tokenizer / name).exists():
            (folder / name).write_text((tokenizer / name).read_text())
    rng, h, layer = np.random.default_rng(1), TINY["hidden_size"], "model.layers.0."
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], h), layer + "block_sparse_moe.gate.weight": (2, h)}
    shapes |= {f"{layer}self_attn.{part}_proj.weight": (h, h) for part in "qkvo"}
    shapes |= {f"{layer}block_sparse_moe.experts.{e}.w{w}.weight": (h, h) for e in range(2) for w in (1, 2, 3)}
    norms = [layer + "input_layernorm.weight", layer + "post_attention_layernorm.weight", "model.norm.weight"]
    tensors = {name: rng.normal(0, 0.02, shape) for name, shape in shapes.items()} | {name: np.ones(h) for name in norms}
    write_safetensors(folder / "model.safetensors", tensors)


def to_gguf(directory, out, kind, pre):
    run(sys.executable, ROOT / "tools/make_gguf.py", directory, out, "--type", kind, "--pre", pre)


def compare_tokenizers(options, folder):
    out = {}
    for kind, pre in PRE_OF.items():
        tokenizer, file = ROOT / "tests/conformance/data/tokenizers" / kind, folder / f"{kind}.gguf"
        tiny_model(folder / kind, options.model, tokenizer)
        to_gguf(folder / kind, file, "F32", pre)
        texts = [case["text"] for case in json.loads((tokenizer / "cases.json").read_text())]
        with served(options.polymath, file) as server:
            out[kind] = compare_tokens(server, Llama.of(file), texts)
    return out


def compare_demo(options, folder):
    plain, file = folder / "demo-bf16.gguf", folder / "demo-q8_0.gguf"
    to_gguf(options.model, plain, "BF16", DEMO_PRE)
    run(options.polymath, "quantize", plain, file, "--to", "q8_0")
    cases = evaluate.make_cases(math.ceil(options.cases / len(conversations.DOMAIN_WEIGHTS)))[: options.cases]
    llama, end = Llama(options.llama) if options.llama else Llama.of(file), end_token(options.model)
    report, threads = {}, ["--threads", options.threads] if options.threads else []
    with served(options.polymath, file, "--dtype", "float32", *threads) as exact:
        exact.end = end
        report["tokens"] = compare_tokens(exact, llama, [c.prompt + c.answer for c in cases])
        for dtype in ("float32", "bfloat16"):
            with served(options.polymath, file, "--dtype", dtype, *threads) as server:
                server.end = end
                report[dtype] = compare_answers(server, llama, exact, cases)
    return report


def end_token(model):
    config = json.loads((model / "generation_config.json").read_text())
    end = config["eos_token_id"]
    return end[0] if isinstance(end, list) else end


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("polymath")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/polymath-demo")
    parser.add_argument("--llama", help="llama-server that has the same file; none: one runs in this process")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--threads", type=int, default=0, help="of Polymath; 0: one a core")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        report = {"tokenizers": compare_tokenizers(options, folder), "demo": compare_demo(options, folder)}
    text = json.dumps(report, indent=1, ensure_ascii=False)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
