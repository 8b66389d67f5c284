"""deploy/grafana/polymath.json against a live server: every metric exists, and every panel has series in a Prometheus."""

import http.client
import json
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

from serving import DEMO, FAKE_NVML, ROOT, Server, free_port

DASHBOARD = json.loads((ROOT / "deploy/grafana/polymath.json").read_text(encoding="utf-8"))
ROWS = ("Traffic and errors", "Latency", "Queue and KV cache", "Experts", "Devices", "Process")
SERIES_SECONDS = 60
COLUMNS = 24


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions():
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def metrics_of(text):
    """The names before a selector, and the one that a variable asks for."""
    return set(re.findall(r"([a-zA-Z_:][\w:]*)\{", text)) | set(re.findall(r"label_values\(([\w:]+)", text))


def missing(page):
    """Metrics of the dashboard that a page lacks."""
    shown = set(re.findall(r"^([a-zA-Z_:][\w:]*)[{ ]", page, re.M))
    queries = [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    return set().union(*(metrics_of(text) for _, text in expressions()), *map(metrics_of, queries)) - shown


class FormTest(unittest.TestCase):
    def test_rows_and_places(self):
        self.assertEqual(tuple(p["title"] for p in DASHBOARD["panels"] if p["type"] == "row"), ROWS)
        taken = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], COLUMNS, panel["title"])
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(ids), len(set(ids)))

    def test_every_query_is_of_the_chosen_servers(self):
        for title, expression in expressions():
            self.assertTrue(metrics_of(expression), title)
            self.assertEqual(len(re.findall(r"\{", expression)), expression.count('{job=~"$job"'), title)
        for panel in panels():
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")


class LiveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--metrics-compat", "dcgm", model=DEMO, environment=FAKE_NVML)
        cls.addClassCleanup(cls.server.stop)
        cls.server.wait_for_metric("polymath:gpu_last_xid")
        cls.answer()
        time.sleep(1.5)  # experts are read once a second

    @classmethod
    def answer(cls):
        body = {"prompt": "What is 2 + 3? " * 8, "max_tokens": 8, "temperature": 0, "ignore_eos": True}
        status, data, _ = cls.server.request("POST", "/v1/completions", json.dumps(body))
        assert status == 200, data

    def test_every_metric_exists(self):
        page = self.server.request("GET", "/metrics")[1].decode()
        self.assertEqual(missing(page), set())
        other = page.replace("polymath:gpu_power_watts", "polymath:gpu_power").replace("vllm:num_preemptions_total", "a")
        self.assertEqual(missing(other), {"polymath:gpu_power_watts", "vllm:num_preemptions_total"})

    @unittest.skipIf(shutil.which("prometheus") is None, "no prometheus")
    def test_every_query_has_series(self):
        with tempfile.TemporaryDirectory() as name:
            folder, port = Path(name), free_port()
            scrape = {"job_name": "polymath", "static_configs": [{"targets": [f"127.0.0.1:{self.server.port}"]}]}
            config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
            (folder / "prometheus.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
            flags = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                     f"--web.listen-address=127.0.0.1:{port}"]
            process = subprocess.Popen(["prometheus", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.wait_for_series(port)
            finally:
                process.kill()
                process.wait()

    def wait_for_series(self, port):
        end = time.monotonic() + SERIES_SECONDS
        empty = expressions()
        while empty and time.monotonic() < end:
            self.answer()
            time.sleep(1)
            empty = [(title, text) for title, text in empty if not self.has_series(port, text)]
        self.assertEqual(empty, [])

    def has_series(self, port, expression):
        for variable, value in (("$job", "polymath"), ("$model", ".*"), ("$__rate_interval", "20s")):
            expression = expression.replace(variable, value)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
            answer = json.loads(connection.getresponse().read())
        except (OSError, ValueError):
            return False  # it starts
        finally:
            connection.close()
        self.assertEqual(answer["status"], "success", answer)
        return bool(answer["data"]["result"])


if __name__ == "__main__":
    unittest.main()
