"""vLLM's fields beyond OpenAI's, as the official openai client sends them through extra_body."""

import asyncio
import json
import re
import socket
import time
import unittest
from pathlib import Path

import openai
from serving import Server

MODEL = "stand-in"
HI = [{"role": "user", "content": "hi"}]
FLAGS = ("--served-model-name", MODEL, "--max-model-len", "2048", "--kv-cache-memory-bytes", "64M")
MIB = 1 << 20


def client(server, **options):
    options = {"api_key": "none", "max_retries": 0, "timeout": 60, **options}
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", **options)


def memory_bytes(server, name):
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) * 1024


def peak_bytes(server):
    return memory_bytes(server, "VmHWM")


class WithServer(unittest.TestCase):
    EXTRA = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*FLAGS, *cls.EXTRA)
        cls.client = client(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def complete(self, **fields):
        known = {"prompt", "max_tokens", "n", "best_of", "stream", "logprobs", "echo", "seed", "temperature", "suffix"}
        given = {"prompt": "the", "max_tokens": 6, **fields}
        extra = {name: given.pop(name) for name in list(given) if name not in known}
        return self.client.completions.create(model=MODEL, extra_body=extra, **given)


class AnswerSize(WithServer):
    def test_an_answer_of_a_gigabyte_is_refused_at_once(self):
        before = peak_bytes(self.server)
        with self.assertRaisesRegex(openai.BadRequestError, "the answer could take") as caught:
            self.complete(prompt="a b " * 500, n=64, max_tokens=1, prompt_logprobs=20)
        self.assertEqual(caught.exception.param, "prompt_logprobs")
        self.assertLess(peak_bytes(self.server) - before, 16 * MIB)

    def test_the_largest_answer_takes_little_more_than_its_bytes(self):
        if memory_bytes(self.server, "VmSize") > 1 << 40:
            self.skipTest("a sanitizer keeps memory that was freed")
        before = peak_bytes(self.server)
        body = {"prompt": "a b " * 500, "n": 16, "max_tokens": 1, "prompt_logprobs": 20}
        status, data, _ = self.server.request("POST", "/v1/completions", json.dumps(body))
        self.assertEqual(status, 200, data[:500])
        self.assertLess(peak_bytes(self.server) - before, 4 * len(data) + 32 * MIB, len(data))
        answer = json.loads(data)
        first = answer["choices"][0]["prompt_logprobs"]
        self.assertTrue(all(choice["prompt_logprobs"] == first for choice in answer["choices"]))
        self.assertEqual(len(first), answer["usage"]["prompt_tokens"])

    def test_streams_too(self):
        with self.assertRaisesRegex(openai.BadRequestError, "the answer could take"):
            self.complete(prompt="a b " * 500, n=64, max_tokens=1, echo=True, logprobs=5, stream=True)


class Fields(WithServer):
    def test_keys_and_numbers_are_taken_strictly(self):
        for bias in ('" 5":1', '"+5":1', '"05":1', '"5":1,"5":2', '"5":1,"\\u0035":2'):
            body = f'{{"prompt":"the","max_tokens":1,"logit_bias":{{{bias}}}}}'
            self.assertEqual(self.server.request("POST", "/v1/completions", body)[0], 400, bias)

    def test_best_of_keeps_the_likeliest(self):
        one = self.complete(n=8, seed=7, logprobs=0)
        sums = sorted((sum(c.logprobs.token_logprobs) for c in one.choices), reverse=True)
        best = self.complete(n=2, best_of=8, seed=7, logprobs=0)
        self.assertEqual([sum(c.logprobs.token_logprobs) for c in best.choices], sums[:2])
        self.assertIsNone(self.complete(n=1, best_of=3).choices[0].logprobs)

    def test_bad_words_do_not_come(self):
        word = self.complete(temperature=0, max_tokens=1).choices[0].text
        other = self.complete(temperature=0, max_tokens=40, bad_words=[word])
        self.assertNotEqual(other.choices[0].text[: len(word)], word)

    def test_echo_with_logprobs_streams_as_it_is_answered_whole(self):
        fields = {"prompt": ["the cat", "a"], "n": 2, "echo": True, "logprobs": 2, "seed": 3}
        whole = self.complete(**fields)
        texts, tokens = {}, {}
        for chunk in self.complete(stream=True, **fields):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
                if choice.logprobs:
                    tokens.setdefault(choice.index, []).extend(choice.logprobs.tokens)
        for choice in whole.choices:
            self.assertEqual(texts[choice.index], choice.text)
            self.assertEqual(tokens[choice.index], choice.logprobs.tokens)

    def test_wanted_logprobs(self):
        fields = {"logprob_token_ids": [300, 301], "return_tokens_as_token_ids": True}
        answer = self.complete(logprobs=1, max_tokens=3, **fields)
        for top, token in zip(answer.choices[0].logprobs.top_logprobs, answer.choices[0].logprobs.tokens):
            self.assertEqual(set(top), {"token_id:300", "token_id:301", token})

    def test_a_repetition_ends_the_answer(self):
        rule = {"max_pattern_size": 3, "min_pattern_size": 2, "min_count": 4}
        answer = self.complete(max_tokens=50, allowed_token_ids=[100], repetition_detection=rule)
        self.assertEqual(answer.choices[0].finish_reason, "repetition")
        self.assertEqual(answer.usage.completion_tokens, 8)

    def test_a_streams_interval(self):
        chunks = list(self.complete(max_tokens=21, stream=True, stream_interval=10, ignore_eos=True, seed=1))
        whole = self.complete(max_tokens=21, ignore_eos=True, seed=1).choices[0].text
        self.assertEqual("".join(c.choices[0].text for c in chunks), whole)
        self.assertLessEqual(len(chunks), 4)

    def test_what_would_be_run(self):
        body = json.dumps({"messages": HI, "max_tokens": 3})
        rendered = json.loads(self.server.request("POST", "/v1/chat/completions/render", body)[1])
        fields = {"return_prompt_text": True, "return_token_ids": True}
        answer = self.client.chat.completions.create(model=MODEL, messages=HI, max_tokens=3, extra_body=fields)
        self.assertEqual(rendered["token_ids"], answer.prompt_token_ids)
        self.assertEqual(rendered["prompt"], answer.prompt_text)
        body = json.dumps({"prompt": ["a", "b"]})
        self.assertEqual(len(json.loads(self.server.request("POST", "/v1/completions/render", body)[1])), 2)

    def test_where_the_prompts_tokens_are(self):
        prompt = "the cat is on the mat, \u65e5\u672c \U0001f600"
        answer = self.complete(prompt=prompt, max_tokens=1, return_token_offsets=True, return_token_ids=True)
        choice = answer.choices[0]
        for token, (begin, end) in zip(choice.prompt_token_ids, choice.prompt_token_offsets, strict=True):
            text = json.loads(self.server.request("POST", "/detokenize", json.dumps({"tokens": [token]}))[1])["prompt"]
            if "\ufffd" not in text:  # else it is a part of a character
                self.assertEqual(prompt[begin:end], text)
        self.assertEqual(choice.prompt_token_offsets[-1][1], len(prompt))
        (chunk,) = [c for c in self.complete(prompt=prompt, max_tokens=1, return_token_offsets=True, stream=True)][:1]
        self.assertEqual(chunk.choices[0].prompt_token_offsets, choice.prompt_token_offsets)

    def test_which_tokens_are_the_assistants(self):
        said = ["Well, \u65e5\u672c.", "And so on"]
        chat = [*HI, {"role": "assistant", "content": said[0]}, *HI, {"role": "assistant", "content": said[1]}, *HI]
        fields = {name: True for name in ("return_token_ids", "return_token_offsets", "return_assistant_tokens_mask")}
        for stream in (False, True):
            answer = self.client.chat.completions.create(model=MODEL, messages=chat, max_tokens=1, stream=stream, extra_body=fields)
            answer = next(answer) if stream else answer
            masked = [i for i, bit in zip(answer.prompt_token_ids, answer.assistant_tokens_mask, strict=True) if bit]
            text = json.loads(self.server.request("POST", "/detokenize", json.dumps({"tokens": masked}))[1])["prompt"]
            self.assertEqual(text, "".join(words + "<|im_end|>" for words in said))
            self.assertEqual(len(answer.prompt_token_offsets), len(answer.prompt_token_ids))
        body = json.dumps({"messages": chat, **fields})
        tokenized = json.loads(self.server.request("POST", "/tokenize", body)[1])
        rendered = json.loads(self.server.request("POST", "/v1/chat/completions/render", body)[1])
        for name in ("token_offsets", "assistant_tokens_mask"):
            self.assertEqual(tokenized[name], rendered[name])
        self.assertEqual(rendered["assistant_tokens_mask"], answer.assistant_tokens_mask)

    def test_a_suffix_needs_its_tokens(self):
        with self.assertRaisesRegex(openai.BadRequestError, "no tokens for a prefix, a suffix"):
            self.complete(suffix="end")

    def test_many_at_once_through_the_asynchronous_client(self):
        async def ask():
            options = {"api_key": "none", "max_retries": 0, "timeout": 60}
            async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", **options) as c:
                fields = {"model": MODEL, "messages": HI, "max_tokens": 8}
                whole = [c.chat.completions.create(seed=seed, **fields) for seed in range(8)]
                stream = await c.chat.completions.create(seed=3, stream=True, **fields)
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
                return text, [answer.choices[0].message.content for answer in await asyncio.gather(*whole)]

        text, texts = asyncio.run(ask())
        self.assertEqual(texts[3], text)


class Beams(WithServer):
    """Beam search equals the same search over the log-probabilities that completions tell."""

    def best_next(self, ids, n):
        fields = {"logprobs": n, "temperature": 0, "max_tokens": 1, "return_tokens_as_token_ids": True}
        top = self.complete(prompt=ids, ignore_eos=True, **fields).choices[0].logprobs.top_logprobs[0]
        rows = [(int(name.removeprefix("token_id:")), value) for name, value in top.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))[:n]

    def searched(self, prompt, width, n_tokens, penalty):
        beams = [([], 0.0)]
        for _ in range(n_tokens):
            grown = [
                (tokens + [token], logprob + value)
                for tokens, logprob in beams
                for token, value in self.best_next(prompt + tokens, 2 * width)
            ]
            grown.sort(key=lambda beam: -beam[1] / (len(prompt) + len(beam[0])) ** penalty)
            beams = grown[:width]
        return [tokens for tokens, _ in beams]

    def test_it_finds_what_the_definition_finds(self):
        prompt = [260, 302, 290]
        for width, penalty in ((1, 1.0), (3, 1.0), (4, 2.0)):
            expected = self.searched(prompt, width, 4, penalty)
            fields = {"use_beam_search": True, "ignore_eos": True, "return_token_ids": True, "length_penalty": penalty}
            answer = self.complete(prompt=prompt, max_tokens=4, n=width, **fields)
            self.assertEqual([choice.token_ids for choice in answer.choices], expected, width)
            self.assertEqual({choice.finish_reason for choice in answer.choices}, {"length"})

    def test_a_chat(self):
        fields = {"use_beam_search": True, "early_stopping": True}
        answer = self.client.chat.completions.create(model=MODEL, messages=HI, max_tokens=6, n=3, extra_body=fields)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        self.assertEqual(len({choice.message.content for choice in answer.choices}), 3)

    def test_a_client_that_leaves_ends_it(self):
        body = json.dumps({"prompt": "x", "max_tokens": 1500, "n": 8, "use_beam_search": True, "ignore_eos": True})
        connection = socket.create_connection(("127.0.0.1", self.server.port))
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        begin = self.server.metric("vllm:generation_tokens_total")
        self.wait(lambda: self.server.metric("vllm:generation_tokens_total") > begin)
        connection.close()
        time.sleep(1)
        seen = self.server.metric("vllm:generation_tokens_total")
        time.sleep(0.3)
        self.assertEqual(self.server.metric("vllm:generation_tokens_total"), seen)

    def wait(self, holds):
        end = time.monotonic() + 10
        while not holds():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)


