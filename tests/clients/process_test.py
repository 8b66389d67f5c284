"""The process around the server: signals in every phase, a stuck engine, a log that takes nothing, limits, hardening."""

import concurrent.futures
import errno
import fcntl
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from serving import POLYMATH, STAND_IN, Server

F_SETPIPE_SZ = 1031
FATAL = 70
LOADS_LONG = {"num_hidden_layers": 48, "hidden_size": 1024, "intermediate_size": 1024}


def environment(**more):
    return {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")} | more


def serve(*flags, model=STAND_IN, **options):
    command = [POLYMATH, "serve", str(model), "--host", "127.0.0.1", "--port", "0", "--kv-cache-memory-bytes", "8M", *flags]
    return subprocess.Popen(command, text=True, **({"stderr": subprocess.PIPE, "env": environment()} | options))


def outcome(*flags, seconds=30, **options):
    """The exit code and stderr of a server that ends by itself."""
    process = serve(*flags, **({"stdout": subprocess.PIPE} | options))
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, err, out


def completion(server, max_tokens=400, stream=False):
    body = {"prompt": [5, 6, 7], "max_tokens": max_tokens, "ignore_eos": True, "stream": stream}
    return server.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("nothing came")
        time.sleep(0.01)


class ModelCopy:
    """A copy of the stand-in whose files a test may change."""

    def __init__(self, test):
        self.path = Path(tempfile.mkdtemp())
        test.addCleanup(shutil.rmtree, self.path)
        for file in Path(STAND_IN).iterdir():
            os.symlink(file, self.path / file.name)

    def write(self, name, text):
        (self.path / name).unlink(missing_ok=True)
        (self.path / name).write_text(text, encoding="utf-8")

    def fifo(self, name):
        (self.path / name).unlink(missing_ok=True)
        os.mkfifo(self.path / name)


class StartTest(unittest.TestCase):
    def test_files_that_are_no_files_are_refused(self):
        for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
            with self.subTest(name):
                model = ModelCopy(self)
                model.fifo(name)
                code, err, _ = outcome(model=model.path)
                self.assertEqual(code, 1)
                self.assertIn(f"{name}: is no regular file", err)

    def test_tls_files_are_looked_at_first(self):
        model = ModelCopy(self)
        model.fifo("cert.pem")
        code, err, _ = outcome("--ssl-certfile", str(model.path / "cert.pem"), "--ssl-keyfile", "/dev/null")
        self.assertEqual(code, 2)
        self.assertIn("cert.pem: is no regular file", err)

    def test_values_that_make_every_request_fail(self):
        for config, says in (({"temperature": -1}, "temperature"), ({"top_p": 0}, "top_p"), ({"top_k": -7}, "top_k")):
            with self.subTest(says):
                model = ModelCopy(self)
                model.write("generation_config.json", json.dumps(config))
                code, err, _ = outcome(model=model.path)
                self.assertEqual(code, 1)
                self.assertIn("every request", err)
                self.assertIn(says, err)
                self.assertEqual(outcome("--generation-config", "vllm", "--dry-run", model=model.path)[0], 0)

    def test_a_template_that_refuses_every_chat(self):
        code, err, _ = outcome("--chat-template", "{{ raise_exception('never') }}")
        self.assertEqual(code, 1)
        self.assertIn("refuses every chat", err)
        self.assertIn("never", err)
        needs_system = "{% if messages[0].role != 'system' %}{{ raise_exception('a system') }}{% endif %}{{ messages[0].content }}"
        self.assertEqual(outcome("--dry-run", "--chat-template", needs_system)[0], 0)

    def test_an_empty_key_is_an_error(self):
        code, err, _ = outcome(env=environment(VLLM_API_KEY=""))
        self.assertEqual(code, 2)
        self.assertIn("VLLM_API_KEY is empty", err)
        self.assertEqual(outcome("--dry-run", "--api-key", "k", env=environment(VLLM_API_KEY=""))[0], 0)

    def test_a_dry_run_checks_and_ends(self):
        code, _, out = outcome("--dry-run")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"memory: .* of weights \+ ")
        self.assertRegex(out, r"address: http://127\.0\.0\.1:\d+")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, err, _ = outcome("--dry-run", "--port", str(taken.getsockname()[1]))
        self.assertEqual(code, 1)
        self.assertIn("127.0.0.1", err)
        self.assertEqual(outcome("--dry-run", "--kv-cache-memory-bytes", "100T")[0], 1)
        config = str(Path(STAND_IN) / "config.json")
        code, err, _ = outcome("--dry-run", "--ssl-certfile", config, "--ssl-keyfile", config)
        self.assertEqual(code, 1)
        self.assertIn("TLS certificate", err)

    def test_a_start_that_takes_too_long(self):
        flags = ("--load-format", "dummy", "--skip-tokenizer-init", "--hf-overrides", json.dumps(LOADS_LONG))
        begin = time.monotonic()
        code, err, _ = outcome(*flags, "--startup-timeout", "0.5")
        self.assertEqual(code, FATAL)
        self.assertLess(time.monotonic() - begin, 8)
        self.assertIn("--startup-timeout", err)
        self.assertRegex(err, r"thread \d+ polymath: state ")


