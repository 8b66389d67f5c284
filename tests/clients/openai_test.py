"""The official openai client against the stand-in model: its random weights answer nonsense, in the right shape."""

import json
import os
import random
import threading
import time
import unittest

import openai
from serving import ROOT, Server

MODEL = "stand-in"
HI = [{"role": "user", "content": "hi"}]


def client(server, **options):
    options = {"api_key": "none", "max_retries": 0, "timeout": 30, **options}
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", **options)


class WithServer(unittest.TestCase):
    FLAGS = ("--served-model-name", MODEL, "--max-model-len", "1024")

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.FLAGS)
        cls.client = client(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()


class Chat(WithServer):
    def chat(self, **fields):
        return self.client.chat.completions.create(model=MODEL, messages=HI, **fields)

    def test_answer(self):
        answer = self.chat(max_tokens=8)
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.choices[0].finish_reason, ("length", "stop"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertIsNotNone(usage.prompt_tokens_details.cached_tokens)

    def test_stream_equals_answer(self):
        fields = {"max_completion_tokens": 24, "seed": 5, "temperature": 0.8}
        whole = self.chat(**fields)
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}, **fields))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual(chunks[-2].choices[0].finish_reason, whole.choices[0].finish_reason)

    def test_n_choices_differ_and_repeat(self):
        first = self.chat(n=4, max_tokens=12, seed=11)
        again = self.chat(n=4, max_tokens=12, seed=11)
        texts = [c.message.content for c in first.choices]
        self.assertEqual([c.index for c in first.choices], [0, 1, 2, 3])
        self.assertGreater(len(set(texts)), 1)
        self.assertEqual(texts, [c.message.content for c in again.choices])

    def test_without_a_seed_answers_differ(self):
        texts = {self.chat(max_tokens=16).choices[0].message.content for _ in range(4)}
        self.assertGreater(len(texts), 1)

    def test_logprobs(self):
        answer = self.chat(max_tokens=4, logprobs=True, top_logprobs=3, temperature=0)
        content = answer.choices[0].logprobs.content
        self.assertEqual(len(content), answer.usage.completion_tokens)
        for token in content:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(token.top_logprobs[0].token, token.token)  # greedy: the best one

    def test_default_max_tokens_fills_the_context(self):
        answer = self.chat(extra_body={"ignore_eos": True})
        self.assertEqual(answer.usage.total_tokens, 1024)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_second_turn_is_cached(self):
        messages = [{"role": "user", "content": "a long first message " * 8}]
        fields = {"model": MODEL, "max_tokens": 1, "extra_body": {"cache_salt": str(random.random())}}
        self.assertEqual(
            self.client.chat.completions.create(messages=messages, **fields).usage.prompt_tokens_details.cached_tokens, 0
        )
        again = self.client.chat.completions.create(messages=messages, **fields)
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, 0)


