"""Connections that take the places of others, and crowds."""

import json
import os
import re
import resource
import select
import socket
import threading
import time
import unittest

from raw import Server, ask, connect, head, post, raise_file_limit, read_all, status_of

FLAGS = ("--served-model-name", "m", "--max-model-len", "1024")
CONNECTIONS_MAX = 4096
CROWD = int(os.environ.get("POLYMATH_CROWD", "1500"))  # 10000 for the full attack, on a quiet machine
CROWD_P99 = float(os.environ.get("POLYMATH_CROWD_P99", "2"))  # seconds; 0.05 on a quiet machine
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
        port = int(re.search(r"probes also on 127\.0\.0\.1:(\d+)", server.text()).group(1))
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

    def crowd(self, port, n, request):
        """n connections at once; (status, seconds from request to answer) of each."""
        poller, states, out = select.epoll(), {}, []
        for _ in range(n):
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            states[connection.fileno()] = [connection, 0.0, b""]
            poller.register(connection.fileno(), select.EPOLLOUT)
        end = time.monotonic() + 60
        while states and time.monotonic() < end:
            for fd, event in poller.poll(1):
                state = states[fd]
                try:
                    if state[1] == 0.0 and event & select.EPOLLOUT:
                        state[0].send(request)
                        state[1] = time.monotonic()
                        poller.modify(fd, select.EPOLLIN)
                        continue
                    more = state[0].recv(1 << 16)
                except BlockingIOError:
                    continue
                except OSError:
                    more = b""
                state[2] += more
                if more and b"\r\n\r\n" not in state[2]:
                    continue
                out.append((status_of(state[2]), time.monotonic() - state[1]))
                poller.unregister(fd)
                states.pop(fd)[0].close()
        poller.close()
        return out + [(0, 60.0)] * len(states)

    def test_attack_10_a_crowd_is_refused_at_once(self):
        raise_file_limit(self, CROWD + 500)
        server = self.start("--max-num-seqs", "32", "--max-num-queued-reqs", "32")
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
                status = ask(server.port, head("GET", "/live"))[0]
                probes.append((status, time.monotonic() - begin))
                time.sleep(0.01)

        prompts = server.metric("vllm:prompt_tokens_total")
        thread = threading.Thread(target=probe)
        thread.start()
        answers = self.crowd(server.port, CROWD, post("/v1/completions", {"prompt": "the " * 500, "max_tokens": 1}))
        stop.set()
        thread.join()
        refused = sorted(seconds for status, seconds in answers if status in (429, 503))
        p99 = refused[int(len(refused) * 0.99)]
        slowest = sorted(seconds for _, seconds in probes)
        print(
            f"{CROWD} connections: {len(refused)} refused, p50 {refused[len(refused) // 2] * 1e3:.1f} ms, "
            f"p99 {p99 * 1e3:.1f} ms; {len(probes)} probes, p50 {slowest[len(slowest) // 2] * 1e3:.1f} ms, "
            f"at most {slowest[-1] * 1e3:.1f} ms"
        )
        self.assertEqual({status for status, _ in answers} - {200, 429, 503}, set(), "each is answered")
        self.assertLess(p99, CROWD_P99)
        self.assertEqual({status for status, _ in probes}, {200})
        self.assertLessEqual(len(answers) - len(refused), 64)
        self.assertLess(server.metric("vllm:prompt_tokens_total") - prompts, 70 * 501)


if __name__ == "__main__":
    unittest.main()
