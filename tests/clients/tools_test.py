"""Tool calls of the demo model, through the clients that agents are built on."""

import json
import typing
import unittest

import openai
import pydantic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from serving import DEMO, Server

MODEL = "demo"
QUESTION = "What is the weather in Paris on Monday?"


def get_weather(city: str, day: str) -> str:
    """Tells the weather of a city on a day."""
    return f"It is sunny in {city} on {day}."


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
    "required": ["city", "day"],
}
FUNCTION = {"name": "get_weather", "description": get_weather.__doc__, "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}


class Visit(pydantic.BaseModel):
    day: typing.Literal["Monday", "Tuesday"]


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, "--enable-auto-tool-choice", model=DEMO)
        cls.url = f"http://127.0.0.1:{cls.server.port}/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def ask(self, **fields):
        messages = fields.pop("messages", [{"role": "user", "content": QUESTION}])
        return self.client.chat.completions.create(
            model=MODEL, messages=messages, temperature=0, max_tokens=100, **fields
        )

    def check_call(self, function):
        self.assertEqual(function.name, "get_weather")
        self.assertEqual(set(json.loads(function.arguments)), {"city", "day"})

    def test_a_whole_answer(self):
        choice = self.ask(tools=[TOOL]).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertIsNone(choice.message.content)
        self.check_call(choice.message.tool_calls[0].function)
        self.assertTrue(choice.message.tool_calls[0].id)

    def test_a_stream_says_the_same(self):
        whole = self.ask(tools=[TOOL]).choices[0].message.tool_calls[0].function
        name, arguments, ids, reasons, content = "", "", set(), [], ""
        for chunk in self.ask(tools=[TOOL], stream=True):
            for choice in chunk.choices:
                content += choice.delta.content or ""
                reasons.append(choice.finish_reason)
                for call in choice.delta.tool_calls or []:
                    self.assertEqual(call.index, 0)
                    ids.update([call.id] if call.id else [])
                    name += call.function.name or ""
                    arguments += call.function.arguments or ""
        self.assertEqual((name, arguments), (whole.name, whole.arguments))
        self.assertEqual((len(ids), content, reasons[-1]), (1, "", "tool_calls"))

    def test_the_streaming_helper(self):
        with self.client.chat.completions.stream(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}], tools=[TOOL], temperature=0, max_tokens=100
        ) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIn("tool_calls.function.arguments.done", kinds)
        self.check_call(final.choices[0].message.tool_calls[0].function)

    def test_the_answer_of_a_tool_is_used(self):
        call = self.ask(tools=[TOOL]).choices[0].message
        messages = [
            {"role": "user", "content": QUESTION},
            call.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "Sunny, 21 degrees."},
        ]
        choice = self.ask(messages=messages, tools=[TOOL]).choices[0]
        self.assertEqual(choice.finish_reason, "stop")
        self.assertTrue(choice.message.content)

    def test_choices(self):
        none = self.ask(tools=[TOOL], tool_choice="none").choices[0]
        self.assertIsNone(none.message.tool_calls)
        one = self.ask(tools=[TOOL], parallel_tool_calls=False).choices[0]
        self.assertEqual((one.finish_reason, len(one.message.tool_calls)), ("tool_calls", 1))

    def test_the_older_functions(self):
        choice = self.ask(functions=[FUNCTION]).choices[0]
        self.assertEqual(choice.finish_reason, "function_call")
        self.check_call(choice.message.function_call)

    def test_langchain_runs_a_tool(self):
        llm = ChatOpenAI(model=MODEL, temperature=0, max_tokens=100, base_url=self.url, api_key="none")
        llm = llm.bind_tools([get_weather])
        messages = [HumanMessage(QUESTION)]
        messages.append(llm.invoke(messages))
        (call,) = messages[-1].tool_calls
        self.assertEqual((call["name"], set(call["args"])), ("get_weather", {"city", "day"}))
        messages.append(ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]))
        self.assertTrue(llm.invoke(messages).content)
        gathered = None
        for chunk in llm.stream([HumanMessage(QUESTION)]):
            gathered = chunk if gathered is None else gathered + chunk
        self.assertEqual(gathered.tool_calls[0]["args"], call["args"])

    def test_llama_index_finds_the_call(self):
        llm = OpenAILike(
            model=MODEL, api_base=self.url, api_key="none", temperature=0, max_tokens=100,
            is_chat_model=True, is_function_calling_model=True, context_window=2048,
        )  # fmt: skip
        # Its default description begins with the signature, for which the demo model is too small.
        tool = FunctionTool.from_defaults(get_weather, description=get_weather.__doc__)
        answer = llm.chat_with_tools([tool], user_msg=QUESTION)
        (call,) = llm.get_tool_calls_from_response(answer)
        self.assertEqual((call.tool_name, set(call.tool_kwargs)), ("get_weather", {"city", "day"}))


