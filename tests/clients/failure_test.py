"""A step that fails on the device: every answer in flight ends with an error, probes say so, and the process ends."""

import concurrent.futures
import http.client
import json
import time
import unittest

from serving import Server

FAIL_STEP = 200
SECONDS_MAX = 15  # from the failure to the end of the process


def dummy_server(*flags):
    return Server("--load-format", "dummy", "--fail-step", str(FAIL_STEP), *flags)


def completion(server, stream):
    body = {"prompt": [5, 6, 7], "max_tokens": 400, "ignore_eos": True, "stream": stream}
    headers = {"Content-Type": "application/json"}
    return server.request("POST", "/v1/completions", json.dumps(body), headers)


class FailureTest(unittest.TestCase):
    def setUp(self):
        self.server = dummy_server("--max-model-len", "500")
        self.addCleanup(self.server.stop)

    def test_everybody_is_told_and_the_process_ends(self):
        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            probes = pool.submit(self.watch_probes)
            waiting = [pool.submit(completion, self.server, stream) for stream in [True, False] * 4]
            answers = [future.result() for future in waiting]
            probes = probes.result()
        # How long the doors stay open after the failure is open; good and bad never mix (tests/api has the 503s).
        self.assertEqual(probes[0], 200)
        self.assertEqual(probes, sorted(probes))
        for index, (status, data, _) in enumerate(answers):
            streamed = index % 2 == 0
            if streamed:
                self.assertEqual(status, 200)
                events = [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]
                error = json.loads([event for event in events if event != "[DONE]"][-1])["error"]
            else:
                self.assertEqual(status, 500)
                error = json.loads(data)["error"]
            self.assertEqual(error["code"], 500)
            self.assertEqual(error["type"], "InternalServerError")
            self.assertIn("the model failed", error["message"])
        self.assertEqual(self.server.wait(SECONDS_MAX), 1)
        self.assertIn("the engine failed; ending", self.server.text())

    def watch_probes(self):
        """What probes say on one connection, until the server closes it."""
        seen = []
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            while True:
                for path in ("/ready", "/health"):
                    connection.request("GET", path)
                    response = connection.getresponse()
                    response.read()
                    seen.append(response.status)
                time.sleep(0.005)
        except (OSError, http.client.HTTPException):
            return seen
        finally:
            connection.close()


class TgiTest(unittest.TestCase):
    def generate(self, path):
        """The answer of a server that fails behind some tokens."""
        server = Server("--load-format", "dummy", "--fail-step", "6", "--max-model-len", "500")
        self.addCleanup(server.stop)
        parameters = {"max_new_tokens": 400, "temperature": 5.0, "seed": 1}  # greedy, dummy weights may end at once
        body = {"inputs": "the cat", "parameters": parameters}
        return server.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})

    def check(self, error):
        self.assertEqual(error["error_type"], "generation")
        self.assertIn("Request failed during generation: ", error["error"])

    def test_a_whole_answer(self):
        status, data, _ = self.generate("/generate")
        self.assertEqual(status, 424)
        self.check(json.loads(data))

    def test_a_stream(self):
        status, data, _ = self.generate("/generate_stream")
        events = data.decode().strip().split("\n\n")
        self.assertEqual(status, 200)
        self.assertIn('"generated_text":null', events[0])
        self.check(json.loads(events[-1].removeprefix("data:")))


class RefusalTest(unittest.TestCase):
    def test_real_weights_are_not_for_this(self):
        with self.assertRaisesRegex(RuntimeError, "needs --load-format dummy"):
            Server("--fail-step", "3")


if __name__ == "__main__":
    unittest.main()
