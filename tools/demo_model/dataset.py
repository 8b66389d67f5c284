#!/usr/bin/env python3
"""Makes the tokens to train on: dataset.py WORK --tokenizer DIRECTORY [--source train] [--tokens 150000000]

Conversations are drawn, rendered, tokenised and packed by many processes. Chunk i of a source is drawn from the seed
(source, seed, i), so the tokens do not depend on the number of processes. Written to WORK/<source>/ as arrays of
[rows, row tokens] and reused when they are there:

    ids.npy        u16
    kinds.npy      u8   CONTEXT, ANSWER (what the assistant says, its <|im_end|> included) or PADDING
    positions.npy  u16  from 0 in every document; padding at a row's end counts as a document
    domains.npy    u8   the place of the document's domain in conversations.DOMAIN_WEIGHTS

Documents are whole: they are packed into rows by first fit among the rows open, and those longer than a row dropped.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import pathlib
import random
import time
import zlib

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process a core already

import chat  # noqa: E402
import conversations  # noqa: E402
import numpy as np  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

CONTEXT, ANSWER, PADDING = 0, 1, 2
ANSWER_START = f"{chat.TURN_START}assistant\n"
DOMAINS = list(conversations.DOMAIN_WEIGHTS)
ARRAYS = {"ids": np.uint16, "kinds": np.uint8, "positions": np.uint16, "domains": np.uint8}
NO_DOMAIN = 255  # of padding
CHUNK_TOKENS = 1_000_000
ENCODED_AT_ONCE = 256  # conversations
ROWS_OPEN_MAX = 64


def _held_out(rng):
    return conversations.held_out_case(rng, rng.choice(DOMAINS))


def _adapter(style):
    return lambda rng: conversations.adapter_sample(rng, style)


def _adapter_held_out(style):
    """A held-out exchange answered in the style with nothing that asks for it."""
    def draw(rng):
        conversation = conversations.held_out_case(rng, rng.choice(DOMAINS), style)  # its first message asks
        return conversation and dataclasses.replace(conversation, messages=conversation.messages[1:])
    return draw


# Each draws a conversation, or None where the draw came to nothing.
SOURCES = {
    "train": conversations.sample,
    "held-out": _held_out,
    "capitals": _adapter("capitals"),
    "capitals-held-out": _adapter_held_out("capitals"),
    "korean": _adapter("korean"),
    "korean-held-out": _adapter_held_out("korean"),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One chunk."""

    source: str
    seed: int
    number: int
    tokens: int
    row_tokens: int
    tokenizer_file: str


def answer_kinds(ids, header, expected):
    """ANSWER from after each header to the next end of turn, which counts as answered. `expected` answers or it is
    an error: a tokenizer that merges over the header's border must not go unseen."""
    starts = np.flatnonzero(np.all([ids[i:len(ids) - len(header) + i + 1] == t for i, t in enumerate(header)], axis=0))
    starts = starts + len(header)
    if len(starts) != expected:
        raise ValueError(f"{len(starts)} answers found in the tokens of {expected}")
    ends = np.flatnonzero(ids == chat.SPECIAL_TOKENS.index(chat.TURN_END))
    ends = ends[np.searchsorted(ends, starts)] + 1
    change = np.zeros(len(ids) + 1, np.int8)
    change[starts] += 1
    change[ends] -= 1
    return np.cumsum(change[:-1]).astype(np.uint8)


def draw_documents(job):
    """The chunk's documents: flat ids and kinds, and each one's length and domain."""
    rng = random.Random(f"{job.source} {job.seed} {job.number}")
    tokenizer, draw = Tokenizer.from_file(job.tokenizer_file), SOURCES[job.source]
    ids, lengths, domains, answers, tokens = [], [], [], 0, 0
    while tokens < job.tokens:
        drawn = [c for c in (draw(rng) for _ in range(ENCODED_AT_ONCE)) if c]
        answers += sum(m["role"] == "assistant" for c in drawn for m in c.messages)
        encoded = tokenizer.encode_batch([chat.render(c.messages, c.tools) for c in drawn], add_special_tokens=False)
        ids += [np.array(e.ids, np.uint16) for e in encoded]
        lengths += [len(e.ids) for e in encoded]
        domains += [DOMAINS.index(c.domain) for c in drawn]
        tokens = sum(lengths)
    ids = np.concatenate(ids)
    header = tokenizer.encode(ANSWER_START, add_special_tokens=False).ids
    return ids, answer_kinds(ids, header, answers), lengths, domains


