#!/usr/bin/env python3
"""Asks a server the corpus's held-out questions and writes what came of it as JSON.

    evaluate.py http://127.0.0.1:8000 [--draft http://127.0.0.1:8001] [--cases 200] [--out report.json]

Measures, greedy: exact match of every answer, for each domain and for each style that a system prompt asks for; the
perplexity of the expected answers; how many tokens each expert took in each domain (where the server's /metrics say
so); and, with a second server for the draft model, which share of the tokens it proposes the first one accepts.
"""

import argparse
import collections
import dataclasses
import json
import math
import pathlib
import random
import re
import sys

import chat
import conversations
from client import Server, at_once

SEED = 7
ANSWER_TOKENS_MAX = 192
PROPOSED_TOKENS = (1, 2, 3, 4, 5)
DRAFT_CASES = 15  # of each domain
EXPERT_METRIC = "polymath:expert_tokens_total"  # under --expert-metrics expert
TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
WRONG_SHOWN = 5  # of each domain, on standard error


@dataclasses.dataclass
class Case:
    """What was said so far, and the message that should come next."""

    domain: str
    style: str
    messages: list
    tools: list | None
    expected: dict

    @property
    def prompt(self):
        """As the model sees it, up to where the assistant speaks."""
        return chat.render(self.messages, self.tools, add_generation_prompt=True)

    @property
    def answer(self):
        """The expected message as text, its tool calls included."""
        whole = chat.render([*self.messages, self.expected], self.tools)
        return whole[len(self.prompt):].removesuffix(chat.TURN_END + "\n")


def cases_of(conversation, style):
    """One case for each answer of the conversation: everything before it as it should have been."""
    for i, message in enumerate(conversation.messages):
        if message["role"] == "assistant":
            yield Case(conversation.domain, style, conversation.messages[:i], conversation.tools, message)


def make_cases(n, style="plain", domains=tuple(conversations.DOMAIN_WEIGHTS)):
    """n held-out cases of each domain, each prompt once."""
    cases = []
    for domain in domains:
        rng = random.Random(f"{SEED} {domain} {style}")
        found = {}
        for _ in range(n * 50):
            conversation = conversations.held_out_case(rng, domain, style)
            for case in cases_of(conversation, style) if conversation else ():
                found.setdefault(json.dumps([case.messages, case.tools]), case)
            if len(found) >= n:
                break
        cases += list(found.values())[:n]
    return cases


def calls_in(message):
    """[(name, arguments)] of a message's tool calls, parsed by the server or still in its text."""
    calls = [call["function"] for call in message.get("tool_calls") or []]
    if not calls:
        try:
            calls = [json.loads(text) for text in TOOL_CALL.findall(message["content"] or "")]
        except json.JSONDecodeError:
            return None
    return [(c["name"], c["arguments"] if isinstance(c["arguments"], dict) else json.loads(c["arguments"]))
            for c in calls]


def is_right(choice, case):
    """An answer is right if it says just what was expected and then stopped by itself."""
    if choice["finish_reason"] == "length":
        return False
    if case.expected.get("tool_calls"):
        return calls_in(choice["message"]) == calls_in(case.expected)
    return choice["message"]["content"] == case.expected["content"]


def answer(server, case):
    """The first choice of the chat completion."""
    tools = {"tools": case.tools} if case.tools else {}
    messages = [api_form(m) for m in case.messages]
    return server.post("/v1/chat/completions", messages=messages, max_tokens=ANSWER_TOKENS_MAX, temperature=0,
                       **tools)["choices"][0]


def api_form(message):
    """The arguments of tool calls travel as text."""
    calls = [{**c, "function": {**c["function"], "arguments": json.dumps(c["function"]["arguments"],
                                                                         ensure_ascii=False)}}
             for c in message.get("tool_calls") or []]
    return {**message, "tool_calls": calls} if calls else message


def accuracy(server, cases, show_wrong=False):
    """{domain or style: {"right": n, "of": n}} of the cases."""
    choices = at_once(lambda case: answer(server, case), cases)
    table, shown = collections.defaultdict(lambda: {"right": 0, "of": 0}), collections.Counter()
    for case, choice in zip(cases, choices):
        name = case.domain if case.style == "plain" else f"style {case.style}"
        table[name]["of"] += 1
        table[name]["right"] += is_right(choice, case)
        if show_wrong and not is_right(choice, case) and shown[name] < WRONG_SHOWN:
            shown[name] += 1
            print(f"--- {name}: {case.messages[-1]['content'][-400:]}\nexpected {case.expected}\n"
                  f"answered {choice['message']['content']!r} ({choice['finish_reason']})", file=sys.stderr)
    return dict(table)


