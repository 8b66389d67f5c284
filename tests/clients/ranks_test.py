"""Several ranks: pipeline stages answer as one rank does; a rank that stalls, fails or sends wrongly ends the group."""

import concurrent.futures
import http.client
import json
import time
import unittest

from serving import DEMO, Server

FAULT_STEP = 120  # behind the passes at start
END_SECONDS_MAX = 15  # from the fault to the end of the process, on a busy machine
PIPELINE = ("--pipeline-parallel-size", "2")
BOTH = ("--pipeline-parallel-size", "2", "--tensor-parallel-size", "2")


def completion(server, max_tokens, prompt="What is 2 + 3? "):
    body = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
    return server.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})


def texts(*flags):
    """Answers of eight requests at once."""
    server = Server("--dtype", "float32", *flags, model=DEMO)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: completion(server, 40, f"What is {i} + {i * i}? "), range(8)))
        metrics = server.request("GET", "/metrics")[1].decode()
    finally:
        server.stop()
    return [json.loads(data)["choices"][0]["text"] for _, data, _ in answers], metrics


class AnswersTest(unittest.TestCase):
    def test_every_split_answers_as_one_rank(self):
        alone, page = texts()
        self.assertNotIn("polymath:rank_", page)
        for flags in (PIPELINE, BOTH, (*PIPELINE, "--pipeline-layers", "5,2")):
            answers, page = texts(*flags)
            self.assertEqual(answers, alone)
            self.assertIn("polymath:rank_sent_bytes_total ", page)
        _, page = texts(*BOTH, "--metrics-per-rank")
        for rank, stage in enumerate((0, 0, 1, 1)):
            self.assertIn(f'polymath:rank_memory_bytes{{rank="{rank}",stage="{stage}",kind="weights"}} ', page)
            self.assertIn(f'polymath:rank_communication_seconds_total{{rank="{rank}",stage="{stage}"}} ', page)


class FaultTest(unittest.TestCase):
    def check(self, flags, fault, says):
        server = Server("--load-format", "dummy", "--max-model-len", "1000", *flags, "--rank-fault", fault, model=DEMO)
        self.addCleanup(server.stop)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(completion, server, 900) for _ in range(2)]
            ready = pool.submit(self.ready_until_the_end, server)
            for status, data, _ in [answer.result() for answer in answers]:
                self.assertEqual(status, 500)
                self.assertIn("the model failed", data.decode())
            self.assertNotEqual(server.wait(END_SECONDS_MAX), 0)
            seen = ready.result()
        self.assertEqual(seen, sorted(seen))  # 200, then 503
        self.assertRegex(server.text(), says)

    def ready_until_the_end(self, server):
        seen = []
        try:
            while True:
                seen.append(server.request("GET", "/ready")[0])
                time.sleep(0.01)
        except (OSError, http.client.HTTPException):
            return seen

    def test_each_rank_of_a_pipeline(self):
        for rank in (0, 1):
            name = f"rank {rank} of 2 .stage {rank} of 2."
            for kind, says in (("stall", "no progress for 4 s"), ("fail", "this step was to fail"), ("shape", "does not fit")):
                with self.subTest(rank=rank, kind=kind):
                    self.check(PIPELINE, f"{rank}:{kind}:{FAULT_STEP}", rf"{name}.*{says}" if kind != "shape" else says)

    def test_each_rank_of_tensor_parallelism(self):
        for rank in (0, 1):
            for kind, says in (("stall", f"rank {rank} of 2, .* layer 0: no progress"), ("shape", "the parts of a sum differ")):
                with self.subTest(rank=rank, kind=kind):
                    self.check(("--tensor-parallel-size", "2"), f"{rank}:{kind}:{FAULT_STEP}", says)

    def test_real_weights_are_not_for_this(self):
        with self.assertRaisesRegex(RuntimeError, "needs --load-format dummy"):
            Server(*PIPELINE, "--rank-fault", "0:fail:3", model=DEMO)


if __name__ == "__main__":
    unittest.main()
