"""lm-evaluation-harness over /v1/completions: multiple choice by the prompt's logprobs, and generation with five stops."""

import json
import unittest

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI
from serving import DEMO, Server

QUESTION = "Question: What is the capital of France?\nAnswer:"
CHOICES = [" Paris", " Berlin", " a cat", " 안녕"]
UNTIL = ["\n\n", "Question:", "Q:", "</s>"]  # and the tokenizer's own end, which the harness adds


class LmEval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", "demo", model=DEMO)
        url = f"http://127.0.0.1:{cls.server.port}/v1/completions"
        cls.lm = LocalCompletionsAPI(
            base_url=url, model="demo", tokenizer=str(DEMO), tokenizer_backend="huggingface", max_length=1024, batch_size=2
        )

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_multiple_choice(self):
        requests = [Instance("loglikelihood", {}, (QUESTION, choice), index) for index, choice in enumerate(CHOICES)]
        answers = self.lm.loglikelihood(requests, disable_tqdm=True)
        self.assertEqual(len(answers), len(CHOICES))
        for choice, (logprob, is_greedy) in zip(CHOICES, answers):
            self.assertAlmostEqual(logprob, self.logprob_of(choice), places=3)
            self.assertLess(logprob, 0)
            self.assertIsInstance(is_greedy, bool)

    def logprob_of(self, choice):
        """The same by the ids that the server itself makes of the text."""
        ids = [self.tokenize(text) for text in (QUESTION, QUESTION + choice)]
        body = {"prompt": ids[1], "max_tokens": 0, "echo": True, "logprobs": 0}
        answer = json.loads(self.post("/v1/completions", body))
        return sum(answer["choices"][0]["logprobs"]["token_logprobs"][len(ids[0]) :])

    def tokenize(self, text):
        return json.loads(self.post("/tokenize", {"prompt": text, "add_special_tokens": False}))["tokens"]

    def post(self, path, body):
        status, data, _ = self.server.request("POST", path, json.dumps(body))
        self.assertEqual(status, 200, data)
        return data

    def test_generation_with_five_stops(self):
        arguments = {"until": UNTIL, "max_gen_toks": 16, "temperature": 0}
        requests = [Instance("generate_until", {}, (QUESTION, arguments), index) for index in range(2)]
        texts = self.lm.generate_until(requests, disable_tqdm=True)
        self.assertEqual(len(texts), 2)
        self.assertEqual(texts[0], texts[1])
        for stop in UNTIL:
            self.assertNotIn(stop, texts[0])


if __name__ == "__main__":
    unittest.main()
