"""Ranks and replicas through the served API: the texts of one rank, whatever moves and whoever answers.

    ranks_served.py BINARY MODEL

Experts move between two ranks while requests run, and /metrics says what that did. Two replicas share the requests,
come back to a prompt's beginning, and answer for each other's metrics.
"""

import concurrent.futures
import random
import re
import sys
import time

from served import Server

MODEL_LEN = 512
VOCAB = 2048  # of models/polymath-demo


def make_requests(n):
    """Prompts of three kinds of tokens, so that routers prefer some experts."""
    source = random.Random(3)
    out = []
    for i in range(n):
        begin = 100 + 40 * (i % 3)
        out.append([source.randrange(begin, begin + 40) for _ in range(source.randrange(20, 120))])
    return out


def answers(server, prompts, n_tokens=48):
    ask = lambda ids: server.complete(ids, temperature=0, max_tokens=n_tokens, logprobs=1)["choices"][0]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, prompts))


def differences(got, expected, margin=1e-3):
    """Texts may part where two tokens are as likely to within rounding."""
    out = []
    for i, (a, b) in enumerate(zip(got, expected)):
        at = next((t for t, (x, y) in enumerate(zip(a["token_ids"], b["token_ids"])) if x != y), None)
        if at is None:
            continue
        gap = abs(a["logprobs"]["token_logprobs"][at] - b["logprobs"]["token_logprobs"][at])
        if gap > margin:
            out.append(f"request {i} differs from token {at} on: {a['token_ids'][at]}, not {b['token_ids'][at]}")
    return out


def series(page, name):
    return {labels: float(v) for labels, v in re.findall(rf"^{re.escape(name)}(\{{.*\}})? (\S+)$", page, re.M)}


def expert_balancing(binary, model, prompts, alone, failures):
    flags = ["-tp", "2", "--enable-expert-parallel", "--enable-eplb", "--num-redundant-experts", "2"]
    flags += ["--eplb-window-size", "64", "--eplb-config.step_interval", "96"]
    server = Server(binary, model, flags, dtype="float32", model_len=MODEL_LEN)
    end = time.monotonic() + 60
    rounds = 0
    while rounds < 2 or (time.monotonic() < end and not any(series(server.get("/metrics")[1], "polymath:eplb_measured_gain").values())):
        failures += differences(answers(server, prompts), alone)
        rounds += 1
    page = server.get("/metrics")[1]
    total = lambda name: sum(series(page, name).values())
    moved, switched = total("polymath:eplb_moved_experts_total"), total("polymath:eplb_switched_layers_total")
    gains = [total(f"polymath:eplb_{what}_gain") for what in ("predicted", "measured")]
    print(f"balancing: {rounds} rounds, {switched:.0f} layers switched, {moved:.0f} experts moved, gains {gains}")
    if not (moved > 0 and switched > 0 and gains[0] > 0):
        failures.append("no expert moved")
    if len(series(page, "polymath:expert_rank_imbalance")) != 7:
        failures.append("the layers' imbalance is not in /metrics")
    server.stop()


def replicas(binary, model, flags, prompts, alone, failures):
    server = Server(binary, model, ["-dp", "2", *flags], dtype="float32", model_len=MODEL_LEN)
    for _ in range(2):
        failures += differences(answers(server, prompts), alone)
    page = server.get("/metrics")[1]
    steps = series(page, "vllm:generation_tokens_total")
    print(f"replicas {flags}: generated {sorted(steps.values())}")
    if len(steps) != 2 or min(steps.values()) < 48 * len(prompts) / 4:
        failures.append(f"the replicas' shares: {steps}")
    if sum(series(page, "vllm:prefix_cache_hits_total").values()) == 0:
        failures.append("no prompt came back to its prefix")
    server.stop()


def main():
    binary, model = sys.argv[1:3]
    prompts = make_requests(16)
    server = Server(binary, model, [], dtype="float32", model_len=MODEL_LEN)
    alone = answers(server, prompts)
    server.stop()
    failures = []
    expert_balancing(binary, model, prompts, alone, failures)
    replicas(binary, model, [], prompts, alone, failures)
    print("\n".join(failures[:10]) or f"{len(prompts)} requests, 0 answers differ")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
