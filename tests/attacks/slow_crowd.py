#!/usr/bin/env python3
"""Connections that are held as long as the server lets them: slow heads, slow bodies, slow readers.

    slow_crowd.py PORT KIND CONNECTIONS SECONDS [PATH]     a JSON line: how many were open at most, opened and closed

KIND: head, body or read, as slowhttptest's -H, -B and -X. Each connection sends, or reads, a few bytes every SECONDS_APART;
one that the server closes is opened again, at a bounded rate. A process of its own, so that it does not slow the clients that are measured.
"""

import errno
import heapq
import json
import resource
import selectors
import socket
import sys
import time

SECONDS_APART = 5
OPENED_A_SECOND = 1500  # until all are open once
REOPENED_A_SECOND = 200  # as slowhttptest opens them
READ_BYTES = 32
BUFFER_BYTES = 1024  # of a slow reader: the kernel makes it about 2 KiB
PIPELINED = 6  # requests of a slow reader: their answers do not fit into the buffers of the kernel

HEADS = {
    "head": "GET {path} HTTP/1.1\r\nHost: localhost\r\n",
    "body": "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{{",
    "read": "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
MORE = {"head": b"X-a: b\r\n", "body": b'"a":1,'}
PATHS = {"head": "/v1/models", "body": "/v1/completions", "read": "/metrics"}


class Crowd:
    def __init__(self, port, kind, wanted, path):
        self.port, self.kind, self.wanted = port, kind, wanted
        self.first = HEADS[kind].format(path=path).encode() * (PIPELINED if kind == "read" else 1)
        self.selector = selectors.EpollSelector()
        self.turns = []  # (when, fd) of the next bytes
        self.open = {}
        self.most = self.opened = self.closed = 0

    def connect(self):
        connection = socket.socket()
        connection.setblocking(False)
        if self.kind == "read":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        code = connection.connect_ex(("127.0.0.1", self.port))
        if code not in (0, errno.EINPROGRESS):
            return connection.close()
        self.open[connection.fileno()] = connection
        self.selector.register(connection, selectors.EVENT_WRITE)
        self.opened += 1
        return None

    def drop(self, connection):
        self.selector.unregister(connection)
        del self.open[connection.fileno()]
        connection.close()
        self.closed += 1

    def on_ready(self, connection, events):
        try:
            if events & selectors.EVENT_WRITE:  # connected
                connection.send(self.first)
                heapq.heappush(self.turns, (time.monotonic() + SECONDS_APART, connection.fileno()))
                self.selector.modify(connection, 0 if self.kind == "read" else selectors.EVENT_READ)
            elif not connection.recv(4096) or self.kind != "read":
                self.drop(connection)  # refused: the answer is not of interest
        except OSError:
            self.drop(connection)

    def take_turn(self, fd):
        connection = self.open.get(fd)
        if connection is None:
            return
        try:
            if self.kind != "read":
                connection.send(MORE[self.kind])
            elif not connection.recv(READ_BYTES):
                return self.drop(connection)
        except BlockingIOError:
            pass
        except OSError:
            return self.drop(connection)
        heapq.heappush(self.turns, (time.monotonic() + SECONDS_APART, fd))
        return None

    def run(self, seconds):
        begin = last = time.monotonic()
        may_open = 0.0
        while (now := time.monotonic()) < begin + seconds:
            may_open += (now - last) * (OPENED_A_SECOND if self.opened < self.wanted else REOPENED_A_SECOND)
            last = now
            for _ in range(min(int(may_open), self.wanted - len(self.open))):
                self.connect()
                may_open -= 1
            may_open = min(may_open, REOPENED_A_SECOND)
            self.most = max(self.most, len(self.open))
            for key, events in self.selector.select(0.01):
                self.on_ready(key.fileobj, events)
            while self.turns and self.turns[0][0] < now:
                self.take_turn(heapq.heappop(self.turns)[1])
            time.sleep(0.005)
        return {"open_most": self.most, "opened": self.opened, "closed_by_server": self.closed}


def main(port, kind, wanted, seconds, path=None):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(int(port), kind, int(wanted), path or PATHS[kind])
    print(json.dumps(crowd.run(float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
