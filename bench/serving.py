"""Closed-loop load on an OpenAI-compatible server: throughput, time to first token, time between tokens.

    serving.py URL --clients 16 --requests 4 --input-len 256 --output-len 64            # lockstep lengths
    serving.py URL --clients 16 --requests 4 --input-len 256 --output-len 16-112        # mixed lengths
    serving.py URL --clients 8 --requests 1 --input-len 1024 --shared-len 900           # one wave, shared beginning

Prompts are token ids, unique but for the shared beginning, so that any server that takes ids can be measured, whatever
its tokenizer. Only the standard library is used. Addresses other than this machine's are refused.
"""

import argparse
import http.client
import json
import random
import threading
import time
import urllib.parse


def lengths(text):
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))] if values else float("nan")


class Client(threading.Thread):
    def __init__(self, args, url, index, start):
        super().__init__()
        self.args, self.url, self.start_line = args, url, start
        self.random = random.Random(args.seed * 1000 + index)
        self.first, self.gaps, self.output, self.errors = [], [], 0, []

    def prompt(self):
        shared = random.Random(self.args.seed)
        ids = [shared.randrange(300, self.args.vocab) for _ in range(self.args.shared_len)]
        low, high = self.args.input_len
        n = self.random.randint(low, high)
        return (ids + [self.random.randrange(300, self.args.vocab) for _ in range(n)])[:n]

    def run(self):
        self.start_line.wait()
        for _ in range(self.args.requests):
            try:
                self.one()
            except Exception as error:
                self.errors.append(repr(error))

    def one(self):
        low, high = self.args.output_len
        body = {
            "model": self.args.model,
            "prompt": self.prompt(),
            "max_tokens": self.random.randint(low, high),
            "temperature": 0.8,
            "stream": True,
            "ignore_eos": True,
        }
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=600)
        begin = last = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(response.read().decode())
        tokens = 0
        for line in response:
            if not line.startswith(b"data: ") or b"[DONE]" in line:
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(event["error"])
            if not event.get("choices") or tokens == body["max_tokens"]:
                continue  # usage, or the end without a token
            now = time.perf_counter()
            (self.gaps if tokens else self.first).append(now - (last if tokens else begin))
            last = now
            tokens += 1
        self.output += tokens
        connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--model", default="m")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=4, help="of each client, one after the other")
    parser.add_argument("--input-len", type=lengths, default=(256, 256))
    parser.add_argument("--output-len", type=lengths, default=(64, 64))
    parser.add_argument("--shared-len", type=int, default=0, help="tokens that all prompts begin with")
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    url = urllib.parse.urlparse(args.url)
    if url.hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error("only a server on this machine may be loaded")

    start = threading.Barrier(args.clients + 1)
    clients = [Client(args, url, i, start) for i in range(args.clients)]
    for client in clients:
        client.start()
    start.wait()
    begin = time.perf_counter()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - begin

    first = [t for c in clients for t in c.first]
    gaps = [t * 1e3 for c in clients for t in c.gaps]
    output = sum(c.output for c in clients)
    prompt = sum(args.input_len) / 2 * args.clients * args.requests
    for error in {e for c in clients for e in c.errors}:
        print("error:", error)
    print(
        f"{args.clients} clients, {len(first)} answers in {seconds:.1f} s: {(prompt + output) / seconds:.0f} tok/s in all, "
        f"{output / seconds:.1f} generated; TTFT p50 {percentile(first, 50):.2f} p95 {percentile(first, 95):.2f} s; "
        f"ITL p50 {percentile(gaps, 50):.0f} p95 {percentile(gaps, 95):.0f} max {max(gaps, default=0):.0f} ms"
    )


if __name__ == "__main__":
    main()
