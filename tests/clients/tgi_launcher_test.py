"""`polymath tgi` as a process: TGI's variables and flags, what it says of them, and the server that follows."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub import InferenceClient
from serving import POLYMATH, STAND_IN

READY_SECONDS = 60


def environment(**variables):
    """No variable of vLLM's or TGI's but these."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR")}
    return kept | variables


def outcome(*flags, **variables):
    command = [POLYMATH, "tgi", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(**variables), check=False)
    return done.returncode, done.stdout + done.stderr


class Launcher(unittest.TestCase):
    def start(self, *flags, **variables):
        log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.addCleanup(log.close)
        command = [POLYMATH, "tgi", *flags]
        process = subprocess.Popen(command, stderr=log, stdout=log, env=environment(**variables))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and process.poll() is None:
            text = Path(log.name).read_text(encoding="utf-8")
            ready = re.search(r"ready: http://[0-9.]+:(\d+)", text)
            if ready:
                return process, f"http://127.0.0.1:{ready.group(1)}", text
            time.sleep(0.05)
        self.fail("it did not start:\n" + Path(log.name).read_text(encoding="utf-8"))

    def test_serves_as_tgi_would(self):
        process, url, log = self.start(
            "--model-id", STAND_IN, "--port=0", "--trust-remote-code", "--", "--kv-cache-memory-bytes", "8M",
            MAX_TOTAL_TOKENS="128", MAX_INPUT_LENGTH="100", HOSTNAME="3f2a91c0ffee", JSON_OUTPUT="true",
            MAX_BATCH_SIZE="4", API_KEY="sesame",
        )  # fmt: skip
        for line in (
            "MAX_TOTAL_TOKENS=128 -> --max-model-len 128",
            "MAX_INPUT_LENGTH=100 -> --max-input-tokens 100",
            "HOSTNAME=3f2a91c0ffee -> --host 0.0.0.0",
            "MAX_BATCH_SIZE=4 -> --max-num-seqs 4",
            "MAX_BEST_OF=2 (TGI's default) -> --max-best-of 2",
            "JSON_OUTPUT=true has no effect",
            "--trust-remote-code=true has no effect",
        ):
            self.assertIn(line, log)
        self.assertNotIn("sesame", log)
        client = InferenceClient(base_url=url, token="sesame", timeout=30)
        self.assertTrue(client.text_generation("the cat", max_new_tokens=4))
        # Its clients name no model, or one of their own.
        for more in ({}, {"model": "tgi"}):
            answer = client.chat_completion([{"role": "user", "content": "hi"}], max_tokens=4, **more)
            self.assertTrue(answer.choices[0].finish_reason)
        request = urllib.request.Request(url + "/info", headers={"Authorization": "Bearer sesame"})
        info = json.load(urllib.request.urlopen(request, timeout=30))
        self.assertEqual((info["max_total_tokens"], info["max_input_tokens"], info["max_best_of"]), (128, 100, 2))
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(url + "/info", timeout=30)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)

    def test_without_a_key_it_says_who_is_answered(self):
        flags = ["--model-id", STAND_IN, "-p", "0", "--", "--kv-cache-memory-bytes", "8M"]
        _, url, log = self.start(*flags)
        self.assertIn("without API_KEY only this machine is answered", log)
        self.assertTrue(InferenceClient(base_url=url, timeout=30).text_generation("the cat", max_new_tokens=2))

    def test_what_is_not_built_is_refused_by_name(self):
        for variables, says in (
            ({}, "no model"),
            ({"MODEL_ID": "m", "QUANTIZE": "exl2"}, "--quantization: "),
            ({"MODEL_ID": "m", "NGROK": "true"}, "NGROK: "),
            ({"MODEL_ID": "m", "OTLP_ENDPOINT": "http://localhost"}, "OTLP_ENDPOINT: "),
            ({"MODEL_ID": "m", "MAX_BEST_OF": "many"}, "--max-best-of: "),
        ):
            code, text = outcome(**variables)
            self.assertEqual(code, 2, text)
            self.assertIn(says, text)

    def test_help_lists_every_row(self):
        code, text = outcome("--help")
        self.assertEqual(code, 0)
        for name in ("MODEL_ID", "MAX_BATCH_TOTAL_TOKENS", "GRACEFUL_TERMINATION_TIMEOUT", "LOG_LEVEL"):
            self.assertIn(f"| `{name}` |", text)


if __name__ == "__main__":
    unittest.main()