class Switches(WithServer):
    EXTRA = ("--max-logprobs", "-1", "--error-format", "flat", "--enable-per-request-metrics", "--stream-interval", "4",
             "--enable-tokenizer-info-endpoint", "--api-key", "first", "second", "--share-prefix-cache")  # fmt: skip

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = client(cls.server, api_key="first")

    def test_the_whole_vocabulary(self):
        answer = self.complete(logprobs=-1, max_tokens=1, return_tokens_as_token_ids=True)
        self.assertEqual(len(answer.choices[0].logprobs.top_logprobs[0]), 512)

    def test_flat_errors(self):
        status, data, _ = self.server.request("POST", "/v1/completions", "{}", {"Authorization": "Bearer first"})
        self.assertEqual((status, json.loads(data)["object"]), (400, "error"))

    def test_times(self):
        metrics = self.complete(max_tokens=8, ignore_eos=True).metrics
        for name in ("time_to_first_token_ms", "generation_time_ms", "queue_time_ms", "mean_itl_ms", "tokens_per_second"):
            self.assertGreaterEqual(metrics[name], 0, name)

    def test_prefixes_are_shared_between_keys(self):
        prompt = "a long prompt that fills some blocks of the cache " * 4
        self.complete(prompt=prompt)
        with client(self.server, api_key="second") as other:
            answer = other.completions.create(model=MODEL, prompt=prompt, max_tokens=1)
        self.assertGreater(answer.usage.prompt_tokens_details.cached_tokens, 0)

    def test_tokenizer_info(self):
        status, data, _ = self.server.request("GET", "/tokenizer_info", headers={"Authorization": "Bearer first"})
        self.assertEqual(status, 200)
        self.assertIn("tokenizer_class", json.loads(data))


if __name__ == "__main__":
    unittest.main()
