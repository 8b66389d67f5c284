"""Requests whose answers are known: greedy or seeded, so that load must not change them."""

import http.client
import json

TEXT = "Once upon a time Mina found a red ball in the forest. "
LONG = TEXT * 80  # most of the context
CHAT = [{"role": "user", "content": "What is 47 + 35?"}]
STORY = [{"role": "system", "content": "Answer in Korean."}, {"role": "user", "content": "Tell me a short story about a dog."}]
IDS = list(range(300, 340))
GREEDY = {"temperature": 0}
SEEDED = {"temperature": 0.9, "seed": 7}
VARIES = {"id", "created", "system_fingerprint", "prompt_tokens_details"}  # and are no part of the answer
SECONDS_MAX = 300  # of one answer, also under a sanitizer

# path, body
REQUESTS = [
    ("/v1/completions", {"prompt": TEXT, "max_tokens": 40, **GREEDY}),
    ("/v1/completions", {"prompt": TEXT, "max_tokens": 40, "stream": True, **GREEDY}),
    ("/v1/completions", {"prompt": LONG, "max_tokens": 8, **GREEDY}),
    ("/v1/completions", {"prompt": LONG + "The end", "max_tokens": 8, "stream": True, **GREEDY}),
    ("/v1/completions", {"prompt": "3, 4, 5,", "max_tokens": 250, "ignore_eos": True, "stream": True, **GREEDY}),
    ("/v1/completions", {"prompt": "The", "max_tokens": 250, "ignore_eos": True, "n": 2, **SEEDED}),
    ("/v1/completions", {"prompt": IDS, "max_tokens": 24, "n": 3, **SEEDED}),
    ("/v1/completions", {"prompt": [TEXT, "a b", "7 + 8 ="], "max_tokens": 12, "stream": True, **SEEDED}),
    ("/v1/completions", {"prompt": "The dog", "max_tokens": 16, "best_of": 3, **SEEDED}),
    ("/v1/completions", {"prompt": "The dog", "max_tokens": 12, "logprobs": 3, "stream": True, **GREEDY}),
    ("/v1/completions", {"prompt": TEXT, "max_tokens": 4, "prompt_logprobs": 2, **GREEDY}),
    ("/v1/completions", {"prompt": "The cat", "max_tokens": 5, "use_beam_search": True, "n": 2}),
    ("/v1/completions", {"prompt": "1, 2, 3,", "max_tokens": 60, "ignore_eos": True, "stop": ["9"], "stream": True, **GREEDY}),
    ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 40, **GREEDY}),
    ("/v1/chat/completions", {"messages": STORY, "max_tokens": 80, "stream": True, **GREEDY}),
    ("/v1/chat/completions", {"messages": CHAT, "max_tokens": 24, "logprobs": True, "top_logprobs": 4, **SEEDED}),
    ("/generate", {"inputs": TEXT, "parameters": {"max_new_tokens": 24, "details": True}}),
    ("/generate", {"inputs": TEXT, "parameters": {"max_new_tokens": 24, "seed": 5, "temperature": 0.7, "stop": ["."]}}),
    ("/", {"inputs": "What is a dog?", "parameters": {"max_new_tokens": 24, "return_full_text": True}}),
    ("/generate_stream", {"inputs": TEXT, "parameters": {"max_new_tokens": 24, "seed": 5, "temperature": 0.7}}),
    ("/tokenize", {"prompt": LONG, "return_token_strs": True}),
    ("/tokenize", {"messages": STORY, "return_token_offsets": True, "return_assistant_tokens_mask": True}),
    ("/detokenize", {"tokens": IDS}),
]


def plain(value):
    """Without what differs between two answers to one request."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in VARIES}
    return [plain(item) for item in value] if isinstance(value, list) else value


def joined(events):
    """A stream as one answer for each choice: how tokens are spread over its events differs."""
    choices = {}
    for event in events:
        for choice in event.get("choices", [event]):
            kept = choices.setdefault(choice.get("index", 0), {"text": "", "rest": [], "logprobs": []})
            kept["text"] += choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            if choice.get("logprobs"):
                kept["logprobs"].append(choice["logprobs"])
            if choice.get("token"):  # TGI's event of a token
                kept["rest"].append(plain(choice))
            kept["rest"] += [choice[name] for name in ("finish_reason", "stop_reason") if choice.get(name) is not None]
            if "error" in choice:
                kept["rest"].append(choice["error"])
    return choices


def canonical(body):
    """An answer's bytes in a form that can be compared."""
    if not body.startswith((b"data:", b":")):
        return plain(json.loads(body))
    lines = [line[5:].strip() for line in body.decode().splitlines() if line.startswith("data:")]
    ended = lines[-1:] == ["[DONE]"]
    return {"ended": ended, "choices": joined([json.loads(line) for line in lines if line != "[DONE]"])}


class Client:
    """A connection that is kept, and made again where the server closed it."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)

    def ask(self, path, body):
        """Status and body."""
        data = json.dumps(body).encode()
        for attempt in range(2):
            kept = self.connection.sock is not None
            try:
                self.connection.request("POST", path, data, {"Content-Type": "application/json", "Host": "localhost"})
                response = self.connection.getresponse()
                return response.status, response.read()
            except (ConnectionError, http.client.BadStatusLine):
                self.connection.close()  # an idle connection may give way to new ones
                if attempt or not kept:
                    raise
            except OSError:
                self.connection.close()
                raise
        raise AssertionError("not reached")

    def close(self):
        self.connection.close()


def expected_answers(port):
    """(path, body, answer) of each request that the server knows, asked while nothing else runs."""
    client, out = Client(port), []
    for path, body in REQUESTS:
        status, data = client.ask(path, body)
        if status == 404 and path == "/generate_stream":
            continue  # not built here
        if status != 200:
            raise AssertionError(f"{path} {str(body)[:100]}: {status} {data[:300]}")
        # A long prompt lets none behind it start until it fits; what generates nothing is answered at once.
        share = 1 if LONG in str(body) or "token" in path else 3
        out += [(path, body, canonical(data))] * share
    client.close()
    return out
