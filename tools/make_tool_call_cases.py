#!/usr/bin/env python3
"""Writes the cases of tool-call formats: tests/conformance/data/tool_calls/<format>.jsonl.

    tools/make_tool_call_cases.py

Each line: {"case", "text", "content", "calls": [{"name", "arguments"}], "types"?}. The expected values come from how the
text was made, not from a parser. Standard library only.
"""

import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/conformance/data/tool_calls"

LONG = "The quick brown fox jumps over the lazy dog. " * 24
CALLS = {
    "one string": [("get_weather", {"city": "Paris"})],
    "no arguments": [("now", {})],
    "two calls": [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})],
    "the same function thrice": [("add", {"a": i, "b": i * 2}) for i in (1, 2, 3)],
    "integers": [("add", {"a": 1, "b": -20})],
    "numbers": [("scale", {"x": 1.5, "y": -0.25, "z": 1e-7})],
    "booleans": [("set", {"on": True, "off": False})],
    "null": [("clear", {"value": None})],
    "an object": [("book", {"guest": {"name": "Ann", "ages": [3, 4], "vip": False}})],
    "nested objects": [("deep", {"a": {"b": {"c": {"d": [1, {"e": "f"}]}}}})],
    "arrays": [("sum", {"values": [1, 2, 3], "names": ["a", "b"], "none": []})],
    "an empty object": [("f", {"options": {}})],
    "umlauts": [("search", {"query": "Größe der Straße"})],
    "Korean": [("search", {"query": "서울의 날씨는 어때요?"})],
    "emoji": [("react", {"emoji": "👍🏽 and 🇰🇷"})],
    "double quotes": [("say", {"text": 'He said "no", twice.'})],
    "single quotes": [("say", {"text": "It's Ann's."})],
    "backslashes": [("open", {"path": "C:\\new\\table.txt"})],
    "newlines": [("write", {"text": "one\ntwo\n\nfour"})],
    "tabs": [("write", {"text": "a\tb"})],
    "an empty string": [("say", {"text": ""})],
    "braces": [("say", {"text": "if (a) { b[0]; } }]"})],
    "tags": [("write", {"html": "<div class=\"a\"><p>1 < 2</p></div>"})],
    "code": [("run", {"code": "def f(x):\n    return {'a': [x, \"b\"]}  # , ; ="})],
    "commas and colons": [("say", {"text": "a, b: c; d=e | f"})],
    "a long string": [("write", {"text": LONG.strip()})],
    "long arguments": [("store", {f"key_{i}": [i, {"text": f"value {i}"}] for i in range(40)})],
    "JSON in a string": [("post", {"body": '{"a": [1, "b"]}'})],
    "a string that looks like a number": [("dial", {"number": "0049"})],
    "a name with dots and dashes": [("files.read-all_2", {"path": "/tmp"})],
    "many arguments": [("make", {chr(97 + i): i for i in range(20)})],
}


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def member(names=("name", "arguments")):
    return lambda name, arguments: f'{{"{names[0]}": {dumps(name)}, "{names[1]}": {dumps(arguments)}}}'


def json_each(begin, end, one=member()):
    """Marks around every call."""
    return lambda calls: "\n".join(f"{begin}{one(*call)}{end}" for call in calls)


def json_list(begin, end, one=member()):
    return lambda calls: begin + "[" + ", ".join(one(*call) for call in calls) + "]" + end


def value_text(value):
    return value if isinstance(value, str) else dumps(value)


def tagged(section, call, key):
    """Each of them: texts before and behind; the call's with {name}, the key's with {key} and {is_string}."""

    def render(calls):
        out = section[0]
        for name, arguments in calls:
            out += call[0].replace("{name}", name)
            for k, v in arguments.items():
                begin = key[0].replace("{key}", k).replace("{is_string}", "true" if isinstance(v, str) else "false")
                out += begin + value_text(v) + key[1]
            out += call[1]
        return out + section[1]

    return render


def named(section, call):
    def render(calls):
        out = section[0]
        for i, (name, arguments) in enumerate(calls):
            out += call[0].replace("{name}", name).replace("{i}", str(i)) + dumps(arguments) + call[1]
        return out + section[1]

    return render


def each_section(section, call, key):
    one = tagged(section, call, key)
    return lambda calls: "\n".join(one([c]) for c in calls)


def python_calls(calls):
    return ", ".join(f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})" for name, arguments in calls)


