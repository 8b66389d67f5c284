"""Crowds of slow clients: heads, bodies and readers. Good clients hardly notice, and probes are answered.

POLYMATH_SLOW_CROWD: connections (4300, more than the server takes). POLYMATH_SLOW_SECONDS: of each attack (12).
"""

import json
import os
import statistics
import subprocess
import sys
import time
import unittest
from pathlib import Path

from raw import Server, ask, connect, head, post, raise_file_limit, read_all, status_of

CROWD = int(os.environ.get("POLYMATH_SLOW_CROWD", "4300"))
SECONDS = float(os.environ.get("POLYMATH_SLOW_SECONDS", "12"))
FLAGS = ("--served-model-name", "m", "--max-model-len", "512", "--max-num-queued-reqs", "64")
BODY = {"prompt": "Once upon a time", "max_tokens": 4, "stream": True, "ignore_eos": True}
RISE_S = 4  # until all of the crowd are open
SLACK_S = 0.02  # for the noise of a machine whose cores the crowd shares


def first_token_seconds(port):
    """Of a request on a connection of its own."""
    begin = time.monotonic()
    with connect(port) as connection:
        connection.sendall(post("/v1/completions", BODY, Connection="close"))
        got = b""
        while b"data: " not in got:
            more = connection.recv(4096)
            if not more:
                raise AssertionError(f"no token: {got[:300]}")
            got += more
        took = time.monotonic() - begin
        whole = got + read_all(connection)
    if status_of(whole) != 200 or b"[DONE]" not in whole:
        raise AssertionError(f"a good client's answer: {whole[:300]}")
    return took


class Slow(unittest.TestCase):
    def attack(self, kind, *path):
        raise_file_limit(self, CROWD + 500)
        server = Server(*FLAGS)
        self.addCleanup(server.stop)
        first_token_seconds(server.port)
        before = [first_token_seconds(server.port) for _ in range(40)]
        command = [sys.executable, Path(__file__).with_name("slow_crowd.py"), server.port, kind, CROWD, SECONDS, *path]
        crowd = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE)
        self.addCleanup(crowd.kill)
        time.sleep(RISE_S)
        times, probes = [], []
        while crowd.poll() is None:
            times.append(first_token_seconds(server.port))
            for path in ("/live", "/ready", "/metrics"):
                begin = time.monotonic()
                self.assertEqual(ask(server.port, head("GET", path))[0], 200, path)
                probes.append(time.monotonic() - begin)
            time.sleep(0.02)
        figures = json.loads(crowd.communicate()[0])
        usual, now = statistics.median(before), statistics.median(times)
        print(
            f"{kind}: {figures}; first token p50 {usual * 1e3:.1f} -> {now * 1e3:.1f} ms (p95 {p95(times) * 1e3:.1f}) of "
            f"{len(times)} requests; probes p50 {statistics.median(probes) * 1e3:.1f} p95 {p95(probes) * 1e3:.1f} ms"
        )
        self.assertGreater(len(times), 20)
        self.assertLess(now, 2 * usual + SLACK_S)
        self.assertEqual(server.metric("vllm:num_requests_waiting"), 0, "slow bodies hold no places")

    def test_slow_heads(self):
        self.attack("head")

    def test_slow_bodies(self):
        self.attack("body")

    def test_slow_readers(self):
        self.attack("read")

    def test_slow_bodies_hold_no_places_in_the_queue(self):
        server = Server("--served-model-name", "m", "--max-num-seqs", "2", "--max-num-queued-reqs", "2")
        self.addCleanup(server.stop)
        whole = post("/v1/completions", {"prompt": "x", "max_tokens": 1})
        slow = [connect(server.port) for _ in range(20)]
        for connection in slow:
            connection.sendall(whole[:-5])
        time.sleep(0.3)
        self.assertEqual(ask(server.port, whole)[0], 200)
        for connection in slow:
            connection.sendall(whole[-5:])
            self.assertEqual(status_of(connection.recv(4096)), 200)
            connection.close()


def p95(times):
    return sorted(times)[int(len(times) * 0.95)]


if __name__ == "__main__":
    unittest.main()
