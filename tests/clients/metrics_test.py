"""/metrics: the names, types, labels and bounds that metric_facts.json lists, and docs/operate/metrics*.md beside them."""

import http.client
import json
import re
import time
import unittest
from pathlib import Path

from serving import DEMO, FAKE_NVML, ROOT, Server

FACTS = json.loads(Path(__file__).with_name("metric_facts.json").read_text(encoding="utf-8"))
PAGES = ("docs/operate/metrics.md", "docs/operate/metrics-compat.md", "docs/operate/metrics-devices.md")
SPECULATION = ("--spec-method", "ngram", "--spec-tokens", "2")
ADAPTER = ("--enable-lora", "--lora-modules", f"capitals={ROOT}/models/polymath-demo-lora-capitals")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
SERIES_OF_A_LAYER_MAX = 3


class Page:
    """A /metrics page: the type of each family, and its series as (name, labels, value)."""

    def __init__(self, text):
        self.types, self.series = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, type_ = line.split(" ")
                self.types[name], self.series[name] = type_, []
            elif not line.startswith("#"):
                sample, value = line.rsplit(" ", 1)
                name, _, labels = sample.partition("{")
                self.series[self.family(name)].append((name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))

    def family(self, name):
        for family, type_ in self.types.items():
            if name in [family + suffix for suffix in SUFFIXES.get(type_, ("",))]:
                return family
        raise AssertionError(f"{name} has no TYPE line")

    def value(self, name, **labels):
        found = [v for n, have, v in self.series[self.family(name)] if n == name and labels.items() <= have.items()]
        if not found:
            raise AssertionError(f"no {name} with {labels}")
        return sum(found)

    def bounds(self, family):
        return {float(labels["le"]) for name, labels, _ in self.series[family] if name == family + "_bucket"}


def post(server, body, path="/v1/completions"):
    return server.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})


def use(server):
    """Answers of each kind: alone, two choices, a cached prompt, drafts, and a refusal."""
    body = {"prompt": "What is 2 + 3? " * 8, "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    for more in ({}, {"n": 2, "temperature": 1}, {"stream": True}, {"max_tokens": 4}):
        status, data, _ = post(server, body | more)
        if status != 200:
            raise AssertionError(data)
    assert post(server, body | {"max_tokens": -1})[0] == 400
    server.seconds_until_idle()


class Served(unittest.TestCase):
    """A server that has answered, its page, and checks by facts."""

    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.FLAGS, model=DEMO)
        cls.addClassCleanup(cls.server.stop)
        use(cls.server)
        cls.page = Page(cls.server.request("GET", "/metrics")[1].decode())

    def check(self, fact):
        name = fact["name"]
        self.assertEqual(self.page.types.get(name), fact["type"])
        labels = [set(labels) - {"le"} for _, labels, _ in self.page.series[name]]
        self.assertTrue(labels, "no series")
        if "labels" in fact:
            for have in labels:
                self.assertEqual(sorted(have), sorted(fact["labels"]))
        for have in labels:
            self.assertLessEqual(set(fact.get("has", ())), have)
        if "values" in fact:
            ours = {v for _, have, _ in self.page.series[name] for k, v in have.items() if k not in ("engine", "model_name", "le")}
            self.assertEqual(ours, set(fact["values"]))
        self.check_bounds(fact)

    def check_bounds(self, fact):
        ours = sorted(b for b in self.page.bounds(fact["name"]) if b != float("inf")) if fact["type"] == "histogram" else []
        if "n_bounds" in fact:
            self.assertEqual(len(ours), fact["n_bounds"])
        if "bounds" in fact:
            self.assertEqual(len(ours), len(fact["bounds"]))
            for bound, expected in zip(ours, fact["bounds"]):
                self.assertAlmostEqual(bound, expected, delta=1e-9 * expected)
        self.assertLessEqual(set(fact.get("bounds_among", ())), set(ours))

    def check_vocabulary(self, vocabulary):
        for fact in FACTS[vocabulary]["present"]:
            with self.subTest(fact["name"]):
                self.check(fact)
        for name, reason in FACTS[vocabulary]["absent"].items():
            with self.subTest(name):
                self.assertFalse([n for n in self.page.types if n.startswith(name)], f"shown, but absent since {reason}")


