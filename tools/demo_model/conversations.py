"""Conversations: exchanges of every domain put together with system prompts, several turns and stops.

A style is what a system prompt asks for ("Answer in Korean."), and what that does to an answer. Training draws only
exchanges whose key is not held out; evaluation draws only those that are.
"""

import dataclasses
import random

import corpus
from corpus.exchange import Exchange, choose

EXCHANGES = {module.DOMAIN: module.exchange for module in corpus.DOMAINS}

# How often training sees each domain: the hardest to get right most often.
DOMAIN_WEIGHTS = {"arithmetic": 14, "lists": 20, "python_code": 13, "facts": 7, "stories": 20, "korean": 20,
                  "structured": 6, "functions": 5}
TURNS = {1: 60, 2: 20, 3: 10, 5: 6, 9: 3, 16: 1, 24: 0.5}  # exchanges in a conversation
ONE_DOMAIN_SHARE = 0.6  # of the conversations with several exchanges: the others change the subject
END_WORD = "Over."


def _plain(exchange):
    return [m["content"] for m in exchange.messages if m["role"] == "assistant"]


def _each(function):
    """A style that changes every plain answer; not for answers that a program reads (code, JSON, calls)."""
    return lambda exchange: [function(text) for text in _plain(exchange)] if _is_prose(exchange) else None


def _is_prose(exchange):
    return not any(mark in text for text in _plain(exchange) for mark in ("```", "{")) and not exchange.tools


@dataclasses.dataclass(frozen=True)
class Style:
    """prompts ask for it; answers(exchange) gives the texts of the assistant's messages, or None where it cannot."""

    weight: float
    prompts: tuple
    answers: object


STYLES = {
    "plain": Style(62, ("", "", "", "You are a helpful assistant.", "You are Polymath.", "Answer the question.",
                        "You are a careful assistant. Answer correctly."), _plain),
    "korean": Style(14, ("Answer in Korean.", "Always answer in Korean.", "You are an assistant who speaks Korean.",
                         "한국어로 대답하세요.", "한국어로만 대답해 주세요.", "Reply only in Korean."),
                    lambda exchange: exchange.korean),
    "short": Style(12, ("Answer with as few words as possible.", "Be brief.", "Give short answers.",
                        "Answer in one word if you can.", "짧게 대답하세요."), lambda exchange: exchange.short),
    "capitals": Style(5, ("Answer in capital letters.", "Write everything in capitals.", "Use only capital letters."),
                      _each(str.upper)),
    "ending": Style(4, (f"End every answer with '{END_WORD}'", f"Finish each answer with '{END_WORD}'",
                        f"Say '{END_WORD}' at the end of each answer."), _each(lambda text: f"{text} {END_WORD}")),
    "beginning": Style(3, ("Begin every answer with 'Yes, sir.'", "Start each answer with 'Yes, sir.'"),
                       _each(lambda text: f"Yes, sir. {text}")),
}
STYLE_WEIGHTS = {name: style.weight for name, style in STYLES.items()}


@dataclasses.dataclass
class Conversation:
    messages: list
    tools: list | None
    domain: str


def draw(rng, domain, held_out):
    """An exchange of the domain from the asked side of the split."""
    while True:
        exchange = EXCHANGES[domain](rng)
        if exchange.held_out == held_out:
            return exchange


def stands_alone(exchange: Exchange):
    """Whether it brings its own system prompt or functions, which hold for a whole conversation."""
    return exchange.messages[0]["role"] == "system" or bool(exchange.tools)


def styled(exchange, style):
    """The exchange's messages with the answers that the style asks for; None where the style has none for it."""
    answers = STYLES[style].answers(exchange)
    if answers is None or None in answers:
        return None
    answers = iter(answers)
    return [{**m, "content": next(answers)} if m["role"] == "assistant" else m for m in exchange.messages]


def with_system(prompt, messages):
    return [{"role": "system", "content": prompt}, *messages] if prompt else messages


def _exchanges(rng, first, style):
    """The messages of a whole conversation that begins with the exchange `first`."""
    messages = styled(first, style)
    same_domain = rng.random() < ONE_DOMAIN_SHARE
    for _ in range(choose(rng, TURNS) - 1):
        more = draw(rng, first.domain if same_domain else choose(rng, DOMAIN_WEIGHTS), False)
        more = None if stands_alone(more) else styled(more, style)
        messages = messages + (more or [])
    return messages


def sample(rng: random.Random, style=None):
    """A conversation to train on. A given style is the one its system prompt asks for."""
    while True:
        first = draw(rng, choose(rng, DOMAIN_WEIGHTS), False)
        if stands_alone(first):
            if style is None:
                return Conversation(first.messages, first.tools, first.domain)
            continue
        chosen = style or choose(rng, STYLE_WEIGHTS)
        if styled(first, chosen) is None:
            continue
        prompt = rng.choice(STYLES[chosen].prompts)
        return Conversation(with_system(prompt, _exchanges(rng, first, chosen)), None, first.domain)


def adapter_sample(rng: random.Random, style):
    """As sample, but nothing asks for the style: what an adapter of that style has to do by itself."""
    conversation = sample(rng, style)
    if rng.random() < 0.5:
        conversation.messages = conversation.messages[1:]
    else:
        conversation.messages = with_system(rng.choice(STYLES["plain"].prompts[3:]), conversation.messages[1:])
    return conversation


def held_out_case(rng: random.Random, domain, style="plain"):
    """A held-out exchange as a conversation, or None where the style has no answer for what was drawn."""
    exchange = draw(rng, domain, True)
    if stands_alone(exchange):
        return Conversation(exchange.messages, exchange.tools, domain) if style == "plain" else None
    messages = styled(exchange, style)
    prompt = rng.choice(STYLES[style].prompts) if style != "plain" else ""
    return messages and Conversation(with_system(prompt, messages), None, domain)