class Completions(WithServer):
    def complete(self, **fields):
        return self.client.completions.create(model=MODEL, **{"prompt": "the", "max_tokens": 8, **fields})

    def test_forms_of_a_prompt(self):
        for prompt, n in (("the", 1), (["a", "b"], 2), ([260, 302], 1), ([[260], [302], [1]], 3)):
            self.assertEqual(len(self.complete(prompt=prompt).choices), n, prompt)

    def test_stop_string(self):
        answer = self.complete(stop=["aa"], max_tokens=10, extra_body={"allowed_token_ids": [100]})
        self.assertEqual((answer.choices[0].text, answer.choices[0].finish_reason), ("", "stop"))
        self.assertEqual(answer.choices[0].stop_reason, "aa")

    def test_echo_logprobs_as_evaluation_harnesses_ask(self):
        answer = self.complete(prompt="the cat", max_tokens=1, echo=True, logprobs=1, temperature=0)
        logprobs = answer.choices[0].logprobs
        self.assertIsNone(logprobs.token_logprobs[0])
        self.assertEqual("".join(logprobs.tokens), answer.choices[0].text)
        self.assertEqual(logprobs.text_offset[:2], [0, len(logprobs.tokens[0])])

    def test_stream(self):
        chunks = list(self.complete(stream=True, seed=3))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "length")
        self.assertEqual("".join(c.choices[0].text for c in chunks), self.complete(seed=3).choices[0].text)

    def test_many_at_once(self):
        answers = {}

        def ask(seed):
            answers[seed] = self.complete(seed=seed, max_tokens=30).choices[0].text

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for seed in (0, 7, 23):
            self.assertEqual(answers[seed], self.complete(seed=seed, max_tokens=30).choices[0].text)

    def test_a_closed_stream_stops_the_answer(self):
        before = self.server.metric("vllm:generation_tokens_total")
        stream = self.complete(stream=True, max_tokens=900, n=8, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        end = time.monotonic() + 5
        while self.server.metric("vllm:num_requests_running") > 0 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(self.server.metric("vllm:num_requests_running"), 0)
        self.assertLess(self.server.metric("vllm:generation_tokens_total") - before, 8 * 900)


class Others(WithServer):
    def test_models(self):
        models = list(self.client.models.list())
        self.assertEqual([m.id for m in models], [MODEL])
        self.assertEqual(models[0].max_model_len, 1024)

    def test_tokenize_there_and_back(self):
        text = "Hello, world! äöü 中文 \U0001f600"
        status, body, _ = self.server.request("POST", "/tokenize", json.dumps({"prompt": text}))
        ids = json.loads(body)
        self.assertEqual((status, ids["count"]), (200, len(ids["tokens"])))
        body = self.server.request("POST", "/detokenize", json.dumps({"tokens": ids["tokens"]}))[1]
        self.assertEqual(json.loads(body)["prompt"], text)

    def test_errors_have_their_classes(self):
        rows = (
            (openai.NotFoundError, {"model": "gpt-4"}),
            (openai.BadRequestError, {"temperature": -1}),
            (openai.BadRequestError, {"max_tokens": 100000}),
            (openai.BadRequestError, {"extra_body": {"top_k": -7}}),
            (openai.BadRequestError, {"extra_body": {"logit_bias": {"99999": 1}}}),
            (openai.BadRequestError, {"response_format": {"type": "yaml"}}),
        )
        for error, fields in rows:
            with self.assertRaises(error) as caught:
                self.client.chat.completions.create(**{"model": MODEL, "messages": HI, **fields})
            self.assertIn("type", caught.exception.body)


class BadInput(WithServer):
    """Whatever is sent, the answer is a 4xx and the server lives."""

    def post(self, body, path="/v1/completions"):
        return self.server.request("POST", path, body)[0]

    def tearDown(self):
        self.assertEqual(self.server.request("GET", "/health")[0], 200)
        self.assertEqual(self.post(json.dumps({"prompt": "x", "max_tokens": 1})), 200)

    def test_sizes(self):
        self.assertEqual(self.post(json.dumps({"prompt": "x" * 10_000_000})), 400)
        self.assertEqual(self.post(b"x" * 40_000_000), 413)
        self.assertEqual(self.post(b"[" * 100_000), 400)
        self.assertEqual(self.post(b'{"prompt":' + b"[" * 70 + b"]" * 70 + b"}"), 400)
        self.assertEqual(self.post(json.dumps({"prompt": ["x"] * 2000})), 400)
        self.assertEqual(self.post(json.dumps({"prompt": ["x"] * 1000, "n": 100})), 400)

    def test_not_json(self):
        for body in (b"", b"null", b"[]", b"\xff\xfe", b'{"prompt":"\xff"}', b'{"prompt":"\\ud8"}', b"{}{}", b'{"prompt"'):
            self.assertEqual(self.post(body), 400, body)

    def test_absurd_values(self):
        huge = ("-1", "1e999", "-1e999", "99999999999999999999", "null", '"x"', "[]", "{}", "true", "1.5", "NaN")
        fields = """temperature top_p top_k min_p n max_tokens logprobs seed stop logit_bias presence_penalty min_tokens
                    frequency_penalty repetition_penalty stop_token_ids prompt_logprobs allowed_token_ids priority
                    truncate_prompt_tokens cache_salt echo stream stream_options best_of prompt model ignore_eos""".split()
        for field in fields:
            for value in huge:
                body = f'{{"prompt":"x","max_tokens":1,"{field}":{value}}}'
                self.assertIn(self.post(body), (200, 400, 404), body)

    def test_absurd_messages(self):
        for messages in ("1", "[]", "[1]", "[{}]", '[{"role":1}]', '[{"role":"user","content":1}]',
                         '[{"role":"user","content":[1]}]', '[{"role":"user","content":[{"type":"text","text":1}]}]'):  # fmt: skip
            body = f'{{"messages":{messages}}}'
            self.assertEqual(self.post(body, "/v1/chat/completions"), 400, body)


class Limits(unittest.TestCase):
    def start(self, *flags):
        server = Server("--served-model-name", MODEL, "--max-model-len", "1024", *flags)
        self.addCleanup(server.stop)
        return server

    def test_a_full_queue_is_429(self):
        server = self.start("--max-num-queued-reqs", "2", "--max-num-seqs", "1")
        next(self.long_answer(server))
        with client(server) as c, self.assertRaises(openai.RateLimitError) as caught:
            c.completions.create(model=MODEL, prompt="x", n=3, max_tokens=500, extra_body={"ignore_eos": True})
        self.assertEqual(caught.exception.response.headers["retry-after"], "1")

    def test_api_key(self):
        server = self.start("--api-key", "good", "other")
        with client(server, api_key="bad") as c, self.assertRaises(openai.AuthenticationError):
            c.models.list()
        with client(server, api_key="other") as c:
            self.assertEqual(len(list(c.models.list())), 1)
        self.assertEqual(server.request("GET", "/health")[0], 200)

    def long_answer(self, server):
        c = client(server)
        self.addCleanup(c.close)
        body = {"ignore_eos": True}
        stream = c.completions.create(model=MODEL, prompt="x", max_tokens=900, stream=True, extra_body=body)
        return iter(stream)

    def test_sigterm_lets_answers_end(self):
        server = self.start()
        stream = self.long_answer(server)
        next(stream)
        server.signal()
        time.sleep(0.1)
        if server.process.poll() is None:  # a fast machine may have ended already
            try:
                self.assertEqual(server.request("GET", "/ready")[0], 503)
            except OSError:
                pass
        self.assertEqual(list(stream)[-1].choices[0].finish_reason, "length")
        self.assertEqual(server.wait(), 0)

    def test_sigterm_ends_them_at_the_timeout(self):
        server = self.start("--shutdown-timeout", "0")
        stream = self.long_answer(server)
        next(stream)
        server.signal()
        self.assertIn(list(stream)[-1].choices[0].finish_reason, ("abort", "length"))
        self.assertEqual(server.wait(), 0)

    def test_no_tokenizer(self):
        ids = ROOT / "tests/conformance/data/models/mixtral"
        with self.assertRaisesRegex(RuntimeError, "--skip-tokenizer-init"):
            Server(model=ids)
        server = Server("--skip-tokenizer-init", "--served-model-name", "ids", model=ids)
        self.addCleanup(server.stop)
        with client(server) as c:
            answer = c.completions.create(model="ids", prompt=[1, 2, 3], max_tokens=5)
            self.assertEqual(answer.choices[0].text, "")
            self.assertEqual(len(answer.choices[0].token_ids), 5)


if __name__ == "__main__":
    os.environ.setdefault("POLYMATH_ROOT", str(ROOT))
    unittest.main()