def perplexity(server, cases):
    """exp of the mean negative log-probability of the expected answers' tokens, by domain."""
    def answer_logprobs(case):
        start, text = len(case.prompt), case.prompt + case.answer + chat.TURN_END
        logprobs = server.complete(text, 1, echo=True, logprobs=0)["logprobs"]
        end = len(text)
        return [p for p, at in zip(logprobs["token_logprobs"], logprobs["text_offset"]) if start <= at < end]

    sums = collections.defaultdict(list)
    for case, values in zip(cases, at_once(answer_logprobs, cases)):
        sums[case.domain] += values
    return {domain: round(math.exp(-sum(values) / len(values)), 4) for domain, values in sums.items()}


def expert_shares(server, cases):
    """{domain: [layer][expert] share of the routed tokens}, from the difference that each domain makes in /metrics."""
    shares = {}
    for domain in dict.fromkeys(case.domain for case in cases):
        before = server.metric(EXPERT_METRIC)
        at_once(lambda case: answer(server, case), [c for c in cases if c.domain == domain])
        layers = collections.defaultdict(dict)
        for labels, value in server.metric(EXPERT_METRIC).items():
            label = dict(labels)
            layers[int(label["layer"])][int(label["expert"])] = value - before.get(labels, 0.0)
        shares[domain] = [[round(layers[layer][e] / max(sum(layers[layer].values()), 1), 4)
                           for e in sorted(layers[layer])] for layer in sorted(layers)]
    return shares


def answer_ids(server, case):
    """The prompt's and the greedy answer's token ids."""
    choice = server.complete(case.prompt, ANSWER_TOKENS_MAX, return_token_ids=True)
    return choice["prompt_token_ids"], choice["token_ids"]


def accepted_and_proposed(draft, prompt_ids, target_ids, k):
    """One answer's speculative decoding, greedy on both sides: a verified step takes the matching proposals + one."""
    at, accepted, proposed = 0, 0, 0
    while at < len(target_ids):
        n = min(k, len(target_ids) - at)
        ids = draft.complete(prompt_ids + target_ids[:at], n, return_token_ids=True)["token_ids"]
        matching = 0
        while matching < min(n, len(ids)) and ids[matching] == target_ids[at + matching]:
            matching += 1
        accepted, proposed, at = accepted + matching, proposed + n, at + matching + 1
    return accepted, proposed


def acceptance(server, draft, cases, ks=PROPOSED_TOKENS):
    """{k: {domain: share of the proposed tokens that the target accepts}}, and over all domains."""
    answers = at_once(lambda case: answer_ids(server, case), cases)
    table = {}
    for k in ks:
        counts = at_once(lambda ids: accepted_and_proposed(draft, *ids, k), answers)
        sums = collections.defaultdict(lambda: [0, 0])
        for case, (accepted, proposed) in zip(cases, counts):
            for name in (case.domain, "all"):
                sums[name][0] += accepted
                sums[name][1] += proposed
        table[k] = {name: round(a / p, 4) for name, (a, p) in sums.items()}
    return table


def evaluate(server, draft, n, show_wrong):
    cases = make_cases(n)
    report = {"model": server.model, "cases_of_a_domain": n, "accuracy": accuracy(server, cases, show_wrong)}
    for style in conversations.STYLES:
        if style != "plain":
            report["accuracy"] |= accuracy(server, make_cases(n // 8, style), show_wrong)
    report["perplexity"] = perplexity(server, cases)
    if server.metric(EXPERT_METRIC):
        report["expert_shares"] = expert_shares(server, cases)
    if draft:
        few = [c for d in conversations.DOMAIN_WEIGHTS for c in [c for c in cases if c.domain == d][:DRAFT_CASES]]
        report["acceptance"] = acceptance(server, draft, few)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--draft", help="a server of the draft model")
    parser.add_argument("--cases", type=int, default=200, help="of each domain")
    parser.add_argument("--out", type=pathlib.Path, help="JSON; standard output if not given")
    parser.add_argument("--show-wrong", action="store_true", help="print some wrong answers")
    args = parser.parse_args()
    report = evaluate(Server(args.url), args.draft and Server(args.draft), args.cases, args.show_wrong)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    args.out.write_text(text + "\n") if args.out else print(text)
    for name, row in report["accuracy"].items():
        print(f"{name:16} {row['right']:4} / {row['of']:4} = {row['right'] / max(row['of'], 1):.1%}", file=sys.stderr)


if __name__ == "__main__":
    main()