class Responses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, model=DEMO)
        cls.client = openai.OpenAI(base_url=f"http://127.0.0.1:{cls.server.port}/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def ask(self, **fields):
        return self.client.responses.create(model=MODEL, temperature=0, max_output_tokens=100, **fields)

    def test_words_are_stored_and_gone_on_from(self):
        first = self.ask(input="Say hello.", instructions="Be short.")
        self.assertEqual(first.status, "completed")
        self.assertTrue(first.output_text)
        self.assertEqual(self.client.responses.retrieve(first.id).output_text, first.output_text)
        self.assertEqual(len(self.client.responses.input_items.list(first.id).data), 1)
        longer = self.ask(input="And again.", previous_response_id=first.id)
        self.assertGreater(longer.usage.input_tokens, first.usage.output_tokens)
        self.client.responses.delete(first.id)
        with self.assertRaises(openai.NotFoundError):
            self.client.responses.retrieve(first.id)

    def test_nothing_is_stored_unasked(self):
        answer = self.ask(input="Say hello.", store=False)
        with self.assertRaises(openai.NotFoundError):
            self.ask(input="And again.", previous_response_id=answer.id)

    def test_a_stream_says_the_same(self):
        whole = self.ask(input="Say hello.")
        events = list(self.ask(input="Say hello.", stream=True))
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        self.assertEqual(events[0].type, "response.created")
        self.assertEqual(events[-1].type, "response.completed")
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        self.assertEqual("".join(deltas), whole.output_text)
        self.assertEqual(events[-1].response.output_text, whole.output_text)

    def test_a_call_and_its_answer(self):
        tool = {"type": "function", **FUNCTION}
        first = self.ask(input=QUESTION, tools=[tool])
        (call,) = first.output
        self.assertEqual((call.type, call.name), ("function_call", "get_weather"))
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
        by_id = self.ask(input=[output], tools=[tool], previous_response_id=first.id)
        question = {"role": "user", "content": QUESTION}
        by_items = self.ask(input=[question, call.model_dump(), output], tools=[tool])
        self.assertTrue(by_id.output_text)
        self.assertEqual(by_id.output_text, by_items.output_text)
        with self.client.responses.stream(
            model=MODEL, input=QUESTION, tools=[tool], temperature=0, max_output_tokens=100
        ) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_response()
        self.assertIn("response.function_call_arguments.done", kinds)
        self.assertEqual(json.loads(final.output[0].arguments), json.loads(call.arguments))

    def test_a_form_is_parsed(self):
        answer = self.client.responses.parse(
            model=MODEL, input=QUESTION, temperature=0, max_output_tokens=200, text_format=Visit
        )
        self.assertIn(answer.output_parsed.day, ("Monday", "Tuesday"))

    def test_a_forced_call(self):
        answer = self.ask(input="Say hello.", tools=[{"type": "function", **FUNCTION}], tool_choice="required")
        self.assertEqual([item.type for item in answer.output], ["function_call"])
        self.assertEqual(set(json.loads(answer.output[0].arguments)), {"city", "day"})

    def test_what_is_not_built_is_refused_by_name(self):
        for fields in ({"background": True}, {"tools": [{"type": "web_search"}]}, {"top_logprobs": 3}):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.ask(input="Say hello.", **fields)
            self.assertEqual(caught.exception.code, "unsupported_parameter")


if __name__ == "__main__":
    unittest.main()
