#!/usr/bin/env python3
"""Writes a small, complete Mixtral-style checkpoint with random weights into a directory.

    tools/make_checkpoint.py build/my-model

It has everything that a published model has (config, generation config, bf16 weights, tokenizer, chat template), so
the whole server can be started, tested and measured with it; what it answers is nonsense. The same options give the
same bytes. Needs the standard library only.
"""

import argparse
import array
import json
import math
import pathlib
import random
import re
import struct
import sys

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 0, 1, 2
VOCAB_SIZE = 512  # the special tokens, 256 bytes, and as many merges as are left

CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' %}
{%- generation %}
{{- message['content'] + '<|im_end|>' }}
{%- endgeneration %}
{%- else %}
{{- message['content'] + '<|im_end|>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# What the merges are learned from: enough to make common words of a chat one or two tokens.
TRAINING_TEXT = """
You are a helpful assistant. The user asks a question and the assistant answers it in a few sentences.
Hello! How are you today? I am fine, thank you. What can I do for you? Please tell me more about that.
A mixture of experts is a network in which a router chooses, for every token, the few experts that will see it.
The other experts do nothing for this token, so that a large model needs only a small part of its weights each time.
There is a river behind the house, and in the morning the children walk along the water to the old stone bridge.
When the weather is good they stay outside until the evening; when it rains they read stories by the window.
The number of words in a sentence is not important, but every sentence should say one thing and say it clearly.
Write a function that takes a list of numbers and returns the largest of them. If the list is empty, return nothing.
Some things are better said twice: first what is going to happen, and then what has happened. Others are not.
From north to south, from east to west, people have always wanted to know where they are and where they will be.
system system user user assistant assistant What is the capital of this country? Which one would you like to have?
The model that made this text learned nothing, because nothing was learned: the weights are random numbers.
"""

# As the ByteLevel pre-tokenizer splits, for text that is ASCII.
WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def byte_letters():
    """Byte -> the printable letter that stands for it in a byte-level vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(0x100 + len(letters) - len(printable))
    return letters


def merge(word, pair):
    out = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] = pair[0] + pair[1]
        else:
            out.append(piece)
    return out


def learn_merges(text, n):
    """The n most frequent pairs, one after another; among equals the first in order of letters."""
    letters = byte_letters()
    counts = {}
    for word in WORDS.findall(text):
        spelled = tuple(letters[b] for b in word.encode())
        counts[spelled] = counts.get(spelled, 0) + 1
    words = [[list(word), count] for word, count in counts.items()]
    merges = []
    while len(merges) < n:
        pairs = {}
        for word, count in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + count
        if not pairs:
            sys.exit(f"the training text gives only {len(merges)} merges of {n}")
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for entry in words:
            entry[0] = merge(entry[0], best)
    return merges


def tokenizer_json():
    merges = learn_merges(TRAINING_TEXT, VOCAB_SIZE - len(SPECIAL_TOKENS) - 256)
    letters = byte_letters()
    pieces = SPECIAL_TOKENS + [letters[b] for b in range(256)] + [a + b for a, b in merges]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": token, **flags} for i, token in enumerate(SPECIAL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": [list(pair) for pair in merges],
        },
    }


def tokenizer_config():
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 4096,
        "chat_template": CHAT_TEMPLATE,
    }


def model_config(sizes):
    heads = sizes.hidden // 32
    return {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "torch_dtype": "bfloat16",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.expert_hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 2),
        "head_dim": 32,
        "hidden_act": "silu",
        "num_local_experts": sizes.experts,
        "num_experts_per_tok": sizes.top_k,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "use_cache": True,
    }


def generation_config():
    return {"bos_token_id": 0, "eos_token_id": [2, 0], "pad_token_id": 0}


def weight_shapes(config):
    """Name -> (shape, standard deviation); a deviation of None: all ones."""
    hidden, expert = config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]

    def matrix(rows, cols, gain=1.0):
        return (rows, cols), gain / math.sqrt(cols)

    shapes = {"model.embed_tokens.weight": ((VOCAB_SIZE, hidden), 1.0)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        shapes[at + "input_layernorm.weight"] = ((hidden,), None)
        shapes[at + "self_attn.q_proj.weight"] = matrix(q, hidden)
        shapes[at + "self_attn.k_proj.weight"] = matrix(kv, hidden)
        shapes[at + "self_attn.v_proj.weight"] = matrix(kv, hidden)
        shapes[at + "self_attn.o_proj.weight"] = matrix(hidden, q)
        shapes[at + "post_attention_layernorm.weight"] = ((hidden,), None)
        shapes[at + "block_sparse_moe.gate.weight"] = matrix(config["num_local_experts"], hidden)
        for e in range(config["num_local_experts"]):
            shapes[at + f"block_sparse_moe.experts.{e}.w1.weight"] = matrix(expert, hidden)
            shapes[at + f"block_sparse_moe.experts.{e}.w2.weight"] = matrix(hidden, expert)
            shapes[at + f"block_sparse_moe.experts.{e}.w3.weight"] = matrix(expert, hidden)
    shapes["model.norm.weight"] = ((hidden,), None)
    # Logits of a few units: the best token leads the second by more than rounding.
    shapes["lm_head.weight"] = matrix(VOCAB_SIZE, hidden, gain=3.0)
    return shapes


def bf16_bytes(values):
    """Little-endian bfloat16, rounded to nearest even."""
    words = array.array("I", array.array("f", values).tobytes())
    halves = array.array("H", [(w + 0x7FFF + (w >> 16 & 1)) >> 16 for w in words])
    if sys.byteorder != "little":
        halves.byteswap()
    return halves.tobytes()


def weight_bytes(seed, name, shape, deviation):
    n = math.prod(shape)
    if deviation is None:
        return bf16_bytes([1.0] * n)
    rng = random.Random(f"{seed}/{name}")
    return bf16_bytes([rng.gauss(0.0, deviation) for _ in range(n)])


def write_safetensors(path, seed, shapes):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(shapes):
        shape = shapes[name][0]
        n = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(shapes):
            out.write(weight_bytes(seed, name, *shapes[name]))
    return at


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128, help="a multiple of 64")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--expert-hidden", type=int, default=192)
    sizes = parser.parse_args()
    if sizes.hidden % 64 or min(sizes.layers, sizes.hidden, sizes.experts, sizes.expert_hidden) < 1:
        parser.error("--hidden must be a multiple of 64, and every size at least 1")
    if not 1 <= sizes.top_k <= sizes.experts:
        parser.error("--top-k must be from 1 to --experts")
    return sizes


def main():
    sizes = arguments()
    sizes.directory.mkdir(parents=True, exist_ok=True)
    config = model_config(sizes)
    files = {
        "config.json": config,
        "generation_config.json": generation_config(),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": tokenizer_config(),
    }
    for name, content in files.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (sizes.directory / name).write_text(text, encoding="utf-8")
    n = write_safetensors(sizes.directory / "model.safetensors", sizes.seed, weight_shapes(config))
    print(f"{sizes.directory}: {n / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
