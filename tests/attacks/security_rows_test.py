"""The known ways in which servers of models were broken into, a test each. docs/operate/security.md has the table.

The numbers are those of that table.
"""

import base64
import json
import os
import re
import socket
import time
import unittest
from pathlib import Path

from hostile_files import GGUF_FILES, HARMLESS_TEMPLATES, SAFETENSORS_FILES, TEMPLATES, TOKENIZERS
from raw import Server, ask, connect, head, post, read_all, rss, status_of
from process_test import ModelCopy, outcome  # behind raw, which says where it is
from serving import DEMO

FLAGS = ("--served-model-name", "m", "--max-model-len", "512")
MIB = 1 << 20
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "hi"}]
OPEN_PATHS = {"/health", "/live", "/ready", "/ping", "/metrics", "/"}


def complete(port, **fields):
    return ask(port, post(TEXT, {"prompt": "x", "max_tokens": 1, **fields}))


def error_of(data):
    return json.loads(data)["error"]["message"]


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FLAGS)
        cls.port = cls.server.port

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), self.server.text()[-2000:])
        self.assertEqual(complete(self.port)[0], 200, "the server serves on")

    def start(self, *flags, **options):
        server = Server(*FLAGS, *flags, **options)
        self.addCleanup(server.stop)
        return server

    def refused(self, path, body, statuses=(400,), says=""):
        status, _, data = ask(self.port, post(path, body))
        self.assertIn(status, statuses, (path, str(body)[:200], data[:300]))
        self.assertIn(says, data.decode())
        return data

    def fails_to_start(self, model, says):
        """The server ends at once, with a sentence."""
        begin = time.monotonic()
        code, err, _ = outcome(model=model)
        self.assertEqual(code, 1, err[-1000:])
        self.assertRegex(err, says)
        self.assertLess(time.monotonic() - begin, 10)

    def sockets(self, table):
        """(local address, state) of the server's own sockets."""
        own = set()
        for link in Path(f"/proc/{self.server.process.pid}/fd").iterdir():
            try:
                own.add(os.readlink(link))
            except OSError:
                pass
        rows = [line.split() for line in Path(f"/proc/{self.server.process.pid}/net/{table}").read_text().splitlines()[1:]]
        inode = 6 if table == "unix" else 9
        return [(row[1], row[3]) for row in rows if f"socket:[{row[inode]}]" in own]

    def test_01_no_socket_takes_serialized_objects(self):
        listening = [address for address, state in self.sockets("tcp") if state == "0A"]
        self.assertEqual(listening, [f"0100007F:{self.port:04X}"], "one door, on the address that was asked for")
        for table in ("tcp6", "udp", "udp6", "unix"):
            self.assertEqual(self.sockets(table), [], table)
        pickle = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."
        connection = connect(self.port)
        connection.sendall(pickle)
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(status_of(read_all(connection)), 400)
        connection.close()

    def test_02_no_tensors_from_clients(self):
        tensor = base64.b64encode(b"PK\x03\x04" + b"\0" * 1000).decode()
        for value in (tensor, [tensor], {"data": tensor}):
            self.assertIn("prompt_embeds", error_of(self.refused(TEXT, {"prompt_embeds": value, "max_tokens": 1})))

    def test_03_no_code_from_model_directories(self):
        model = ModelCopy(self)
        trap = model.path / "ran"
        code = f"open({str(trap)!r}, 'w')"
        config = json.loads((model.path / "config.json").read_text())
        auto_map = {"AutoConfig": "trap.Config", "AutoModelForCausalLM": "trap.Model"}
        model.write("config.json", json.dumps({**config, "auto_map": auto_map}))
        model.write("trap.py", code)
        model.write("modeling_mixtral.py", code)
        server = self.start(model=model.path)
        self.assertEqual(complete(server.port)[0], 200)
        self.assertFalse(trap.exists())
        (model.path / "model.safetensors").unlink()
        for name in ("pytorch_model.bin", "model.pt", "model.pkl", "consolidated.00.pth"):
            model.write(name, "\x80\x04")
            self.fails_to_start(model.path, "safetensors")
            (model.path / name).unlink()

    def test_04_gguf_counts_and_dimensions(self):
        for what, data in GGUF_FILES:
            with self.subTest(what):
                model = ModelCopy(self)
                (model.path / "hostile.gguf").write_bytes(data)
                self.fails_to_start(model.path / "hostile.gguf", r"hostile\.gguf")

    def test_05_tensors_lie_within_their_file(self):
        for what, data in SAFETENSORS_FILES:
            with self.subTest(what):
                model = ModelCopy(self)
                model.write("model.safetensors", "")
                (model.path / "model.safetensors").write_bytes(data)
                self.fails_to_start(model.path, r"model\.safetensors")

    def test_06_vocabularies_fit_their_ids(self):
        for what, text in TOKENIZERS:
            with self.subTest(what):
                model = ModelCopy(self)
                model.write("tokenizer.json", text)
                self.fails_to_start(model.path, r"tokenizer\.json")
        for ids in ([2**31], [2**63], [-1], [-(2**31)], [2**32 + 5], [1.5], [10**30]):
            self.refused(TEXT, {"prompt": ids, "max_tokens": 1})
            self.refused("/detokenize", {"tokens": ids})

    def test_07_numbers_are_in_their_range(self):
        integers = ("max_tokens", "n", "best_of", "top_k", "seed", "logprobs", "prompt_logprobs", "min_tokens", "priority",
                    "truncate_prompt_tokens", "stream_interval")  # fmt: skip
        for field in (*integers, "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty",
                      "repetition_penalty"):  # fmt: skip
            for value in (-(2**63), -(2**31) - 1, -5, 2**31, 2**63 - 1, 2**64, 10**40, 1e308, "1", [], {}, True):
                status, _, data = complete(self.port, **{field: value})
                self.assertIn(status, (200, 400), (field, value, data[:200]))
        for text in (b"NaN", b"Infinity", b"1e999", b"0x10", b"+1", b"01", b"--1"):
            status = ask(self.port, post(TEXT, b'{"prompt":"x","max_tokens":1,"temperature":%s}' % text))[0]
            self.assertEqual(status, 400, text)
        for bias in ({"-1": 1}, {"4294967296": 1}, {"1": "x"}, {str(2**31): 5}):
            self.refused(TEXT, {"prompt": "x", "max_tokens": 1, "logit_bias": bias})

    def test_08_no_worker_protocol_without_a_secret(self):
        for flags in (("--nnodes", "2", "-tp", "2"), ("--distributed-executor-backend", "ray"), ("--data-parallel-size-local", "2"), ("--grpc",)):
            code, err, _ = outcome("--dry-run", *flags)
            self.assertEqual(code, 2, flags)
            self.assertIn(flags[0], err)

    def test_09_no_state_is_restored_from_files(self):
        for path in ("/slots/0?action=restore", "/slots/0?action=save", "/save", "/restore", "/kv/import"):
            self.assertIn(ask(self.port, post(path, {"filename": "../../x"}))[0], (404, 405), path)
        self.refused(TEXT, {"prompt": "x", "max_tokens": 1, "kv_transfer_params": {"remote_host": "x"}})
        code, err, _ = outcome("--dry-run", "--kv-transfer-config", '{"kv_connector": "x"}')
        self.assertEqual(code, 2)
        self.assertIn("--kv-transfer-config", err)

    def test_10_templates_reach_nothing(self):
        server = self.start("--trust-request-chat-template")
        for template in HARMLESS_TEMPLATES:
            body = {"messages": USER, "max_tokens": 1, "chat_template": template + "|"}
            status, _, data = ask(server.port, post(CHAT + "/render", body))
            self.assertEqual((status, json.loads(data).get("prompt")), (200, "|"), data)
        for template in TEMPLATES:
            with self.subTest(template):
                begin = time.monotonic()
                code, err, _ = outcome("--dry-run", "--chat-template", template)
                self.assertEqual(code, 1, template)
                self.assertNotIn("root:", err)
                self.assertLess(time.monotonic() - begin, 10)
            self.refused(CHAT, {"messages": USER, "max_tokens": 1, "chat_template": template}, says="chat_template")

    def test_11_templates_end(self):
        server = self.start("--trust-request-chat-template")
        before = rss(server)
        for template in TEMPLATES:
            begin = time.monotonic()
            status, _, data = ask(server.port, post(CHAT, {"messages": USER, "max_tokens": 1, "chat_template": template}))
            self.assertEqual(status, 400, template)
            self.assertLess(time.monotonic() - begin, 5, template)
            self.assertLess(len(data), 4096)
        for kwargs in ({"messages": []}, {"tools": []}, {"add_generation_prompt": False}, {"bos_token": "x"}):
            status = ask(server.port, post(CHAT, {"messages": USER, "max_tokens": 1, "chat_template_kwargs": kwargs}))[0]
            self.assertEqual(status, 400, kwargs)
        self.assertLess(rss(server, "VmHWM") - before, 256 * MIB)

    def test_12_schemas_and_grammars_are_bounded(self):
        deep = {"type": "object"}
        for _ in range(80):
            deep = {"type": "object", "properties": {"a": deep}}
        many = {"anyOf": [{"const": i} for i in range(300)]}
        rows = (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": deep}}},
            {"guided_json": {"allOf": [many, many]}},
            {"guided_json": {"type": "string", "maxLength": 10**9}},
            {"structured_outputs": {"regex": "(a|b){1,5000000}"}},
            {"guided_regex": "(" * 1000},
            {"guided_regex": "(?=.*a.{40})(?=.*b.{39})(?=.*c.{38})(?!.*d.{37}).{200}x"},
            {"guided_json": {"$ref": "#"}},
            {"guided_grammar": "root ::= root"},
            {"grammar": "root ::= [a-z"},
        )
        for fields in rows:
            self.refused(TEXT, {"prompt": "x", "max_tokens": 1, **fields})
        self.refused("/generate", {"inputs": "x", "parameters": {"grammar": {"type": "regex", "value": "(a"}}}, (422,))
        # Nested repeats cost no more than others.
        status = ask(self.server.port, post(TEXT, {"prompt": "x", "max_tokens": 50, "guided_regex": "((a+)+)+b"}))[0]
        self.assertEqual(status, 200)

    def test_13_text_costs_linear_time(self):
        server = self.start(model=DEMO)
        patterns = ("a", " ", "\n", "a b", "'s", "<|", "<|im_end|>", "\u0301", "1", "\t \n", "한", "=" * 7 + "a")
        for pattern in patterns:
            text = pattern * (MIB // len(pattern.encode()))
            for path, body in (("/tokenize", {"prompt": text}), (TEXT, {"prompt": text, "max_tokens": 1})):
                begin = time.monotonic()
                status = ask(server.port, post(path, body))[0]
                self.assertEqual(status, 400, pattern)
                self.assertLess(time.monotonic() - begin, 1, (path, pattern))
        fits = "aaaa " * 400 + "'" * 1000
        begin = time.monotonic()
        self.assertEqual(ask(server.port, post("/tokenize", {"prompt": fits, "truncate_prompt_tokens": 5}))[0], 200)
        self.assertLess(time.monotonic() - begin, 1)

    def test_14_calls_are_data(self):
        trap = Path(self.server.log.name + ".ran")
        call = f"__import__('os').system('touch {trap}')"
        tools = [{"type": "function", "function": {"name": call, "parameters": {"type": "object"}}}]
        messages = [*USER, {"role": "assistant", "content": f"[{call}]", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": call})}}]}]  # fmt: skip
        for body in ({"messages": [*messages, *USER], "tools": tools}, {"messages": messages, "continue_final_message": True,
                     "add_generation_prompt": False, "echo": True}):  # fmt: skip
            status, _, data = ask(self.port, post(CHAT, {"max_tokens": 8, **body}))
            self.assertIn(status, (200, 400), data[:300])
            if status == 200:
                self.assertFalse(json.loads(data)["choices"][0]["message"].get("tool_calls"))
        self.assertFalse(trap.exists())

    def test_15_nothing_is_fetched(self):
        with socket.create_server(("127.0.0.1", 0)) as trap:
            trap.settimeout(0.5)
            host = f"127.0.0.1:{trap.getsockname()[1]}"
            urls = (f"http://{host}/x.png", f"http://user@{host}/", f"HTTP://{host}\\@example.com/", f"ftp://{host}/x",
                    f"//{host}/x", "file:///etc/passwd", "gopher://" + host)  # fmt: skip
            for url in urls:
                for kind in ("image_url", "audio_url", "video_url"):
                    part = {"type": kind, kind: {"url": url}}
                    self.refused(CHAT, {"messages": [{"role": "user", "content": [part]}], "max_tokens": 1})
            ask(self.port, post("/generate", {"inputs": f"![](http://{host}/x.png) x", "parameters": {"max_new_tokens": 1}}))
            self.assertRaises(TimeoutError, trap.accept)

    def test_16_text_alone_and_errors_without_addresses(self):
        image = "data:image/png;base64," + base64.b64encode(b"\x89PNG" + b"\xff" * 100).decode()
        bodies = (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}]},
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
            {"messages": "x"}, {"messages": [{"role": {}}]}, {"messages": USER, "chat_template": "{{ x.y.z }}"},
            {"messages": USER, "model": "../../etc/passwd"}, {"messages": USER, "max_tokens": -1}, {}, [], "x",
        )  # fmt: skip
        for body in bodies:
            text = self.refused(CHAT, body, (400, 404)).decode()
            self.assertNotRegex(text, r"0x[0-9a-f]{6}|/home/|/usr/|\.cpp|\.so\b| at line \d+ of ")
            self.assertNotIn(str(Path(os.environ["POLYMATH"]).parent), text)

    def test_17_one_request_does_not_take_everything(self):
        before = rss(self.server)
        rows = (
            {"n": 129}, {"n": 2**31}, {"best_of": 2**20}, {"logprobs": 1000},
            {"stop": ["x"] * 65}, {"stop": "x" * 1025}, {"stop_token_ids": [1] * 1025}, {"prompt": ["x"] * 1025},
            {"prompt": []}, {"prompt": [[]]}, {"logit_bias": {str(i): 1 for i in range(1025)}}, {"max_tokens": 2**31},
            {"bad_words": ["x"] * 129}, {"prompt": [[1]] * 200, "n": 100}, {"allowed_token_ids": []},
            {"cache_salt": "x" * 2000},
        )  # fmt: skip
        for fields in rows:
            self.refused(TEXT, {"prompt": "x", "max_tokens": 1, **fields})
        for size, status in ((15_000, 200), (17_000, 431), (1_000_000, 431)):
            self.assertEqual(ask(self.port, head("GET", "/v1/models", X_Large="x" * size))[0], status)
        self.assertIn(complete(self.port, prompt="")[0], (200, 400))
        self.assertLess(rss(self.server, "VmHWM") - before, 64 * MIB)

    def test_18_requests_have_one_reading(self):
        chunked = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\nx\r\n0\r\n\r\n"
        sizes = ("-2", "+1", " 1", "0x1", "1 ", "1g", "", "f" * 17, "ffffffffffffffff", "1_0")
        rows = [(chunked.format(size), (400, 413)) for size in sizes]
        start = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        rows += [
            (start + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
            (start + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", (400,)),
            (start + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", (400,)),
            (start + "Content-Length: -2\r\n\r\n{}", (400,)),
            (start + "Content-Length: 0x2\r\n\r\n{}", (400,)),
            (start + "Content-Length: 99999999999999999999\r\n\r\n{}", (400, 413)),
            (start + "Content-Length : 2\r\n\r\n{}", (400,)),
            (start + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
            (start + "Transfer-Encoding: xchunked\r\n\r\n", (400, 501)),
            (start + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", (415,)),
            (start + "Host: other\r\nContent-Length: 2\r\n\r\n{}", (400,)),
            (start + " folded: x\r\nContent-Length: 2\r\n\r\n{}", (400,)),
            ("GET /v1/models HTTP/1.1\nHost: localhost\n\n", (400,)),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
            ("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", (200, 400)),
        ]
        for text, statuses in rows:
            status, _, data = ask(self.port, text.encode("latin-1"))
            self.assertIn(status, statuses, (text, data[:200]))
        many = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000
        before = rss(self.server)
        self.assertEqual(ask(self.port, many + b"0\r\n\r\n")[0], 400)
        self.assertLess(rss(self.server, "VmHWM") - before, 64 * MIB, "chunks cost what they carry")

    def test_19_everything_needs_the_key(self):
        server = self.start("--api-key", "right")
        reference = (Path(os.environ["POLYMATH_ROOT"]) / "docs/reference/api.md").read_text(encoding="utf-8")
        known = set(re.findall(r"`(/[a-z0-9_/]*)`", reference)) | {"/v1/models/m"}
        self.assertGreater(len(known), 15)
        unknown = {"/pooling", "/pause", "/update_weights", "/collective_rpc", "/sleep", "/reset_prefix_cache",
                   "/start_profile", "/server_info", "/v1/load_lora_adapter", "/docs", "/openapi.json", "/debug", "/x"}  # fmt: skip
        for path in sorted((known | unknown) - OPEN_PATHS):
            requests = (head("GET", path), post(path, {"prompt": "x"}), head("DELETE", path), head("HEAD", path))
            self.assertEqual({ask(server.port, request)[0] for request in requests}, {401}, path)
        for path in sorted(unknown):
            self.assertEqual(ask(server.port, head("GET", path, Authorization="Bearer right"))[0], 404, path)
        for wrong in ("Bearer", "Bearer ", "Bearer righ", "Bearer right2", "bearer  right x", "Basic right", "right"):
            self.assertIn(complete_with(server.port, wrong), (401, 429), wrong)
        self.assertEqual(complete_with(server.port, "Bearer right"), 200)

    def test_20_names_are_no_paths_and_caches_tell_nothing(self):
        for name in ("../m", "/etc/passwd", "m/../../x", "m\0", "..%2f..%2fetc", "a" * 10_000, "sha256:../../x"):
            self.refused(TEXT, {"model": name, "prompt": "x", "max_tokens": 1}, (404,))
        self.assertEqual(ask(self.port, head("GET", "/v1/models/..%2F..%2Fetc%2Fpasswd"))[0], 404)
        self.assertIn(ask(self.port, post("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "/etc"}))[0], (404, 405))
        server = self.start("--api-key", "a", "b")
        secret = {"prompt": "the secret of client a " * 12, "max_tokens": 1}

        def cached(key, **fields):
            data = ask(server.port, post(TEXT, {**secret, **fields}, Authorization=f"Bearer {key}"))[2]
            return json.loads(data)["usage"]["prompt_tokens_details"]["cached_tokens"]

        self.assertEqual(cached("a"), 0)
        self.assertGreater(cached("a"), 0)
        self.assertEqual(cached("b"), 0, "another key's prompts are not known")
        self.assertEqual(cached("a", cache_salt="x"), 0, "nor those under another salt")


def complete_with(port, authorization):
    return ask(port, post(TEXT, {"prompt": "x", "max_tokens": 1}, Authorization=authorization))[0]


if __name__ == "__main__":
    unittest.main()
