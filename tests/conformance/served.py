"""Every conformance model through the served API: greedy tokens and prompt logprobs equal the reference's.

    served.py BINARY DATA_DIRECTORY

Each model is served in float32 three ways: as it comes (alone, all prompts at once, and again with prefix hits), with a
step of 7 tokens (chunked prefill), and with so few KV blocks that running requests must be preempted.
"""

import array
import concurrent.futures
import http.client
import json
import math
import pathlib
import re
import socket
import struct
import subprocess
import sys
import time

MARGIN = 1e-3


def read_safetensors(path):
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    out = {}
    for name, info in json.loads(data[8 : 8 + n]).items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        values = array.array("f" if info["dtype"] == "F32" else "i")
        values.frombytes(data[8 + n + begin : 8 + n + end])
        out[name] = (info["shape"], values)
    return out


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, binary, model, flags, dtype="float32", model_len=256):
        self.port = free_port()
        command = [binary, "serve", str(model), "--skip-tokenizer-init", "--dtype", dtype, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--served-model-name", "m", "--max-model-len", str(model_len), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(400):
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read())
            try:
                if self.get("/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError("the server did not become ready")

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def get(self, path):
        return self.request("GET", path)

    def complete(self, ids, **fields):
        body = {"model": "m", "prompt": ids, "max_tokens": 24, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
        status, text = self.request("POST", "/v1/completions", json.dumps(body | fields))
        if status != 200:
            raise RuntimeError(f"{status}: {text}")
        return json.loads(text)

    def metric(self, name):
        found = re.search(rf"^{re.escape(name)}\{{[^}}]*\}} (\S+)$", self.get("/metrics")[1], re.M)
        return float(found.group(1)) if found else math.nan

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()


def check_greedy(answer, greedy, margin, what, failures):
    got = answer["choices"][0]["token_ids"]
    if len(got) != len(greedy):
        failures.append(f"{what}: {len(got)} tokens instead of {len(greedy)}")
    for i, (a, b) in enumerate(zip(got, greedy)):
        if a != b:
            failures.append(f"{what}: token {i} is {a} instead of {b}")
            return
        if margin[i] < MARGIN:  # from here on the two may part
            return


def check_logprobs(answer, ids, shape, logits, what, failures):
    """Log-softmax of the reference's last rows against the prompt's logprobs."""
    rows, vocab = shape
    table = answer["choices"][0].get("prompt_logprobs")
    first = len(ids) - rows
    for row in range(rows - 1):
        values = logits[row * vocab : (row + 1) * vocab]
        top = max(values)
        total = top + math.log(sum(math.exp(v - top) for v in values))
        token = ids[first + row + 1]
        got = table[first + row + 1][str(token)]["logprob"]
        if not abs(got - (values[token] - total)) < 2e-3:
            failures.append(f"{what}: logprob of token {first + row + 1} is {got} instead of {values[token] - total}")
            return


def check_model(binary, model, failures):
    tensors = read_safetensors(model / "reference.safetensors")
    prompts = []
    for i in range(3):
        get = lambda name: tensors[f"prompt{i}.{name}"]
        prompts.append((list(get("ids")[1]), list(get("greedy")[1]), list(get("margin")[1]), *get("logits")))

    def all_at_once(server, what, copies=2):
        with concurrent.futures.ThreadPoolExecutor(3 * copies) as pool:
            answers = list(pool.map(lambda p: server.complete(p[0]), prompts * copies))
        for p, answer in zip(prompts * copies, answers):
            check_greedy(answer, p[1], p[2], f"{model.name}, {what}, {len(p[0])} tokens", failures)

    server = Server(binary, model, [])
    for ids, greedy, margin, shape, logits in prompts:
        what = f"{model.name}, alone, {len(ids)} tokens"
        answer = server.complete(ids, prompt_logprobs=0)
        check_greedy(answer, greedy, margin, what, failures)
        check_logprobs(answer, ids, shape, logits, what, failures)
    all_at_once(server, "together, with prefix hits")
    if not server.metric("vllm:prefix_cache_hits_total") > 0:
        failures.append(f"{model.name}: no prefix hit")
    server.stop()

    server = Server(binary, model, ["--max-num-batched-tokens", "7", "--max-num-seqs", "6"])
    all_at_once(server, "steps of 7 tokens")
    server.stop()

    server = Server(binary, model, ["--max-model-len", "160", "--num-gpu-blocks-override", "12", "--no-enable-prefix-caching"])
    for _ in range(10):  # whether requests meet is the machine's business
        all_at_once(server, "few blocks", copies=6)
        if server.metric("vllm:num_preemptions_total") > 0:
            break
    if not server.metric("vllm:num_preemptions_total") > 0:
        failures.append(f"{model.name}: nothing was preempted")
    server.stop()


def main():
    binary, data = sys.argv[1], pathlib.Path(sys.argv[2])
    failures = []
    models = sorted(p for p in (data / "models").iterdir() if p.is_dir())
    for model in models:
        try:
            check_model(binary, model, failures)
        except Exception as error:  # a model that cannot be served at all is one failure, not the end
            failures.append(f"{model.name}: {error!r}")
    for failure in failures:
        print("FAILED", failure)
    print(f"{len(models)} models, {len(failures)} failures")
    sys.exit(1 if failures or not models else 0)


if __name__ == "__main__":
    main()
