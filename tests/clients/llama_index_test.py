"""LlamaIndex's OpenAILike: chats and completions, whole and streamed."""

import unittest

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from serving import DEMO, Server

MODEL = "demo"
HELLO = [ChatMessage(role="user", content="Say hello.")]


class LlamaIndex(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, model=DEMO)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def llm(self, **fields):
        fields = {"is_chat_model": True, "context_window": 1024, "max_tokens": 12, "temperature": 0, **fields}
        base = f"http://127.0.0.1:{self.server.port}/v1"
        return OpenAILike(model=MODEL, api_base=base, api_key="none", max_retries=0, **fields)

    def test_chat(self):
        whole = self.llm().chat(HELLO).message.content
        self.assertTrue(whole)
        chunks = list(self.llm().stream_chat(HELLO))
        self.assertEqual("".join(chunk.delta or "" for chunk in chunks), whole)

    def test_completion(self):
        llm = self.llm(is_chat_model=False)
        whole = llm.complete("The cat").text
        self.assertTrue(whole)
        self.assertEqual("".join(chunk.delta or "" for chunk in llm.stream_complete("The cat")), whole)


if __name__ == "__main__":
    unittest.main()