class SignalTest(unittest.TestCase):
    def test_while_loading_they_end_the_process_at_once(self):
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(which), tempfile.TemporaryFile("w+") as log:
                flags = ("--load-format", "dummy", "--skip-tokenizer-init", "--hf-overrides", json.dumps(LOADS_LONG))
                process = serve(*flags, stderr=log)
                self.addCleanup(process.kill)
                wait_for(lambda: "memory plan" in os.pread(log.fileno(), 1 << 16, 0).decode())
                begin = time.monotonic()
                process.send_signal(which)
                self.assertEqual(process.wait(10), 128 + which)
                self.assertLess(time.monotonic() - begin, 2)
                text = os.pread(log.fileno(), 1 << 16, 0).decode()
                self.assertNotIn("ready:", text)
                self.assertIn(f"{which.name} while loading", text)

    def test_while_loading_the_server_listens(self):
        with tempfile.TemporaryFile("w+") as log:
            flags = ("--load-format", "dummy", "--skip-tokenizer-init", "--hf-overrides", json.dumps(LOADS_LONG))
            process = serve(*flags, stderr=log)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            wait_for(lambda: "memory plan" in os.pread(log.fileno(), 1 << 16, 0).decode())
            port = re.search(r"listening: http://[^:]+:(\d+)", os.pread(log.fileno(), 1 << 16, 0).decode())[1]

            def status_of(method, path, body=None):
                connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
                self.addCleanup(connection.close)
                connection.request(method, path, body, {"Content-Type": "application/json"})
                with connection.getresponse() as answer:
                    return answer.status, answer.getheader("Retry-After")

            self.assertEqual(status_of("GET", "/live")[0], 200)
            self.assertEqual(status_of("GET", "/metrics")[0], 200)
            self.assertEqual(status_of("GET", "/ready")[0], 503)
            self.assertEqual(status_of("POST", "/v1/completions", '{"prompt":"x"}'), (503, "1"))
            self.assertIsNone(process.poll())

    def test_each_of_them_drains(self):
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(which):
                server = Server()
                self.addCleanup(server.stop)
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    answer = pool.submit(completion, server, 100)
                    wait_for(lambda: server.metric("vllm:generation_tokens_total") > 0)
                    server.signal(which)
                    self.assertEqual(answer.result()[0], 200)
                self.assertEqual(server.wait(), 0)
                self.assertIn(f"{which.name}: stopping", server.text())

    def test_nohup_stays(self):
        server = Server.__new__(Server)
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            server.__init__()
        finally:
            signal.signal(signal.SIGHUP, before)
        self.addCleanup(server.stop)
        server.signal(signal.SIGHUP)
        time.sleep(0.5)
        self.assertEqual(server.request("GET", "/ready")[0], 200)

    def test_a_second_one_ends_at_once(self):
        server = Server("--max-model-len", "4000")
        self.addCleanup(server.stop)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(completion, server, 3900)
            wait_for(lambda: server.metric("vllm:generation_tokens_total") > 0)
            server.signal()
            wait_for(lambda: "stopping" in server.text())
            server.signal()
            self.assertEqual(server.wait(2), 128 + signal.SIGTERM)
            self.assertIn("SIGTERM again", server.text())
            self.assertRaises(Exception, answer.result)

    def test_the_drain_may_be_delayed(self):
        server = Server("--drain-delay", "2")
        self.addCleanup(server.stop)
        server.signal()
        wait_for(lambda: server.request("GET", "/ready")[0] == 503)
        self.assertEqual(completion(server, 3)[0], 200)
        self.assertEqual(server.request("GET", "/health")[0], 200)
        self.assertEqual(server.wait(), 0)


