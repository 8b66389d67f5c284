"""huggingface_hub's clients against TGI's API and OpenAI's, and what TGI's manual shows by curl and by openai."""

import asyncio
import json
import unittest

import huggingface_hub.errors as errors
import openai
from huggingface_hub import AsyncInferenceClient, InferenceClient
from serving import Server


class WithServer(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", "stand-in", "--max-model-len", "256", *cls.flags)
        cls.url = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def post(self, path, body):
        headers = {"Content-Type": "application/json"}
        status, data, headers = self.server.request("POST", path, json.dumps(body), headers)
        return status, data.decode(), headers


class Generate(WithServer):
    def client(self, path="/generate"):
        return InferenceClient(base_url=self.url + path, timeout=30)

    def generate(self, **parameters):
        """Once through POST / and once through POST /generate: the same answer."""
        full_text = parameters.pop("return_full_text", False)
        answers = [
            self.client(path).text_generation("the cat", return_full_text=full_text, **parameters)
            for path in ("", "/generate")
        ]
        self.assertEqual(answers[0], answers[1])
        return answers[0]

    def test_text(self):
        text = self.generate(max_new_tokens=8)
        self.assertIsInstance(text, str)
        self.assertTrue(text)
        self.assertEqual(self.generate(max_new_tokens=8, return_full_text=True), "the cat" + text)
        self.assertEqual(self.client("").text_generation("the cat", max_new_tokens=8), "the cat" + text)
        self.assertEqual(self.client().text_generation("the cat", max_new_tokens=8), text)

    def test_details(self):
        answer = self.generate(max_new_tokens=4, details=True, decoder_input_details=True, seed=3, temperature=0.9)
        self.assertEqual(answer.details.finish_reason, "length")
        self.assertEqual(answer.details.generated_tokens, 4)
        self.assertEqual(answer.details.seed, 3)
        self.assertEqual(len(answer.details.tokens), 4)
        self.assertTrue(all(token.logprob <= 0 for token in answer.details.tokens))
        self.assertIsNone(answer.details.prefill[0].logprob)

    def test_stream(self):
        whole = self.generate(max_new_tokens=20)
        for path in ("", "/generate_stream"):
            client = self.client(path)  # kept: its end would close the stream
            texts = list(client.text_generation("the cat", max_new_tokens=20, stream=True))
            self.assertEqual("".join(texts), whole.removesuffix("\ufffd"))

    def test_stream_with_details(self):
        parameters = {"max_new_tokens": 6, "details": True, "top_n_tokens": 2, "seed": 5, "temperature": 0.8}
        whole = self.client().text_generation("the cat", **parameters)
        client = self.client("")
        events = list(client.text_generation("the cat", stream=True, return_full_text=False, **parameters))
        self.assertEqual([e.index for e in events], list(range(1, 7)))
        self.assertEqual([e.token.id for e in events], [t.id for t in whole.details.tokens])
        self.assertEqual([e.token.text for e in events], [t.text for t in whole.details.tokens])
        self.assertEqual([e.generated_text for e in events[:-1]], [None] * 5)
        self.assertEqual(events[-1].generated_text, whole.generated_text)
        self.assertTrue(all(len(e.top_tokens) == 2 for e in events))
        last = events[-1].details
        self.assertEqual((last.finish_reason, last.generated_tokens, last.seed), ("length", 6, 5))
        self.assertGreater(last.input_length, 0)

    def test_a_stop_sequence_ends_the_answer(self):
        whole = self.generate(max_new_tokens=40)
        stop = whole[len(whole) // 2]
        answer = self.generate(max_new_tokens=40, stop=[stop], details=True)
        self.assertEqual(answer.details.finish_reason, "stop_sequence")
        self.assertTrue(answer.generated_text.endswith(stop))
        self.assertTrue(whole.startswith(answer.generated_text))
        client = self.client("")
        stream = client.text_generation(
            "the cat", max_new_tokens=40, stop=[stop], details=True, stream=True, return_full_text=False
        )
        last = list(stream)[-1]
        self.assertEqual(last.details.finish_reason, "stop_sequence")
        self.assertEqual(last.generated_text, answer.generated_text)

    def test_best_of(self):
        answer = self.client().text_generation("the cat", max_new_tokens=6, best_of=4, do_sample=True, details=True)
        others = answer.details.best_of_sequences

        def mean(details):
            return sum(token.logprob for token in details.tokens) / len(details.tokens)

        self.assertEqual(len(others), 3)
        self.assertTrue(all(mean(answer.details) >= mean(other) for other in others))
        self.assertEqual(len({other.seed for other in others} | {answer.details.seed}), 4)

    def test_typical_p(self):
        texts = {self.generate(max_new_tokens=8, typical_p=0.5, seed=seed) for seed in range(4)}
        self.assertGreater(len(texts), 1)

    def test_chat(self):
        client = InferenceClient(base_url=self.url, timeout=30)
        fields = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "temperature": 0, "logprobs": True}
        whole = client.chat_completion(model="stand-in", top_logprobs=2, **fields).choices[0]
        chunks = list(client.chat_completion(model="stand-in", stream=True, top_logprobs=2, **fields))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), whole.message.content)
        self.assertEqual(len(whole.logprobs.content), 12)
        with self.assertRaises(errors.BadRequestError):
            client.chat_completion(model="stand-in", response_format={"type": "yaml"}, **fields)

    def test_async(self):
        async def run():
            parameters = {"max_new_tokens": 8, "return_full_text": False}
            async with AsyncInferenceClient(base_url=self.url, timeout=30) as client:
                whole = await client.text_generation("the cat", **parameters)
                stream = await client.text_generation("the cat", stream=True, **parameters)
                self.assertEqual("".join([text async for text in stream]), whole.removesuffix("\ufffd"))
                details = await client.text_generation("the cat", details=True, **parameters)
                self.assertEqual(details.generated_text, whole)
                with self.assertRaises(errors.ValidationError):
                    await client.text_generation("the cat", max_new_tokens=0)

        asyncio.run(run())

    def test_errors_are_the_clients_own(self):
        for parameters in ({"temperature": -1.0}, {"max_new_tokens": 500}, {"best_of": 2}, {"watermark": True}):
            with self.assertRaises(errors.ValidationError):
                self.generate(**parameters)
            client = self.client("")
            with self.assertRaises(errors.ValidationError):
                list(client.text_generation("the cat", stream=True, **parameters))


