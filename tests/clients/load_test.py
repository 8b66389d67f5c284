"""`polymath bench serve` against `polymath serve`: every request is answered, and every token counted."""

import json
import os
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

from serving import POLYMATH, Server

SECONDS_MAX = 120


def bench(*flags):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")}
    command = [POLYMATH, "bench", "serve", *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, env=environment, check=False)


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", "stand-in", "--max-model-len", "256")
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def run_bench(self, *flags):
        """The report as JSON; its counts are those of the server's own metrics."""
        before = {name: self.server.metric(name) for name in ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")}
        file = Path(self.folder.name) / "result.json"
        done = bench(
            "--port", self.server.port, "--vocab-size", 512, "--random-input-len", "uniform:8-24",
            "--random-output-len", "uniform:3-9", "--num-prompts", 12, "--output-json", file, *flags,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        self.server.seconds_until_idle()
        result = json.loads(file.read_text(encoding="utf-8"))
        self.assertEqual((result["completed"], result["failed"]), (result["num_prompts"], 0), done.stdout)
        generated = self.server.metric("vllm:generation_tokens_total") - before["vllm:generation_tokens_total"]
        self.assertEqual(result["total_output_tokens"], generated)
        self.assertEqual(sum(result["tokens_counted_by"].values()), generated)
        if result["input_tokens_by_server"]:
            prompts = self.server.metric("vllm:prompt_tokens_total") - before["vllm:prompt_tokens_total"]
            self.assertEqual(result["total_input_tokens"], prompts)
        self.assertIn(f"{result['completed']} of {result['num_prompts']} completed", done.stdout)
        return result

    def test_completions_in_closed_and_open_loop(self):
        for load in (["--max-concurrency", 3], ["--request-rate", 200], ["--request-rate", 100, "--burstiness", 0.5]):
            result = self.run_bench("--backend", "openai", *load)
            self.assertEqual(result["model_id"], "stand-in")
            self.assertEqual(result["tokens_counted_by"]["token_ids"], result["total_output_tokens"])
            self.assertTrue(result["input_tokens_by_server"])
            self.assertTrue(0 < result["median_ttft_ms"] <= result["p99_e2el_ms"])

    def test_chat_in_closed_and_open_loop(self):
        for load in (["--max-concurrency", 3], ["--request-rate", 200]):
            result = self.run_bench("--backend", "openai-chat", *load)
            self.assertEqual(result["tokens_counted_by"]["token_ids"], result["total_output_tokens"])

    def test_generate_in_closed_and_open_loop(self):
        for load in (["--max-concurrency", 3], ["--request-rate", 200]):
            result = self.run_bench("--backend", "tgi-generate", *load)
            self.assertNotIn("mean_ttft_ms", result)
            self.assertIn("mean_e2el_ms", result)

    def test_generate_stream_in_closed_and_open_loop(self):
        for load in (["--max-concurrency", 3], ["--request-rate", 200]):
            result = self.run_bench("--backend", "tgi", *load)
            self.assertEqual(result["tokens_counted_by"]["token_ids"], result["total_output_tokens"])
            self.assertTrue(result["input_tokens_by_server"])
            self.assertTrue(0 < result["median_ttft_ms"] <= result["p99_e2el_ms"])

    def test_usage_counts_where_ids_are_not_given(self):
        result = self.run_bench("--backend", "openai-chat", "--no-return-token-ids", "--max-concurrency", 2)
        self.assertEqual(result["tokens_counted_by"]["usage"], result["total_output_tokens"])

    def test_an_inter_token_gap_a_token(self):
        result = self.run_bench("--save-detailed", "--max-concurrency", 4)
        for request in result["requests"]:
            self.assertEqual(sum(tokens for _, tokens in request["events"]), request["output_len"])
            times = [at for at, _ in request["events"]]
            self.assertEqual(times, sorted(times))
            self.assertTrue(request["due"] <= request["sent"] <= times[0] <= request["end"])

    def test_turns_and_shared_prefixes(self):
        hits = self.server.metric("vllm:prefix_cache_hits_total")
        for backend in ("openai", "openai-chat"):
            result = self.run_bench(
                "--backend", backend, "--turns", 3, "--num-prompts", 4, "--random-prefix-len", 32, "--num-prefixes", 2,
                "--random-input-len", 8, "--random-output-len", 4, "--max-concurrency", 2,
            )  # fmt: skip
            self.assertEqual(result["num_prompts"], 12)
        self.assertGreater(self.server.metric("vllm:prefix_cache_hits_total"), hits)

    def test_a_trace_a_plot_and_goodput(self):
        trace, plot = Path(self.folder.name) / "trace", Path(self.folder.name) / "plot.svg"
        trace.write_text("# seconds prompt output\n0 8 4\n0.05 16 5\n0.1 24 6\n", encoding="utf-8")
        result = self.run_bench(
            "--trace", trace, "--output-svg", plot, "--goodput", "ttft:100000", "e2el:100000", "--seed", 4
        )
        self.assertEqual(result["num_prompts"], 3)
        self.assertEqual(result["total_output_tokens"], 15)
        self.assertAlmostEqual(result["request_goodput"], result["request_throughput"])
        self.assertTrue(xml.etree.ElementTree.parse(plot).getroot().tag.endswith("svg"))

    def test_failures_are_counted_by_status(self):
        file = Path(self.folder.name) / "failed.json"
        done = bench("--port", self.server.port, "--num-prompts", 3, "--random-input-len", 400, "--vocab-size", 512,
                     "--output-json", file)  # fmt: skip
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(file.read_text(encoding="utf-8"))["failures_by_status"], {"400": 3})
        self.assertIn("400: ", done.stdout)


class Refusals(unittest.TestCase):
    def test_what_cannot_be(self):
        for flags, says in (
            (["--base-url", "https://localhost"], "https is not built"),
            (["--port", 1], "http://127.0.0.1:1/v1/models"),
            (["--backend", "tgi", "--prompt-format", "ids"], "takes text only"),
            (["--backend", "tgi-generate", "--goodput", "ttft:5"], "only e2el is known"),
            (["--trace", "/nonexistent"], "cannot be read"),
            (["--backend", "grpc"], "is not one of openai"),
            (["--dataset-name", "sharegpt"], "prompts are random"),
        ):
            done = bench(*flags)
            self.assertNotEqual(done.returncode, 0, flags)
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