class StuckTest(unittest.TestCase):
    """A step that never ends."""

    def server(self, *flags):
        server = Server("--load-format", "dummy", "--stall-step", "100", "--max-model-len", "500", *flags)
        self.addCleanup(server.stop)
        return server

    def test_the_watchdog_ends_requests_and_process(self):
        server = self.server("--step-timeout", "2", "--stall-step", "300")  # all streams have begun by then
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            answers = [pool.submit(completion, server, 400, stream) for stream in [True, False] * 4]
            wait_for(lambda: "is stuck" in server.text())
            self.assertIn(503, [self.probe(server, "/ready"), self.probe(server, "/health")])
            for index, answer in enumerate(answers):
                status, data, _ = answer.result()
                streamed = index % 2 == 0
                self.assertEqual(status, 200 if streamed else 500)
                self.assertIn("the engine is stuck", data.decode())
        self.assertEqual(server.wait(10), FATAL)
        self.assertRegex(server.text(), r"thread \d+ engine: state S.* polymath\+0x")

    def probe(self, server, path):
        try:
            return server.request("GET", path)[0]
        except OSError:
            return 503  # the doors are closed already

    def test_sigterm_has_its_bound_all_the_same(self):
        server = self.server("--step-timeout", "0", "--shutdown-timeout", "1")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(completion, server)
            time.sleep(3)
            begin = time.monotonic()
            server.signal()
            self.assertEqual(server.wait(20), FATAL)
            self.assertLess(time.monotonic() - begin, 15)
            self.assertIsNotNone(answer.exception() or answer.result())
        self.assertIn("--shutdown-timeout", server.text())


    def test_a_second_signal_ends_a_drain_that_is_stuck(self):
        server = self.server("--step-timeout", "0")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(completion, server)
            time.sleep(2)
            server.signal()
            wait_for(lambda: "running answers have" in server.text())
            begin = time.monotonic()
            server.signal(signal.SIGINT)
            self.assertEqual(server.wait(5), 128 + signal.SIGINT)
            self.assertLess(time.monotonic() - begin, 2)
            self.assertIsNotNone(answer.exception())


