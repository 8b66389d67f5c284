"""Connections that take the places of others, and crowds."""

import json
import os
import re
import resource
import subprocess
import threading
import time
import unittest

from raw import Server, ask, connect, head, post, raise_file_limit, read_all, status_of

FLAGS = ("--served-model-name", "m", "--max-model-len", "1024")
CONNECTIONS_MAX = 4096
CROWD = int(os.environ.get("POLYMATH_CROWD", "1500"))  # 10000 for the full attack, on a quiet machine
CROWD_SECONDS = float(os.environ.get("POLYMATH_CROWD_SECONDS", "0.15"))  # 1 for the full attack; 0: all at once
CROWD_P99 = float(os.environ.get("POLYMATH_CROWD_P99", "2"))  # seconds; 0.05 on a quiet machine
PROBES = r"probes also on 127\.0\.0\.1:(\d+)"
COMPLETION = post("/v1/completions", {"prompt": "x", "max_tokens": 1})


class Connections(unittest.TestCase):
    def start(self, *flags, **options):
        server = Server(*FLAGS, *flags, **options)
        self.addCleanup(server.stop)
        return server

    def test_attack_4_idle_connections_give_way(self):
        raise_file_limit(self, CONNECTIONS_MAX + 500)
        server = self.start("--max-num-queued-reqs", "64")
        idle = []
        for _ in range(CONNECTIONS_MAX + 100):
            idle.append(connect(server.port))
        self.addCleanup(lambda: [connection.close() for connection in idle])
        self.assertEqual(ask(server.port, head("GET", "/live"))[0], 200, "spare connections answer probes at once")
        time.sleep(1.2)
        for _ in range(20):
            begin = time.monotonic()
            self.assertEqual(ask(server.port, head("GET", "/live"))[0], 200)
            self.assertEqual(ask(server.port, COMPLETION)[0], 200)
            self.assertLess(time.monotonic() - begin, 1)

    def test_attack_4_connections_of_one_address(self):
        server = self.start("--max-connections-per-address", "3", "--probe-port", "0")
        port = int(re.search(PROBES, server.text()).group(1))
        held = [connect(server.port) for _ in range(3)]
        self.addCleanup(lambda: [connection.close() for connection in held])
        time.sleep(0.1)
        with connect(server.port) as beyond:
            answer = read_all(beyond)
        self.assertEqual(status_of(answer), 503)
        self.assertIn("error", json.loads(answer.partition(b"\r\n\r\n")[2]))
        self.assertEqual(ask(port, head("GET", "/ready"))[0], 200)
        self.assertEqual(ask(port, head("GET", "/v1/models"))[0], 404)
        held.pop().close()
        time.sleep(0.1)
        self.assertEqual(ask(server.port, COMPLETION)[0], 200)

    def test_attack_12_without_descriptors_connections_are_answered(self):
        files = 96
        server = self.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
        held = [connect(server.port) for _ in range(files + 50)]
        self.addCleanup(lambda: [connection.close() for connection in held])
        begin = time.monotonic()
        status = ask(server.port, COMPLETION)[0]
        self.assertLess(time.monotonic() - begin, 2)
        self.assertIn(status, (200, 503))
        time.sleep(1.5)
        self.assertEqual(ask(server.port, COMPLETION)[0], 200, "silent connections gave way")
        for connection in held:
            connection.close()
        self.assertEqual(ask(server.port, COMPLETION)[0], 200)
        used = self.processor_seconds(server)
        time.sleep(1)
        self.assertLess(self.processor_seconds(server) - used, 0.5, "it does not spin")

    def processor_seconds(self, server):
        with open(f"/proc/{server.process.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def crowd(self, port, request):
        """CROWD connections within CROWD_SECONDS: how many had which status, and times of refusals."""
        command = [os.environ["POLYMATH_CROWD_CLIENT"], str(port), str(CROWD), str(CROWD_SECONDS)]
        return json.loads(subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True).stdout)

    def test_attack_10_a_crowd_is_refused_at_once(self):
        raise_file_limit(self, CROWD + 500)
        server = self.start("--max-num-seqs", "32", "--max-num-queued-reqs", "32", "--probe-port", "0")
        probe_port = int(re.search(PROBES, server.text()).group(1))
        held = [connect(server.port) for _ in range(4)]
        self.addCleanup(lambda: [connection.close() for connection in held])
        for connection in held:
            connection.sendall(post("/v1/completions", {"prompt": "x", "max_tokens": 900, "n": 16, "ignore_eos": True}))
        while server.metric("vllm:num_requests_running") < 32:
            time.sleep(0.01)
        probes, stop = [], threading.Event()

        def probe():
            while not stop.is_set():
                begin = time.monotonic()
                status = ask(probe_port, head("GET", "/live"))[0]
                probes.append((status, time.monotonic() - begin))
                time.sleep(0.01)

        prompts = server.metric("vllm:prompt_tokens_total")
        thread = threading.Thread(target=probe)
        thread.start()
        answers = self.crowd(server.port, post("/v1/completions", {"prompt": "the " * 500, "max_tokens": 1}))
        stop.set()
        thread.join()
        slowest = sorted(seconds for _, seconds in probes)
        print(
            f"{CROWD} connections: {answers}; {len(probes)} probes, p50 {slowest[len(slowest) // 2] * 1e3:.1f} ms, "
            f"at most {slowest[-1] * 1e3:.1f} ms"
        )
        counts = {int(status): n for status, n in answers.items() if status.isdigit()}
        self.assertEqual(sum(counts.values()), CROWD)
        self.assertEqual(set(counts) - {200, 429, 503}, set(), "each is answered")
        self.assertLessEqual(counts.get(200, 0), 64)
        self.assertLess(answers["p99_ms"], CROWD_P99 * 1e3)
        self.assertEqual({status for status, _ in probes}, {200})
        self.assertLess(server.metric("vllm:prompt_tokens_total") - prompts, 70 * 501, "the refused are not tokenized")


if __name__ == "__main__":
    unittest.main()
