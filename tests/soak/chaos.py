"""Clients that do what they should not. Each is one function, and fails where an answer is none of those allowed."""

import json
import socket
import struct
import time

from raw import connect, head, post, read_all, status_of

REFUSED = {429, 503}
STREAM = {"prompt": "Once upon a time", "max_tokens": 300, "ignore_eos": True, "stream": True}
LARGE = {**STREAM, "n": 4, "logprobs": 20}  # some MB, which fill the kernel's buffers
SECONDS_MAX = 300

GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"GET / HTTP/1.1\r\n" + b"x" * 20000,
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n",
    b"GET /v1/models HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"\r\n\r\n\r\n\0\0\0\0",
    b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)

# path, body, statuses
REFUSALS = (
    ("/v1/completions", {"prompt": "x", "n": 128, "max_tokens": 1}, {400}),
    ("/v1/completions", {"prompt": "x", "n": 2**31, "max_tokens": 1}, {400}),
    ("/v1/completions", {"prompt": "x", "n": -1}, {400}),
    ("/v1/completions", {"prompt": ["x"] * 1025, "max_tokens": 1}, {400}),
    ("/v1/completions", {"prompt": "the " * 5000, "max_tokens": 1}, {400}),
    ("/v1/completions", {"prompt": [1] * 100_000, "max_tokens": 1}, {400}),
    ("/v1/completions", {"prompt": "a b " * 500, "max_tokens": 1, "prompt_logprobs": 20, "n": 16}, {200, 400}),
    ("/v1/completions", {"prompt": "x", "temperature": -1}, {400}),
    ("/v1/completions", b"[" * 100_000, {400}),
    ("/v1/completions", b'{"prompt": "\xff\xfe"}', {400}),
    ("/v1/completions", {"model": "another", "prompt": "x"}, {404}),
    ("/v1/chat/completions", {"messages": []}, {400}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "tools": [{}]}, {400}),
    ("/generate", {"inputs": "x", "parameters": {"max_new_tokens": -5}}, {422}),
    ("/generate", {"inputs": ""}, {422}),
    ("/detokenize", {"tokens": [10**9]}, {400}),
)


def check(status, allowed, what):
    if status not in allowed:
        raise AssertionError(f"{what}: {status}, not one of {sorted(allowed)}")


def open_connection(port, small=False):
    """`small`: with a receive buffer that soon is full."""
    if not small:
        connection = connect(port)
        connection.settimeout(SECONDS_MAX)
        return connection
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(SECONDS_MAX)
    connection.connect(("127.0.0.1", port))
    return connection


def leave(connection, reset):
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def vanish(port, rng):
    """Goes before the answer, at its beginning, or in its middle."""
    connection = open_connection(port)
    connection.sendall(post("/v1/completions", {**STREAM, "n": rng.choice([1, 1, 4])}))
    wanted = rng.choice([0, 1, 600, 6000])
    while wanted > 0 and (got := connection.recv(wanted)):
        wanted -= len(got)
    leave(connection, reset=rng.random() < 0.5)


def vanish_whole(port, rng):
    """The same, from an answer that is not streamed."""
    connection = open_connection(port)
    path, body = rng.choice(
        (
            ("/v1/completions", {**STREAM, "stream": False, "best_of": 3}),
            ("/generate", {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 300}}),
            ("/v1/completions", {"prompt": "The", "max_tokens": 300, "use_beam_search": True, "n": 3}),
        )
    )
    connection.sendall(post(path, body))
    time.sleep(rng.random() * 0.3)
    leave(connection, reset=rng.random() < 0.5)


def stall(port, rng):
    """Does not read for a while; then reads to the end, or goes."""
    connection = open_connection(port, small=True)
    connection.sendall(post("/v1/completions", LARGE, Connection="close"))
    time.sleep(1 + rng.random() * 2)
    if rng.random() < 0.5:
        return leave(connection, reset=rng.random() < 0.5)
    answer = read_all(connection)
    connection.close()
    check(status_of(answer), {200} | REFUSED, "a slow reader")
    if status_of(answer) == 200 and b"[DONE]" not in answer:
        raise AssertionError("the answer of a slow reader is cut: " + repr(answer[-200:]))