class LogTest(unittest.TestCase):
    def test_a_pipe_that_nothing_reads_stops_nothing(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
        os.set_blocking(writing, False)
        filled = 0
        while True:
            try:
                filled += os.write(writing, b"." * 512)
            except OSError as error:
                self.assertEqual(error.errno, errno.EAGAIN)
                break
        os.set_blocking(writing, True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = serve("--port", str(port), stderr=writing)
        self.addCleanup(process.kill)
        os.close(writing)
        server = Server.__new__(Server)
        server.port = port

        def is_ready():
            try:
                return server.request("GET", "/ready")[0] == 200
            except OSError:
                return False

        wait_for(is_ready, 60)
        self.assertEqual(completion(server, 20)[0], 200)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)

    def test_lines_come_once_the_pipe_is_read(self):
        process = serve("--dry-run", stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        _, err = process.communicate(timeout=30)
        self.assertIn("memory plan", err)


class LimitsTest(unittest.TestCase):
    def test_connections_fit_the_open_files(self):
        def few_files():
            resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))

        code, err, _ = outcome("--dry-run", preexec_fn=few_files)
        self.assertEqual(code, 0)
        self.assertIn("the system allows 300 open files (ulimit -n): at most 150 connections", err)

    def test_the_soft_limit_is_raised_before_the_load(self):
        def soft():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

        process = serve(stderr=subprocess.DEVNULL, preexec_fn=soft)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        limits = Path(f"/proc/{process.pid}/limits")
        wait_for(lambda: int(re.search(r"Max open files\s+(\d+)", limits.read_text()).group(1)) > 256)

    def test_no_core_dumps(self):
        for flags, allowed in ((), False), (("--allow-core-dumps",), True):
            with self.subTest(allowed):
                server = Server(*flags)
                self.addCleanup(server.stop)
                limits = Path(f"/proc/{server.process.pid}/limits").read_text()
                size = re.search(r"Max core file size\s+(\S+)", limits).group(1)
                if not allowed:
                    self.assertEqual(size, "0")
                # Files of a process that may not be dumped belong to root.
                owner = Path(f"/proc/{server.process.pid}/maps").stat().st_uid
                self.assertEqual(owner, os.getuid() if allowed else 0)

    @unittest.skipUnless(os.getuid() == 0, "root has to become another user")
    def test_threads_that_cannot_be_made_are_a_sentence(self):
        def no_threads():
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
            os.setuid(65534)

        try:
            code, err, _ = outcome("--dry-run", preexec_fn=no_threads)
        except PermissionError:
            self.skipTest("another user cannot read the binary")
        self.assertEqual(code, FATAL)
        self.assertRegex(err, "the thread `[a-z]+` cannot be made")


class HardeningTest(unittest.TestCase):
    """What the ELF file says of itself."""

    PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 2, 0x6474E551, 0x6474E552
    DT_FLAGS, DT_FLAGS_1 = 30, 0x6FFFFFFB

    def setUp(self):
        self.data = Path(POLYMATH).read_bytes()
        self.assertEqual(self.data[:5], b"\x7fELF\x02")
        self.type = struct.unpack_from("<H", self.data, 16)[0]
        begin, = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        self.segments = {}
        for i in range(count):
            kind, flags, offset, _, _, file_size = struct.unpack_from("<IIQQQQ", self.data, begin + i * size)
            self.segments[kind] = (flags, offset, file_size)

    def dynamic(self):
        _, offset, size = self.segments[self.PT_DYNAMIC]
        return dict(struct.unpack_from("<QQ", self.data, offset + i * 16) for i in range(size // 16))

    def test_the_binary_is_hardened(self):
        self.assertEqual(self.type, 3, "position-independent")
        self.assertIn(self.PT_GNU_RELRO, self.segments)
        self.assertEqual(self.segments[self.PT_GNU_STACK][0] & 1, 0, "the stack is not executable")
        dynamic = self.dynamic()
        self.assertTrue(dynamic.get(self.DT_FLAGS, 0) & 8, "BIND_NOW: full RELRO")
        self.assertTrue(dynamic.get(self.DT_FLAGS_1, 0) & 0x08000001 == 0x08000001, "NOW and PIE")
        self.assertIn(b"__stack_chk_fail", self.data)
        if b"__asan_init" in self.data or b"__tsan_init" in self.data:
            self.skipTest("sanitizers have checked calls of their own")
        self.assertRegex(self.data, rb"__(?:memcpy|read|snprintf|vsnprintf|fread)_chk")


if __name__ == "__main__":
    unittest.main()
