#!/usr/bin/env python3
"""Writes tests/conformance/data/assistant_masks.json: which tokens of chats transformers finds to be the assistant's.

    pip install transformers==5.24.0 && tools/make_mask_cases.py
"""

import json
from pathlib import Path

import transformers

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests/conformance/data"
KINDS = ["deepseek-v3", "gpt-oss", "gpt2", "llama3", "mixtral", "qwen2", "unigram"]
TEMPLATES = [
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
    "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %} {{ m.content }} {% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %} {% endfor %}",
    "{%- for m in messages %}[{{ m.role[0] }}]{%- generation -%} {{- m.content | trim }}</s>\n{%- endgeneration -%}{%- endfor %}",
    "{% macro say(m) %}{% generation %}{{ m.content }}{% endgeneration %}!{% endmacro %}"
    "{% for m in messages %}{{ m.role }} {{ say(m) if m.role == 'assistant' else m.content }}\n{% endfor %}",
    "{% generation %}{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %} {% endfor %}{% endgeneration %}x",
    "{% for m in messages %}{{ m.content }}{% endfor %}",
]
CHATS = [
    [("user", "hi é"), ("assistant", "well 日本 😀"), ("user", "so  it is"), ("assistant", " x\n\n y ")],
    [("assistant", "The quick brown fox 😀😀"), ("assistant", "한국어 텍스트"), ("user", "한")],
]


def main():
    entries = []
    for kind in KINDS:
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(DATA / "tokenizers" / kind / "tokenizer.json"))
        for template in TEMPLATES:
            for chat in CHATS:
                messages = [{"role": role, "content": content} for role, content in chat]
                asked = {"return_dict": True, "return_assistant_tokens_mask": True}
                answer = tokenizer.apply_chat_template(messages, chat_template=template, **asked)
                facts = {"ids": answer["input_ids"], "mask": answer["assistant_masks"]}
                entries.append({"tokenizer": kind, "template": template, "messages": messages, **facts})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) for entry in entries)
    (DATA / "assistant_masks.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
