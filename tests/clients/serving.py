"""A `polymath serve` process on a free port, for tests."""

import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(os.environ["POLYMATH_ROOT"])
POLYMATH = os.environ["POLYMATH"]
STAND_IN = os.environ["POLYMATH_STAND_IN"]
DEMO = ROOT / "models/polymath-demo"
IDLE_SECONDS_MAX = 30
READY_SECONDS = 60
# The variables of a machine with two GPUs' NVML: tests/devices/fake_nvml.cpp.
FAKE_NVML = {"LD_LIBRARY_PATH": str(Path(POLYMATH).parent / "tests/devices")}
METRIC_SECONDS = 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, *flags, model=STAND_IN, preexec_fn=None, environment=None):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        command = [POLYMATH, "serve", str(model), "--host", "127.0.0.1", "--port", "0", "--kv-cache-memory-bytes", "8M"]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")} | (environment or {})
        self.process = subprocess.Popen([*command, *flags], stderr=self.log, stdout=self.log, env=variables, preexec_fn=preexec_fn)
        self.port = self._wait_for_port()

    def _wait_for_port(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            match = re.search(r"ready: https?://[0-9.]+:(\d+)", self.text())
            if match:
                return int(match.group(1))
            time.sleep(0.02)
        raise RuntimeError("the server did not start:\n" + self.text())

    def text(self):
        return Path(self.log.name).read_text(encoding="utf-8")

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data, response.headers

    def metric(self, name):
        """The sum over labels of a metric."""
        text = self.request("GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))

    def wait_for_metric(self, name):
        """Until a page has it: what a thread reads is there a moment later."""
        end = time.monotonic() + METRIC_SECONDS
        while f"\n{name}{{" not in self.request("GET", "/metrics")[1].decode():
            if time.monotonic() > end:
                raise AssertionError(f"no {name}")
            time.sleep(0.05)

    def seconds_until_idle(self):
        begin = time.monotonic()
        while self.metric("vllm:num_requests_running") + self.metric("vllm:num_requests_waiting") > 0:
            if time.monotonic() - begin > IDLE_SECONDS_MAX:
                raise AssertionError("answers still run")
            time.sleep(0.01)
        return time.monotonic() - begin

    def signal(self, which=signal.SIGTERM):
        self.process.send_signal(which)

    def wait(self, seconds=20):
        return self.process.wait(seconds)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        text = self.text()
        self.log.close()
        if "Sanitizer" in text:  # its process was killed: the failure would be lost
            raise AssertionError("a sanitizer reported:\n" + text)
