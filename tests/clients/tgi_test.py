"""huggingface_hub's InferenceClient against TGI's API and OpenAI's: the answers' shape, and errors as its exceptions."""

import unittest

import huggingface_hub.errors as errors
from huggingface_hub import InferenceClient
from serving import Server


class Generate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", "stand-in", "--max-model-len", "256")
        cls.url = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def generate(self, **parameters):
        """Once through POST / and once through POST /generate: the same answer."""
        answers = [
            InferenceClient(base_url=self.url + path, timeout=30).text_generation("the cat", **parameters)
            for path in ("", "/generate")
        ]
        self.assertEqual(answers[0], answers[1])
        return answers[0]

    def test_text(self):
        text = self.generate(max_new_tokens=8)
        self.assertIsInstance(text, str)
        self.assertTrue(text)
        self.assertEqual(self.generate(max_new_tokens=8, return_full_text=True), "the cat" + text)

    def test_details(self):
        answer = self.generate(max_new_tokens=4, details=True, decoder_input_details=True, seed=3, temperature=0.9)
        self.assertEqual(answer.details.finish_reason, "length")
        self.assertEqual(answer.details.generated_tokens, 4)
        self.assertEqual(answer.details.seed, 3)
        self.assertEqual(len(answer.details.tokens), 4)
        self.assertTrue(all(token.logprob <= 0 for token in answer.details.tokens))
        self.assertIsNone(answer.details.prefill[0].logprob)

    def test_a_stop_sequence_ends_the_answer(self):
        whole = self.generate(max_new_tokens=40)
        stop = whole[len(whole) // 2]
        answer = self.generate(max_new_tokens=40, stop=[stop], details=True)
        self.assertEqual(answer.details.finish_reason, "stop_sequence")
        self.assertTrue(answer.generated_text.endswith(stop))
        self.assertTrue(whole.startswith(answer.generated_text))

    def test_chat(self):
        client = InferenceClient(base_url=self.url, timeout=30)
        fields = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "temperature": 0, "logprobs": True}
        whole = client.chat_completion(model="stand-in", top_logprobs=2, **fields).choices[0]
        chunks = list(client.chat_completion(model="stand-in", stream=True, top_logprobs=2, **fields))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), whole.message.content)
        self.assertEqual(len(whole.logprobs.content), 12)
        with self.assertRaises(errors.BadRequestError):
            client.chat_completion(model="stand-in", response_format={"type": "json_object"}, **fields)

    def test_errors_are_the_clients_own(self):
        for parameters in ({"temperature": -1.0}, {"max_new_tokens": 500}, {"best_of": 2, "do_sample": True}):
            with self.assertRaises(errors.ValidationError):
                self.generate(**parameters)


if __name__ == "__main__":
    unittest.main()
