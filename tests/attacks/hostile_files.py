"""Model files as an attacker would write them: rows of (what is wrong, bytes)."""

import json
import struct

U64_MAX = 2**64 - 1
STRING, ARRAY, UINT32, UINT8 = 8, 9, 4, 0  # value types of GGUF


def gguf_text(text, length=None):
    data = text.encode()
    return struct.pack("<Q", len(data) if length is None else length) + data


def gguf_pair(key, kind, value):
    return gguf_text(key) + struct.pack("<I", kind) + value


def gguf_tensor(name, dims, kind=0, offset=0):
    return gguf_text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def gguf(n_tensors, n_pairs, rest=b""):
    architecture = gguf_pair("general.architecture", STRING, gguf_text("qwen2moe"))
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_pairs + 1) + architecture + rest + b"\0" * 64


GGUF_FILES = (
    ("tensors without end", gguf(U64_MAX, 0)),
    ("pairs without end", gguf(0, U64_MAX - 1)),
    ("a count that overflows with the size of an entry", gguf(2**61 + 1, 0)),
    ("a string longer than the file", gguf(0, 1, gguf_text("k", U64_MAX))),
    ("a value longer than the file", gguf(0, 1, gguf_pair("k", STRING, struct.pack("<Q", 2**63)))),
    ("an array longer than the file", gguf(0, 1, gguf_pair("k", ARRAY, struct.pack("<IQ", UINT32, 2**62 + 1)))),
    ("arrays of arrays", gguf(0, 1, gguf_pair("k", ARRAY, struct.pack("<IQ", ARRAY, 1) * 100_000))),
    ("an unknown type", gguf(0, 1, gguf_pair("k", 99, b""))),
    ("a tensor of too many dimensions", gguf(1, 0, gguf_tensor("t", [1] * 200))),
    ("dimensions whose product overflows", gguf(1, 0, gguf_tensor("t", [2**32, 2**32, 4]))),
    ("bytes that overflow", gguf(1, 0, gguf_tensor("t", [2**61 + 1, 2]))),
    ("a tensor behind the end", gguf(1, 0, gguf_tensor("t", [32], offset=2**40))),
    ("an offset that overflows", gguf(1, 0, gguf_tensor("t", [32], offset=U64_MAX - 31))),
    ("a tensor larger than the file", gguf(1, 0, gguf_tensor("t", [2**33]))),
)


def safetensors(header, data=b"\0" * 64):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS_FILES = (
    ("a header longer than the file", struct.pack("<Q", 2**63) + b"{}"),
    ("a header of more than 100 MB", struct.pack("<Q", 101 << 20) + b"{}" + b" " * 100),
    ("a pickle", b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04exit\x85R."),
    ("an archive", b"PK\x03\x04" + b"\0" * 100),
    ("a tensor behind the end", safetensors({"t": entry(0, 2**40, (2**38,))})),
    ("negative offsets", safetensors({"t": entry(-16, 0)})),
    ("offsets in reverse", safetensors({"t": entry(16, 0)})),
    ("a shape that is not its bytes", safetensors({"t": entry(0, 16, (400,))})),
    ("a shape whose product overflows", safetensors({"t": entry(0, 16, (2**32, 2**32, 4))})),
    ("tensors that overlap", safetensors({"a": entry(0, 16), "b": entry(8, 24)})),
    ("a name that occurs twice", safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 16)).encode(),) * 2))),
    ("deep nesting", safetensors(b"[" * 1_000_000)),
)


def tokenizer_json(**changes):
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    return json.dumps({"model": {**model, **changes.pop("model", {})}, **changes})


TOKENIZERS = (
    ("an id beyond int32", tokenizer_json(model={"vocab": {"a": 2**31}})),
    ("a negative id", tokenizer_json(model={"vocab": {"a": -1}})),
    ("an id beyond 64 bits", '{"model": {"type": "BPE", "vocab": {"a": 99999999999999999999}, "merges": []}}'),
    ("a token of 1 MB", tokenizer_json(model={"vocab": {"a" * (1 << 20): 0}})),
    ("an added token's id beyond int32", tokenizer_json(added_tokens=[{"id": 2**32, "content": "x", "special": True}])),
    ("two tokens of one id", tokenizer_json(model={"vocab": {"a": 1, "b": 1}})),
    ("deep nesting", "[" * 100_000),
    ("an expression that backtracks", tokenizer_json(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(" * 5000}, "behavior": "Isolated"})),
)

# Chat templates that reach for the host, or have no end. Each is refused at the start, or by each chat that it meets.
TEMPLATES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ ('%c' * 8) % (95, 95, 99, 108, 97, 115, 115, 95) }}{{ ''['__cla' ~ 'ss__'].__base__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10000000000 }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set ns = namespace(t='x' * 1000) %}{% for i in range(1000) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
)

# Names that are nothing here: they render as nothing, as Jinja's undefined names do.
HARMLESS_TEMPLATES = ("{{ messages.__class__ }}", "{{ ''|attr('__class__') }}", "{{ messages[0].__dict__ }}")
