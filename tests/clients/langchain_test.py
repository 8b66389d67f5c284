"""langchain-openai: chats, streams, batches, log-probabilities, and what it must get where a feature is not built."""

import unittest

import openai
from langchain_openai import ChatOpenAI, OpenAI
from serving import DEMO, Server

MODEL = "demo"
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}


class LangChain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, model=DEMO)
        cls.common = {"base_url": f"http://127.0.0.1:{cls.server.port}/v1", "api_key": "none", "max_retries": 0}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def chat(self, **fields):
        return ChatOpenAI(model=MODEL, temperature=0, max_tokens=12, **{**self.common, **fields})

    def test_answer_stream_and_batch_agree(self):
        whole = self.chat().invoke("Say hello.")
        self.assertTrue(whole.content)
        self.assertEqual(whole.usage_metadata["total_tokens"], sum(
            whole.usage_metadata[name] for name in ("input_tokens", "output_tokens")
        ))  # fmt: skip
        self.assertEqual("".join(chunk.content for chunk in self.chat().stream("Say hello.")), whole.content)
        self.assertEqual([m.content for m in self.chat().batch(["Say hello."] * 3)], [whole.content] * 3)

    def test_logprobs(self):
        answer = self.chat(logprobs=True, top_logprobs=2).invoke("Say hello.")
        content = answer.response_metadata["logprobs"]["content"]
        shown = [t for t in content if not t["token"].startswith("<|")]
        self.assertEqual(b"".join(bytes(t["bytes"]) for t in shown).decode(), answer.content)

    def test_tools_are_taken_and_forms_refused(self):
        self.assertIsNotNone(self.chat().bind_tools([TOOL]).invoke("Say hello.").content)
        schema = {"title": "x", "type": "object", "properties": {"a": {"not": {}}}}
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat().with_structured_output(schema, method="json_schema").invoke("Say hello.")
        self.assertEqual(caught.exception.code, "unsupported_parameter")

    def test_completions(self):
        llm = OpenAI(model=MODEL, temperature=0, max_tokens=8, **self.common)
        text = llm.invoke("The cat")
        self.assertTrue(text)
        self.assertEqual("".join(llm.stream("The cat")), text)


if __name__ == "__main__":
    unittest.main()
