"""Raw connections to a `polymath serve` process, for tests that do what clients should not."""

import json
import os
import resource
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["POLYMATH_ROOT"]) / "tests/clients"))
from serving import Server  # noqa: E402

__all__ = ["Server", "head", "post", "ask", "connect", "read_all", "status_of", "rss", "raise_file_limit", "until"]
TIMEOUT = 20


def head(method, path, length=None, **headers):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {headers.pop('host', 'localhost')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [] if length is None else [f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head("POST", path, len(data), **headers) + data


def connect(port, address="127.0.0.1"):
    connection = socket.create_connection((address, port), timeout=TIMEOUT)
    connection.settimeout(TIMEOUT)
    return connection


def read_all(connection):
    """Everything until the server closes; what has come when it resets."""
    got = b""
    try:
        while more := connection.recv(1 << 16):
            got += more
    except ConnectionError:
        pass
    return got


def ask(port, request, address="127.0.0.1"):
    """One request on a connection of its own: status, headers and body as bytes. Status 0: closed unanswered."""
    with connect(port, address) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # refused before its end
        answer = read_all(connection)
    top, _, body = answer.partition(b"\r\n\r\n")
    return status_of(answer), top.decode("latin-1"), body


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def rss(server, field="VmRSS"):
    """Resident bytes of the server; VmHWM: the most there ever were."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise AssertionError("no " + field)


def raise_file_limit(test, wanted):
    """Skips the test where the system allows fewer open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        test.skipTest(f"needs {wanted} open files; the system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    test.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
