"""thinking_token_budget and Anthropic's thinking.budget_tokens: the demo model's reasoning ends where they say.

The demo model does not reason; under deepseek_r1's format its answers begin within a reasoning all the same.
"""

import json
import unittest

import anthropic
import jsonschema
import openai
from serving import DEMO, Server

MODEL = "demo"
END = 8  # the id of </think>
HI = [{"role": "user", "content": "Tell me about Paris."}]
FLAGS = ("--served-model-name", MODEL, "--reasoning-parser", "deepseek_r1")
SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


class WithServer(unittest.TestCase):
    flags = FLAGS

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags, model=DEMO)
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.client = openai.OpenAI(base_url=f"{cls.url}/v1", api_key="none", max_retries=0, timeout=120)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def chat(self, budget, **fields):
        extra = {"return_token_ids": True, "ignore_eos": True, "thinking_token_budget": budget}
        fields = {"max_tokens": 30, "temperature": 0, "messages": HI, "extra_body": extra, **fields}
        return self.client.chat.completions.create(model=MODEL, **fields)


class Budgets(WithServer):
    def test_the_end_comes_behind_so_many_tokens(self):
        free = self.chat(-1).choices[0]
        self.assertNotIn(END, free.token_ids)
        self.assertFalse(free.message.content)
        for budget in (0, 1, 5):
            answer = self.chat(budget)
            (choice,) = answer.choices
            # Characters are whole, so the answer is cut where the free one was.
            self.assertEqual(choice.token_ids[: budget + 1], [*free.token_ids[:budget], END])
            self.assertEqual(answer.usage.completion_tokens_details.reasoning_tokens, budget + 1)
            self.assertEqual(bool(getattr(choice.message, "reasoning", None)), budget > 0)
            self.assertTrue(choice.message.content)
            self.assertNotIn("think>", choice.message.content)

    def test_each_choice_has_its_own(self):
        choices = self.chat(4, n=5, temperature=1.5, seed=3).choices
        self.assertGreater(len({tuple(c.token_ids) for c in choices}), 1)
        for choice in choices:
            self.assertIn(END, choice.token_ids[:8])

    def test_a_stream_says_the_same(self):
        whole = self.chat(5).choices[0].message
        reasoning, content = "", ""
        for chunk in self.chat(5, stream=True):
            for choice in chunk.choices:
                reasoning += getattr(choice.delta, "reasoning", None) or ""
                content += choice.delta.content or ""
        self.assertEqual((reasoning, content), (whole.reasoning, whole.content))

    def test_a_cached_prefix_changes_nothing(self):
        messages = [{"role": "user", "content": "Tell me about Paris, please. " * 8}]
        first, second = (self.chat(5, messages=messages) for _ in range(2))
        self.assertGreater(second.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertEqual(first.choices[0].token_ids, second.choices[0].token_ids)

    def test_a_form_follows(self):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        extra = {"thinking_token_budget": 3}
        for seed in range(5):
            answer = self.chat(3, response_format=form, extra_body=extra, temperature=1, seed=seed, max_tokens=100)
            self.assertEqual(answer.choices[0].finish_reason, "stop")
            jsonschema.validate(json.loads(answer.choices[0].message.content), SCHEMA)
            self.assertLessEqual(answer.usage.completion_tokens_details.reasoning_tokens, 7)

    def test_a_forced_call_follows(self):
        extra = {"thinking_token_budget": 3}
        choice = self.chat(3, tools=[TOOL], tool_choice="required", extra_body=extra, max_tokens=100).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        jsonschema.validate(json.loads(choice.message.tool_calls[0].function.arguments), SCHEMA)

    def test_responses(self):
        answer = self.client.responses.create(
            model=MODEL, input="Hi.", temperature=0, max_output_tokens=30, extra_body={"thinking_token_budget": 2}
        )
        self.assertEqual([item.type for item in answer.output], ["reasoning", "message"])
        self.assertEqual(answer.usage.output_tokens_details.reasoning_tokens, 3)

    def test_messages(self):
        client = anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)
        fields = {"model": MODEL, "max_tokens": 30, "messages": HI, "extra_body": {"temperature": 0}}
        message = client.messages.create(**fields, thinking={"type": "enabled", "budget_tokens": 2})
        self.assertEqual([block.type for block in message.content], ["thinking", "text"])
        self.assertEqual(message.usage.output_tokens_details.thinking_tokens, 3)
        with self.assertRaises(anthropic.BadRequestError) as caught:
            client.messages.create(**fields, thinking={"type": "enabled", "budget_tokens": -1})
        self.assertIn("thinking.budget_tokens", str(caught.exception))

    def test_what_is_refused(self):
        for budget in (-2, 1.5, "x", 1 << 40):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(budget)
            self.assertEqual(caught.exception.param, "thinking_token_budget")
        with self.assertRaises(openai.BadRequestError):
            self.chat(3, extra_body={"thinking_token_budget": 3, "allowed_token_ids": [100]})


class WithoutReasoning(WithServer):
    flags = ("--served-model-name", MODEL)

    def test_a_budget_is_refused_and_anthropics_ignored(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(5)
        self.assertIn("--reasoning-parser", str(caught.exception))
        client = anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0)
        message = client.messages.create(
            model=MODEL, max_tokens=30, messages=HI, thinking={"type": "enabled", "budget_tokens": 2}
        )
        self.assertEqual([block.type for block in message.content], ["text"])


class UnderPressure(unittest.TestCase):
    """Drafts and preemption change no greedy answer."""

    SPECULATION = '{"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3}'

    def answers(self, *flags):
        """A greedy one, and how often a sequence was preempted and a draft accepted."""
        server = Server(*FLAGS, *flags, model=DEMO)
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, timeout=120)
        extra = {"return_token_ids": True, "ignore_eos": True, "thinking_token_budget": 150}
        fields = {"model": MODEL, "messages": HI, "max_tokens": 300, "seed": 1, "extra_body": extra}
        try:
            (one,), many = (
                [choice.token_ids for choice in client.chat.completions.create(**fields, n=n, temperature=t).choices]
                for n, t in ((1, 0), (8, 0.8))
            )
            counts = [server.metric(name) for name in
                      ("vllm:num_preemptions_total", "vllm:spec_decode_num_accepted_tokens_total")]  # fmt: skip
        finally:
            client.close()
            server.stop()
        for ids in [one, *many]:
            self.assertIn(END, ids[:154])
        return one, counts

    def test_answers(self):
        plain = self.answers()[0]
        self.assertEqual(plain[150], END)
        drafted, counts = self.answers("--speculative-config", self.SPECULATION)
        self.assertEqual(drafted, plain)
        self.assertGreater(counts[1], 0)
        preempted, counts = self.answers("--num-gpu-blocks-override", "24")
        self.assertEqual(preempted, plain)
        self.assertGreater(counts[0], 0)


if __name__ == "__main__":
    unittest.main()
