#!/usr/bin/env python3
"""Four nodes in network namespaces: they answer, and a cut link ends them all. Then two nodes under mpirun.

python3 tests/nodes/namespaces.py path/to/polymath path/to/model; exits with 77 (skipped) without the right to make namespaces.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

N_NODES = 4
JOIN_SECONDS = 60
END_SECONDS_MAX = 12  # from the cut to the end of every process, on a busy machine
SECRET = {"POLYMATH_NODE_SECRET": "known to the four of them"}
SKIPPED = 77

polymath, model = sys.argv[1:3]
tag = f"pm{os.getpid() % 10000}"


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


def name(node):
    return f"{tag}n{node}"


def address(node):
    return f"10.77.0.{node + 1}"


def make_network():
    """A bridge, and a namespace for each node with one end of a cable to it."""
    ip("link", "add", tag, "type", "bridge")
    ip("link", "set", tag, "up")
    for node in range(N_NODES):
        ip("netns", "add", name(node))
        ip("link", "add", f"{tag}v{node}", "type", "veth", "peer", "name", "eth0", "netns", name(node))
        ip("link", "set", f"{tag}v{node}", "master", tag, "up")
        inside = ("-n", name(node))
        ip(*inside, "addr", "add", f"{address(node)}/24", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up")
        ip(*inside, "link", "set", "lo", "up")


def remove_network():
    for node in range(N_NODES):
        ip("netns", "del", name(node), check=False)
    ip("link", "del", tag, check=False)


class Node:
    def __init__(self, node, *flags):
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        command = [polymath, "serve", model, "--kv-cache-memory-bytes", "8M", "--host", "127.0.0.1", "--port", "8000"]
        command += ["--dtype", "float32", "--nnodes", str(N_NODES), "--node-rank", str(node), "--master-addr", address(0), *flags]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", name(node), *command], stdout=self.log, stderr=self.log, env=dict(os.environ, **SECRET)
        )

    def text(self):
        with open(self.log.name, encoding="utf-8") as file:
            return file.read()


def wait_for(log, what, seconds=JOIN_SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        match = re.search(what, log())
        if match:
            return match
        time.sleep(0.05)
    raise AssertionError(f"{what}: not in\n{log()}")


BODY = json.dumps({"prompt": "What is 2 + 3? ", "max_tokens": 30, "temperature": 0, "ignore_eos": True})


def answer(*prefix, port=8000):
    command = [*prefix, "curl", "-s", "-H", "Content-Type: application/json", "-d", BODY, f"http://127.0.0.1:{port}/v1/completions"]
    reply = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return json.loads(reply)["choices"][0]["text"]


def four_nodes(flags, expected):
    nodes = [Node(node, *flags) for node in range(N_NODES)]
    try:
        wait_for(nodes[0].text, r"ready: http")
        text = answer("ip", "netns", "exec", name(0))
        assert text == expected, f"{flags}: {text!r}, one node says {expected!r}"
        begin = time.monotonic()
        ip("link", "set", f"{tag}v2", "down")
        for at, node in enumerate(nodes):
            code = node.process.wait(max(0.1, END_SECONDS_MAX - (time.monotonic() - begin)))
            assert code != 0, f"node {at} ended with 0"
        print(f"{' '.join(flags)}: the cut of node 2 ended all nodes in {time.monotonic() - begin:.1f} s")
        assert re.search(r"node 2: nothing was heard for 4 s", nodes[0].text()), nodes[0].text()
        assert re.search(r"node 0: nothing was heard for 4 s", nodes[2].text()), nodes[2].text()
    finally:
        ip("link", "set", f"{tag}v2", "up", check=False)
        for node in nodes:
            if node.process.poll() is None:
                node.process.kill()


def one_node():
    log = tempfile.NamedTemporaryFile("w+", suffix=".log")
    command = [polymath, "serve", model, "--dtype", "float32", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen([*command, "--kv-cache-memory-bytes", "8M"], stdout=log, stderr=log)
    try:
        port = wait_for(lambda: open(log.name, encoding="utf-8").read(), r"ready: http://[0-9.]+:(\d+)").group(1)
        return answer(port=port)
    finally:
        process.kill()
        process.wait()


def under_mpirun(expected):
    if shutil.which("mpirun") is None:
        print("mpirun is not installed: not tried")
        return
    log = tempfile.NamedTemporaryFile("w+", suffix=".log")
    command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2", "-x", "POLYMATH_NODE_SECRET", polymath, "serve", model]
    command += ["--dtype", "float32", "-pp", "2", "--host", "127.0.0.1", "--port", "0", "--kv-cache-memory-bytes", "8M"]
    process = subprocess.Popen([*command, "--master-port", "29617"], stdout=log, stderr=log, env=dict(os.environ, **SECRET))
    try:
        port = wait_for(lambda: open(log.name, encoding="utf-8").read(), r"ready: http://[0-9.]+:(\d+)").group(1)
        assert answer(port=port) == expected
        print("two nodes under mpirun answer alike")
    finally:
        process.terminate()
        process.wait(30)


def main():
    if shutil.which("ip") is None or ip("netns", "add", tag + "t", check=False).returncode != 0:
        print("skipped: network namespaces cannot be made here")
        return SKIPPED
    ip("netns", "del", tag + "t")
    expected = one_node()
    try:
        make_network()
        four_nodes(("-pp", "2", "-tp", "2"), expected)
        four_nodes(("-tp", "4", "--enable-expert-parallel"), expected)
    finally:
        remove_network()
    under_mpirun(expected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