class Manual(WithServer):
    """As TGI's manual calls a server."""

    def test_a_stream_by_hand(self):
        body = {"inputs": "What is deep learning?", "parameters": {"max_new_tokens": 5}}
        status, text, headers = self.post("/generate_stream", body)
        self.assertEqual((status, headers["x-accel-buffering"]), (200, "no"))
        self.assertTrue(headers["content-type"].startswith("text/event-stream"))
        events = text.strip().split("\n\n")
        self.assertTrue(all(event.startswith("data:{") for event in events), text)
        parsed = [json.loads(event[len("data:") :]) for event in events]
        text = parsed[-1]["generated_text"]
        self.assertEqual("".join(e["token"]["text"] for e in parsed), text.removesuffix("\ufffd"))

    def test_times_are_headers(self):
        status, text, headers = self.post("/generate", {"inputs": "a cat", "parameters": {"max_new_tokens": 5}})
        self.assertEqual((status, list(json.loads(text))), (200, ["generated_text"]))
        self.assertEqual(headers["x-compute-type"], "cpu")
        self.assertEqual((headers["x-compute-characters"], headers["x-generated-tokens"]), ("5", "5"))
        total = int(headers["x-total-time"])
        parts = [int(headers[f"x-{name}-time"]) for name in ("validation", "queue", "inference")]
        self.assertLessEqual(sum(parts), total + 1)
        self.assertAlmostEqual(float(headers["x-compute-time"]) * 1000, total, delta=1.5)
        self.assertLessEqual(int(headers["x-time-per-token"]), total)
        self.assertGreater(int(headers["x-prompt-tokens"]), 0)

    def test_openai(self):
        client = openai.OpenAI(base_url=self.url + "/v1", api_key="-")
        messages = [{"role": "user", "content": "What is deep learning?"}]
        chunks = client.chat.completions.create(model="stand-in", messages=messages, stream=True, max_tokens=8)
        self.assertTrue("".join(c.choices[0].delta.content or "" for c in chunks))

    def test_tokens_have_their_place(self):
        inputs = "the caté 😀"
        tokens = json.loads(self.post("/tokenize", {"inputs": inputs})[1])
        self.assertEqual(set(tokens[0]), {"id", "text", "start", "stop"})
        for token in tokens:
            self.assertEqual(token["text"], inputs.encode()[token["start"] : token["stop"]].decode())
        self.assertEqual(max(token["stop"] for token in tokens), len(inputs.encode()))
        ids = json.loads(self.post("/tokenize", {"prompt": inputs})[1])["tokens"]
        self.assertEqual([token["id"] for token in tokens], ids)

    def test_a_chats_tokens(self):
        chat = {"messages": [{"role": "user", "content": "hi"}]}
        answer = json.loads(self.post("/chat_tokenize", chat)[1])
        self.assertIn("hi", answer["templated_text"])
        ids = json.loads(self.post("/tokenize", chat)[1])["tokens"]
        self.assertEqual([token["id"] for token in answer["tokenize_response"]], ids)

    def test_info_and_health(self):
        info = json.loads(self.server.request("GET", "/info")[1])
        self.assertEqual((info["max_total_tokens"], info["max_input_tokens"]), (256, 255))
        self.assertEqual((info["router"], info["max_stop_sequences"]), ("polymath", 64))
        for path in ("/health", "/ping", "/"):
            self.assertEqual(self.server.request("GET", path)[0], 200)

    def test_clouds(self):
        parameters = {"max_new_tokens": 4, "do_sample": False, "return_full_text": False}
        body = {"inputs": "the cat", "parameters": parameters}
        text = json.loads(self.post("/generate", body)[1])["generated_text"]
        self.assertEqual(json.loads(self.post("/invocations", body)[1]), [{"generated_text": text}])
        self.assertTrue(self.post("/invocations", body | {"stream": True})[1].startswith("data:{"))
        chat = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0}
        answer = json.loads(self.post("/v1/chat/completions", chat)[1])["choices"][0]["message"]["content"]
        predictions = json.loads(self.post("/vertex", {"instances": [body, chat, body]})[1])["predictions"]
        self.assertEqual(predictions, [text, answer, text])
        status, refused, _ = self.post("/vertex", {"instances": [body, {"inputs": ""}]})
        self.assertEqual((status, json.loads(refused)["error_type"]), (422, "validation"))


