"""Forced tool calls of the demo model, in its own format and in others: whatever it samples keeps to the schemas."""

import json
import unittest

import jsonschema
import openai
import pydantic
from langchain_openai import ChatOpenAI
from serving import DEMO, Server

MODEL = "demo"
CHOICES = 10
HI = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "object",
    "required": ["city", "days"],
    "additionalProperties": False,
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 5},
        "unit": {"type": "string", "enum": ["c", "f"]},
        "at": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 2},
    },
}
SHORT = {"type": "string", "maxLength": 12}
PING = {"type": "object", "properties": {}, "additionalProperties": False}
SCHEMAS = {"get_weather": WEATHER, "ping": PING}
TOOLS = [{"type": "function", "function": {"name": n, "description": n, "parameters": s}} for n, s in SCHEMAS.items()]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
FORMATS = ("mistral", "llama3_json", "deepseek_v31", "kimi_k2", "qwen3_coder", "glm45", "minimax_m2", "openai")


class Calls(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, *cls.flags, model=DEMO)
        cls.client = openai.OpenAI(base_url=f"http://127.0.0.1:{cls.server.port}/v1", api_key="none", max_retries=0,
                                   timeout=120)  # fmt: skip

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def chat(self, **fields):
        fields = {"max_tokens": 300, "temperature": 1, "seed": 3, "tools": TOOLS, **fields}
        return self.client.chat.completions.create(model=MODEL, messages=HI, **fields)

    def check(self, choice, most):
        """False: it was cut off."""
        if choice.finish_reason == "length":
            return False
        self.assertEqual(choice.finish_reason, "tool_calls")
        calls = choice.message.tool_calls
        self.assertTrue(1 <= len(calls) <= most, calls)
        self.assertFalse(choice.message.content)
        for call in calls:
            jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
        return True

    def check_some(self, **fields):
        answer = self.chat(tool_choice="required", n=CHOICES, **fields)
        whole = [self.check(choice, 99) for choice in answer.choices]
        self.assertGreater(sum(whole), CHOICES // 2)


class Forced(Calls):
    def test_required(self):
        for parallel, most in ((True, 99), (False, 1)):
            answer = self.chat(tool_choice="required", parallel_tool_calls=parallel, n=CHOICES)
            whole = [self.check(choice, most) for choice in answer.choices]
            self.assertGreater(sum(whole), CHOICES // 2)

    def test_named(self):
        answer = self.chat(tool_choice=NAMED, n=CHOICES)
        for choice in answer.choices:
            if self.check(choice, 99):
                self.assertEqual({call.function.name for call in choice.message.tool_calls}, {"get_weather"})

    def test_a_stream_equals_the_whole(self):
        fields = {"tool_choice": "required", "parallel_tool_calls": False, "temperature": 0}
        whole = self.chat(**fields).choices[0].message.tool_calls[0].function
        name, arguments, ids = "", "", set()
        for chunk in self.chat(stream=True, **fields):
            for call in chunk.choices[0].delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
                ids |= {call.id} - {None}
        self.assertEqual((name, arguments), (whole.name, whole.arguments))
        self.assertEqual(len(ids), 1)

    def test_parse(self):
        class Weather(pydantic.BaseModel):
            city: str
            days: int

        tool = openai.pydantic_function_tool(Weather)
        for choice in ("required", "auto"):
            try:
                answer = self.client.chat.completions.parse(model=MODEL, messages=HI, tools=[tool], tool_choice=choice,
                                                            max_tokens=300, temperature=0)  # fmt: skip
            except openai.LengthFinishReasonError:
                continue
            calls = answer.choices[0].message.tool_calls or []
            if choice == "required":
                self.assertTrue(calls)
            for call in calls:
                self.assertIsInstance(call.function.parsed_arguments, Weather)

    def test_calls_or_a_form(self):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["yes", "no"]}}}
        answer = self.chat(response_format=form, n=CHOICES)
        for choice in answer.choices:
            if choice.finish_reason == "stop":
                self.assertIn(choice.message.content, ('"yes"', '"no"'))
            elif choice.finish_reason == "tool_calls":
                self.assertFalse(choice.message.content)

    def test_langchain(self):
        schema = {**WEATHER, "title": "get_weather", "properties": {**WEATHER["properties"], "city": SHORT}}
        llm = ChatOpenAI(model=MODEL, base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key="none",
                         temperature=0, max_tokens=300)  # fmt: skip
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]
        for choice in ("any", "get_weather"):
            calls = llm.bind_tools(tools, tool_choice=choice, parallel_tool_calls=False).invoke("Weather?").tool_calls
            jsonschema.validate(calls[0]["args"], schema)
        for method in ("function_calling", "json_schema"):
            jsonschema.validate(llm.with_structured_output(schema, method=method).invoke("Weather?"), schema)

    def test_older_functions(self):
        functions = [tool["function"] for tool in TOOLS]
        answer = self.client.chat.completions.create(model=MODEL, messages=HI, functions=functions, max_tokens=50,
                                                     function_call={"name": "ping"})  # fmt: skip
        self.assertEqual(answer.choices[0].message.function_call.name, "ping")

    def test_refusals(self):
        bad = {"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}
        rows = (
            {"tool_choice": {"type": "function", "function": {"name": "other"}}},
            {"tool_choice": "required", "tools": None},
            {"tool_choice": "required", "tools": [bad]},
            {"tool_choice": "sometimes"},
        )
        for row in rows:
            with self.assertRaises(openai.BadRequestError, msg=row):
                self.chat(**row)


class OtherFormats(unittest.TestCase):
    """The demo model has not learnt them, and would not end a free string between tags."""

    def test_each(self):
        city = {"type": "string", "enum": ["Paris", "Rome"]}
        schema = {**WEATHER, "properties": {**WEATHER["properties"], "city": city}}
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}, TOOLS[1]]
        for name in FORMATS:
            with self.subTest(format=name):
                case = type(name, (Calls,), {"flags": ("--tool-call-parser", name)})
                case.setUpClass()
                try:
                    case().check_some(tools=tools, parallel_tool_calls=False)
                finally:
                    case.tearDownClass()


if __name__ == "__main__":
    unittest.main()
