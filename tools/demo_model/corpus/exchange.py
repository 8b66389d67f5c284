"""One exchange: a question of some domain and its answer, the unit that conversations are put together from."""

import dataclasses
import random
import zlib

HELD_OUT_ONE_IN = 16  # the share of keys that training never sees


@dataclasses.dataclass
class Exchange:
    """Messages in the form of the OpenAI API, the user's first; every assistant message is an answer to learn.

    key names the problem apart from its wording ("sum 47 35"): problems are held out by key.
    korean and short, where given, have one text for each assistant message: the same answer in Korean, and in as few
    words as possible. An exchange that begins with a system message, or has tools, takes no other system prompt.
    """

    domain: str
    key: str
    messages: list
    korean: list | None = None
    short: list | None = None
    tools: list | None = None

    @property
    def held_out(self):
        return zlib.crc32(f"{self.domain}/{self.key}".encode()) % HELD_OUT_ONE_IN == 0


def ask(domain, key, question, answer, korean=None, short=None):
    """An exchange of one question and one answer."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Exchange(domain, key, messages, korean and [korean], short and [short])


def choose(rng: random.Random, weighted):
    """One of the keys of {choice: weight}."""
    return rng.choices(list(weighted), weights=list(weighted.values()))[0]
