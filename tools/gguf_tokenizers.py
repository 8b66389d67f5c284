"""tokenizer.ggml.* from tokenizer.json, and the chat template."""

import json

import gguf

TYPES = gguf.TokenType


def read(path):
    return json.loads(path.read_text()) if path.exists() else {}


def tokens_of(tokenizer, vocab_size):
    """(text, type) by id. Ids without a token are padding."""
    vocab = tokenizer["model"]["vocab"]
    pairs = vocab.items() if isinstance(vocab, dict) else ((t[0], i) for i, t in enumerate(vocab))
    tokens = [(f"[PAD{i}]", TYPES.UNUSED) for i in range(vocab_size)]
    for text, i in pairs:
        tokens[i] = (text, TYPES.NORMAL)
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = (added["content"], TYPES.CONTROL if added["special"] else TYPES.USER_DEFINED)
    return tokens


def merges_of(tokenizer):
    return [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]


def add_llama(w, tokenizer, tokens):
    """SentencePiece's BPE: scores in the order of the merges."""
    ranks = {"".join(m.split(" ", 1)): -float(i) for i, m in enumerate(merges_of(tokenizer))}
    kinds = []
    for text, kind in tokens:
        is_byte = len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        kinds.append(TYPES.BYTE if is_byte else TYPES.UNKNOWN if text == "<unk>" else kind)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([text for text, _ in tokens])
    w.add_token_scores([ranks.get(text, -1e6 if kind == TYPES.NORMAL else 0.0) for text, kind in tokens])
    w.add_token_types(kinds)


def add_ids(w, tokens, config, c):
    ids = {text: i for i, (text, _) in reversed(list(enumerate(tokens)))}
    for name, key in [("bos", "bos_token"), ("eos", "eos_token"), ("pad", "pad_token"), ("unk", "unk_token")]:
        token = config.get(key)
        token = token["content"] if isinstance(token, dict) else token
        i = ids.get(token, c.get(f"{name}_token_id") if name in ("bos", "eos") else None)
        if isinstance(i, int):
            getattr(w, f"add_{name}_token_id")(i)


def add(w, directory, c, pre):
    tokenizer = read(directory / "tokenizer.json")
    if not pre or not tokenizer:
        return
    tokens = tokens_of(tokenizer, max(c["vocab_size"], 1))
    config = read(directory / "tokenizer_config.json")
    if pre == "llama":
        add_llama(w, tokenizer, tokens)
    else:
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre(pre)
        w.add_token_list([text for text, _ in tokens])
        w.add_token_types([kind for _, kind in tokens])
        w.add_token_merges(merges_of(tokenizer))
    add_ids(w, tokens, config, c)
    if config.get("add_bos_token") is not None:
        w.add_add_bos_token(config["add_bos_token"])
    template = directory / "chat_template.jinja"
    if template.exists():
        w.add_chat_template(template.read_text())
