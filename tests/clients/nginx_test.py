"""Behind a real nginx: clients that leave, streams that wait, and a replica that drains under load."""

import concurrent.futures
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from serving import Server

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
LEAVING = 16
READ_TIMEOUT = 1  # seconds without a byte after which nginx gives an answer up
FLAGS = ("--served-model-name", "stand-in", "--max-model-len", "1024")
CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream replicas {{ {servers} {keepalive} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas; proxy_http_version {version}; {connection}
      proxy_read_timeout {read_timeout}s; proxy_buffering off;
      proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Nginx:
    def __init__(self, servers, version="1.0", read_timeout=60):
        self.folder = tempfile.TemporaryDirectory()
        self.port = free_port()
        newer = version == "1.1"
        text = CONFIG.format(
            folder=self.folder.name,
            port=self.port,
            version=version,
            read_timeout=read_timeout,
            servers=" ".join(f"server 127.0.0.1:{s.port} max_fails=0;" for s in servers),
            keepalive="keepalive 16;" if newer else "",
            connection='proxy_set_header Connection "";' if newer else "",
        )
        path = Path(self.folder.name) / "nginx.conf"
        path.write_text(text)
        command = [NGINX, "-p", self.folder.name, "-c", str(path), "-e", f"{self.folder.name}/error.log"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.wait_for_port()

    def wait_for_port(self):
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError((Path(self.folder.name) / "error.log").read_text())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def post(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        return connection

    def answer(self, body):
        connection = self.post(body)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data.decode()


@unittest.skipIf(NGINX is None, "nginx is not installed; tools/setup.sh packages installs it")
class BehindNginx(unittest.TestCase):
    def server(self, *flags):
        server = Server(*FLAGS, "--allow-anonymous", *flags)  # the proxy's Host is the name of its upstream
        self.addCleanup(server.stop)
        return server

    def nginx(self, *servers, **options):
        nginx = Nginx(servers, **options)
        self.addCleanup(nginx.stop)
        return nginx

    def test_a_client_that_leaves_ends_its_answer_within_a_second(self):
        server = self.server()
        body = {"prompt": "x", "max_tokens": 1000, "n": LEAVING, "ignore_eos": True}
        for version in ("1.0", "1.1"):
            nginx = self.nginx(server, version=version)
            connection = nginx.post(body)
            while server.metric("vllm:num_requests_running") < LEAVING:
                time.sleep(0.01)
            before = server.metric("vllm:generation_tokens_total")
            connection.close()
            self.assertLess(server.seconds_until_idle(), 1, version)
            self.assertLess(server.metric("vllm:generation_tokens_total") - before, LEAVING * 900)

    def occupy(self, server, seconds):
        """An answer that keeps the one seat of the server, and ends after that time."""
        body = {"prompt": "x", "max_tokens": 1000, "n": 40, "stream": True, "ignore_eos": True}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(body))
        connection.getresponse().read(10)
        return concurrent.futures.ThreadPoolExecutor(1).submit(lambda: (time.sleep(seconds), connection.close()))

    def test_comments_keep_a_waiting_stream_open(self):
        body = {"prompt": "x", "max_tokens": 3, "stream": True}
        for interval, works in (("0.3", True), ("0", False)):
            server = self.server("--max-num-seqs", "1", "--sse-keep-alive-interval", interval)
            nginx = self.nginx(server, read_timeout=READ_TIMEOUT)
            release = self.occupy(server, 3 * READ_TIMEOUT)
            status, text = nginx.answer(body)
            release.result()
            self.assertEqual(status, 200 if works else 504)
            self.assertEqual(text.endswith("data: [DONE]\n\n"), works, text)

    def test_a_replica_drains_under_load_and_no_request_is_lost(self):
        servers = [self.server("--max-num-seqs", "2") for _ in range(2)]
        nginx = self.nginx(*servers, version="1.1")
        stop_at = time.monotonic() + 4
        statuses = []

        def ask():
            while time.monotonic() < stop_at:
                status, text = nginx.answer({"prompt": "x", "max_tokens": 20, "ignore_eos": True})
                statuses.append(status)
                self.assertEqual(json.loads(text)["choices"][0]["finish_reason"], "length")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask) for _ in range(8)]
            time.sleep(1)
            servers[0].signal()
            for future in asking:
                future.result()
        self.assertEqual(servers[0].wait(40), 0)
        self.assertEqual(set(statuses), {200})
        self.assertGreater(len(statuses), 16)


if __name__ == "__main__":
    unittest.main()
