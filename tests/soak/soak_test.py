"""Mixed load at saturation, among clients that misbehave. Good answers stay equal, and nothing is left behind.

POLYMATH_SOAK_SECONDS: how long (120). POLYMATH_SOAK_GROWTH_MIB: memory that may be gained after the first minute (16);
a sanitizer needs more. POLYMATH_SOAK_FLAGS: more flags of the server. POLYMATH_SOAK_REPORT: a file for the figures.
"""

import collections
import json
import os
import random
import re
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["POLYMATH_ROOT"]) / "tests/attacks"))
sys.path.insert(0, str(Path(os.environ["POLYMATH_ROOT"]) / "tests/clients"))
from answers import Client, canonical, expected_answers  # noqa: E402
from chaos import ACTIONS, REFUSED  # noqa: E402
from raw import ask, head, post, rss, until  # noqa: E402
from serving import DEMO, Server  # noqa: E402

SECONDS = float(os.environ.get("POLYMATH_SOAK_SECONDS", "120"))
GROWTH_BYTES = int(os.environ.get("POLYMATH_SOAK_GROWTH_MIB", "16")) << 20
SEQUENCES, QUEUE = 16, 16
GOOD, BAD = 32, 12  # clients: more than the server holds, so that some are refused
FLAGS = (
    "--served-model-name", "m", "--max-num-seqs", str(SEQUENCES), "--max-num-queued-reqs", str(QUEUE),
    "--kv-cache-memory-bytes", "5M", "--max-model-len", "1390",  # one of the longest requests fills it
    *os.environ.get("POLYMATH_SOAK_FLAGS", "").split(),
)  # fmt: skip
PROBES = ("/live", "/ready", "/health", "/ping", "/metrics", "/load")
FAILURES_MAX = 20
OPEN_STATES = ("01", "08", "04", "05", "0B")  # of /proc/net/tcp: established, and those of a close that is under way


