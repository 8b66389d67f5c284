#!/usr/bin/env python3
"""Renders every *.jinja of a folder with some eighty conversations, by Polymath and by Jinja2, and compares.

    ninja -C build/cpu-release render_chats
    tools/compare_templates.py FOLDER [--renderer build/cpu-release/tests/templates/render_chats] [--show 5]

Jinja2 runs in transformers' environment, after the messages were made regular by the rules of docs/internals/api.md.
The rules are written a second time here, so that an error in either is seen. Needs jinja2 >= 3.1.6.
"""
import argparse
import collections
import copy
import datetime
import itertools
import json
import pathlib
import re
import subprocess
import sys

import jinja2
from declare_tools import declared, sorted_members
from jinja2 import nodes
from make_template_cases import environment, raise_exception

VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


# ---------------------------------------------------------------------------------------------- conversations

def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name="get_weather", arguments='{"city": "Bonn", "days": 2}', id="abcdefghi"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name="get_weather"):
    return {"type": "function", "function": {"name": name, "description": "Tells the weather.", "parameters": {
        "type": "object", "required": ["city"],
        "properties": {"city": {"type": "string", "description": "Which city?"}, "days": {"type": "integer"}}}}}


def parts(*texts, type="text"):
    return [{"type": type, "text": text} for text in texts]


HI = message("user", "Hi there")
ASK = message("user", "How is Bonn?")
RESULT = message("tool", "21 degrees", tool_call_id="abcdefghi", name="get_weather")
SAID = message("assistant", "It is warm.")
MORE = message("user", "And tomorrow?")
SYSTEM = message("system", "Be brief.")
TOOLS = {"tools": [tool()]}
PREFILL = {"continue_final_message": True, "add_generation_prompt": False}


def calling(content=None, **more):
    return message("assistant", content, tool_calls=[call()], **more)


