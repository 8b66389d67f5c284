"""Several nodes as processes: they answer as one does, and end together whatever happens to one of them."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from serving import DEMO, POLYMATH, Server

END_SECONDS_MAX = 15  # from the failure to the end of every process, on a busy machine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Follower:
    def __init__(self, *flags, environment=None):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        command = [POLYMATH, "serve", str(DEMO), "--kv-cache-memory-bytes", "8M", *flags]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=dict(os.environ, **(environment or {})))

    def text(self):
        return Path(self.log.name).read_text(encoding="utf-8")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.log.close()


class Nodes:
    """Node 0 with its door, and the others."""

    def __init__(self, case, n, *flags):
        secret = tempfile.NamedTemporaryFile("w")
        case.addCleanup(secret.close)
        secret.write("the nodes know this\n")
        secret.flush()
        port = str(free_port())
        self.flags = (*flags, "--dtype", "float32", "--nnodes", str(n), "--master-port", port, "--node-secret-file", secret.name)
        self.others = [Follower(*self.flags, "--node-rank", str(node), "--headless") for node in range(1, n)]
        for other in self.others:
            case.addCleanup(other.stop)
        self.server = Server(*self.flags, model=DEMO)
        case.addCleanup(self.server.stop)


def completion(server, max_tokens, prompt="What is 2 + 3? "):
    body = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
    return server.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})


def texts(server):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: completion(server, 30, f"What is {i} + {i * i}? "), range(8)))
    return [json.loads(data)["choices"][0]["text"] for _, data, _ in answers]


class AnswersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        server = Server("--dtype", "float32", model=DEMO)
        cls.alone = texts(server)
        server.stop()

    def check(self, n, *flags):
        nodes = Nodes(self, n, *flags)
        self.assertEqual(texts(nodes.server), self.alone)
        nodes.server.signal()
        self.assertEqual(nodes.server.wait(), 0)
        for other in nodes.others:
            self.assertEqual(other.process.wait(10), 0, other.text())

    def test_tensor_parallel(self):
        self.check(2, "-tp", "2")

    def test_whole_experts(self):
        self.check(2, "-tp", "2", "--enable-expert-parallel")

    def test_stages_of_two(self):
        self.check(4, "-pp", "2", "-tp", "2")

    def test_environment_of_a_worker_set(self):
        port = str(free_port())
        shared = {"POLYMATH_NODE_SECRET": "the nodes know this", "LWS_GROUP_SIZE": "2", "LWS_LEADER_ADDRESS": "127.0.0.1"}
        flags = ("--dtype", "float32", "-pp", "2", "--master-port", port)
        other = Follower(*flags, environment=dict(shared, LWS_WORKER_INDEX="1"))
        self.addCleanup(other.stop)
        os.environ.update(shared)
        try:
            server = Server(*flags, model=DEMO)
        finally:
            for name in shared:
                del os.environ[name]
        self.addCleanup(server.stop)
        self.assertEqual(texts(server), self.alone)


class FailureTest(unittest.TestCase):
    def check(self, break_one, says, beside_request=True):
        nodes = Nodes(self, 2, "-tp", "2", "--max-model-len", "1000")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(completion, nodes.server, 900 if beside_request else 1)
            time.sleep(0.2)
            begin = time.monotonic()
            break_one(nodes)
            if beside_request:
                status, data, _ = answer.result()
                self.assertEqual(status, 500)
                self.assertIn("the model failed", data.decode())
                self.assertLess(time.monotonic() - begin, 10)
            self.assertNotEqual(nodes.server.wait(END_SECONDS_MAX), 0)
        self.assertRegex(nodes.server.text(), says)
        return nodes

    def test_a_node_that_dies(self):
        self.check(lambda nodes: nodes.others[0].process.kill(), "node 1: ")

    def test_a_node_that_dies_while_all_is_quiet(self):
        self.check(lambda nodes: nodes.others[0].process.kill(), "node 1: it closed the connection", beside_request=False)

    def test_a_node_that_hangs(self):
        self.check(lambda nodes: nodes.others[0].process.send_signal(signal.SIGSTOP), "node 1: nothing was heard for 4 s")

    def test_node_0_dies(self):
        nodes = Nodes(self, 2, "-pp", "2")
        nodes.server.process.kill()
        self.assertNotEqual(nodes.others[0].process.wait(END_SECONDS_MAX), 0)
        self.assertIn("node 0: it closed the connection", nodes.others[0].text())

    def test_node_0_hangs(self):
        nodes = Nodes(self, 2, "-tp", "2")
        nodes.server.signal(signal.SIGSTOP)
        self.assertNotEqual(nodes.others[0].process.wait(END_SECONDS_MAX), 0)
        self.assertIn("node 0: nothing was heard for 4 s", nodes.others[0].text())
        nodes.server.signal(signal.SIGCONT)
        self.assertNotEqual(nodes.server.wait(END_SECONDS_MAX), 0)


class RefusalTest(unittest.TestCase):
    def refused(self, *flags, environment=None):
        node = Follower(*flags, environment=environment)
        self.addCleanup(node.stop)
        self.assertNotEqual(node.process.wait(30), 0)
        return node.text()

    def test_flags_that_do_not_go_together(self):
        secret = {"POLYMATH_NODE_SECRET": "the nodes know this"}
        for flags, environment, says in (
            (("--nnodes", "2", "-tp", "2"), {}, "the nodes need a secret"),
            (("--nnodes", "2", "-tp", "2"), {"POLYMATH_NODE_SECRET": "short"}, "has 5 bytes"),
            (("--nnodes", "2", "-tp", "4"), secret, "only one rank a node is built"),
            (("--nnodes", "2", "-tp", "2", "--node-rank", "2"), secret, "must be less than --nnodes"),
            (("--nnodes", "2", "-tp", "2", "--headless"), secret, "node 0 has the door"),
            (("--node-rank", "1"), secret, "--node-rank needs --nnodes"),
        ):
            with self.subTest(flags=flags):
                self.assertIn(says, self.refused(*flags, environment=environment))

    def test_nodes_that_do_not_fit(self):
        for change, says in (
            (("--max-model-len", "64"), "has another model, or other flags"),
            (("--dtype", "bfloat16"), "has another model, or other flags"),
        ):
            with self.subTest(change=change):
                port = str(free_port())
                flags = ("-tp", "2", "--nnodes", "2", "--master-port", port, "--dtype", "float32", "--node-join-timeout", "20")
                secret = {"POLYMATH_NODE_SECRET": "the nodes know this"}
                first = Follower(*flags, "--port", str(free_port()), environment=secret)
                self.addCleanup(first.stop)
                self.assertIn(says, self.refused(*flags, *change, "--node-rank", "1", environment=secret))
                self.assertNotEqual(first.process.wait(END_SECONDS_MAX), 0)
                self.assertIn(says, first.text())

    def test_another_secret(self):
        port = str(free_port())
        flags = ("-tp", "2", "--nnodes", "2", "--master-port", port, "--node-join-timeout", "3")
        first = Follower(*flags, "--port", str(free_port()), environment={"POLYMATH_NODE_SECRET": "the nodes know this"})
        self.addCleanup(first.stop)
        text = self.refused(*flags, "--node-rank", "1", environment={"POLYMATH_NODE_SECRET": "a stranger guesses"})
        self.assertIn("the group's secret is another one there", text)
        self.assertNotEqual(first.process.wait(END_SECONDS_MAX), 0)
        self.assertIn("1 of 1 other nodes did not come within 3 s", first.text())


if __name__ == "__main__":
    unittest.main()