DS = "<｜DSML｜"
DSE = "</｜DSML｜"
PYTHON_NAMES = {"files.read-all_2": "files.read_all_2"}

# format -> (render, options). `after`: text may follow the calls. `bare`: calls without a mark; no text before them.
# `mark`: what begins them. `strings`: values are typed by declarations.
FORMATS = {
    "hermes": (json_each("<tool_call>\n", "\n</tool_call>"), {"mark": "<tool_call>", "end": "\n</tool_call>"}),
    "longcat": (json_each("<longcat_tool_call>\n", "\n</longcat_tool_call>"),
                {"mark": "<longcat_tool_call>", "end": "\n</longcat_tool_call>"}),
    "hunyuan_a13b": (json_list("<tool_calls>", "</tool_calls>"), {"mark": "<tool_calls>", "end": "</tool_calls>"}),
    "minimax": (lambda calls: "<tool_calls>\n" + "\n".join(member()(*c) for c in calls) + "\n</tool_calls>",
                {"mark": "<tool_calls>", "end": "\n</tool_calls>"}),
    "granite": (json_list("<|tool_call|>", ""), {"mark": "<|tool_call|>"}),
    "granite-20b-fc": (lambda calls: "\n".join("<function_call> " + member()(*c) for c in calls),
                       {"mark": "<function_call>"}),
    "phi4_mini_json": (json_list("functools", ""), {"mark": "functools"}),
    "internlm": (json_each("<|action_start|><|plugin|>\n", "<|action_end|>", member(("name", "parameters"))),
                 {"mark": "<|action_start|><|plugin|>", "end": "<|action_end|>"}),
    "cohere_command3": (json_list("<|START_ACTION|>", "<|END_ACTION|>", member(("tool_name", "parameters"))),
                        {"mark": "<|START_ACTION|>", "end": "<|END_ACTION|>"}),
    "apertus": (json_list("<|tools_prefix|>", "<|tools_suffix|>", lambda name, args: dumps({name: args})),
                {"mark": "<|tools_prefix|>", "end": "<|tools_suffix|>"}),
    "gigachat3": (lambda calls: "".join("<|message_sep|>\n\nfunction call<|role_sep|>\n" + member()(*c) for c in calls),
                  {"mark": "<|message_sep|>\n\nfunction call<|role_sep|>\n"}),
    "mistral": (named(("", ""), ("[TOOL_CALLS]{name}[ARGS]", "")), {"mark": "[TOOL_CALLS]"}),
    "deepseek_v3": (named(("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
                          ("<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n", "\n```<｜tool▁call▁end｜>")),
                    {"mark": "<｜tool▁calls▁begin｜>", "end": "<｜tool▁calls▁end｜>"}),
    "deepseek_v31": (named(("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
                           ("<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>", "<｜tool▁call▁end｜>")),
                     {"mark": "<｜tool▁calls▁begin｜>", "end": "<｜tool▁calls▁end｜>"}),
    "kimi_k2": (named(("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
                      ("<|tool_call_begin|>functions.{name}:{i}<|tool_call_argument_begin|>", "<|tool_call_end|>")),
                {"mark": "<|tool_calls_section_begin|>", "end": "<|tool_calls_section_end|>"}),
    "qwen3_coder": (each_section(("<tool_call>\n", "</tool_call>"), ("<function={name}>\n", "</function>\n"),
                                 ("<parameter={key}>\n", "\n</parameter>\n")),
                    {"mark": "<tool_call>", "end": "</tool_call>", "strings": True}),
    "seed_oss": (each_section(("<seed:tool_call>\n", "</seed:tool_call>"), ("<function={name}>\n", "</function>\n"),
                              ("<parameter={key}>", "</parameter>\n")),
                 {"mark": "<seed:tool_call>", "end": "</seed:tool_call>", "strings": True}),
    "minimax_m2": (tagged(("<minimax:tool_call>\n", "</minimax:tool_call>"),
                          ('<invoke name="{name}">\n', "</invoke>\n"), ('<parameter name="{key}">', "</parameter>\n")),
                   {"mark": "<minimax:tool_call>", "end": "</minimax:tool_call>", "strings": True}),
    "deepseek_v32": (tagged((DS + "function_calls>\n", DSE + "function_calls>"),
                            (DS + 'invoke name="{name}">\n', DSE + "invoke>\n"),
                            (DS + 'parameter name="{key}" string="{is_string}">', DSE + "parameter>\n")),
                     {"mark": DS + "function_calls>", "end": DSE + "function_calls>", "members": True}),
    "deepseek_v4": (tagged((DS + "tool_calls>\n", DSE + "tool_calls>"),
                           (DS + 'invoke name="{name}">\n', DSE + "invoke>\n"),
                           (DS + 'parameter name="{key}" string="{is_string}">', DSE + "parameter>\n")),
                    {"mark": DS + "tool_calls>", "end": DSE + "tool_calls>", "members": True}),
    "glm45": (each_section(("<tool_call>", "</tool_call>"), ("{name}\n", ""),
                           ("<arg_key>{key}</arg_key>\n<arg_value>", "</arg_value>\n")),
              {"mark": "<tool_call>", "end": "</tool_call>", "strings": True, "needs_end": True}),
    "step3": (tagged(("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>"),
                     ('<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="{name}">',
                      "</steptml:invoke><｜tool_call_end｜>"),
                     ('<steptml:parameter name="{key}">', "</steptml:parameter>")),
              {"mark": "<｜tool_calls_begin｜>", "end": "<｜tool_calls_end｜>", "strings": True}),
    "lfm2": (lambda calls: f"<|tool_call_start|>[{python_calls(calls)}]<|tool_call_end|>",
             {"mark": "<|tool_call_start|>", "end": "<|tool_call_end|>", "python": True}),
    "olmo3": (lambda calls: "<function_calls>\n" + "\n".join(python_calls([c]) for c in calls) + "\n</function_calls>",
              {"mark": "<function_calls>", "end": "\n</function_calls>", "python": True}),
    "llama4_pythonic": (lambda calls: f"<|python_start|>[{python_calls(calls)}]<|python_end|>",
                        {"mark": "<|python_start|>", "end": "<|python_end|>", "python": True}),
    "pythonic": (lambda calls: f"[{python_calls(calls)}]", {"mark": "[", "bare": True, "python": True}),
    "llama3_json": (lambda calls: "; ".join(member(("name", "parameters"))(*c) for c in calls),
                    {"mark": "{", "bare": True}),
    "xlam": (json_list("", ""), {"mark": "[", "bare": True}),
    "openai": (lambda calls: "<|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{dumps(arguments)}<|call|>"
        for name, arguments in calls), {"harmony": True}),
}


def renamed(calls, options):
    if not options.get("python"):
        return calls
    return [(PYTHON_NAMES.get(name, name), arguments) for name, arguments in calls]


def types_of(calls):
    return {f"{name}.{key}": "string" if isinstance(value, str) else "other"
            for name, arguments in calls for key, value in arguments.items()}


def line(case, text, content, calls=(), types=None):
    out = {"case": case, "text": text, "content": content,
           "calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}
    if types:
        out["types"] = types
    return out


def around(render, options):
    """Texts around one call."""
    calls = CALLS["one string"]
    call, types = render(calls), types_of(calls) if options.get("strings") else None
    yield line("blanks around", f"\n {call}\n\n", "", calls, types)
    yield line("text behind", f"{call}\nThat was it.", "That was it.", calls, types)
    if options.get("bare"):
        return
    yield line("text before", f"Let me look.\n\n{call}", "Let me look.", calls, types)
    yield line("texts around", f"Let me look.\n{call}\nDone.", "Let me look.\nDone.", calls, types)
    yield line("text between calls", f"One {call} two {call}", "One two", calls + calls, types)
    yield line("a mark's beginning in a text", f"See {options['mark'][:3]} there", f"See {options['mark'][:3]} there")


def broken(render, options):
    """What is no call stays text, byte by byte."""
    call, mark = render(CALLS["one string"]), options["mark"]
    for case, text in {
            "the mark alone": mark,
            "text behind the mark": f"{mark} and so on.",
            "cut off in the arguments": call[:call.index("Paris") + 2],
            "cut off in the name": call[:call.index("get_weather") + 4],
    }.items():
        yield line(case, text, text)
    inner = "Paris" if options.get("strings") or options.get("members") else None
    if inner is None:
        text = call.replace("Paris", "Pa\"ris' \"", 1)
        yield line("a quote too many", text, text)
    whole = f"{call} {mark}"
    yield line("a mark behind a call", whole, mark.rstrip(), CALLS["one string"],
               types_of(CALLS["one string"]) if options.get("strings") else None)
    if options.get("end") and not options.get("needs_end"):
        text = call.removesuffix(options["end"])
        yield line("the end mark is missing", text, "", CALLS["one string"],
                   types_of(CALLS["one string"]) if options.get("strings") else None)


def harmony(render):
    calls = CALLS["one string"]
    call = render(calls)
    final = "<|channel|>final<|message|>"
    analysis = "<|channel|>analysis<|message|>I should look.<|end|><|start|>assistant"
    yield line("a final answer", final + "Hello.<|return|>", "Hello.")
    yield line("a final answer that goes on", final + "Hello", "Hello")
    yield {**line("reasoning and a call", analysis + call, "", calls), "reasoning": "I should look."}
    yield {**line("reasoning and an answer", analysis + final + "Hi.", "Hi."), "reasoning": "I should look."}
    yield line("a preamble", f"<|channel|>commentary<|message|>I look.<|end|><|start|>assistant{call}", "I look.", calls)
    yield line("the recipient before the channel",
               " to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Paris\"}<|call|>", "", calls)
    yield line("no end", call.removesuffix("<|call|>"), "", calls)
    yield line("cut off", call[:call.index("Paris") + 2], '{"city": "Pa')
    yield line("no JSON", call.replace("{", "(", 1), '("city": "Paris"}')
    yield line("a quote too many", call.replace("Paris", 'Pa"ris'), '{"city": "Pa"ris"}')
    yield line("no channels", "Plain words.", "Plain words.")


def cases(render, options):
    for case, calls in CALLS.items():
        calls = renamed(calls, options)
        yield line(case, render(calls), "", calls, types_of(calls) if options.get("strings") else None)
    if options.get("harmony"):
        yield from harmony(render)
        return
    yield line("no call", "Just a text, with <b>tags</b>\nand {braces}.", "Just a text, with <b>tags</b>\nand {braces}.")
    yield from around(render, options)
    yield from broken(render, options)


EXTRA = {
    "hermes": [
        line("arguments first", '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', "", [("f", {"a": 1})]),
        line("arguments in a string", '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', "",
             [("f", {"a": 1})]),
        line("another member", '<tool_call>{"id": 7, "name": "f", "arguments": {}}</tool_call>', "", [("f", {})]),
        line("a raw newline in a string", '<tool_call>{"name": "f", "arguments": {"a": "x\ny"}}</tool_call>', "",
             [("f", {"a": "x\ny"})]),
        line("no name", '<tool_call>{"arguments": {}}</tool_call>', '<tool_call>{"arguments": {}}</tool_call>'),
        line("arguments are a list", '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
             '<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
        line("a call behind a broken one", '<tool_call>{"name": <tool_call>{"name": "f", "arguments": {}}</tool_call>',
             '<tool_call>{"name":', [("f", {})]),
    ],
    "mistral": [
        line("a list", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]', "", [("f", {"a": 1})]),
        line("an id", '[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"a": 1}', "", [("f", {"a": 1})]),
        line("no mark behind the name", '[TOOL_CALLS]f{"a": 1}', "", [("f", {"a": 1})]),
    ],
    "llama3_json": [
        line("a mark", '<|python_tag|>{"name": "f", "parameters": {"a": 1}}', "", [("f", {"a": 1})]),
        line("other JSON", '{"name": "Ann", "age": 3}', '{"name": "Ann", "age": 3}'),
    ],
    "pythonic": [
        line("a list of numbers", "[1, 2, 3]", "[1, 2, 3]"),
        line("a variable", "[f(a=b)]", "[f(a=b)]"),
        line("a tuple and a trailing comma", "[f(a=(1, 2), b=[True, None],)]", "",
             [("f", {"a": [1, 2], "b": [True, None]})]),
    ],
    "qwen3_coder": [
        line("no outer mark", "<function=f>\n<parameter=a>\nx\n</parameter>\n</function>", "", [("f", {"a": "x"})]),
        line("Python's words", "<tool_call><function=f><parameter=a>True</parameter></function></tool_call>", "",
             [("f", {"a": True})], {"f.a": "other"}),
        line("blanks at the ends", "<tool_call><function=f><parameter=a>\n  x\n\n</parameter></function></tool_call>",
             "", [("f", {"a": "  x\n"})], {"f.a": "string"}),
    ],
    "glm45": [
        line("on one line", "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>", "", [("f", {"a": 1})]),
    ],
}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (render, options) in FORMATS.items():
        lines = [*cases(render, options), *EXTRA.get(name, [])]
        assert len(lines) >= 30, name
        (FOLDER / f"{name}.jsonl").write_text("".join(dumps(one) + "\n" for one in lines))


if __name__ == "__main__":
    main()