def plain_requests():
    yield "user", {"messages": [HI]}
    yield "no generation prompt", {"messages": [HI], "add_generation_prompt": False}
    yield "blanks", {"messages": [message("user", "  Grüße 😀 \n\n")]}
    yield "system", {"messages": [SYSTEM, HI]}
    yield "empty system", {"messages": [message("system", ""), HI]}
    yield "turns", {"messages": [HI, SAID, MORE]}
    yield "system and turns", {"messages": [SYSTEM, HI, SAID, MORE, message("assistant", "Cold."), HI]}
    yield "ends with the assistant", {"messages": [HI, SAID], "add_generation_prompt": False}
    yield "two users", {"messages": [HI, MORE]}
    yield "many turns", {"messages": [SYSTEM] + [HI, SAID] * 20 + [MORE]}
    yield "thinking off", {"messages": [HI], "chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
    yield "effort", {"messages": [HI], "reasoning_effort": "high"}
    yield "unknown role", {"messages": [message("clown", "x"), HI]}
    yield "thoughts in the text", {"messages": [HI, message("assistant", "<think>\nhm\n</think>\n\nWarm."), MORE]}
    yield "documents", {"messages": [HI], "documents": [{"title": "t", "text": "body"}]}


def part_requests():
    yield "one part", {"messages": [message("user", parts("Hi there"))]}
    yield "two parts", {"messages": [message("user", parts("Hi", "there"))]}
    yield "parts everywhere", {"messages": [
        message("system", parts("Be", "brief.")), message("user", parts("Hi")), message("assistant", parts("a", "b")),
        message("user", parts("c"))]}
    yield "system of parts", {"messages": [message("system", parts("Be brief.")), HI]}
    yield "assistant of parts", {"messages": [HI, message("assistant", parts("It is", "warm.")), MORE]}
    yield "input_text", {"messages": [message("user", parts("Hi", type="input_text")),
                                      message("assistant", parts("a", type="output_text")), MORE]}
    yield "null text", {"messages": [message("user", [{"type": "text", "text": None}] + parts("Hi"))]}
    yield "strings as parts", {"messages": [message("user", ["Hi", "there"])]}
    yield "refusal", {"messages": [HI, message("assistant", [{"type": "refusal", "refusal": "No."}]), MORE]}
    yield "thinking part", {"messages": [
        HI, message("assistant", [{"type": "thinking", "thinking": "hm"}] + parts("Warm.")), MORE]}
    yield "no parts", {"messages": [message("user", []), SAID, MORE]}
    yield "mixed", {"messages": [SYSTEM, message("user", parts("Hi")), SAID, MORE]}


def tool_requests():
    yield "tools", {"messages": [ASK], **TOOLS}
    yield "tools and system", {"messages": [SYSTEM, ASK], **TOOLS}
    yield "two tools", {"messages": [ASK], "tools": [tool(), tool("get_time")]}
    yield "bare tool", {"messages": [ASK], "tools": [{"type": "function", "function": {"name": "now"}}]}
    typed = {"type": "object", "required": ["unit"], "properties": {
        "unit": {"enum": ["C", "F"], "description": "Which unit?"}, "days": {"type": "integer", "default": 1},
        "at": {"type": "array", "items": {"type": "string", "description": "a city"}}}}
    yield "typed tool", {"messages": [ASK], "tools": [
        {"type": "function", "function": {"parameters": typed, "name": "get_weather"}}]}
    yield "call, null", {"messages": [ASK, calling(), RESULT], **TOOLS}
    absent = {k: v for k, v in calling().items() if k != "content"}
    yield "call, absent", {"messages": [ASK, absent, RESULT, SAID, MORE], **TOOLS}
    yield "call, empty", {"messages": [ASK, calling(""), RESULT, SAID, MORE], **TOOLS}
    yield "call, text", {"messages": [ASK, calling("I look."), RESULT, SAID, MORE], **TOOLS}
    yield "whole chat", {"messages": [ASK, calling(), RESULT, SAID, MORE], **TOOLS}
    yield "whole chat, system", {"messages": [SYSTEM, ASK, calling(), RESULT, SAID, MORE], **TOOLS}
    yield "call without tools", {"messages": [ASK, calling(), RESULT, SAID, MORE]}
    yield "answer of parts", {"messages": [
        ASK, calling(), message("tool", parts("21", "degrees"), tool_call_id="abcdefghi"), SAID, MORE], **TOOLS}
    yield "null answer", {"messages": [
        ASK, calling(), message("tool", None, tool_call_id="abcdefghi"), SAID, MORE], **TOOLS}
    nameless = message("tool", "21 degrees", tool_call_id="abcdefghi")
    yield "answer without a name", {"messages": [ASK, calling(), nameless, SAID, MORE], **TOOLS}
    for name, arguments in [("empty", ""), ("null", None), ("object", {"city": "Bonn"}), ("cut off", '{"city": "Bo'),
                            ("null text", "null"), ("list", "[1]"), ("half", '{"a": "\\ud83d"}'), ("NaN", '{"a": NaN}'),
                            ("{}", "{}"), ("nested", '{"a": {"b": [1, 2.5, null, true, "é"]}, "n": 1e3}')]:
        asked = message("assistant", None, tool_calls=[call(arguments=arguments)])
        yield "arguments " + name, {"messages": [ASK, asked, RESULT, SAID, MORE], **TOOLS}
    twice = message("assistant", None, tool_calls=[call(), call("get_time", "{}", "bcdefghij")])
    answers = [RESULT, message("tool", "noon", tool_call_id="bcdefghij", name="get_time")]
    yield "two calls", {"messages": [ASK, twice, *answers, SAID, MORE], "tools": [tool(), tool("get_time")]}
    yield "two rounds", {"messages": [ASK, calling(), RESULT, calling(), RESULT, SAID, MORE], **TOOLS}
    yield "no calls", {"messages": [HI, message("assistant", "It is warm.", tool_calls=[]), MORE]}
    yield "null calls", {"messages": [HI, message("assistant", "It is warm.", tool_calls=None, refusal=None,
                                                  audio=None, function_call=None), MORE]}
    yield "null texts", {"messages": [HI, message("assistant", None), MORE]}


def reasoning_requests():
    for name in ["reasoning", "reasoning_content"]:
        yield name, {"messages": [HI, message("assistant", "Warm.", **{name: "hm hm"}), MORE]}
        yield name + " beside a call", {"messages": [ASK, calling(**{name: "I must look."}), RESULT], **TOOLS}
        yield name + " beside a call and a text", {
            "messages": [ASK, calling("I look.", **{name: "I must look."}), RESULT, SAID, MORE], **TOOLS}
    yield "null reasoning", {"messages": [HI, message("assistant", "Warm.", reasoning=None), MORE]}
    yield "empty reasoning", {"messages": [HI, message("assistant", "Warm.", reasoning=""), MORE]}


def system_requests():
    yield "developer", {"messages": [message("developer", "Be brief."), HI]}
    yield "developer and tools", {"messages": [message("developer", "Be brief."), ASK], **TOOLS}
    yield "system and developer", {"messages": [SYSTEM, message("developer", "Rhyme."), HI]}
    yield "two systems", {"messages": [SYSTEM, message("system", "Rhyme."), HI]}
    yield "two systems of parts", {"messages": [message("system", parts("a", "b")), SYSTEM, HI]}
    yield "system in between", {"messages": [SYSTEM, HI, SAID, message("system", "Rhyme."), MORE]}
    yield "system behind", {"messages": [HI, SAID, SYSTEM, MORE]}


def prefill_requests():
    for name, text in [("json", "```json\n"), ("blank", "The answer is "), ("empty", ""), ("word", "It is"),
                       ("recurs", "a"), ("think", "<think>\nhm"), ("blanks", " \n")]:
        yield "prefill " + name, {"messages": [HI, message("assistant", text)], **PREFILL}
    yield "prefill parts", {"messages": [HI, message("assistant", parts("It is", "warm and "))], **PREFILL}
    yield "prefill null", {"messages": [HI, message("assistant", None)], **PREFILL}
    yield "prefill user", {"messages": [message("user", "Once upon")], **PREFILL}


def requests():
    kinds = [plain_requests, part_requests, tool_requests, reasoning_requests, system_requests, prefill_requests]
    return [request for kind in kinds for request in kind()]


# ---------------------------------------------------------------------------------------------- the oracle

PART_TEXT = {"text": ["text"], "input_text": ["text"], "output_text": ["text"], "refusal": ["refusal"],
             "thinking": ["thinking", "text"], "reasoning": ["reasoning", "text"]}


def regular_content(content):
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        found = [part[k] for k in PART_TEXT[part["type"]] if part.get(k) is not None]
        texts += found[:1]
    return parts(*texts)


def regular(messages):
    out = []
    for sent in messages:
        one = {k: v for k, v in sent.items() if v is not None}
        one["content"] = regular_content(sent.get("content"))
        if one.get("tool_calls") == []:
            del one["tool_calls"]
        if one["role"] == "assistant":
            names = ["reasoning_content", "reasoning", "thinking"]
            thoughts = [one[k] for k in names if k in one]
            if one.get("tool_calls") and one["content"]:
                names.remove("thinking")
            for name in names if thoughts else []:
                one.setdefault(name, thoughts[0])
        out.append(one)
    return out


def as_text(content):
    return content if isinstance(content, str) else "\n".join(p["text"] for p in content)


def fitted_arguments(arguments, as_object):
    if arguments is None or arguments == "":
        arguments = {}
    if not as_object:
        return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {}
    arguments = {} if arguments is None else mended(arguments)
    if not isinstance(arguments, dict):
        raise_exception("the arguments are no object")
    return arguments


def mended(value):
    """Halves of surrogate pairs become U+FFFD."""
    if isinstance(value, dict):
        return {mended(k): mended(v) for k, v in value.items()}
    if isinstance(value, list):
        return [mended(v) for v in value]
    return re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else value


def is_elements(node, name, key=None):
    """True: `name`, or its member `key`, filtered or sliced or not."""
    if isinstance(node, (nodes.Filter, nodes.Test)):
        return node.node is not None and is_elements(node.node, name, key)
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return is_elements(node.node, name, key)
    if key is None:
        return isinstance(node, nodes.Name) and node.name == name
    if isinstance(node, nodes.Getitem):
        member = node.arg.value if isinstance(node.arg, nodes.Const) else None
    else:
        member = node.attr if isinstance(node, nodes.Getattr) else None
    return member == key and isinstance(node.node, nodes.Name) and node.node.name == name


def loops_over_content(tree):
    """True: {% for part in message.content %}, as vLLM finds it."""
    names = ["messages"]
    for name in names:
        names += [s.target.name for s in tree.find_all(nodes.Assign) if isinstance(s.target, nodes.Name)
                  and s.target.name not in names and is_elements(s.node, name)]
    loops = list(tree.find_all(nodes.For))
    messages = {loop.target.name for loop in loops for name in names
                if isinstance(loop.target, nodes.Name) and is_elements(loop.iter, name)}
    return any(is_elements(loop.iter, name, "content") for loop in loops for name in messages)


class Oracle:
    """One template, and the form of messages in which it shows them."""

    def __init__(self, source):
        env = environment(lambda form: datetime.datetime.now().strftime(form))
        self.template = env.from_string(source)
        self.declares = "tools_ts_str" in source
        self.loops = loops_over_content(env.parse(source))
        self.form = {"system": "text", "user": "text", "assistant": "text", "object": True, "null": False,
                     "tool": "text", "named": False, "developer": "'developer'" in source or '"developer"' in source,
                     "several": True, "scattered": True, "mixed": True}
        self.find_contents()
        self.find_systems()
        self.shows_calls = self.find_calls()

    def render(self, messages, form=None, **more):
        variables = {"tools": None, "documents": None, "add_generation_prompt": True, **VARIABLES, **more}
        return self.template.render(messages=self.fit(messages, form or self.form), **variables)

    def try_render(self, messages, form=None, **more):
        try:
            return self.render(messages, form, **more)
        except Exception:
            return ""

    def shows(self, messages, form, *texts, **more):
        shown = self.try_render(messages, form, **more)
        return all(text in shown for text in texts)

    def find_contents(self):
        chats = {"user": ([HI], 0), "assistant": ([HI, SAID, MORE], 1), "system": ([SYSTEM, HI], 0)}
        for role, (chat, at) in chats.items():
            form = dict(self.form, **{role: "both"})
            chat = copy.deepcopy(chat)
            chat[at]["content"] = "Zebra1"
            takes_text = self.shows(chat, form, "Zebra1")
            chat[at]["content"] = parts("Zebra1", "Zebra2")
            shown = self.try_render(chat, form)
            dumped = re.search(r"""text(['"]): \1Zebra1""", shown)
            takes_first = "Zebra1" in shown and not dumped
            takes_parts = takes_first and "Zebra2" in shown
            if takes_text:
                self.form[role] = "both" if takes_parts and self.loops else "text"
            else:
                self.form[role] = "parts" if takes_parts else "one" if takes_first else "text"

    def find_systems(self):
        form, second = self.form, message("system", "Rhyme.")
        developer = message("developer", "Rhyme.")
        form["developer"] = form["developer"] and self.shows([developer, HI], form, "Rhyme.")
        found = {"several": self.shows([SYSTEM, second, HI], form, "Be brief.", "Rhyme.", "Hi there"),
                 "scattered": self.shows([SYSTEM, HI, SAID, second, MORE], form, "Be brief.", "Hi there", "Rhyme.",
                                         "And tomorrow?"),
                 "mixed": self.shows([SYSTEM, developer, HI], form, "Be brief.", "Rhyme.", "Hi there")}
        self.form.update(found)

    def find_calls(self):
        whole = [ASK, calling(), RESULT, SAID, MORE]
        texts = ["How is Bonn?", "get_weather", "21 degrees", "It is warm.", "And tomorrow?"]
        asked = calling()
        asked["tool_calls"][0]["function"]["arguments"] = '{"city": "Zebra3"}'
        whole[1] = asked
        whole[2] = {k: v for k, v in RESULT.items() if k != "name"}
        usual = [dict(self.form, named=named, null=null, object=is_object)
                 for named in [False, True] for null in [False, True] for is_object in [True, False]]
        in_parts = [dict(self.form, assistant="parts", tool="parts")]
        for forms, forbidden, count in itertools.product([usual, in_parts], ["None", "\0"], [5, 3]):
            for form in forms:
                shown = self.try_render(regular(whole[:count]), form, tools=[tool()])
                if all(t in shown for t in texts[:count] + ["Zebra3"]) and forbidden not in shown:
                    self.form = form
                    return True
        return False

    def fit(self, messages, form):
        messages = copy.deepcopy(messages)
        for one in messages:
            if one["role"] == "developer" and not form["developer"]:
                one["role"] = "system"
        names = {}
        for one in messages:
            for asked in one.get("tool_calls", []):
                asked["function"]["arguments"] = fitted_arguments(
                    asked["function"].get("arguments"), form["object"])
                names[asked.get("id")] = asked["function"]["name"]
            if form["named"] and one["role"] == "tool" and "name" not in one and one.get("tool_call_id") in names:
                one["name"] = names[one["tool_call_id"]]
        messages = self.join_systems(messages, form)
        for one in messages:
            if one.get("tool_calls") and form["null"] and as_text(one["content"]) == "":
                one["content"] = None
                continue
            role = one["role"]
            want = form[{"developer": "system"}.get(role, role if role in form else "user")]
            if want == "text":
                one["content"] = as_text(one["content"])
            elif want == "one" or (want == "parts" and isinstance(one["content"], str)):
                one["content"] = parts(as_text(one["content"]))
        return messages

    def join_systems(self, messages, form):
        at = [i for i, one in enumerate(messages) if one["role"] in ("system", "developer")]
        scattered = at != list(range(len(at)))
        mixed = len({messages[i]["role"] for i in at}) > 1
        if (scattered and not form["scattered"]) or (mixed and not form["mixed"]) or (
                len(at) > 1 and not form["several"]):
            texts = [as_text(messages[i]["content"]) for i in at]
            joined = dict(messages[at[0]], content="\n\n".join(t for t in texts if t))
            messages = [joined] + [one for i, one in enumerate(messages) if i not in at]
        return messages

    def answer(self, request):
        messages = regular(request["messages"])
        more = dict(request.get("chat_template_kwargs", {}))
        for name in ["tools", "documents", "add_generation_prompt", "reasoning_effort"]:
            if name in request:
                more[name] = request[name]
        if self.declares and more.get("tools"):
            more["tools"] = sorted_members(more["tools"])
            more["tools_ts_str"] = declared(more["tools"])
        if not request.get("continue_final_message"):
            return self.render(messages, **more)
        return self.continued(messages, more)

    def continued(self, messages, more):
        tag = "CONTINUE_FINAL_MESSAGE_TAG \t"
        last = messages[-1]
        if isinstance(last["content"], list):
            text = last["content"][-1]["text"]
            last["content"][-1]["text"] += tag
        else:
            text = last["content"]
            last["content"] += tag
        shown = self.render(messages, **more)
        if text.strip() not in shown or tag.strip() not in shown:
            raise_exception("the final message is not shown")
        at = shown.rindex(tag.strip())
        kept = shown[at:].startswith(tag) or not text.strip()
        return shown[:at] if kept else shown[:at].removesuffix(text[len(text.rstrip()):])


# ---------------------------------------------------------------------------------------------- the comparison

def expected(source, cases):
    """The oracle, or None where the template is no Jinja; an answer is None where it fails."""
    try:
        oracle = Oracle(source)
    except jinja2.exceptions.TemplateError:
        return None, [None] * len(cases)
    answers = []
    for _, request in cases:
        try:
            answers.append(oracle.answer(request))
        except Exception:
            answers.append(None)
    return oracle, answers


def rendered(renderer, sources, cases):
    lines = [json.dumps({"template": s, "variables": VARIABLES, "requests": [r for _, r in cases]}) for s in sources]
    out = subprocess.run([renderer], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.split("\n") if line]


def shows_whole_chat(answers, cases):
    """True: the chat with a call of a null content is shown with its call, its answer and its texts."""
    for name in ["whole chat", "call, null"]:
        i = [n for n, _ in cases].index(name)
        marks = ["How is Bonn?", "get_weather", "Bonn", "21 degrees"]
        marks += ["It is warm.", "And tomorrow?"] if name == "whole chat" else []
        text = answers[i].get("text", "") if answers else ""
        if all(mark in text for mark in marks):
            return True
    return False


def without_clock(text):
    """Seconds pass between the two."""
    return text and re.sub(r"\d\d:\d\d:\d\d", "hh:mm:ss", text)


def print_difference(theirs, ours):
    """Both texts from a little before the first character that differs."""
    at = next((i for i, (a, b) in enumerate(zip(theirs, ours)) if a != b), min(len(theirs), len(ours)))
    for name, text in [("Jinja2  ", theirs), ("Polymath", ours)]:
        print(f"  {name} {text[max(0, at - 60):at + 120]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--renderer", default="build/cpu-release/tests/templates/render_chats")
    parser.add_argument("--show", type=int, default=5, help="how many differences to print")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.jinja"))
    cases = requests()
    sources = [path.read_text() for path in paths]
    counts, shown, capable, capable_here = collections.Counter(), 0, 0, 0
    for path, source, ours in zip(paths, sources, rendered(options.renderer, sources, cases)):
        oracle, theirs = expected(source, cases)
        answers = ours.get("answers", [{"error": ours.get("error")}] * len(cases))
        if oracle is not None and oracle.shows_calls:
            capable += 1
            whole = shows_whole_chat(answers, cases)
            capable_here += whole
            if not whole:
                print(f"{path.name}: the call, its answer or a text is missing")
        for (name, _), theirs_one, ours_one in zip(cases, theirs, answers):
            text = ours_one.get("text")
            text, theirs_one = without_clock(text), without_clock(theirs_one)
            kind = ("both fail" if text is None else "Jinja2 fails") if theirs_one is None else (
                "Polymath fails" if text is None else "equal" if text == theirs_one else "different")
            counts[kind] += 1
            if kind in ("equal", "both fail") or shown >= options.show:
                continue
            shown += 1
            print(f"--- {path.name}: {name}: {kind}")
            print_difference(theirs_one or "", ours_one.get("error", "") if text is None else text)
    print(f"{len(paths)} templates, {len(cases)} conversations: " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    print(f"{capable} templates can show a call, its answer and texts; Polymath shows them in {capable_here}")
    return 0 if counts["equal"] + counts["both fail"] == sum(counts.values()) and capable == capable_here else 1


if __name__ == "__main__":
    sys.exit(main())
