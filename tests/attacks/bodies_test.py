"""Memory and threads that large bodies take from others."""

import concurrent.futures
import json
import threading
import time
import unittest

from raw import Server, ask, connect, head, post, rss, status_of

FLAGS = ("--served-model-name", "m", "--max-model-len", "1024")
MIB = 1 << 20
LARGE = 33_000_000  # just below body_bytes_max
CONNECTIONS = 60


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


class Bodies(unittest.TestCase):
    def start(self, *flags):
        server = Server(*FLAGS, *flags)
        self.addCleanup(server.stop)
        return server

    def send_large(self, server, keep_open, path="/v1/completions", **headers):
        """A body of 33 MB but its last byte; gives up where the server refuses."""
        connection = connect(server.port)
        self.addCleanup(connection.close)
        keep_open.append(connection)
        try:
            connection.sendall(head("POST", path, LARGE, **headers))
            for _ in range(LARGE // MIB):
                connection.sendall(b"x" * MIB)
        except OSError:
            pass
        return connection

    def test_attack_1_bodies_without_a_key(self):
        server = self.start("--api-key", "right")
        before, open_ones = rss(server), []
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            sent = list(pool.map(lambda _: self.send_large(server, open_ones), range(CONNECTIONS)))
        self.assertLess(rss(server, "VmHWM") - before, 64 * MIB)
        self.assertIsNone(server.process.poll())
        answers = []
        for connection in sent:
            try:
                answers.append(status_of(connection.recv(4096)))
            except OSError:
                answers.append(0)  # reset while it was still sending
            connection.close()
        self.assertIn(401, answers)
        self.assertEqual(set(answers) - {401, 0}, set())
        self.assertEqual(ask(server.port, head("GET", "/v1/models", Authorization="Bearer right"))[0], 200)

    def test_attack_1_bodies_share_a_budget(self):
        server = self.start("--max-request-body-memory", "128Mi")
        before, open_ones = rss(server), []
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda _: self.send_large(server, open_ones), range(CONNECTIONS)))
        self.assertLess(rss(server, "VmHWM") - before, 256 * MIB)
        status, _, body = ask(server.port, post("/v1/completions", {"prompt": "x", "max_tokens": 1}))
        self.assertEqual(status, 200, body)
        refused = ask(server.port, head("POST", "/v1/completions", LARGE))
        self.assertEqual(refused[0], 503)
        self.assertIn("Retry-After: 1", refused[1])
        for connection in open_ones:
            connection.close()
        end = time.monotonic() + 10
        while ask(server.port, post("/tokenize", b'{"prompt":"%s"}' % (b"x" * 20_000_000)))[0] == 503:
            self.assertLess(time.monotonic(), end, "the memory returns")
            time.sleep(0.1)

    def test_attack_1_json_has_a_budget(self):
        server = self.start("--max-json-memory", "128Mi")
        before = rss(server)
        body = b'{"prompt":[' + b"[]," * 10_000_000 + b"[]]}"
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: ask(server.port, post("/v1/completions", body)), range(4)))
        for status, _, data in answers:
            self.assertIn(status, (400, 503), data[:300])
        self.assertLess(rss(server, "VmHWM") - before, 450 * MIB)  # four bodies of 30 MB, and the trees
        self.assertEqual(ask(server.port, post("/v1/completions", {"prompt": "x", "max_tokens": 1}))[0], 200)

    def test_attack_2_large_texts_do_not_delay_others(self):
        server = self.start()
        body = json.dumps({"prompt": "a b " * (LARGE // 4 - 10)}).encode()
        chat = json.dumps({"messages": [{"role": "user", "content": "a b " * (LARGE // 4 - 20)}]}).encode()
        answers, stop = [], threading.Event()

        def attack(data):
            while not stop.is_set():
                answers.append(ask(server.port, post("/tokenize", data)))

        threads = [threading.Thread(target=attack, args=(data,)) for data in (body, chat)]
        for thread in threads:
            thread.start()
        times = {"live": [], "completion": []}
        end = time.monotonic() + 4
        while time.monotonic() < end:
            for name, request in (
                ("live", head("GET", "/live")),
                ("completion", post("/v1/completions", {"prompt": "x", "max_tokens": 1})),
            ):
                begin = time.monotonic()
                self.assertEqual(ask(server.port, request)[0], 200)
                times[name].append(time.monotonic() - begin)
        stop.set()
        for thread in threads:
            thread.join()
        print({name: f"p50 {percentile(t, 0.5) * 1e3:.1f} p99 {percentile(t, 0.99) * 1e3:.1f} ms" for name, t in times.items()})
        self.assertLess(percentile(times["live"], 0.99), 0.5)
        self.assertLess(percentile(times["completion"], 0.99), 1)
        self.assertGreater(len(answers), 0)
        for status, _, data in answers:
            self.assertEqual(status, 400, data[:300])
            self.assertIn("maximum context length", json.loads(data)["error"]["message"])

    def test_attack_2_texts_are_bounded_by_the_context(self):
        server = self.start()
        rows = (
            ("/tokenize", {"prompt": "a " * 200_000}),
            ("/tokenize", {"messages": [{"role": "user", "content": "a " * 200_000}]}),
            ("/detokenize", {"tokens": [5] * 1025}),
        )
        for path, body in rows:
            status, _, data = ask(server.port, post(path, body))
            self.assertEqual(status, 400, path)
            error = json.loads(data)["error"]
            self.assertEqual(error["code"], "context_length_exceeded")
            self.assertTrue(error["message"].startswith("This model's maximum context length is 1024 tokens. However, "))
        self.assertEqual(ask(server.port, post("/detokenize", {"tokens": [5] * 1024}))[0], 200)


if __name__ == "__main__":
    unittest.main()
