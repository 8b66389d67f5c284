"""Greedy text of a model out of a GGUF file equals that of the directory it was made from.

    gguf_served.py BINARY DATA_DIRECTORY

`polymath run` answers from the checkpoint's directory with the tokenizer beside the GGUF files, and from the F16 file
alone; the Q8_0 file answers by `run`, `bench offline` and `inspect` as well.
"""

import json
import pathlib
import subprocess
import sys

PROMPTS = ["Hello", "the experts", "12 + 34 ="]


def run(binary, *arguments):
    result = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.stderr}")
    return result.stdout


def answer(binary, prompt, *model):
    flags = ["--dtype", "float32", "--device", "cpu", "--temperature", "0", "--max-tokens", "24", "--prompt", prompt]
    return run(binary, "run", *model, *flags)


def main():
    binary, data = sys.argv[1], pathlib.Path(sys.argv[2])
    template = ["--chat-template", "{% for m in messages %}{{ m.content }}{% endfor %}"]
    directory = [data / "models/qwen2-moe", "--tokenizer", data / "gguf", *template]
    for prompt in PROMPTS:
        expected = answer(binary, prompt, *directory)
        got = answer(binary, prompt, data / "gguf/qwen2-moe-f16.gguf", *template)
        assert expected.strip() and got == expected, f"{prompt!r}: {got!r} is not {expected!r}"
    packed = data / "gguf/qwen2-moe-q8_0.gguf"
    assert answer(binary, PROMPTS[0], packed, *template).strip()
    facts = json.loads(run(binary, "inspect", packed, "--json", "--device", "cpu"))
    assert facts["architecture"] == "Qwen2MoeForCausalLM" and facts["tokenizer"] == "320 entries", facts
    assert facts["chat_template"] == "yes" and facts["checkpoint"]["bytes_by_type"]["q8_0"] > 0, facts
    plain = json.loads(run(binary, "inspect", data / "gguf/qwen2-moe-f16.gguf", "--json", "--device", "cpu"))
    assert facts["weight_bytes_in_memory"] < plain["weight_bytes_in_memory"], (facts, plain)
    bench = run(binary, "bench", "offline", packed, "--device", "cpu", "--input-len", "16", "--output-len", "4")
    assert "decode of 1 sequence" in bench, bench
    print(f"{len(PROMPTS)} prompts agree")


if __name__ == "__main__":
    main()
