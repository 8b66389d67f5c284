"""Who may call: protected mode, keys, and what guesses cost."""

import json
import socket
import tempfile
import unittest
from pathlib import Path

from raw import Server, ask, head, post, until

FLAGS = ("--served-model-name", "m", "--max-model-len", "256")
BODY = {"prompt": "x", "max_tokens": 1}


def own_address():
    """An address of this machine that is not loopback; none: empty."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        address = probe.getsockname()[0]
    return "" if address.startswith("127.") else address


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


class Access(unittest.TestCase):
    def start(self, *flags):
        server = Server(*FLAGS, *flags)
        self.addCleanup(server.stop)
        return server

    def complete(self, server, **headers):
        return ask(server.port, post("/v1/completions", BODY, **headers))

    def test_attack_13_web_pages_cannot_use_a_local_server(self):
        server = self.start()
        rows = (
            ({}, 200),
            ({"Content_Type": "application/json"}, 200),
            ({"host": "127.0.0.1:8000"}, 200),
            ({"host": "evil.example"}, 403),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://localhost"}, 200),
            ({"Content_Type": "text/plain"}, 415),
            ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        )
        for headers, status in rows:
            got, top, data = self.complete(server, **headers)
            self.assertEqual(got, status, (headers, data))
            self.assertNotIn("Access-Control", top)
            if status == 403:
                self.assertIn("--api-key", json.loads(data)["error"]["message"])
        self.assertGreater(server.metric("polymath:refused_requests_total"), 0)

    def test_attack_13_only_this_machine_calls_a_server_without_keys(self):
        address = own_address()
        if not address:
            self.skipTest("this machine has no address but loopback")
        server = self.start("--host", "0.0.0.0")
        status, _, data = ask(server.port, post("/v1/completions", BODY), address)
        self.assertEqual(status, 403)
        self.assertIn("--allow-anonymous", json.loads(data)["error"]["message"])
        self.assertEqual(ask(server.port, head("GET", "/live"), address)[0], 200, "probes are open")
        self.assertEqual(self.complete(server)[0], 200)
        anonymous = self.start("--host", "0.0.0.0", "--allow-anonymous")
        status, _, data = ask(anonymous.port, post("/v1/completions", BODY, host=address), address)
        self.assertEqual(status, 200, data)
        keyed = self.start("--host", "0.0.0.0", "--api-key", "k")
        status, _, data = ask(keyed.port, post("/v1/completions", BODY, host=address, **bearer("k")), address)
        self.assertEqual(status, 200, data)

    def test_attack_13_guessed_keys_are_slowed(self):
        server = self.start("--api-key", "right")
        self.assertEqual(self.complete(server, **bearer("right"))[0], 200)
        statuses = [self.complete(server, **bearer(f"guess{i}"))[0] for i in range(40)]
        self.assertEqual(statuses[:10], [401] * 10)
        self.assertEqual(set(statuses[11:]), {429})
        status, top, _ = self.complete(server, **bearer("guess"))
        self.assertEqual(status, 429)
        self.assertIn("Retry-After: ", top)
        self.assertEqual(self.complete(server, **bearer("right"))[0], 200, "known from this address")
        self.assertEqual(self.complete(server)[0], 401, "no key is no guess")

    def test_attack_13_keys_have_names_and_are_read_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "keys"
            path.write_text("team-a first-secret\n", encoding="utf-8")
            server = self.start("--api-key-file", str(path), "--log-level", "debug")
            self.assertEqual(self.complete(server, **bearer("first-secret"))[0], 200)
            path.write_text("team-a second-secret\nteam-b other-secret\n", encoding="utf-8")
            self.assertTrue(until(lambda: "again" in server.text()))
            self.assertEqual(self.complete(server, **bearer("other-secret"))[0], 200)
            self.assertEqual(self.complete(server, **bearer("first-secret"))[0], 401)
            path.write_text("\n", encoding="utf-8")
            self.assertTrue(until(lambda: "the keys stay as they were" in server.text()))
            self.assertEqual(self.complete(server, **bearer("second-secret"))[0], 200)
            text = ask(server.port, head("GET", "/metrics"))[2].decode()
        self.assertIn('polymath:requests_total{key="team-a"}', text)
        self.assertIn(" team-b POST /v1/completions 200 ", server.text())
        self.assertNotIn("secret", text + server.text())

    def test_attack_13_metrics_can_need_the_admin_key(self):
        server = self.start("--api-key", "user", "--admin-key", "operator", "--protect-metrics")
        self.assertEqual(ask(server.port, head("GET", "/metrics"))[0], 401)
        self.assertEqual(ask(server.port, head("GET", "/metrics", **bearer("user")))[0], 401)
        self.assertEqual(ask(server.port, head("GET", "/metrics", **bearer("operator")))[0], 200)
        self.assertEqual(self.complete(server, **bearer("operator"))[0], 401)
        self.assertEqual(ask(server.port, head("GET", "/live"))[0], 200)

    def test_attack_13_faulty_settings_fail_the_start(self):
        for flags in (("--protect-metrics",), ("--api-key-file", "/nowhere"), ("--api-key", ""), ("--admin-key", "")):
            with self.assertRaises(RuntimeError, msg=flags):
                Server(*FLAGS, *flags)

    def test_attack_15_a_malformed_host(self):
        server = self.start("--allow-anonymous")
        for host in ("a/b", "u@a", "a b", "a:b", "[::1", ":80"):
            self.assertEqual(ask(server.port, head("GET", "/v1/models", host=host))[0], 400, host)


if __name__ == "__main__":
    unittest.main()
