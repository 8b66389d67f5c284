"""A Hugging Face hub of our own for tests: the API, a second host with the large files, and faults on demand."""

import hashlib
import json
import ssl
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".gguf", ".bin", ".pth")
PIECE = 16 << 10


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def checksum(name, data):
    return sha256(data) if name.endswith(LARGE) else git_sha1(data)


class Hub:
    """Serves `files` (name -> bytes) as the repository `name`. Attributes are read at each request."""

    def __init__(self, files, name="org/model", certificate=None):
        self.files, self.name = dict(files), name
        self.token = None  # one that is needed
        self.gated = False  # so that even with a token the terms must be accepted
        self.page_size = 1000
        self.listing = None  # in place of the true one
        self.ignores_range = False
        self.piece_seconds = 0  # between two pieces of a large file
        self.silences = 0  # answers with a large file that stop before its first byte
        self.cuts = defaultdict(list)  # file -> bytes after which the next answers end
        self.corrupt = {}  # file -> [byte, answers that have it wrong]
        self.refusals = defaultdict(list)  # beginning of a path -> (status, headers) of the next answers
        self.location = None  # where large files are said to be, in place of the second host
        self.requests = []  # (host, path, headers)
        self.sent = defaultdict(int)  # file -> bytes of bodies
        self.lock = threading.Lock()
        self.scheme = "https" if certificate else "http"
        self.servers = [self._serve("hub", certificate), self._serve("store", certificate)]
        self.url, self.store = (f"{self.scheme}://127.0.0.1:{s.server_address[1]}" for s in self.servers)

    def _serve(self, host, certificate):
        handler = type("Bound", (Handler,), {"hub": self, "host": host})
        server = Quiet(("127.0.0.1", 0), handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def of_host(self, host):
        return [(path, headers) for where, path, headers in self.requests if where == host]

    def tree(self):
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"}]
        for name, data in self.files.items():
            entry = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": name}
            if name.endswith(LARGE):
                entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
            entries.append(entry)
        return entries


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """A client that refuses the certificate or ends in the midst is what the tests want; faults of the hub are not."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, address)


class Handler(BaseHTTPRequestHandler):
    hub, host = None, None
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        hub = self.hub
        with hub.lock:
            hub.requests.append((self.host, self.path, dict(self.headers)))
            for start, refusals in hub.refusals.items():
                if self.path.startswith(start) and refusals:
                    return self.answer(*refusals.pop(0))
        try:
            self.of_store() if self.host == "store" else self.of_hub()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, status, headers=None, body=b""):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def say(self, value, headers=None):
        self.answer(200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def refuse(self, status, code):
        self.answer(status, {"X-Error-Code": code, "X-Error-Message": code}, b"{}")

    def of_hub(self):
        hub = self.hub
        url = urlsplit(self.path)
        path = unquote(url.path)
        if hub.gated:
            return self.refuse(403, "GatedRepo")
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.refuse(401, "RepoNotFound")
        if path.startswith(f"/api/models/{hub.name}/revision/"):
            known = path.rsplit("/", 1)[1] in ("main", COMMIT)
            return self.say({"id": hub.name, "sha": COMMIT}) if known else self.refuse(404, "RevisionNotFound")
        if path.startswith(f"/api/models/{hub.name}/tree/{COMMIT}"):
            return self.tree_page(int(parse_qs(url.query).get("cursor", ["0"])[0]))
        start = f"/{hub.name}/resolve/{COMMIT}/"
        if not path.startswith(start):
            return self.refuse(404, "RepoNotFound")
        name = path[len(start):]
        if name not in hub.files:
            return self.refuse(404, "EntryNotFound")
        if not name.endswith(LARGE):
            return self.contents(name)
        data = hub.files[name]
        self.answer(302, {"Location": hub.location or f"{hub.store}/{quote(name)}?signature=1", "X-Repo-Commit": COMMIT,
                          "X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data))}, b"moved")

    def tree_page(self, cursor):
        hub = self.hub
        entries = hub.tree() if hub.listing is None else hub.listing
        if not isinstance(entries, list):
            return self.say(entries)
        end = cursor + hub.page_size
        more = end < len(entries)
        link = f'<{hub.url}/api/models/{hub.name}/tree/{COMMIT}?recursive=1&cursor={end}>; rel="next"'
        self.say(entries[cursor:end], {"Link": link} if more else {})

    def of_store(self):
        name = unquote(urlsplit(self.path).path).lstrip("/")
        if name not in self.hub.files:
            return self.refuse(404, "EntryNotFound")
        self.contents(name)

    def contents(self, name):
        hub = self.hub
        data = bytearray(hub.files[name])
        begin, n = 0, len(data)
        wanted = self.headers.get("Range")
        if wanted and not hub.ignores_range:
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
        with hub.lock:
            cut = hub.cuts[name].pop(0) if hub.cuts[name] else None
            if hub.corrupt.get(name, [0, 0])[1] > 0:
                hub.corrupt[name][1] -= 1
                data[hub.corrupt[name][0]] ^= 1
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{n - 1}/{n}")
        self.send_header("Content-Length", str(n - begin))
        self.send_header("ETag", f'"{checksum(name, hub.files[name])}"')
        self.end_headers()
        if name.endswith(LARGE) and hub.silences > 0:
            hub.silences -= 1
            time.sleep(2)
        end = n if cut is None else min(n, begin + cut)
        for at in range(begin, end, PIECE):
            piece = bytes(data[at : min(at + PIECE, end)])
            self.wfile.write(piece)
            hub.sent[name] += len(piece)
            if hub.piece_seconds and name.endswith(LARGE):
                time.sleep(hub.piece_seconds)
        self.close_connection = self.close_connection or end < n