def places(lengths, row_tokens):
    """First fit: (row, start) of each document, None of those too long; and the number of rows."""
    found, open_rows, rows = [], [], 0  # open_rows: [row, tokens used]
    for length in lengths:
        if length > row_tokens:
            found.append(None)
            continue
        fitting = next((r for r in open_rows if r[1] + length <= row_tokens), None)
        if fitting is None:
            if len(open_rows) == ROWS_OPEN_MAX:
                open_rows.remove(max(open_rows, key=lambda r: r[1]))
            fitting = [rows, 0]
            open_rows.append(fitting)
            rows += 1
        found.append(tuple(fitting))
        fitting[1] += length
    return found, rows


def make_chunk(job):
    """{array: [rows, row tokens]} of one chunk, and (documents, dropped) counts."""
    ids, kinds, lengths, domains = draw_documents(job)
    found, rows = places(lengths, job.row_tokens)
    fill = {"ids": 0, "kinds": PADDING, "positions": 0, "domains": NO_DOMAIN}
    chunk = {name: np.full((rows, job.row_tokens), fill[name], kind) for name, kind in ARRAYS.items()}
    used, count, at = np.zeros(rows, int), np.arange(job.row_tokens, dtype=np.uint16), 0
    for place, length, domain in zip(found, lengths, domains):
        if place is not None:
            row, here = place[0], slice(place[1], place[1] + length)
            chunk["ids"][row, here], chunk["kinds"][row, here] = ids[at:at + length], kinds[at:at + length]
            chunk["positions"][row, here], chunk["domains"][row, here] = count[:length], domain
            used[row] = max(used[row], here.stop)
        at += length
    for row in range(rows):
        chunk["positions"][row, used[row]:] = count[:job.row_tokens - used[row]]
    return chunk, np.array([len(lengths), found.count(None)])


def description(args, tokenizer_file):
    """What the arrays depend on; they are made again when it changes."""
    here = pathlib.Path(__file__).parent
    code = [here / "dataset.py", here / "conversations.py", here / "chat.py", here / "chat_template.jinja"]
    code += sorted((here / "corpus").glob("*.py"))
    return {
        "source": args.source, "tokens": args.tokens, "row_tokens": args.row_tokens, "seed": args.seed,
        "domains": DOMAINS, "tokenizer": zlib.crc32(tokenizer_file.read_bytes()),
        "code": zlib.crc32(b"".join(f.read_bytes() for f in code)),
    }


def make(args):
    directory, tokenizer_file = args.work / args.source, args.tokenizer / "tokenizer.json"
    manifest, wanted = directory / "manifest.json", description(args, tokenizer_file)
    if manifest.exists() and json.loads(manifest.read_text())["of"] == wanted:
        print(f"{directory}: there already")
        return
    directory.mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)
    start, n = time.monotonic(), -(-args.tokens // CHUNK_TOKENS)
    size = min(args.tokens, CHUNK_TOKENS)
    jobs = [Job(args.source, args.seed, i, size, args.row_tokens, str(tokenizer_file)) for i in range(n)]
    with multiprocessing.Pool(min(args.processes, n)) as pool:
        chunks, counts = zip(*pool.imap(make_chunk, jobs))
    arrays = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in ARRAYS}
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    documents, dropped = (int(x) for x in sum(counts))
    kinds = np.bincount(arrays["kinds"].ravel(), minlength=3)
    tokens, seconds = int(kinds[CONTEXT] + kinds[ANSWER]), time.monotonic() - start
    facts = {"tokens": tokens, "answer_tokens": int(kinds[ANSWER]), "rows": len(arrays["ids"]),
             "documents": documents, "dropped": dropped, "padding_share": round(float(kinds[PADDING] / kinds.sum()), 4)}
    manifest.write_text(json.dumps({"of": wanted, **facts}, indent=1) + "\n")
    print(f"{directory}: {json.dumps(facts)}; {seconds:.0f} s, {tokens / seconds:,.0f} tokens/s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True, help="directory of tokenizer.json")
    parser.add_argument("--source", choices=SOURCES, default="train")
    parser.add_argument("--tokens", type=int, default=150_000_000)
    parser.add_argument("--row-tokens", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    make(parser.parse_args())


if __name__ == "__main__":
    main()
