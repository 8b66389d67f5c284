"""Structured output of the demo model: whatever it samples keeps to its form.

POLYMATH_SAMPLES changes the samples of each schema.
"""

import json
import os
import re
import unittest

import jsonschema
import openai
import pydantic
from serving import DEMO, Server

MODEL = "demo"
SAMPLES = int(os.environ.get("POLYMATH_SAMPLES", "50"))
CHOICES = 25  # of one request
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER
HI = [{"role": "user", "content": "Tell me about Paris."}]
SHORT = {"type": "string", "maxLength": 12}


def closed(properties, required=None):
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


SCHEMAS = {
    "flat": closed({"name": SHORT, "age": {"type": "integer", "minimum": 0, "maximum": 120}, "ok": {"type": "boolean"}}),
    "optional": closed({"a": {"type": "null"}, "b": {"enum": [1, "x", None]}, "c": {"const": {"k": [1]}}}, ["b"]),
    "numbers": closed({
        "x": {"type": "number", "exclusiveMinimum": -1.5, "maximum": 2},
        "y": {"type": "integer", "multipleOf": 7, "minimum": -50, "maximum": 50},
        "z": {"type": "number", "multipleOf": 0.25, "minimum": 0, "exclusiveMaximum": 3},
    }),
    "strings": closed({
        "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"},
        "some": {"type": "string", "pattern": "a", "minLength": 2, "maxLength": 6},
        "len": {"type": "string", "minLength": 3, "maxLength": 5},
    }),
    "formats": closed({name: {"type": "string", "format": name, "maxLength": 60} for name in
                       ("date", "time", "date-time", "uuid", "ipv4", "ipv6")}),
    "arrays": closed({
        "list": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 2, "maxItems": 4},
        "tuple": {"type": "array", "prefixItems": [{"type": "boolean"}, SHORT], "items": False, "minItems": 1},
    }),
    "branches": {"anyOf": [closed({"kind": {"const": "a"}, "x": SHORT}), {"type": "array", "items": {"type": "null"},
                                                                          "maxItems": 3}]},
    "one_of": {"oneOf": [closed({"kind": {"const": "a"}, "x": SHORT}), closed({"kind": {"const": "b"}})]},
    "all_of": {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                         {"properties": {"a": {"minimum": 3, "maximum": 5}}}], "type": "object", "maxProperties": 1},
    "recursive": {"$ref": "#/$defs/node", "$defs": {"node": closed({"v": {"enum": [0, 1]}, "next": {
        "anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}})}},
    "patterns": {"type": "object", "patternProperties": {"^x_": {"type": "integer", "maximum": 5, "minimum": 0}},
                 "propertyNames": {"maxLength": 4}, "additionalProperties": SHORT, "minProperties": 1, "maxProperties": 3},
}  # fmt: skip


class Structured(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, model=DEMO)
        cls.client = openai.OpenAI(base_url=f"http://127.0.0.1:{cls.server.port}/v1", api_key="none", max_retries=0,
                                   timeout=120)  # fmt: skip

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def chat(self, **fields):
        fields = {"max_tokens": 400, "temperature": 1.5, "seed": 1, **fields}
        return self.client.chat.completions.create(model=MODEL, messages=HI, **fields)

    def samples(self, n, **fields):
        """Texts of choices that ended by themselves."""
        texts = []
        for seed in range(0, n, CHOICES):
            answer = self.chat(n=min(CHOICES, n - seed), seed=seed, **fields)
            texts += [c.message.content for c in answer.choices if c.finish_reason == "stop"]
        return texts

    def test_schemas(self):
        for name, schema in SCHEMAS.items():
            validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
            form = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
            texts = self.samples(SAMPLES, response_format=form)
            self.assertGreater(len(texts), SAMPLES // 2, name)
            for text in texts:
                with self.subTest(schema=name, text=text):
                    validator.validate(json.loads(text))

    def test_json_object(self):
        texts = self.samples(CHOICES, response_format={"type": "json_object"}, temperature=1)
        self.assertTrue(texts)
        for text in texts:
            self.assertIsInstance(json.loads(text), dict)

    def test_other_forms(self):
        rows = (
            ({"regex": "[a-z]{3,5}-(\\d{2})?"}, lambda t: re.fullmatch("[a-z]{3,5}-(\\d{2})?", t)),
            ({"choice": ["yes", "no", "perhaps"]}, lambda t: t in ("yes", "no", "perhaps")),
            ({"grammar": 'root ::= "(" root ")" | [0-9]{1,3}'}, lambda t: t.strip("()").isdigit()),
        )
        for form, holds in rows:
            for text in self.samples(CHOICES, extra_body={"structured_outputs": form}):
                self.assertTrue(holds(text), (form, text))
            key, value = next(iter(form.items()))
            for text in self.samples(5, extra_body={f"guided_{key}": value}):
                self.assertTrue(holds(text), (form, text))

    def test_a_stream_equals_the_whole(self):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMAS["flat"]}}
        whole = self.chat(response_format=form).choices[0].message.content
        chunks = self.chat(response_format=form, stream=True)
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), whole)

    def test_parse(self):
        class Place(pydantic.BaseModel):
            name: str = pydantic.Field(max_length=20)
            people: int
            tags: list[str] = pydantic.Field(max_length=2)

        answer = self.client.chat.completions.parse(model=MODEL, messages=HI, response_format=Place, max_tokens=900,
                                                    temperature=0)  # fmt: skip
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(answer.choices[0].message.parsed, Place)

    def test_completions(self):
        answer = self.client.completions.create(model=MODEL, prompt=["One:", "Two:"], max_tokens=50,
                                                extra_body={"guided_json": {"enum": ["a", 12, None]}})  # fmt: skip
        for choice in answer.choices:
            self.assertIn(json.loads(choice.text), ["a", 12, None])


class UnderPressure(unittest.TestCase):
    """Drafts, preemption and cached prefixes change no answer's form, and no greedy answer."""

    SCHEMA = {"type": "object", "properties": {"text": {"type": "string", "minLength": 200, "maxLength": 240}},
              "required": ["text"], "additionalProperties": False}  # fmt: skip
    SPECULATION = '{"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3}'

    def answers(self, *flags):
        """A greedy one, eight others, and how often a sequence was preempted and a draft accepted."""
        server = Server("--served-model-name", MODEL, *flags, model=DEMO)
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, timeout=120)
        fields = {"model": MODEL, "messages": HI, "max_tokens": 300, "seed": 1}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": self.SCHEMA}}
        try:
            one, many = (
                [c.message.content for c in client.chat.completions.create(
                    **fields, response_format=form, n=n, temperature=temperature).choices]
                for n, temperature in ((1, 0), (8, 0.8))
            )  # fmt: skip
            counts = [server.metric(name) for name in
                      ("vllm:num_preemptions_total", "vllm:spec_decode_num_accepted_tokens_total")]  # fmt: skip
        finally:
            client.close()
            server.stop()
        for text in one + many:
            jsonschema.validate(json.loads(text), self.SCHEMA)
        return one, counts

    def test_answers(self):
        plain = self.answers()[0]
        drafted, counts = self.answers("--speculative-config", self.SPECULATION)
        self.assertEqual(drafted, plain)
        self.assertGreater(counts[1], 0)
        preempted, counts = self.answers("--num-gpu-blocks-override", "24")
        self.assertEqual(preempted, plain)
        self.assertGreater(counts[0], 0)


if __name__ == "__main__":
    unittest.main()