class Soak(unittest.TestCase):
    def setUp(self):
        self.server = Server(*FLAGS, model=DEMO)
        self.addCleanup(self.server.stop)
        self.counts, self.failures, self.probe_times = collections.Counter(), [], []
        self.lock, self.over = threading.Lock(), threading.Event()

    def count(self, name):
        with self.lock:
            self.counts[name] += 1

    def fail_later(self, text):
        with self.lock:
            self.failures.append(text)
            if len(self.failures) >= FAILURES_MAX:
                self.over.set()

    def guarded(self, name, action):
        try:
            action()
        except Exception as error:  # noqa: BLE001 - every client's failure is one of the server's
            if self.server.process.poll() is not None:
                self.over.set()
            self.fail_later(f"{name}: {type(error).__name__}: {error}")

    def good(self, seed):
        """Asks again and again, and compares."""
        rng, client = random.Random(seed), Client(self.server.port)
        while not self.over.is_set():
            self.guarded("a good client", lambda: self.compare(client, rng))
            if rng.random() < 0.2:
                client.close()
        client.close()

    def compare(self, client, rng):
        path, body, expected = rng.choice(self.expected)
        status, data = client.ask(path, body)
        if status in REFUSED:
            self.count("refused")
            return self.over.wait(0.1 + 0.3 * rng.random())
        if status != 200:
            return self.fail_later(f"{path}: {status} {data[:200]}")
        self.count("answers")
        got = canonical(data)
        if got != expected:
            self.fail_later(f"{path} {str(body)[:200]}: another answer than unloaded:\n{got}\n{expected}"[:3000])
        return None

    def bad(self, seed):
        rng = random.Random(seed)
        actions, weights = zip(*ACTIONS)
        while not self.over.is_set():
            action = rng.choices(actions, weights)[0]
            self.guarded(action.__name__, lambda chosen=action: chosen(self.server.port, rng))
            self.count(action.__name__)

    def probe(self, _):
        turn = 0
        while not self.over.is_set():
            begin = time.monotonic()
            self.guarded("a probe", lambda path=PROBES[turn % len(PROBES)]: self.probe_once(path))
            self.probe_times.append(time.monotonic() - begin)
            turn += 1
            self.over.wait(0.2)

    def probe_once(self, path):
        status = ask(self.server.port, head("GET", path))[0]
        if status != 200:
            raise AssertionError(f"{path}: {status}")

    def watch(self, seconds):
        """Resident bytes, once a second; ends the load."""
        begin, sizes = time.monotonic(), []
        while time.monotonic() - begin < seconds and not self.over.wait(1):
            if self.server.process.poll() is not None:
                break
            sizes.append(rss(self.server))
        self.over.set()
        return sizes

    def load(self):
        roles = [(self.good, GOOD), (self.bad, BAD), (self.probe, 1)]
        threads = [threading.Thread(target=role, args=(seed,)) for role, n in roles for seed in range(n)]
        for thread in threads:
            thread.start()
        sizes = self.watch(SECONDS)
        for thread in threads:
            thread.join()
        return sizes

    def connections(self):
        """Connections of the server's port that are not wholly closed; those that wait in vain for a peer count."""
        port, n = f":{self.server.port:04X}", 0
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            n += local.endswith(port) and state in OPEN_STATES
        return n

    def test_mixed_load_at_saturation(self):
        self.expected = expected_answers(self.server.port)
        sizes = self.load()
        self.report(sizes)
        self.assertIsNone(self.server.process.poll(), self.server.text()[-5000:])
        self.assertEqual(self.failures, [])
        self.nothing_is_left()
        self.everything_still_works()
        self.server.signal()
        self.assertEqual(self.server.wait(60), 0)
        self.the_log_is_quiet()
        self.assertGreater(self.counts["answers"], SECONDS / 4)
        self.assertGreater(self.counts["refused"], 0, "the server was not saturated")
        middle, last = self.flat(sizes)
        self.assertLess(last - middle, GROWTH_BYTES, "memory grows")

    def flat(self, sizes):
        """The most in the minute (or the half) that the load needs to spread, and the most in the last ten seconds."""
        warm = min(60, len(sizes) // 2)
        return max(sizes[:warm]), max(sizes[-10:])

    def report(self, sizes):
        times = sorted(self.probe_times)
        middle, last = self.flat(sizes)
        figures = {
            "seconds": len(sizes),
            "counts": dict(sorted(self.counts.items())),
            "failures": len(self.failures),
            "rss_mib_warm": round(middle / 2**20, 1),
            "rss_mib_end": round(last / 2**20, 1),
            "probe_ms_p50": round(times[len(times) // 2] * 1e3, 1),
            "probe_ms_p99": round(times[int(len(times) * 0.99)] * 1e3, 1),
            "probe_ms_max": round(times[-1] * 1e3, 1),
        }
        if self.server.process.poll() is None:
            names = ("polymath:admitted_requests_total", "vllm:generation_tokens_total", "vllm:num_preemptions_total")
            figures |= {name: int(self.server.metric(name)) for name in names}
        print(json.dumps(figures))
        if os.environ.get("POLYMATH_SOAK_REPORT"):
            Path(os.environ["POLYMATH_SOAK_REPORT"]).write_text(json.dumps(figures) + "\n" + "\n".join(self.failures), encoding="utf-8")

    def nothing_is_left(self):
        self.server.seconds_until_idle()
        checks = self.server.metric("polymath:idle_checks_total")
        ask(self.server.port, post(*self.expected[0][:2]))  # so that the engine comes to rest once more
        self.assertTrue(until(lambda: self.connections() == 0, 30), f"{self.connections()} connections are left")
        metric = self.server.metric
        self.assertTrue(until(lambda: metric("polymath:idle_checks_total") > checks, 60), "the engine does not come to rest")
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            self.assertEqual(metric("vllm:" + name), 0, name)
        self.assertEqual(metric("polymath:admitted_requests_total"), metric("vllm:request_success_total"))
        self.assertEqual(json.loads(self.server.request("GET", "/load")[1])["server_load"], 0)
        self.assertGreater(metric("vllm:num_preemptions_total"), 0, "the KV cache was never full")

    def everything_still_works(self):
        for path, body, expected in self.expected:
            client = Client(self.server.port)
            status, data = client.ask(path, body)
            self.assertEqual(status, 200, path)
            self.assertEqual(canonical(data), expected, path)
            client.close()

    def the_log_is_quiet(self):
        text = self.server.text()
        bad = re.compile(r"^\S+Z error |Sanitizer|CHECK|Assertion|terminate called|runtime error", re.MULTILINE)
        self.assertIsNone(bad.search(text), text[-5000:])


if __name__ == "__main__":
    unittest.main()