def rubbish(port, rng):
    connection = open_connection(port)
    try:
        connection.sendall(rng.choice(GARBAGE))
        connection.shutdown(socket.SHUT_WR)
        status = status_of(read_all(connection))
    except ConnectionError:
        status = 0
    connection.close()
    if 200 <= status < 400 or (status >= 500 and status not in (501, 503, 505)):
        raise AssertionError(f"rubbish is answered {status}")


def slow_body(port, rng):
    """Sends a body in pieces, at times without its end."""
    request = post("/v1/completions", {"prompt": "The dog " * 20, "max_tokens": 4}, Connection="close")
    connection = open_connection(port)
    cut = len(request) - 60
    gives_up = rng.random() < 0.3
    try:
        connection.sendall(request[:cut])
        for at in range(cut, len(request), 12):
            time.sleep(0.1)
            if gives_up and at > cut + 30:
                return leave(connection, reset=rng.random() < 0.5)
            connection.sendall(request[at : at + 12])
    except ConnectionError:
        pass  # refused before its end
    check(status_of(read_all(connection)), {200} | REFUSED, "a slow body")
    connection.close()


def slow_head(port, rng):
    connection = open_connection(port)
    request = head("GET", "/v1/models", Connection="close")
    try:
        for at in range(0, len(request), 8):
            connection.sendall(request[at : at + 8])
            time.sleep(0.05 * rng.random())
    except ConnectionError:
        pass
    check(status_of(read_all(connection)), {200} | REFUSED, "a slow head")
    connection.close()


def refusal(port, rng):
    path, body, statuses = rng.choice(REFUSALS)
    connection = open_connection(port)
    try:
        connection.sendall(post(path, body, Connection="close"))
    except ConnectionError:
        pass
    check(status_of(read_all(connection)), statuses | REFUSED, f"{path} {str(body)[:60]}")
    connection.close()


def pipeline(port, rng):
    """Several requests at once, the last one closes."""
    connection = open_connection(port)
    body = {"prompt": "The dog", "max_tokens": 2}
    n = rng.randrange(1, 5)
    connection.sendall(b"".join([head("GET", "/v1/models"), post("/v1/completions", body)] * n) + head("GET", "/live", Connection="close"))
    answer = read_all(connection)
    connection.close()
    if answer.count(b"HTTP/1.1 ") != 2 * n + 1:
        raise AssertionError(f"{2 * n + 1} requests in a row, {answer.count(b'HTTP/1.1 ')} answers: {answer[-300:]}")


def half_close(port, rng):
    """Ends its sending side and still reads."""
    connection = open_connection(port)
    connection.sendall(post("/v1/completions", {"prompt": "The dog", "max_tokens": 8, "stream": rng.random() < 0.5}))
    connection.shutdown(socket.SHUT_WR)
    check(status_of(read_all(connection)), {200} | REFUSED, "a half-closed connection")
    connection.close()


def error_in_json(port, rng):
    """A request that is cut, or has bytes changed, at random: any answer but a failure of the server."""
    data = bytearray(json.dumps({**STREAM, "stream": False, "max_tokens": 3}).encode())
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    connection = open_connection(port)
    connection.sendall(post("/v1/completions", bytes(data[: rng.randrange(1, len(data) + 1)]), Connection="close"))
    check(status_of(read_all(connection)), {200, 400, 404} | REFUSED, f"a body of {bytes(data)}")
    connection.close()


# Each with its share of the actions.
ACTIONS = (
    (vanish, 8),
    (vanish_whole, 4),
    (stall, 2),
    (rubbish, 4),
    (slow_body, 3),
    (slow_head, 2),
    (refusal, 6),
    (pipeline, 3),
    (half_close, 3),
    (error_in_json, 3),
)
