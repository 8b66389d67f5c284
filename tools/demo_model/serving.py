"""A `polymath serve` process for as long as a block runs."""

import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from client import Server

READY_SECONDS = 60


@contextlib.contextmanager
def served(polymath, model, *flags):
    with tempfile.NamedTemporaryFile("r") as log:
        command = [polymath, "serve", model, "--host", "127.0.0.1", "--port", "0", *flags]
        process = subprocess.Popen([str(part) for part in command], stdout=log.fileno(), stderr=log.fileno())
        try:
            end, found = time.monotonic() + READY_SECONDS, None
            while not found and process.poll() is None and time.monotonic() < end:
                found = re.search(r"ready: (http://[0-9.]+:\d+)", pathlib.Path(log.name).read_text(encoding="utf-8"))
                time.sleep(0.05)
            if not found:
                sys.exit(pathlib.Path(log.name).read_text(encoding="utf-8")[-2000:])
            yield Server(found[1])
        finally:
            process.terminate()
            process.wait()
