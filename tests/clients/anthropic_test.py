"""Anthropic's SDK: messages, streams, tools, token counts, errors."""

import unittest

import anthropic
from serving import DEMO, Server

MODEL = "demo"
QUESTION = "What is the weather in Paris on Monday?"
TOOL = {
    "name": "get_weather",
    "description": "Tells the weather of a city on a day.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
        "required": ["city", "day"],
    },
}


class Anthropic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, "--api-key", "secret", model=DEMO)
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.client = anthropic.Anthropic(base_url=cls.url, api_key="secret", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def fields(self, **fields):
        return {
            "model": MODEL,
            "max_tokens": 100,
            "extra_body": {"temperature": 0},  # no argument of the SDK since its version 2
            "messages": [{"role": "user", "content": "Say hello."}],
            **fields,
        }

    def test_a_message(self):
        system = [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}]
        message = self.client.messages.create(**self.fields(system=system))
        self.assertEqual((message.role, message.stop_reason), ("assistant", "end_turn"))
        self.assertTrue(message.content[0].text)
        self.assertGreater(message.usage.input_tokens + message.usage.cache_read_input_tokens, 0)
        cut = self.client.messages.create(**self.fields(max_tokens=1))
        self.assertEqual(cut.stop_reason, "max_tokens")

    def test_a_stop_sequence(self):
        text = self.client.messages.create(**self.fields()).content[0].text
        message = self.client.messages.create(**self.fields(stop_sequences=[text[2:5]]))
        self.assertEqual((message.stop_reason, message.stop_sequence), ("stop_sequence", text[2:5]))

    def test_a_stream_says_the_same(self):
        whole = self.client.messages.create(**self.fields())
        with self.client.messages.stream(**self.fields()) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual((final.stop_reason, final.usage.output_tokens), ("end_turn", whole.usage.output_tokens))

    def test_a_tool(self):
        whole = self.client.messages.create(**self.fields(messages=[{"role": "user", "content": QUESTION}], tools=[TOOL]))
        self.assertEqual(whole.stop_reason, "tool_use")
        (call,) = whole.content
        self.assertEqual((call.name, set(call.input)), ("get_weather", {"city", "day"}))
        fields = self.fields(messages=[{"role": "user", "content": QUESTION}], tools=[TOOL])
        with self.client.messages.stream(**fields) as stream:
            final = stream.get_final_message()
        self.assertEqual(final.content[0].input, call.input)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny."}]}
        messages = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": [block.model_dump() for block in whole.content]},
            {"role": "user", "content": [result]},
        ]
        answer = self.client.messages.create(**self.fields(messages=messages, tools=[TOOL]))
        self.assertEqual(answer.stop_reason, "end_turn")
        self.assertTrue(answer.content[0].text)

    def test_a_forced_tool(self):
        for choice in ({"type": "any", "disable_parallel_tool_use": True}, {"type": "tool", "name": "get_weather"}):
            message = self.client.messages.create(**self.fields(tools=[TOOL], tool_choice=choice))
            self.assertEqual(message.stop_reason, "tool_use")
            self.assertEqual(set(message.content[0].input), {"city", "day"})

    def test_a_form(self):
        form = {"type": "json_schema", "schema": {"enum": ["yes", "no"]}}
        message = self.client.messages.create(**self.fields(output_config={"format": form}))
        self.assertIn(message.content[0].text, ('"yes"', '"no"'))

    def test_counts(self):
        messages = [{"role": "user", "content": "Say hello."}]
        counted = self.client.messages.count_tokens(model=MODEL, messages=messages).input_tokens
        usage = self.client.messages.create(**self.fields(messages=messages)).usage
        self.assertEqual(counted, usage.input_tokens + usage.cache_read_input_tokens)
        more = self.client.messages.count_tokens(model=MODEL, messages=messages, tools=[TOOL]).input_tokens
        self.assertGreater(more, counted)

    def test_errors(self):
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(**self.fields(model="other"))
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.client.messages.create(**self.fields(messages=[{"role": "user", "content": [image]}]))
        self.assertEqual(caught.exception.body["error"]["type"], "invalid_request_error")
        with self.assertRaises(anthropic.AuthenticationError):
            wrong = anthropic.Anthropic(base_url=self.url, api_key="wrong", max_retries=0)
            wrong.messages.create(**self.fields())


if __name__ == "__main__":
    unittest.main()
