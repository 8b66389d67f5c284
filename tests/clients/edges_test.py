"""What clients send at the edges of the API, and what they must get: fields, types, overflows, queues, streams."""

import asyncio
import json
import resource
import socket
import time
import unittest

import openai
from serving import DEMO, Server

MODEL = "stand-in"
HI = [{"role": "user", "content": "hi"}]
FLAGS = ("--served-model-name", MODEL, "--max-model-len", "1024")
BURST = 3000
OCCUPYING = 40  # answers that wait for one another, and keep a server of one seat busy
LEAVING = 16
FORMS = {
    "grammar": "root ::= [0-9]+",
    "regex": "[0-9]+",
    "ebnf": "root ::= [0-9]+",
    "format": "json",
    "json_schema": {"type": "object"},
    "guided_decoding": {"json": {}},
}


def client(server, **options):
    options = {"api_key": "none", "max_retries": 0, "timeout": 60, **options}
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", **options)


def post(server, path, body, headers=None):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return server.request("POST", path, data, headers)


def error_of(data):
    return json.loads(data)["error"]


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FLAGS)
        cls.client = client(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def chat(self, **fields):
        return self.client.chat.completions.create(model=MODEL, messages=HI, max_tokens=4, **fields)

    def test_what_promises_a_form_is_refused_by_name(self):
        for name, value in FORMS.items():
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(extra_body={name: value})
            self.assertEqual(caught.exception.code, "unsupported_parameter", name)
            self.assertEqual(caught.exception.param, name)

    def test_other_unknown_fields_are_warned_of_once(self):
        for _ in range(3):
            self.chat(extra_body={"temprature": 0.5})
        self.assertEqual(self.server.text().count("temprature"), 1)

    def test_tools_do_not_fail(self):
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
        self.assertIsNotNone(self.chat(tools=[tool]).choices[0].message)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(tools=[tool], tool_choice="required")
        self.assertEqual(caught.exception.code, "unsupported_parameter")

    def test_every_overflow_has_one_sentence(self):
        long = [{"role": "user", "content": "word " * 480_000}]  # 2.4 MB
        calls = (
            lambda: self.client.chat.completions.create(model=MODEL, messages=long),
            lambda: self.client.completions.create(model=MODEL, prompt="word " * 480_000),
            lambda: self.client.completions.create(model=MODEL, prompt="word " * 2000),
            lambda: self.client.completions.create(model=MODEL, prompt="x", max_tokens=2000),
        )
        for call in calls:
            with self.assertRaises(openai.BadRequestError) as caught:
                call()
            self.assertEqual(caught.exception.code, "context_length_exceeded")
            sentence = "This model's maximum context length is 1024 tokens. However, "
            self.assertTrue(caught.exception.body["message"].startswith(sentence), caught.exception.body)

    def test_types(self):
        def complete(**fields):
            return self.client.completions.create(model=MODEL, prompt="the", max_tokens=12, extra_body=fields)

        texts = {complete(seed=-1, temperature=1).choices[0].text for _ in range(4)}
        self.assertGreater(len(texts), 1)
        self.assertEqual(complete(seed=1.0).choices[0].text, complete(seed=1).choices[0].text)
        self.assertIsNone(complete(logprobs=False).choices[0].logprobs)
        complete(logit_bias={"5": 1000, "6": -1e9}, stream_options={})

    def test_stops_of_evaluation_harnesses(self):
        stops = ["\n\n", "Question:", "</s>", "<|im_end|>", "Q:"]
        self.client.completions.create(model=MODEL, prompt="the", max_tokens=4, stop=stops)
        with self.assertRaisesRegex(openai.BadRequestError, "--max-stop-strings"):
            self.client.completions.create(model=MODEL, prompt="the", max_tokens=4, stop=["a"] * 65)

    def test_models_are_found_by_name(self):
        self.assertEqual(self.client.models.retrieve(MODEL).id, MODEL)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("org/other")

    def test_a_wrong_path_names_the_right_one(self):
        for path in ("/chat/completions", "/v1/chat/completion", "/v1/v1/chat/completions"):
            status, data, _ = post(self.server, path, {})
            self.assertEqual(status, 404)
            message = error_of(data)["message"]
            self.assertEqual(message, f"there is no POST {path}; the nearest is POST /v1/chat/completions")
        status, data, _ = self.server.request("GET", "/v1/chat/completions")
        self.assertEqual(status, 405)
        self.assertIn("/v1/chat/completions does not take GET", error_of(data)["message"])

    def test_half_a_surrogate_pair(self):
        body = '{"prompt":"a\\ud83d","max_tokens":1,"echo":true}'
        status, data, _ = post(self.server, "/v1/completions", body)
        self.assertEqual(status, 200)
        self.assertTrue(json.loads(data)["choices"][0]["text"].startswith("a\ufffd"))
        status, data, _ = post(self.server, "/v1/completions", b'{"prompt":"a\xed\xa0\xbd"}')
        self.assertEqual(status, 400)
        self.assertIn("not UTF-8", error_of(data)["message"])

    def test_no_cors_unless_asked_for(self):
        headers = self.server.request("GET", "/v1/models", headers={"Origin": "http://a"})[2]
        self.assertNotIn("Access-Control-Allow-Origin", headers)


class Logprobs(unittest.TestCase):
    """Characters that span tokens, on a model that has such."""

    PROMPT = [{"role": "user", "content": "Say hello in Korean."}]

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--served-model-name", MODEL, model=DEMO)
        cls.client = client(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def ask(self, **fields):
        fields = {"logprobs": True, "top_logprobs": 3, "temperature": 0, "max_tokens": 24, **fields}
        return self.client.chat.completions.create(model=MODEL, messages=self.PROMPT, **fields)

    def test_bytes_join_to_the_text(self):
        # Every token beyond ASCII is a byte of the character here: forced, so that no training changes it.
        fields = {"extra_body": {"allowed_token_ids": self.ids("안녕 세계"), "ignore_eos": True}, "temperature": 1, "seed": 3}
        choice = self.ask(**fields).choices[0]
        tokens = choice.logprobs.content
        joined = b"".join(bytes(t.bytes) for t in tokens)
        self.assertEqual(joined.decode(errors="replace").rstrip("\ufffd"), choice.message.content.rstrip("\ufffd"))
        self.assertIn("", [t.token for t in tokens])
        for token in tokens:
            self.assertEqual(len(token.top_logprobs), 3)
        self.assertEqual("".join(t.token for t in tokens).rstrip("\ufffd"), choice.message.content.rstrip("\ufffd"))

    def test_the_answer_in_korean(self):
        choice = self.ask().choices[0]
        content = choice.logprobs.content
        shown = [t for t in content if not t.token.startswith("<|")]
        self.assertEqual(b"".join(bytes(t.bytes) for t in shown).decode(), choice.message.content)

    def test_offsets_are_the_same_in_stream_and_whole(self):
        fields = {"model": MODEL, "prompt": "안녕", "logprobs": 3, "max_tokens": 24, "temperature": 1, "seed": 3}
        fields["extra_body"] = {"allowed_token_ids": self.ids("안녕 세계"), "ignore_eos": True}
        whole = self.client.completions.create(**fields).choices[0]
        chunks = [c.choices[0] for c in self.client.completions.create(stream=True, **fields)]
        for field in ("text_offset", "tokens", "token_logprobs"):
            parts = [getattr(c.logprobs, field) for c in chunks if c.logprobs]
            self.assertEqual(sum(parts, []), getattr(whole.logprobs, field))
        self.assertLessEqual(whole.logprobs.text_offset[-1], len(whole.text))
        for token, offset in zip(whole.logprobs.tokens, whole.logprobs.text_offset):
            self.assertEqual(whole.text[offset : offset + len(token)], token)

    def ids(self, text):
        return json.loads(post(self.server, "/tokenize", {"prompt": text, "add_special_tokens": False})[1])["tokens"]


class Queue(unittest.TestCase):
    def start(self, *flags):
        server = Server(*FLAGS, *flags)
        self.addCleanup(server.stop)
        return server

    def occupy(self, server, n=OCCUPYING):
        """Answers that run one by one for a long time; returns their connection."""
        body = {"prompt": "x", "max_tokens": 1000, "n": n, "stream": True, "ignore_eos": True}
        connection = socket.create_connection(("127.0.0.1", server.port))
        self.addCleanup(connection.close)
        data = json.dumps(body).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        connection.recv(100)
        return connection

    def test_a_full_queue_names_its_flag(self):
        server = self.start("--max-num-seqs", "1", "--max-num-queued-reqs", "1")
        self.occupy(server, n=2)
        status, data, headers = post(server, "/v1/completions", {"prompt": "x"})
        self.assertEqual((status, headers["Retry-After"]), (429, "1"))
        self.assertIn("--max-num-queued-reqs", error_of(data)["message"])

    def test_the_queue_is_bounded_in_tokens(self):
        server = self.start("--max-num-seqs", "1", "--max-num-queued-tokens", "100")
        self.occupy(server)
        status, data, headers = post(server, "/v1/completions", {"prompt": [5] * 99})
        self.assertEqual((status, headers["Retry-After"]), (429, "1"))
        self.assertIn("--max-num-queued-tokens", error_of(data)["message"])

    def test_max_tokens_beyond_the_context(self):
        server = self.start("--clamp-max-tokens")
        answer = client(server).completions.create(model=MODEL, prompt=[5, 6], max_tokens=64000, extra_body={"ignore_eos": True})
        self.assertEqual(answer.usage.total_tokens, 1024)

    def queued_stream(self, server, seconds):
        """The raw bytes that a stream behind a running answer gets in that time."""
        data = json.dumps({"prompt": "x", "max_tokens": 2, "stream": True}).encode()
        connection = socket.create_connection(("127.0.0.1", server.port))
        self.addCleanup(connection.close)
        head = f"POST /v1/completions HTTP/1.0\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        got, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                got += connection.recv(4096)
            except TimeoutError:
                break
        return got

    def test_a_queued_stream_is_kept_alive_by_comments(self):
        server = self.start("--max-num-seqs", "1", "--sse-keep-alive-interval", "0.1")
        self.occupy(server)
        head, _, body = self.queued_stream(server, 1.5).partition(b"\r\n\r\n")
        self.assertIn(b"200 OK", head)
        lines = body.decode().split("\n")
        self.assertGreaterEqual(len(lines), 3)
        for line in lines[:-1]:
            self.assertTrue(line.startswith(":"), lines)  # no blank line: it would end an event

    def test_keep_alive_can_be_switched_off(self):
        server = self.start("--max-num-seqs", "1", "--sse-keep-alive-interval", "0")
        self.occupy(server)
        self.assertEqual(self.queued_stream(server, 1), b"")

    def test_what_has_not_begun_is_refused_at_sigterm(self):
        server = self.start("--max-num-seqs", "1")
        running = self.occupy(server)
        before = server.metric("vllm:num_requests_waiting")
        waiting = [self.send(server, {"prompt": "x", "max_tokens": 2, "stream": stream}) for stream in (False, True)]
        while server.metric("vllm:num_requests_waiting") <= before:  # an earlier one may have ended since
            time.sleep(0.01)
        kept = self.send(server, None)  # a connection that is open already
        server.signal()
        for connection in waiting:
            head = self.read(connection)
            self.assertTrue(head.startswith(b"HTTP/1.1 503"), head)
            self.assertIn(b"Retry-After: 1", head)
        data = json.dumps({"prompt": "x"}).encode()
        kept.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        head = self.read(kept)
        self.assertTrue(head.startswith(b"HTTP/1.1 503"), head)
        self.assertIn(b"Connection: close", head)
        self.assertIsNone(server.process.poll(), "those that had begun go on")
        running.close()
        self.assertEqual(server.wait(40), 0)

    def send(self, server, body):
        """Opens a connection; asks for the models if there is no body, and reads that answer."""
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.settimeout(30)
        self.addCleanup(connection.close)
        data = b"" if body is None else json.dumps(body).encode()
        start = b"GET /v1/models" if body is None else b"POST /v1/completions"
        connection.sendall(start + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        if body is None:
            connection.recv(1 << 16)
        return connection

    def read(self, connection):
        got = b""
        while b"\r\n\r\n" not in got:
            more = connection.recv(4096)
            if not more:
                break
            got += more
        return got

    def test_a_burst_is_queued(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < BURST + 500:
            self.skipTest(f"needs {BURST} open files; the system allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server = self.start()
        statuses = asyncio.run(self.burst(server.port))
        self.assertEqual(statuses, {200: BURST})

    async def burst(self, port):
        data = json.dumps({"prompt": "x", "max_tokens": 1}).encode()
        request = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(data)
        statuses = {}

        async def ask():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request + data)
            answer = await reader.read()
            writer.close()
            status = int(answer.split(b" ", 2)[1])
            statuses[status] = statuses.get(status, 0) + 1

        await asyncio.gather(*(ask() for _ in range(BURST)))
        return statuses


class Gone(unittest.TestCase):
    def test_a_client_that_closes_ends_its_answer(self):
        server = Server(*FLAGS)
        self.addCleanup(server.stop)
        data = json.dumps({"prompt": "x", "max_tokens": 1000, "n": LEAVING, "ignore_eos": True}).encode()
        for version in (b"1.0", b"1.1"):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(
                b"POST /v1/completions HTTP/%s\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (version, len(data)) + data
            )
            while server.metric("vllm:num_requests_running") < LEAVING:
                time.sleep(0.01)
            before = server.metric("vllm:generation_tokens_total")
            connection.close()
            self.assertLess(server.seconds_until_idle(), 1, version)
            self.assertLess(server.metric("vllm:generation_tokens_total") - before, LEAVING * 900)


if __name__ == "__main__":
    unittest.main()