class Bounds(WithServer):
    """TGI's own bounds, by the flags that `polymath tgi` sets."""

    flags = ("--max-best-of", "2", "--max-top-n-tokens", "5", "--max-stop-strings", "4", "--max-client-batch-size", "4",
             "--max-input-tokens", "20", "--max-request-body-bytes", "4Ki")  # fmt: skip

    def test_beyond_them(self):
        for parameters in (
            {"best_of": 3, "do_sample": True},
            {"top_n_tokens": 6},
            {"stop": list("abcde")},
        ):
            status, text, _ = self.post("/generate", {"inputs": "a", "parameters": parameters})
            self.assertEqual((status, json.loads(text)["error_type"]), (422, "validation"), text)
        for path, body in (
            ("/generate", {"inputs": "the cat " * 20}),
            ("/vertex", {"instances": [{"inputs": "a"}] * 5}),
        ):
            self.assertEqual(self.post(path, body)[0], 422)
        self.assertEqual(self.post("/v1/completions", {"prompt": ["a"] * 5})[0], 400)
        self.assertEqual(self.post("/v1/completions", {"prompt": [5] * 21})[0], 400)
        self.assertEqual(self.post("/generate", {"inputs": "a" * 5000})[0], 413)
        info = json.loads(self.server.request("GET", "/info")[1])
        self.assertEqual((info["max_best_of"], info["max_stop_sequences"], info["max_client_batch_size"]), (2, 4, 4))
        self.assertEqual(info["max_input_tokens"], 20)


if __name__ == "__main__":
    unittest.main()
