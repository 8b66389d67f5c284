#!/usr/bin/env python3
"""Polymath's server beside llama.cpp's: the same file, the same load, in turns.

    pip install -r tools/requirements.txt
    bench/side_by_side.py --llama-server path/to/llama-server

Writes a Qwen2-MoE of random weights as GGUF (BF16, 1.5 GB, once), which both load; --model names another file. In each turn each server is started
alone, with as many threads, slots and tokens of context, and `polymath bench serve` loads it in a closed loop of 1, 8 and
32 clients: prompts of 128 random token ids, answers of 64 tokens. Prints medians over the turns as a table, and the machine.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from make_checkpoint import byte_letters  # noqa: E402
from make_gguf_cases import add_config, add_tokenizer  # noqa: E402

SHAPE = {
    "num_hidden_layers": 12, "max_position_embeddings": 4096, "hidden_size": 1024, "intermediate_size": 1024,
    "num_attention_heads": 16, "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "rope_parameters": {"rope_theta": 1e6},
    "num_experts": 32, "num_experts_per_tok": 4, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 1024,
    "vocab_size": 32000, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
CLIENTS = (1, 8, 32)
PROMPT, ANSWER = 128, 64
READY_SECONDS = 300


def shapes(c):
    """Name -> shape. A checkpoint's weights are written outermost first."""
    hidden, experts = c["hidden_size"], c["num_experts"]
    kv = hidden // c["num_attention_heads"] * c["num_key_value_heads"]
    wide, shared = c["moe_intermediate_size"], c["shared_expert_intermediate_size"]
    out = {"token_embd.weight": (c["vocab_size"], hidden), "output.weight": (c["vocab_size"], hidden), "output_norm.weight": (hidden,)}
    layer = {
        "attn_norm.weight": (hidden,), "ffn_norm.weight": (hidden,), "attn_q.weight": (hidden, hidden), "attn_q.bias": (hidden,),
        "attn_k.weight": (kv, hidden), "attn_k.bias": (kv,), "attn_v.weight": (kv, hidden), "attn_v.bias": (kv,),
        "attn_output.weight": (hidden, hidden), "ffn_gate_inp.weight": (experts, hidden), "ffn_gate_inp_shexp.weight": (hidden,),
        "ffn_gate_exps.weight": (experts, wide, hidden), "ffn_up_exps.weight": (experts, wide, hidden),
        "ffn_down_exps.weight": (experts, hidden, wide), "ffn_gate_shexp.weight": (shared, hidden),
        "ffn_up_shexp.weight": (shared, hidden), "ffn_down_shexp.weight": (hidden, shared),
    }  # fmt: skip
    for index in range(c["num_hidden_layers"]):
        out |= {f"blk.{index}.{name}": shape for name, shape in layer.items()}
    return out


def write_model(path):
    writer, random = gguf.GGUFWriter(path, "qwen2moe"), np.random.default_rng(1)
    add_config(writer, SHAPE, gguf.LlamaFileType.MOSTLY_BF16)
    tokens = ["<unk>", "<s>", "</s>", *byte_letters().values(), "ab"]  # prompts use ids from 300 on: words of no text
    vocab = {token: i for i, token in enumerate([*tokens, *(f"w{i}" for i in range(len(tokens), SHAPE["vocab_size"]))])}
    special = [{"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}]
    add_tokenizer(writer, {"added_tokens": special, "model": {"vocab": vocab, "merges": [["a", "b"]]}}, SHAPE)
    bf16 = gguf.GGMLQuantizationType.BF16
    for name, shape in shapes(SHAPE).items():
        if name.endswith("norm.weight"):
            writer.add_tensor(name, np.ones(shape, np.float32))
            continue
        value = random.standard_normal(shape, np.float32) * np.float32(0.03)
        as_is = len(shape) == 1 or "ffn_gate_inp" in name
        writer.add_tensor(name, value if as_is else gguf.quants.quantize(value, bf16), raw_dtype=None if as_is else bf16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def commands(options, model, port):
    slots, tokens = max(CLIENTS), PROMPT + ANSWER + 64
    threads = str(options.threads)
    return {
        "Polymath": [options.polymath, "serve", model, "--host", "127.0.0.1", "--port", port, "--threads", threads, "--max-num-seqs",
                     slots, "--max-model-len", tokens, "--kv-cache-memory-bytes", "1G"],
        "llama.cpp": [options.llama_server, "-m", model, "--host", "127.0.0.1", "--port", port, "-t", threads, "-tb", threads, "-np",
                      slots, "-c", slots * tokens, "--no-warmup"],
    }  # fmt: skip


class Running:
    """One server, from its start until it answers, and no longer than the block."""

    def __init__(self, command, port):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(part) for part in command], stdout=self.log, stderr=self.log)
        self.port = port

    def __enter__(self):
        end = time.monotonic() + READY_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return self
            except OSError:
                time.sleep(0.2)
        self.process.kill()
        self.log.seek(0)
        raise RuntimeError(self.log.read().decode(errors="replace")[-3000:])

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measure(options, port, clients):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        flags = ["--port", port, "--backend", "openai", "--num-prompts", max(6, options.rounds * clients), "--max-concurrency", clients,
                 "--num-warmups", min(clients, 4), "--random-input-len", PROMPT, "--random-output-len", ANSWER, "--temperature", 0,
                 "--prompt-format", "ids", "--vocab-size", options.vocab_size, "--output-json", file.name]  # fmt: skip
        command = [options.polymath, "bench", "serve", *map(str, flags)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result = json.loads(pathlib.Path(file.name).read_text(encoding="utf-8"))
    if result["failed"] or result["total_output_tokens"] != ANSWER * result["completed"]:
        raise RuntimeError(f"{result['failed']} failed, {result['total_output_tokens']} tokens of {result['completed']} answers")
    return result["output_throughput"], result["median_ttft_ms"], result["p95_ttft_ms"], result["median_tpot_ms"]


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.*)", info).group(1)
    return f"{len(os.sched_getaffinity(0))} cores of {name}; load average {os.getloadavg()[0]:.1f} at the start"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-server", required=True)
    parser.add_argument("--polymath", default=str(ROOT / "build/cpu-release/polymath"))
    parser.add_argument("--model", default=str(ROOT / "build/bench/qwen2moe-1.5gb.gguf"), help="written where it is not there")
    parser.add_argument("--vocab-size", type=int, default=SHAPE["vocab_size"], help="of the model")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2, help="answers of each client")
    options = parser.parse_args()
    model = pathlib.Path(options.model)
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        write_model(model)
    print(machine(), flush=True)
    rows = {}
    for turn in range(options.turns):
        port = free_port()
        for name, command in commands(options, model, port).items():
            with Running(command, port):
                for clients in CLIENTS:
                    rows.setdefault((clients, name), []).append(measure(options, port, clients))
                    print(f"turn {turn + 1}, {name}, {clients}:", *(f"{value:.1f}" for value in rows[clients, name][-1]), flush=True)
    print("\n| clients | server | tok/s | TTFT p50, ms | TTFT p95, ms | TPOT p50, ms |\n|---|---|---|---|---|---|")
    for (clients, name), values in sorted(rows.items(), key=lambda row: (row[0][0], row[0][1] != "Polymath")):
        figures = " | ".join(f"{statistics.median(column):.1f}" for column in zip(*values))
        print(f"| {clients} | {name} | {figures} |")


if __name__ == "__main__":
    main()
