#!/usr/bin/env python3
"""Tells a story as it is written, then asks several questions at once: answers, times to first token, speeds.

    tools/demo.py http://127.0.0.1:8000 <model>        Standard library only: any OpenAI-compatible server will do.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse

STORY = "Tell me a short story about Mina and a fox."
QUESTIONS = [
    "What is 47 + 35?",
    "What is sixty-two minus nineteen?",
    "Sort 31, 7, 90, 12 from small to large.",
    "Translate into Korean: Mina found a red ball in the forest.",
    "하루는 공원에서 큰 개를 보았습니다. 하루는 어디에 있습니까?",
    "Sora bought a green hat at the market. She gave the hat to Ian. Who has the hat now?",
    "Reply in JSON with the keys name (string), age (integer) and city (string). Taeho is 9 years old and lives in Jeju.",
    "What does f(4) return?\n```python\ndef f(x):\n    return 3 * x + 2\n```",
]
TOKENS_MAX = 64  # of one answer; it ends there with finish_reason "length"
TIMEOUT_SECONDS = 120


class Answer:
    def __init__(self, question, on_text=lambda text: None):
        self.question = question
        self.on_text = on_text
        self.text = ""
        self.error = None
        self.finish_reason = None
        self.n_tokens = 0
        self.ttft = 0.0  # seconds from request to the first text
        self.seconds = 0.0  # from request to the end


def events(response):
    """The JSON of each server-sent event, up to [DONE]."""
    for line in response:
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            yield json.loads(data)
    raise RuntimeError("the stream ended without [DONE]")


def complete(url, model, answer):
    request = {
        "model": model,
        "messages": [{"role": "user", "content": answer.question}],
        "max_tokens": TOKENS_MAX,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT_SECONDS)
    start = time.monotonic()
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(request), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {response.read().decode(errors='replace')}")
        for event in events(response):
            if "error" in event:
                raise RuntimeError(json.dumps(event["error"]))
            for choice in event["choices"]:
                text = choice["delta"].get("content") or ""
                if text and not answer.text:
                    answer.ttft = time.monotonic() - start
                answer.text += text
                answer.on_text(text)
                answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
            if event.get("usage"):
                answer.n_tokens = event["usage"]["completion_tokens"]
        answer.seconds = time.monotonic() - start
        if answer.finish_reason is None:
            raise RuntimeError("no finish_reason")
    except (OSError, http.client.HTTPException, RuntimeError, ValueError, KeyError) as error:
        answer.error = f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def details(answer):
    after_first = max(answer.seconds - answer.ttft, 1e-9)
    speed = (answer.n_tokens - 1) / after_first if answer.n_tokens > 1 else 0.0
    return (
        f"    [{answer.n_tokens} tokens, {answer.finish_reason}; first after {answer.ttft * 1e3:.0f} ms, "
        f"then {speed:.0f} tok/s]"
    )


def tell_story(url, model):
    print(STORY)
    story = Answer(STORY, on_text=lambda text: print(text, end="", flush=True))
    complete(url, model, story)
    print(f"\nFAILED: {story.error}" if story.error else f"\n{details(story)}")
    return story.error is None


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    url = urllib.parse.urlsplit(sys.argv[1])
    told = tell_story(url, sys.argv[2])
    print(f"\n{len(QUESTIONS)} questions at once")
    answers = [Answer(question) for question in QUESTIONS]
    threads = [threading.Thread(target=complete, args=(url, sys.argv[2], answer)) for answer in answers]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - start

    for answer in answers:
        if answer.error:
            print(f"{answer.question!r}: FAILED: {answer.error}")
            continue
        print(f"{answer.question}\n -> {answer.text}")
        print(details(answer))
    total = sum(answer.n_tokens for answer in answers)
    print(f"together: {total} tokens in {elapsed:.2f} s, {total / elapsed:.0f} tok/s")
    return 0 if told and not any(answer.error for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
