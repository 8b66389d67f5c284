"""Answers under load with --batch-invariant: the same tokens and logprobs as alone, to the last digit.

    invariance_served.py BINARY MODEL [DEVICE] [REQUESTS] [KV_TYPE]

Alone: one request at a time, without cached prefixes. Under load: all at once, in steps of 96 tokens, with shared
prefixes, and with so few KV blocks that running requests must be preempted. Then all at once again, in large steps.
"""

import concurrent.futures
import json
import random
import sys

from served import Server

MODEL_LEN = 640
VOCAB = 2048  # of models/polymath-demo


def make_requests(n):
    """Prompts, four of which begin alike, and how their answers are sampled."""
    source = random.Random(1)
    out = []
    for i in range(n):
        if i % 4 == 0:
            alike = [source.randrange(3, VOCAB) for _ in range(16 * source.randrange(1, 12))]
        rest = [source.randrange(3, VOCAB) for _ in range(source.randrange(1, 300))]
        sampling = {"temperature": 0} if i % 3 == 0 else {"temperature": 0.8, "top_p": 0.95, "seed": i}
        out.append((alike + rest, sampling | {"max_tokens": source.randrange(8, 120), "logprobs": 5}))
    return out


def ask(server, request):
    ids, fields = request
    choice = server.complete(ids, **fields)["choices"][0]
    return json.dumps([choice["token_ids"], choice["logprobs"]])


def ask_all(server, requests):
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        return list(pool.map(lambda r: ask(server, r), requests))


def main():
    binary, model = sys.argv[1:3]
    device = sys.argv[3] if len(sys.argv) > 3 else "cpu"
    requests = make_requests(int(sys.argv[4]) if len(sys.argv) > 4 else 24)
    kv = ["--kv-cache-dtype", sys.argv[5]] if len(sys.argv) > 5 else []
    start = lambda *flags: Server(
        binary, model, ["--device", device, "--batch-invariant", *kv, *flags], dtype="auto", model_len=MODEL_LEN
    )

    server = start("--no-enable-prefix-caching")
    alone = [ask(server, r) for r in requests]
    server.stop()

    failures = []
    loads = {
        "small steps": ["--max-num-batched-tokens", "96", "--max-num-seqs", "32", "--num-gpu-blocks-override", "64"],
        "large steps": [],
    }
    for name, flags in loads.items():
        server = start(*flags)
        for turn in ("first", "second"):  # the second finds prefixes of the first
            for i, answer in enumerate(ask_all(server, requests)):
                if answer != alone[i]:
                    failures.append(f"{name}, {turn} time: request {i}: {answer[:200]} instead of {alone[i][:200]}")
        preempted, hits = server.metric("vllm:num_preemptions_total"), server.metric("vllm:prefix_cache_hits_total")
        print(f"{name}: {len(requests)} requests twice, {preempted:.0f} preemptions, {hits:.0f} prefix hits")
        if flags and not preempted > 0:
            failures.append(f"{name}: no request was preempted")
        server.stop()
    print("\n".join(failures[:10]) or f"{len(requests)} requests, 0 answers differ")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
