"""The demo models' chat format: what a conversation is as text. The template is the one that ships with the models."""

import json
import pathlib

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE_FILE = pathlib.Path(__file__).parent / "chat_template.jinja"

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
TOOL_TOKENS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
THINK_TOKENS = ["<think>", "</think>"]  # set aside: no domain uses them yet
SPECIAL_TOKENS = [END_OF_TEXT, TURN_START, TURN_END, *TOOL_TOKENS, *THINK_TOKENS]  # ids 0, 1, 2, ...


def _compiled():
    # The settings under which Hugging Face's libraries render chat templates.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE_FILE.read_text())


_TEMPLATE = _compiled()


def render(messages, tools=None, add_generation_prompt=False):
    """The text that the model sees."""
    return _TEMPLATE.render(messages=messages, tools=tools, add_generation_prompt=add_generation_prompt)
