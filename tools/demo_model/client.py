"""A small client of any OpenAI-compatible server. Standard library only."""

import concurrent.futures
import http.client
import json
import re
import urllib.parse

TIMEOUT_SECONDS = 300
REQUESTS_AT_ONCE = 32
METRIC_LINE = re.compile(r'^([a-zA-Z_:]+)\{([^}]*)\} ([0-9.eE+]+)$')
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Server:
    """One server; every method may be called from several threads."""

    def __init__(self, url):
        self.url = urllib.parse.urlsplit(url)
        self.model = json.loads(self._exchange("GET", "/v1/models"))["data"][0]["id"]

    def _exchange(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                raise RuntimeError(f"{method} {path}: {response.status} {text.decode(errors='replace')[:500]}")
            return text
        finally:
            connection.close()

    def post(self, path, **fields):
        return json.loads(self._exchange("POST", path, json.dumps({"model": self.model, **fields})))

    def complete(self, prompt, max_tokens, **fields):
        """The first choice of a greedy completion of a text or of token ids."""
        return self.post("/v1/completions", prompt=prompt, max_tokens=max_tokens, temperature=0, **fields)["choices"][0]

    def metric(self, name):
        """{labels: value} of one metric; empty where the server has none of that name."""
        values = {}
        for line in self._exchange("GET", "/metrics").decode().splitlines():
            match = METRIC_LINE.match(line)
            if match and match[1] == name:
                values[tuple(sorted(LABEL.findall(match[2])))] = float(match[3])
        return values


def at_once(function, items):
    """function of every item, many requests in flight, results in order."""
    with concurrent.futures.ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return list(pool.map(function, items))
