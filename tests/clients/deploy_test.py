"""What `polymath deploy` renders, against a live server: its metrics, and a real Prometheus with its alerts."""

import http.client
import json
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from serving import FAKE_NVML, POLYMATH, ROOT, STAND_IN, Server, free_port

try:
    import yaml
except ImportError:
    yaml = None

EXAMPLES = sorted(str(path) for path in (ROOT / "deploy/kubernetes/examples").glob("*.yaml"))
ALERT_SECONDS = 60
BODY = {"prompt": "Count:", "max_tokens": 400, "ignore_eos": True, "stream": True}


class DeployCheckTest(unittest.TestCase):
    def test_every_metric_of_the_examples_exists(self):
        server = Server("--metrics-compat", "dcgm", environment=FAKE_NVML)
        try:
            server.wait_for_metric("polymath:gpu_last_xid")
            body = json.dumps({"prompt": "a", "max_tokens": 2})
            self.assertEqual(server.request("POST", "/v1/completions", body)[0], 200)
            time.sleep(1.5)  # experts are read once a second
            text = server.request("GET", "/metrics")[1].decode()
        finally:
            server.stop()
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            command = [POLYMATH, "deploy", "--check", *EXAMPLES, "--metrics", file.name]
            checked = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
            Path(file.name).write_text(text.replace("vllm:num_preemptions_total", "vllm:other_total"), encoding="utf-8")
            checked = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(checked.returncode, 1)
            self.assertIn("the server has no metric vllm:num_preemptions_total", checked.stdout)

    def test_doctor_asks_a_server(self):
        server = Server()
        try:
            command = [POLYMATH, "doctor", f"http://127.0.0.1:{server.port}"]
            found = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            server.stop()
        self.assertEqual((found.returncode, found.stdout), (0, "nothing is wrong\n"), found.stderr)


TGI = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: stand-in, namespace: inference}
spec:
  selector: {matchLabels: {app: stand-in}}
  template:
    metadata: {labels: {app: stand-in}}
    spec:
      containers:
      - name: tgi
        image: text-generation-inference:3.3.5
        ports: [{name: http, containerPort: PORT}]
        env:
        - {name: MODEL_ID, value: "MODEL"}
        - {name: MAX_INPUT_LENGTH, value: "64"}
        - {name: MAX_TOTAL_TOKENS, value: "128"}
"""


class MigrateTest(unittest.TestCase):
    def test_the_migrated_command_serves(self):
        port = free_port()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(TGI.replace("PORT", str(port)).replace('"MODEL"', f'"{STAND_IN}"'))
            file.flush()
            migrated = subprocess.run([POLYMATH, "migrate", file.name], capture_output=True, text=True, check=True)
        command = migrated.stderr.splitlines()[-1].split()
        self.assertEqual(command[:2], ["polymath", "serve"])
        process = subprocess.Popen([POLYMATH, *command[1:], "--kv-cache-memory-bytes", "8M"], stderr=subprocess.DEVNULL)
        try:
            self.assertEqual(self.generate(port, process), 4)
        finally:
            process.kill()
            process.wait()

    def generate(self, port, process):
        body = json.dumps({"inputs": "a", "parameters": {"max_new_tokens": 4, "details": True}})
        end = time.monotonic() + ALERT_SECONDS
        while time.monotonic() < end and process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("POST", "/generate", body)
                response = connection.getresponse()
                data = json.loads(response.read())
                if response.status == 200:
                    return data["details"]["generated_tokens"]
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.2)
        self.fail("the server did not answer")


@unittest.skipIf(shutil.which("prometheus") is None or yaml is None, "no prometheus or no PyYAML")
class PrometheusTest(unittest.TestCase):
    """Two of the alerts, with a shorter `for`."""

    def setUp(self):
        self.server = Server("--max-num-seqs", "1")
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        rendered = subprocess.run([POLYMATH, "deploy", "mixtral-8x7b", "--name", "stand-in"], capture_output=True, text=True, check=True)
        (rule,) = [d for d in yaml.safe_load_all(rendered.stdout) if d["kind"] == "PrometheusRule"]
        for row in rule["spec"]["groups"][0]["rules"]:
            row["for"] = "2s"
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rule["spec"]["groups"]}), encoding="utf-8")
        target = {"targets": [f"127.0.0.1:{self.server.port}"], "labels": {"pod": "a"}}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "stand-in", "static_configs": [target]}],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.port = free_port()
        flags = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"]
        self.log = open(folder / "log", "w", encoding="utf-8")
        self.process = subprocess.Popen(["prometheus", *flags], stdout=self.log, stderr=self.log)

    def tearDown(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.server.stop()
        self.folder.cleanup()

    def firing(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/api/v1/alerts")
            alerts = json.loads(connection.getresponse().read())["data"]["alerts"]
        except (OSError, ValueError, KeyError):
            return None  # it starts
        finally:
            connection.close()
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def wait_until(self, what, holds):
        end = time.monotonic() + ALERT_SECONDS
        while time.monotonic() < end:
            firing = self.firing()
            if firing is not None and holds(firing):
                return
            time.sleep(0.5)
        self.fail(f"{what}: {self.firing()}; {self.server.metric('vllm:num_requests_waiting')} wait")

    def test_alerts_fire_and_clear(self):
        self.wait_until("nothing fires", lambda firing: not firing)
        connections = []
        for _ in range(600):  # over 100 still wait some seconds later
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
            connection.request("POST", "/v1/completions", json.dumps(BODY))
            connections.append(connection)
        self.wait_until("a queue", lambda firing: "MoEModelQueueBacklog" in firing)
        for connection in connections:
            connection.close()
        self.wait_until("no queue", lambda firing: "MoEModelQueueBacklog" not in firing)
        self.server.process.kill()
        self.server.process.wait()
        self.wait_until("a dead server", lambda firing: {"PolymathEngineDead", "PolymathNoServer"} <= firing)


if __name__ == "__main__":
    unittest.main()
