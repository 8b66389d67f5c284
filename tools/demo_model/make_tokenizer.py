#!/usr/bin/env python3
"""Trains the demo models' byte-level BPE tokenizer on the corpus: make_tokenizer.py DIRECTORY

Digits are split (every number is spelled digit by digit, which is what makes arithmetic learnable), and the chat
markers are special tokens. Writes tokenizer.json, tokenizer_config.json and chat_template.jinja.
"""

import argparse
import json
import pathlib
import random
import shutil

import chat
import conversations
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB_SIZE = 2048
CONTEXT_TOKENS_MAX = 2048
SAMPLES = 60_000
SEED = 20_000
# A word with the blank before it, a single digit, a run of other signs, or blanks.
SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def corpus_texts():
    rng = random.Random(SEED)
    for _ in range(SAMPLES):
        conversation = conversations.sample(rng)
        yield chat.render(conversation.messages, conversation.tools)


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=chat.SPECIAL_TOKENS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus_texts(), trainer)
    return tokenizer


def config():
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT_TOKENS_MAX,
        "bos_token": None,
        "eos_token": chat.TURN_END,
        "pad_token": chat.END_OF_TEXT,
        "unk_token": None,
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(i): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                     "special": token not in chat.TOOL_TOKENS + chat.THINK_TOKENS}
            for i, token in enumerate(chat.SPECIAL_TOKENS)
        },
        "chat_template": chat.TEMPLATE_FILE.read_text(),
    }


def shows_tool_tokens(tokenizer_json):
    """Marks the tool tokens as ordinary added tokens: a server that skips special tokens must still show the calls."""
    for token in tokenizer_json["added_tokens"]:
        token["special"] = token["content"] not in chat.TOOL_TOKENS + chat.THINK_TOKENS
    return tokenizer_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer_json = shows_tool_tokens(json.loads(train().to_str()))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer_json, ensure_ascii=False, indent=1) + "\n")
    (directory / "tokenizer_config.json").write_text(json.dumps(config(), ensure_ascii=False, indent=1) + "\n")
    shutil.copy(chat.TEMPLATE_FILE, directory / "chat_template.jinja")


if __name__ == "__main__":
    main()