class NewestTest(Served):
    FLAGS = (*ADAPTER, *SPECULATION)

    def test_all_names_of_the_newest_vllm(self):
        self.check_vocabulary("vllm")

    def test_parts_are_wholes(self):
        v = self.page.value
        prompts = v("vllm:prompt_tokens_total")
        self.assertEqual(v("vllm:prompt_tokens_by_source_total"), prompts)
        cached = v("vllm:prompt_tokens_by_source_total", source="local_cache_hit")
        self.assertGreater(cached, 0)
        self.assertEqual(cached, v("vllm:prompt_tokens_cached_total"))
        self.assertEqual(cached, v("vllm:prompt_tokens_cached_by_source_total", source="device"))
        self.assertEqual(v("vllm:request_prefill_kv_computed_tokens_sum"), prompts - cached)
        self.assertEqual(v("vllm:num_requests_waiting_by_reason"), v("vllm:num_requests_waiting"))
        self.assertEqual(v("vllm:engine_sleep_state", sleep_state="awake"), v("vllm:engine_sleep_state"))
        self.assertEqual(v("vllm:request_success_total"), 5)
        self.assertEqual(v("vllm:request_max_num_generation_tokens_count"), 4)
        self.assertEqual(v("vllm:request_max_num_generation_tokens_sum"), 40)
        self.assertEqual(v("vllm:request_params_n_sum"), 5)
        self.assertEqual(v("vllm:corrupted_requests_total"), 0)

    def test_the_experts(self):
        config = json.loads((DEMO / "config.json").read_text(encoding="utf-8"))
        top_k, experts = config["num_experts_per_tok"], config["num_local_experts"]
        v = self.page.value
        self.assertTrue(1 <= v("polymath:experts_touched") <= experts)
        self.assertTrue(1 / top_k <= v("polymath:router_confidence") <= 1)
        self.assertEqual(v("polymath:expert_dropped_tokens_total"), 0)
        self.assertGreater(v("polymath:estimated_imbalance_microseconds_total", over="experts"), 0)
        self.assertEqual(v("polymath:estimated_imbalance_microseconds_total", over="ranks"), 0)
        of_layers = [name for name, series in self.page.series.items() if any("layer" in labels for _, labels, _ in series)]
        self.assertEqual(len(of_layers), SERIES_OF_A_LAYER_MAX)

    def test_the_process_and_http(self):
        v = self.page.value
        self.assertGreater(v("process_cpu_seconds_total"), 0)
        self.assertGreater(v("process_virtual_memory_bytes"), v("process_resident_memory_bytes"))
        self.assertGreater(v("process_max_fds"), v("process_open_fds"))
        self.assertEqual(v("http_request_size_bytes_count", handler="/v1/completions"), 5)
        self.assertGreater(v("http_request_size_bytes_sum", handler="/v1/completions"), 500)
        self.assertGreater(v("http_response_size_bytes_sum", handler="/v1/completions"), 1000)

    def test_adapters_that_run_are_named(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        self.addCleanup(connection.close)
        body = {"model": "capitals", "prompt": "a", "max_tokens": 400, "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read(1)
        running = Page(self.server.request("GET", "/metrics")[1].decode()).series["vllm:lora_requests_info"]
        self.assertEqual([labels["running_lora_adapters"] for _, labels, _ in running], ["capitals"])
        answer.read()
        self.server.seconds_until_idle()
        idle = Page(self.server.request("GET", "/metrics")[1].decode()).series["vllm:lora_requests_info"]
        self.assertEqual([labels["running_lora_adapters"] for _, labels, _ in idle], [""])

    def test_every_name_is_documented(self):
        compat = Server(*ADAPTER, "--metrics-compat", "v0.6.3", "tgi", "--expert-metrics", "expert", "--api-key", "k",
                        *SPECULATION, model=DEMO)
        self.addCleanup(compat.stop)
        ranks = Server("-tp", "2", "--enable-expert-parallel", "--enable-eplb", "--metrics-per-rank", model=DEMO)
        self.addCleanup(ranks.stop)
        devices = Server("--metrics-compat", "dcgm", model=DEMO, environment=FAKE_NVML)
        self.addCleanup(devices.stop)
        devices.wait_for_metric("DCGM_FI_DEV_XID_ERRORS")
        compat.request("GET", "/v1/models")  # refused: without a key
        types = dict(self.page.types)
        for server in (compat, ranks, devices):
            types |= Page(server.request("GET", "/metrics")[1].decode()).types
        types["polymath:tls_certificate_expiry_timestamp_seconds"] = "gauge"  # only with TLS
        text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
        rows = dict(re.findall(r"^\| `([\w:]+)` \| (\w+) \|", text, re.M))
        self.assertEqual(set(rows), set(types))
        for name, type_ in rows.items():
            self.assertIn(types[name], type_, name)


class CompatTest(Served):
    FLAGS = ("--metrics-compat", "v0.6.3,tgi", *ADAPTER, *SPECULATION)

    def test_all_names_of_the_old_vllm(self):
        self.check_vocabulary("v0.6.3")
        for name, series in self.page.series.items():
            for _, labels, _ in series:
                self.assertNotIn("engine", labels, name)

    def test_old_values(self):
        v = self.page.value
        self.assertEqual(v("vllm:num_requests_swapped"), 0)
        self.assertEqual(v("vllm:cpu_prefix_cache_hit_rate"), -1)
        rate = v("vllm:prefix_cache_hits_total") / v("vllm:prefix_cache_queries_total")
        self.assertAlmostEqual(v("vllm:gpu_prefix_cache_hit_rate"), rate)
        accepted, drafts = v("vllm:spec_decode_num_accepted_tokens_total"), v("vllm:spec_decode_num_drafts_total")
        self.assertGreater(drafts, 0)
        self.assertEqual(v("vllm:spec_decode_num_emitted_tokens_total"), accepted + drafts)
        self.assertAlmostEqual(v("vllm:spec_decode_draft_acceptance_rate"),
                               accepted / v("vllm:spec_decode_num_draft_tokens_total"))

    def test_all_names_of_tgi(self):
        self.check_vocabulary("tgi")

    def test_tgi_values(self):
        v = self.page.value
        self.assertEqual(v("tgi_request_count"), 5)
        self.assertEqual(v("tgi_request_success"), 5)
        self.assertEqual(v("tgi_request_failure", err="validation"), 1)
        self.assertEqual(v("tgi_request_failure", err="generation"), 0)
        self.assertEqual(v("tgi_request_duration_count"), 5)
        self.assertEqual(v("tgi_request_validation_duration_count"), 5)
        self.assertEqual(v("tgi_request_generated_tokens_sum"), v("vllm:generation_tokens_total"))
        self.assertEqual(v("tgi_batch_inference_count"), v("vllm:iteration_tokens_total_count"))
        self.assertEqual(v("tgi_batch_inference_count"), v("tgi_batch_inference_success"))
        self.assertEqual(v("tgi_queue_size") + v("tgi_batch_current_size") + v("tgi_batch_current_max_tokens"), 0)
        self.assertEqual(v("tgi_batch_next_size_sum"), 5)


class FlagsTest(unittest.TestCase):
    def test_a_full_queue_is_counted_and_bounds_are_the_operators(self):
        server = Server("--max-num-seqs", "1", "--max-num-queued-reqs", "1", "--metrics-compat", "tgi",
                        "--custom-histogram-buckets", '{"time_to_first_token": [0.5, 2]}', model=DEMO)
        self.addCleanup(server.stop)
        for gauge in ("vllm:num_requests_running", "vllm:num_requests_waiting"):
            self.begin_long_answer(server)
            self.wait_for_one(server, gauge)
        status, data, _ = post(server, {"prompt": "a", "max_tokens": 8})
        self.assertEqual(status, 429, data)
        page = Page(server.request("GET", "/metrics")[1].decode())
        self.assertEqual(page.value("vllm:admission_rejections_total", reason="max_num_queued_reqs"), 1)
        self.assertEqual(page.value("vllm:admission_rejections_total", reason="max_num_queued_tokens"), 0)
        self.assertEqual(page.value("tgi_request_failure", err="overloaded"), 1)
        self.assertEqual(page.value("tgi_request_count"), 3)
        self.assertEqual(page.bounds("vllm:time_to_first_token_seconds"), {0.5, 2, float("inf")})

    def begin_long_answer(self, server):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.addCleanup(connection.close)
        body = {"prompt": "a", "max_tokens": 1500, "ignore_eos": True, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})

    def wait_for_one(self, server, gauge):
        end = time.monotonic() + 20
        while server.metric(gauge) != 1:
            self.assertLess(time.monotonic(), end, gauge)
            time.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
