#!/usr/bin/env python3
"""How long a scrape of /metrics takes while the server computes as much as it can.

python3 tools/scrape_latency.py build/cpu-release/polymath models/polymath-demo [SECONDS [CLIENTS [FLAG ...]]]

Serves the model, loads it with `polymath bench serve` (so many clients at once), and scrapes every 50 ms over one
connection, as a gateway does. A scrape lasts from the request's first byte to the page's last. Between two scrapes it
asks for /live, whose answer is nothing: what that takes is the machine's, not the page's. This script and the load share
the machine with the server, so the figures are an upper bound.
"""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INTERVAL = 0.05
READY_SECONDS = 60


def cpu_name():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found.group(1) if found else "unknown CPU"


def wait_for_port(process, log):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"ready: https?://[0-9.]+:(\d+)", Path(log.name).read_text(encoding="utf-8"))
        if found:
            return int(found.group(1))
        time.sleep(0.05)
    sys.exit("the server did not start:\n" + Path(log.name).read_text(encoding="utf-8"))


def scrape(port, seconds):
    """Seconds of each scrape and of each /live, the page's bytes, and the mean of the requests that ran."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    times, size, running = {"/metrics": [], "/live": []}, 0, []
    due = time.monotonic()
    end = due + seconds
    while due < end:
        for path in times:
            time.sleep(max(0, due - time.monotonic()))
            begin = time.perf_counter()
            connection.request("GET", path)
            page = connection.getresponse().read()
            times[path].append(time.perf_counter() - begin)
            if path == "/metrics":
                size = len(page)
                running.append(float(re.search(rb"vllm:num_requests_running\{[^}]*\} (\S+)", page).group(1)))
            due += INTERVAL / 2
    connection.close()
    return times, size, sum(running) / len(running)


def go_first():
    """A gateway runs elsewhere: where it may, this process does not wait for the others of this machine."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("the scraper waits for the processor, too; run it as root to leave that out")


def percentiles(times):
    times = sorted(times)
    p50, p99 = (1000 * times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {1000 * times[-1]:.2f} ms"


def main():
    polymath, model = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 30
    clients = sys.argv[4] if len(sys.argv) > 4 else "64"
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        command = [polymath, "serve", model, "--host", "127.0.0.1", "--port", "0", *sys.argv[5:]]
        server = subprocess.Popen(command, stdout=log, stderr=log)
        load = None
        try:
            port = wait_for_port(server, log)
            load = subprocess.Popen(
                [polymath, "bench", "serve", "--port", str(port), "--num-prompts", "1000000", "--max-concurrency", clients,
                 "--random-input-len", "64", "--random-output-len", "128"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(3)
            go_first()
            times, size, running = scrape(port, seconds)
        finally:
            for process in (load, server):
                if process is not None:
                    process.kill()
                    process.wait()
    print(f"{cpu_name()}, {os.cpu_count()} cores; {len(times['/metrics'])} scrapes of {size} bytes, {running:.0f} requests running")
    for path, seconds_of in times.items():
        print(f"{path}: {percentiles(seconds_of)}")


if __name__ == "__main__":
    main()
